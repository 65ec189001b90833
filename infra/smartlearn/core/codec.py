"""Bytes ⇄ validated batches: one event as a JSON object, or a columnar batch. A row is a batch of one.

A fault refuses the whole message, since a batch is one delivery: its sender could have validated it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, NoReturn, cast

import numpy as np
import orjson
from numpy.typing import NDArray

from smartlearn.core import columns as col
from smartlearn.core.batch import (
    EXTERNAL_SOURCE,
    IMPORT_SOURCE,
    NONFINITE_NAMES,
    Batch,
    FloatArray,
    Int64Array,
    Kind,
    TextColumn,
)
from smartlearn.core.errors import InvalidMessage
from smartlearn.core.schemas import (
    FIRST_TIME_US,
    LAST_TIME_US,
    MAX_MESSAGE_BYTES,
    MAX_METRICS,
    MAX_ROWS,
    METRIC_BOUNDS,
    METRIC_PREFIX,
    NUMERIC_FIELDS,
    REQUIRED_FIELDS,
    WHOLE_FIELDS,
    Bounds,
    metric_fault,
)
from smartlearn.core.times import parse_time


class _Layout(NamedTuple):
    """The columns of a kind: numbers with their bounds, texts with their check, and which is the series key."""

    numbers: Mapping[str, Bounds]
    texts: Mapping[str, Callable[[object], str | None]]
    required: frozenset[str]
    key: str | None
    metrics: bool


def _layout(kind: Kind, key: str | None, metrics: bool, **texts: Callable[[object], str | None]) -> _Layout:
    return _Layout(NUMERIC_FIELDS[kind], texts, REQUIRED_FIELDS[kind] - {"timestamp"}, key, metrics)


_LABEL = col.label_fault
_LAYOUTS: Mapping[Kind, _Layout] = {
    Kind.PERFORMANCE: _layout(
        Kind.PERFORMANCE, "node", True, node=_LABEL, gpu=_LABEL, run=_LABEL, model_version=_LABEL
    ),
    Kind.TRAINING: _layout(Kind.TRAINING, "run", True, run=_LABEL, node=_LABEL),
    Kind.INTERACTION: _layout(
        Kind.INTERACTION, None, False,
        learner=col.pseudonym_fault, action=_LABEL, subject=_LABEL, difficulty=_LABEL,
    ),
    Kind.RUN: _layout(Kind.RUN, "run", False, run=_LABEL, node=_LABEL, type=col.run_type_fault),
    Kind.ANNOTATION: _layout(Kind.ANNOTATION, "scope", False, text=col.text_fault, scope=_LABEL,
    author=_LABEL),
}  # fmt: skip

_ENVELOPE_FIELDS = frozenset({"v", "kind", "source", "boot", "seq", "place", "columns"})


def decode(value: bytes | None, *, kind: Kind, topic_boot: str, partition: int, offset: int) -> Batch:
    """Validate the value of a message of a topic.

    Args:
        value: one event as a JSON object, or a columnar batch.
        kind: what the topic holds.
        topic_boot: the id of the topic, or of this start of the embedded broker; identifies row events.
        partition: the partition that a row event first arrived on.
        offset: its offset there.

    Returns:
        The rows. A row event's key is its node, run or scope, an interaction's its learner; a batch of
        interactions has its source for a key.

    Raises:
        InvalidMessage: the value breaks the contract; the sentence is bounded and repeats none of its
        texts.
    """
    if not value:
        raise InvalidMessage("the message is empty")
    if len(value) > MAX_MESSAGE_BYTES:
        raise InvalidMessage(f"the message has {len(value)} bytes and may have at most {MAX_MESSAGE_BYTES}")
    try:
        message = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise InvalidMessage(f"the message is not JSON: {error}") from None
    if type(message) is not dict:
        raise InvalidMessage(f"the message must be a JSON object, not {col.described(message)}")
    # A boolean passes for a number further down; where the bytes name none, nothing need be looked for.
    booleans = b"true" in value or b"false" in value
    if "columns" in message:
        return _decode_batch(message, kind, booleans)
    return _decode_row(message, kind, booleans, f"{topic_boot}/{partition}", offset)


def _decode_row(event: dict[str, Any], kind: Kind, booleans: bool, boot: str, offset: int) -> Batch:
    layout = _LAYOUTS[kind]
    stamp = event.pop("timestamp", None)
    if type(stamp) is not str:
        raise InvalidMessage(
            f"timestamp must be an RFC 3339 time such as 2026-01-31T12:00:00.250Z, not {col.described(stamp)}",
            field="timestamp", row=0,
        )  # fmt: skip
    try:
        time = parse_time(stamp)
    except ValueError as error:
        raise InvalidMessage(f"timestamp {error}", field="timestamp", row=0) from None
    if not FIRST_TIME_US <= time < LAST_TIME_US:
        col.fail_time(0, 1, "outside the years of the contract")
    metrics = event.pop("metrics", None) if layout.metrics else None
    if metrics is not None:
        if type(metrics) is not dict:
            raise InvalidMessage(
                f"metrics must be an object, not {col.described(metrics)}", field="metrics", row=0
            )
        for name, number in metrics.items():
            event[METRIC_PREFIX + name] = number
    for name, constant in event.items():
        if type(constant) is list:
            raise InvalidMessage(f"{col.shown(name)} must not be a list in a single event", field=name,
            row=0)
    numbers, texts = _split(event, kind, layout, 1, booleans)
    key = texts["learner"] if layout.key is None else texts[layout.key]
    return Batch(
        kind=kind,
        source=EXTERNAL_SOURCE,
        key=cast("str", key),
        timestamp=np.array((time,), dtype=np.int64),
        numbers=numbers.values,
        texts=texts,
        nonfinite=numbers.nonfinite,
        boot=boot,
        seq=offset,
    )


def _decode_batch(message: dict[str, Any], kind: Kind, booleans: bool) -> Batch:
    unknown = message.keys() - _ENVELOPE_FIELDS
    if unknown:
        _fail_unknown(unknown, "a batch")
    if message.get("v") != 1 or type(message["v"]) is not int:
        raise InvalidMessage("v must be 1, the version of the envelope", field="v")
    if message.get("kind") != kind.value:
        raise InvalidMessage(f"kind must be {kind.value} on this topic", field="kind")
    data = message["columns"]
    if type(data) is not dict:
        raise InvalidMessage(f"columns must be an object, not {col.described(data)}", field="columns")
    timestamp = col.to_times(data.pop("timestamp", None), booleans=booleans)
    rows = len(timestamp)
    if not 0 < rows <= MAX_ROWS:
        raise InvalidMessage(f"a batch must hold 1 to {MAX_ROWS} rows, and holds {rows}", field="timestamp")
    source = col.to_text("source", message.get("source"), _LABEL, 1, required=True)
    boot, seq, place = _identity(message, source, rows, booleans)
    layout = _LAYOUTS[kind]
    numbers, texts = _split(data, kind, layout, rows, booleans)
    key = source if layout.key is None else texts[layout.key]
    if not isinstance(key, str):
        raise InvalidMessage(
            f"a batch must hold one {layout.key}, and {layout.key} has several values", field=layout.key
        )
    return Batch(
        kind=kind,
        source=cast("str", source),
        key=key,
        timestamp=timestamp,
        numbers=numbers.values,
        texts=texts,
        nonfinite=numbers.nonfinite,
        boot=boot,
        seq=seq,
        place=place,
    )


def _identity(
    message: dict[str, Any], source: TextColumn, rows: int, booleans: bool
) -> tuple[str | None, int | None, Int64Array | None]:
    """The boot and seq of a producer's batch, or the places of an imported one."""
    boot, seq, place = message.get("boot"), message.get("seq"), message.get("place")
    if place is not None:
        if boot is not None or seq is not None:
            raise InvalidMessage("a batch with place must not have boot or seq", field="place")
        if source != IMPORT_SOURCE:
            raise InvalidMessage(f"a batch with place must have the source {IMPORT_SOURCE}", field="source")
        if type(place) is not list:
            raise InvalidMessage("place must be a list of whole numbers", field="place")
        col.check_length("place", place, rows)
        places = col.to_whole("place", place, booleans=booleans)
        if places.min() < 0:
            col.fail("place", int(np.argmin(places)), rows, "must not be negative")
        return None, None, places
    if source == IMPORT_SOURCE:
        raise InvalidMessage(f"a batch of the source {IMPORT_SOURCE} must have place", field="place")
    reason = _LABEL(boot)
    if reason is not None:
        raise InvalidMessage(f"boot {reason}", field="boot")
    if type(seq) is not int or not 0 <= seq <= 2**63 - 1 - rows:
        raise InvalidMessage(
            f"seq must be a whole number from 0 to 2**63, not {col.described(seq)}", field="seq"
        )
    return boot, seq, None


