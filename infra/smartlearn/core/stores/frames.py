"""Rows of many series in one table of columns, on their way from a store to `Series`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.errors import InvalidQuery
from smartlearn.core.stores.base import Series, SeriesQuery, is_text_field
from smartlearn.core.stores.prepare import is_name

Column: TypeAlias = FloatArray | NDArray[np.object_]


@dataclass(frozen=True, slots=True)
class Frame:
    """Rows ordered by key and time.

    Attributes:
        key: which series or group a row is of, shape (n,).
        time: int64 ns since the epoch, shape (n,).
        columns: a column per field, shape (n,).
    """

    key: Int64Array
    time: Int64Array
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_] | slice) -> Frame:
        """Some of the rows."""
        return Frame(self.key[rows], self.time[rows], {name: column[rows] for name, column in self.columns.items()})


def check_query(query: SeriesQuery) -> None:
    """Refuse a query that names what cannot be, or combines what does not fit.

    Raises:
        InvalidQuery: says which part of the query, and what would do.
    """
    names = [query.measurement, *(query.fields or ()), *query.where, *query.between, *(query.group_by or ())]
    for name in names:
        if not is_name(name):
            raise InvalidQuery(f"{name!r} is not a name: small letters, digits and _ make one")
    if (query.every is None) != (query.agg is None):
        raise InvalidQuery("every and agg go together: a window's width, and what to do in it")
    if query.every is not None and query.every < 1:
        raise InvalidQuery(f"a window of {query.every} ns is not one: it must be at least 1 ns wide")
    if query.limit is not None and query.limit < 1:
        raise InvalidQuery(f"a limit of {query.limit} rows gives nothing: it must be at least 1")
    for name in query.between:
        if is_text_field(name):
            raise InvalidQuery(f"field {name} holds text: between compares numbers")


def matches(tags: Mapping[str, str], where: Mapping[str, str | tuple[str, ...] | None]) -> bool:
    """Whether a series' tags satisfy a query's `where`."""
    for name, wanted in where.items():
        value = tags.get(name, "")
        if not (value in wanted if isinstance(wanted, tuple) else value == (wanted or "")):
            return False
    return True


def grouped(
    series: Sequence[Mapping[str, str]], group_by: tuple[str, ...] | None
) -> tuple[Int64Array, list[dict[str, str]]]:
    """The key of the group that each series belongs to, and the tags of each group."""
    if group_by is None:
        return np.arange(len(series), dtype=np.int64), [dict(tags) for tags in series]
    names = sorted(group_by)
    groups: dict[tuple[tuple[str, str], ...], int] = {}
    keys = np.empty(len(series), dtype=np.int64)
    for row, tags in enumerate(series):
        group = tuple((name, tags[name]) for name in names if name in tags)
        keys[row] = groups.setdefault(group, len(groups))
    return keys, [dict(group) for group in groups]


def tags_order(tags: Mapping[str, str]) -> list[tuple[str, str]]:
    """What series are sorted by."""
    return sorted(tags.items())


def absent(name: str, rows: int, *, as_number: bool = False) -> Column:
    """A column without a value."""
    if is_text_field(name) and not as_number:
        return np.full(rows, None, dtype=np.object_)
    return np.full(rows, np.nan)


def is_absent(column: Column) -> NDArray[np.bool_]:
    """Where a column has no value."""
    if column.dtype == np.object_:
        return np.array([value is None for value in column], dtype=np.bool_)
    return np.isnan(column.astype(np.float64, copy=False))


def join(frames: Sequence[Frame]) -> Frame:
    """The rows of frames that hold different columns of the same keys and times, as one frame."""
    if not frames:
        return Frame(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), {})
    first = frames[0]
    if all(np.array_equal(first.key, other.key) and np.array_equal(first.time, other.time) for other in frames[1:]):
        columns = {name: column for frame in frames for name, column in frame.columns.items()}
        return Frame(first.key, first.time, columns)
    key = np.concatenate([frame.key for frame in frames])
    time = np.concatenate([frame.time for frame in frames])
    order = np.lexsort((time, key))
    key, time = key[order], time[order]
    fresh = np.ones(len(key), dtype=np.bool_)
    fresh[1:] = (key[1:] != key[:-1]) | (time[1:] != time[:-1])
    target = np.empty(len(key), dtype=np.int64)
    target[order] = np.cumsum(fresh) - 1
    joined = Frame(key[fresh], time[fresh], {})
    begin = 0
    for frame in frames:
        rows = target[begin : begin + len(frame)]
        begin += len(frame)
        for name, column in frame.columns.items():
            whole = absent(name, len(joined), as_number=column.dtype != np.object_)
            whole[rows] = column
            joined.columns[name] = whole
    return joined


def regroup(frame: Frame, groups: Int64Array) -> Frame:
    """The rows with the group of each key for its key, ordered again."""
    key = groups[frame.key]
    order = np.lexsort((frame.time, key))
    return Frame(key, frame.time, frame.columns).take(order)


def to_series(frame: Frame, tags: Sequence[Mapping[str, str]], query: SeriesQuery) -> list[Series]:
    """Cut a frame into series, with the query's limit and direction; `tags` are those of each key."""
    if not len(frame):
        return []
    edges = np.flatnonzero(np.diff(frame.key)) + 1
    starts = [0, *edges.tolist()]
    stops = [*edges.tolist(), len(frame)]
    found = [
        _one(frame, slice(start, stop), tags[int(frame.key[start])], query)
        for start, stop in zip(starts, stops, strict=True)
    ]
    return sorted(found, key=lambda series: tags_order(series.tags))


def _one(frame: Frame, rows: slice, tags: Mapping[str, str], query: SeriesQuery) -> Series:
    start, stop = rows.start, rows.stop
    if query.limit is not None:
        start, stop = (
            (max(start, stop - query.limit), stop) if query.newest_first else (start, min(stop, start + query.limit))
        )
    step = -1 if query.newest_first else 1
    time = frame.time[start:stop][::step]
    columns = {name: column[start:stop][::step] for name, column in frame.columns.items()}
    if query.fields is None:
        fields = {name: column for name, column in columns.items() if not is_absent(column).all()}
    else:
        fields = {
            name: columns[name] if name in columns else absent(name, len(time), as_number=query.agg == "count")
            for name in query.fields
        }
    return Series(query.measurement, dict(tags), time, fields)
