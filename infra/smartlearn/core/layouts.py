"""Which columns the events of a kind have, and their validation: the one path for rows and for batches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, NoReturn

import numpy as np

from smartlearn.core.batch import Kind, TextColumn
from smartlearn.core.errors import InvalidMessage
from smartlearn.core.faults import shown
from smartlearn.core.numeric_columns import Numbers, to_numbers
from smartlearn.core.schemas import (
    MAX_METRICS,
    METRIC_PREFIX,
    NUMERIC_FIELDS,
    REQUIRED_FIELDS,
    Bounds,
    metric_fault,
)
from smartlearn.core.text_columns import (
    Check,
    label_fault,
    pseudonym_fault,
    run_type_fault,
    text_fault,
    to_payload,
    to_text,
)


class Layout(NamedTuple):
    """The columns of a kind, beside its timestamp.

    Attributes:
        numbers: numeric field → its bounds.
        texts: text field → its check.
        required: the fields that every event has.
        key: the field that is the series key; None where it is the source (of a row: the learner).
        metrics: whether a source may add metrics of its own.
        payload: whether there is a payload, an object of any shape.
        event: what an event is called in a sentence.
    """

    numbers: Mapping[str, Bounds]
    texts: Mapping[str, Check]
    required: frozenset[str]
    key: str | None
    metrics: bool
    payload: bool
    event: str


def _layout(
    kind: Kind,
    event: str,
    key: str | None,
    texts: Mapping[str, Check],
    *,
    metrics: bool = False,
    payload: bool = False,
) -> Layout:
    required = REQUIRED_FIELDS[kind] - {"timestamp"}
    return Layout(NUMERIC_FIELDS[kind], texts, required, key, metrics, payload, event)


LAYOUTS: Mapping[Kind, Layout] = MappingProxyType(
    {
        Kind.PERFORMANCE: _layout(
            Kind.PERFORMANCE,
            "a performance event",
            "node",
            {"node": label_fault, "gpu": label_fault, "run": label_fault, "model_version": label_fault},
            metrics=True,
        ),
        Kind.TRAINING: _layout(
            Kind.TRAINING, "a training event", "run", {"run": label_fault, "node": label_fault}, metrics=True
        ),
        Kind.INTERACTION: _layout(
            Kind.INTERACTION,
            "an interaction",
            None,
            {
                "learner": pseudonym_fault,
                "action": label_fault,
                "subject": label_fault,
                "difficulty": label_fault,
            },
        ),
        Kind.RUN: _layout(
            Kind.RUN,
            "a run event",
            "run",
            {"run": label_fault, "node": label_fault, "type": run_type_fault},
            payload=True,
        ),
        Kind.ANNOTATION: _layout(
            Kind.ANNOTATION,
            "an annotation",
            "scope",
            {"text": text_fault, "scope": label_fault, "author": label_fault},
        ),
    }
)


def to_columns(kind: Kind, data: Mapping[str, Any], rows: int) -> tuple[Numbers, dict[str, TextColumn]]:
    """Validate the columns of a kind, without its timestamp.

    Args:
        kind: whose layout holds.
        data: column name (a metric's with its prefix) → one value for all rows, or a list of n.
        rows: n.

    Returns:
        The numbers, metrics among them by their bare names, and the texts; no column that is null throughout.

    Raises:
        InvalidMessage: a column is unknown or missing, or a value is refused.
    """
    layout = LAYOUTS[kind]
    known, checks, required = layout.numbers, layout.texts, layout.required
    numeric: dict[str, Any] = {}
    texts: dict[str, TextColumn] = {}
    others: dict[str, Any] = {}
    for name, column in data.items():
        if column is None:
            if name not in known and name not in checks:
                others[name] = None
        elif name in known:
            numeric[name] = column
        elif name in checks:
            text = to_text(name, column, checks[name], rows, required=name in required)
            if text is not None:
                texts[name] = text
        else:
            others[name] = column
    if others or layout.payload:
        _take_others(layout, others, rows, numeric, texts)
    for name in required:
        if name not in numeric and name not in texts:
            raise InvalidMessage(f"{layout.event} must have {name}", field=name)
    numbers = to_numbers(kind, numeric, rows)
    if kind is Kind.PERFORMANCE and len(numbers.gaps) >= len(numbers.values):
        _require_values(numbers, rows)
    return numbers, texts


def _take_others(
    layout: Layout,
    others: dict[str, Any],
    rows: int,
    numeric: dict[str, Any],
    texts: dict[str, TextColumn],
) -> None:
    """Sort the columns that only some kinds have into numbers and texts; refuse those that none has."""
    if layout.payload:
        payload = others.pop("payload", None)
        texts["payload"] = "{}" if payload is None else to_payload(payload, rows)
    unknown = [name for name in others if not (layout.metrics and name.startswith(METRIC_PREFIX))]
    if unknown:
        fail_unknown(unknown, layout.event)
    if len(others) > MAX_METRICS:
        raise InvalidMessage(f"{layout.event} may have {MAX_METRICS} metrics, and has {len(others)}", field="metrics")
    for name, column in others.items():
        metric = name[len(METRIC_PREFIX) :]
        reason = metric_fault(metric)
        if reason is not None:
            raise InvalidMessage(f"the metric {shown(metric)!r} {reason}", field=shown(name))
        if column is not None:
            numeric[metric] = column


def fail_unknown(names: Iterable[str], what: str) -> NoReturn:
    """Raise the sentence about fields that are not in the contract.

    Raises:
        InvalidMessage: always.
    """
    found = [shown(name) for name in sorted(names)]
    rest = f" and {len(found) - 5} more" if len(found) > 5 else ""
    word = "field" if len(found) == 1 else "fields"
    raise InvalidMessage(f"{what} has no {word} {', '.join(found[:5])}{rest}", field=found[0])


def _require_values(numbers: Numbers, rows: int) -> None:
    """Every sample of a machine says something."""
    silent = np.ones(rows, dtype=np.bool_)
    for name, values in numbers.values.items():
        silent &= np.isnan(values)
        if name in numbers.nonfinite:
            silent &= numbers.nonfinite[name] == 0
    if np.count_nonzero(silent):
        row = int(np.argmax(silent))
        where = f" in row {row}" if rows > 1 else ""
        raise InvalidMessage(f"a performance event{where} must have at least one number", row=row)