def _split(
    data: dict[str, Any], kind: Kind, layout: _Layout, rows: int, booleans: bool
) -> tuple[col.Numbers, dict[str, TextColumn]]:
    """Validate the columns of a kind (without its timestamp): its numbers and its texts."""
    known, texts_of, required = layout.numbers, layout.texts, layout.required
    numeric: dict[str, Any] = {}
    bounds: dict[str, Bounds] = {}
    texts: dict[str, TextColumn] = {}
    unknown: list[str] = []
    metrics = 0
    for name, column in data.items():
        if name in known:
            if column is not None:
                numeric[name] = column
                bounds[name] = known[name]
        elif name in texts_of:
            if column is not None:
                texts[name] = col.to_text(name, column, texts_of[name], rows, required=name in required)
        elif layout.metrics and name.startswith(METRIC_PREFIX):
            metrics += 1
            if column is not None:
                short = _metric(name)
                numeric[short] = column
                bounds[short] = METRIC_BOUNDS
        elif name == "payload" and kind is Kind.RUN:
            if column is not None:
                texts[name] = col.to_payload(column, rows)
        else:
            unknown.append(name)
    if unknown:
        _fail_unknown(unknown, f"a {kind.value} event" if kind is not Kind.INTERACTION else "an interaction")
    if metrics > MAX_METRICS:
        raise InvalidMessage(f"metrics must be at most {MAX_METRICS}, and are {metrics}", field="metrics")
    missing = required - numeric.keys() - texts.keys()
    if missing:
        first = min(missing)
        raise InvalidMessage(f"{first} is missing", field=first)
    if kind is Kind.RUN:
        texts.setdefault("payload", "{}")
    numbers = col.to_numbers(numeric, bounds, required, rows, booleans=booleans)
    if kind is Kind.PERFORMANCE:
        _require_values(numbers, rows)
    return numbers, texts


