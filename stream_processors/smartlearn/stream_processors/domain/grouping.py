"""Which series an event belongs to: the columns of one batch, or of stored raw events, laid out for aggregation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from smartlearn.core.aggregates import Summary, summarize
from smartlearn.core.batch import Batch, FloatArray, Int64Array, TextColumn
from smartlearn.stream_processors.domain.panes import SeriesKey

_PERFORMANCE_LABELS: Final = ("gpu", "model_version")
_INTERACTION_METRICS: Final = ("response_time", "accuracy", "engagement_score")


@dataclass(frozen=True, slots=True)
class Grouped:
    """m memberships of events in series; an event may be in several.

    Attributes:
        series: the series met.
        codes: the series of each membership, an index into `series`, shape (m,).
        times: the event time of each, µs, shape (m,).
        columns: metric → values, shape (m,).
        learners: who each is about, or None where nobody is counted.
    """

    series: list[SeriesKey]
    codes: Int64Array
    times: Int64Array
    columns: Mapping[str, FloatArray]
    learners: TextColumn | None = None


Grouping: TypeAlias = Callable[[str, Int64Array, Mapping[str, FloatArray], Mapping[str, TextColumn]], Grouped]
"""From an owner, event times, number and text columns to memberships."""


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows of some batches of one owner, one after the other.

    Attributes:
        times: event times, µs, shape (n,).
        numbers: column → values, shape (n,).
        texts: column → a text where all rows have the same, else one a row.
    """

    times: Int64Array
    numbers: Mapping[str, FloatArray]
    texts: Mapping[str, TextColumn]

    @classmethod
    def of(cls, batches: Sequence[Batch]) -> Rows:
        """The rows of batches, at least one, that have the same columns."""
        first = batches[0]
        if len(batches) == 1:
            return cls(first.timestamp, first.numbers, first.texts)
        return cls(
            np.concatenate([batch.timestamp for batch in batches]),
            {name: np.concatenate([batch.numbers[name] for batch in batches]) for name in first.numbers},
            {name: _joined([batch.texts[name] for batch in batches], batches) for name in first.texts},
        )


def _joined(columns: Sequence[TextColumn], batches: Sequence[Batch]) -> TextColumn:
    first = columns[0]
    if isinstance(first, str) and all(isinstance(column, str) and column == first for column in columns):
        return first
    texts: list[str | None] = []
    for column, batch in zip(columns, batches, strict=True):
        texts.extend([column] * len(batch) if isinstance(column, str) else column)
    return np.array(texts, np.object_)


def performance(
    owner: str, times: Int64Array, numbers: Mapping[str, FloatArray], texts: Mapping[str, TextColumn]
) -> Grouped:
    """A node's samples by GPU and model version.

    Every number is a metric; `gpu_memory` is added: 100·used/total of each event, absent without a total above 0.
    """
    columns = {name: column for name, column in numbers.items() if name != "at"}
    used, total = columns.get("gpu_memory_used"), columns.get("gpu_memory_total")
    if used is not None and total is not None:
        columns["gpu_memory"] = 100.0 * used / np.where(total > 0, total, np.nan)
    labels = {name: texts[name] for name in _PERFORMANCE_LABELS if name in texts}
    series, codes = _series_of({"node": owner, **labels}, len(times))
    return Grouped(series, codes, times, columns)


def interactions(
    owner: str, times: Int64Array, numbers: Mapping[str, FloatArray], texts: Mapping[str, TextColumn]
) -> Grouped:
    """A shard's interactions four ways: all, by subject, by difficulty, and by both."""
    learners = texts["learner"]
    parts = []
    for by in ("all", "subject", "difficulty", "subject_difficulty"):
        labels = {name: texts[name] for name in ("subject", "difficulty") if name in by}
        parts.append(_series_of({"shard": owner, "by": by, **labels}, len(times)))
    first = np.cumsum([0, *(len(series) for series, _ in parts[:-1])])
    return Grouped(
        [key for series, _ in parts for key in series],
        np.concatenate([codes + start for (_, codes), start in zip(parts, first, strict=True)]),
        np.tile(times, 4),
        {name: np.tile(numbers[name], 4) for name in _INTERACTION_METRICS if name in numbers},
        learners if isinstance(learners, str) else np.tile(learners, 4),
    )


def _series_of(labels: Mapping[str, TextColumn], rows: int) -> tuple[list[SeriesKey], Int64Array]:
    """The series that rows with these tags fall into, and the index of each row's."""
    varying = {name: column for name, column in labels.items() if not isinstance(column, str)}
    constant = {name: column for name, column in labels.items() if isinstance(column, str)}
    if not varying:
        return [_key(constant)], np.zeros(rows, np.int64)
    known: dict[tuple[object, ...], int] = {}
    codes = np.fromiter(
        (known.setdefault(values, len(known)) for values in zip(*varying.values(), strict=True)),
        np.int64,
        rows,
    )
    keys = [
        _key(constant | {name: str(value) for name, value in zip(varying, values, strict=True) if value})
        for values in known
    ]
    return keys, codes


def _key(tags: Mapping[str, str]) -> SeriesKey:
    return tuple(sorted((name, value) for name, value in tags.items() if value))


def summarize_panes(groups: Sequence[Grouped], length: int) -> dict[tuple[int, SeriesKey], dict[int, Summary]]:
    """The summary of each series in each pane.

    Args:
        groups: memberships; equal series of different groups stay apart, so that owners do.
        length: the panes' length, µs.

    Returns:
        (index into `groups`, series) → pane start, µs → summary.
    """
    if not groups:
        return {}
    first = np.cumsum([0, *(len(group.series) for group in groups[:-1])])
    codes = np.concatenate([group.codes + start for group, start in zip(groups, first, strict=True)])
    times = np.concatenate([group.times for group in groups])
    numbers = times // length
    lowest = int(numbers.min())
    width = int(numbers.max()) - lowest + 1
    cells, inverse = np.unique(codes * width + (numbers - lowest), return_inverse=True)
    names = sorted({name for group in groups for name in group.columns})
    columns = {name: _concatenated(groups, name) for name in names}
    summaries = summarize(inverse.astype(np.int64), len(cells), columns, _learners(groups))
    owners = [(index, series) for index, group in enumerate(groups) for series in group.series]
    panes: dict[tuple[int, SeriesKey], dict[int, Summary]] = {}
    for cell, summary in zip(cells.tolist(), summaries, strict=True):
        code, number = divmod(cell, width)
        if summary.names or summary.distinct is not None:
            panes.setdefault(owners[code], {})[(number + lowest) * length] = summary
    return panes


def _concatenated(groups: Sequence[Grouped], name: str) -> FloatArray:
    return np.concatenate(
        [group.columns[name] if name in group.columns else np.full(len(group.codes), np.nan) for group in groups]
    )


def _learners(groups: Sequence[Grouped]) -> Sequence[str | None] | None:
    if all(group.learners is None for group in groups):
        return None
    listed: list[str | None] = []
    for group in groups:
        learners = group.learners
        if learners is None or isinstance(learners, str):
            listed.extend([learners] * len(group.codes))
        else:
            listed.extend(learners.tolist())
    return listed