def _metric(column: str) -> str:
    """The name of a metric from its column's, if it may be called so."""
    name = column[len(METRIC_PREFIX) :]
    reason = metric_fault(name)
    if reason is not None:
        raise InvalidMessage(f"the metric {col.shown(name)!r} {reason}", field=column)
    return name


def _require_values(numbers: col.Numbers, rows: int) -> None:
    """Every sample of a machine says something."""
    silent = np.ones(rows, dtype=np.bool_)
    for name, values in numbers.values.items():
        silent &= np.isnan(values)
        if name in numbers.nonfinite:
            silent &= numbers.nonfinite[name] == 0
        if not silent.any():
            return
    where = f"row {int(np.argmax(silent))}" if rows > 1 else "the event"
    raise InvalidMessage(f"{where} holds no number", row=int(np.argmax(silent)))


def _fail_unknown(names: Collection[str], what: str) -> NoReturn:
    shown = sorted(col.shown(name) for name in names)
    rest = f" and {len(shown) - 5} more" if len(shown) > 5 else ""
    word = "field" if len(shown) == 1 else "fields"
    raise InvalidMessage(f"unknown {word} in {what}: {', '.join(shown[:5])}{rest}", field=shown[0])


def encode_batch(batch: Batch) -> bytes:
    """A batch as a message value: a constant column is one value, what is not finite its name, what is absent null.

    Raises:
        ValueError: the batch has neither a place nor both boot and seq.
    """
    known = NUMERIC_FIELDS[batch.kind]
    data: dict[str, Any] = {"timestamp": np.ascontiguousarray(batch.timestamp, dtype=np.int64)}
    for name, column in batch.texts.items():
        data[name] = _encode_payload(column) if name == "payload" else _encode_text(column)
    for name, values in batch.numbers.items():
        encoded = _encode_numbers(values, batch.nonfinite.get(name), whole=name in WHOLE_FIELDS)
        if encoded is not None:
            data[name if name in known else METRIC_PREFIX + name] = encoded
    envelope: dict[str, Any] = {"v": 1, "kind": batch.kind.value, "source": batch.source}
    if batch.place is not None:
        envelope["place"] = np.ascontiguousarray(batch.place, dtype=np.int64)
    elif batch.boot is not None and batch.seq is not None:
        envelope |= {"boot": batch.boot, "seq": batch.seq}
    else:
        raise ValueError("a batch needs a place, or a boot and a seq, to be sent")
    return orjson.dumps(envelope | {"columns": data}, option=orjson.OPT_SERIALIZE_NUMPY)


def _encode_numbers(values: FloatArray, codes: NDArray[np.int8] | None, *, whole: bool) -> Any:
    """A numeric column for JSON; None where no row has a value."""
    if codes is None and np.isinf(values).any():
        codes = np.select([values == np.inf, values == -np.inf], [2, 3], 0).astype(np.int8)
    if codes is not None and codes.any():
        listed: list[Any] = [None if value != value else value for value in values.tolist()]  # noqa: PLR0124
        for row in np.flatnonzero(codes).tolist():
            listed[row] = NONFINITE_NAMES[int(codes[row])]
        return listed
    first = values[0]
    if np.isnan(first):
        if np.isnan(values).all():
            return None
    elif (values == first).all():
        return int(first) if whole else float(first)
    return np.ascontiguousarray(values.astype(np.int64) if whole else values)


def _encode_text(column: TextColumn) -> Any:
    if isinstance(column, str):
        return column
    values = column.tolist()
    return values[0] if len(set(values)) == 1 else values


def _encode_payload(column: TextColumn) -> Any:
    if isinstance(column, str):
        return orjson.loads(column)
    return [orjson.loads(text) for text in column.tolist()]
