"""Reading the store for people and programs: in time order, a block at a time, exact times, shards merged."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from smartlearn.core.aggregates import merge_series, needed_fields
from smartlearn.core.batch import Int64Array
from smartlearn.core.errors import InvalidQuery
from smartlearn.core.identity import NS_PER_US, exact_time
from smartlearn.core.stores.base import Aggregation, MetricStore, Series, SeriesQuery
from smartlearn.core.stores.frames import Column, is_absent
from smartlearn.ops.catalog import RAW, SHARD, TAGS_OF, check_names
from smartlearn.ops.filters import Where
from smartlearn.ops.timespan import Span
from smartlearn.ops.windowing import window_series

BLOCK_ROWS = 100_000
"""About so many rows are in memory at once, however long the answer is."""

_SECOND_NS = 1_000_000_000
_FIRST_ROWS = 1000
_NONFINITE = "_nonfinite"
_INTERNAL_SUFFIXES = ("_sketch", _NONFINITE)
_INTERNAL = frozenset({"at", "distinct_learners"})


@dataclass(frozen=True, slots=True)
class Request:
    """What to read.

    Attributes:
        measurement: its name.
        span: the part of time.
        fields: the fields wanted; empty is all but those that only merging and identity need.
        where: conditions on tags.
        every: window width in ns, with `agg`.
        agg: how the rows of a window become one.
    """

    measurement: str
    span: Span = field(default_factory=Span)
    fields: tuple[str, ...] = ()
    where: Where = field(default_factory=dict)
    every: int | None = None
    agg: Aggregation | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """Rows of one series as they are shown.

    Attributes:
        tags: the series' tags, without the shard where shards were merged.
        time: exact event times (of windows their start), µs since the epoch, in order, shape (n,).
        fields: values by field, absent ones NaN or None, what was not finite as its name, shape (n,).
    """

    tags: Mapping[str, str]
    time: Int64Array
    fields: Mapping[str, Column]

    def __len__(self) -> int:
        return len(self.time)


def read(store: MetricStore, request: Request) -> Iterator[list[Reading]]:
    """The rows that a request asks for, in blocks that follow one another in time.

    Raises:
        InvalidQuery: the request names what does not exist, or cannot be answered.
    """
    _check(store, request)
    merging = SHARD in TAGS_OF.get(request.measurement, ()) and SHARD not in request.where
    windowed = request.every is not None
    query = SeriesQuery(
        request.measurement,
        request.span.start,
        request.span.stop,
        fields=_stored_fields(store, request, merging=merging),
        where=request.where,
    )
    raw = request.measurement in RAW
    if windowed and (raw or not merging):
        groups = tuple(tag for tag in TAGS_OF[request.measurement] if tag != SHARD) if merging else None
        query = replace(query, every=request.every, agg=request.agg, group_by=groups)
    for block in [store.query(query)] if windowed else blocks(store, query):
        series = block
        if merging and not raw:
            series = merge_series(series, {SHARD})
            if request.every is not None and request.agg is not None:
                series = [window_series(each, request.every, request.agg) for each in series]
        readings = [_reading(each, request, exact=raw and not windowed, merging=merging) for each in series]
        yield [reading for reading in readings if len(reading)]


def blocks(store: MetricStore, query: SeriesQuery, rows: int = BLOCK_ROWS) -> Iterator[list[Series]]:
    """The answer to a query that has no window, cut in time at whole seconds so that each part fits in memory.

    An event's stored time is in the second of its exact one, so blocks follow one another in both.
    """
    start, limit = query.start, _FIRST_ROWS
    while True:
        series = store.query(replace(query, start=start, limit=limit))
        full = [each for each in series if len(each) >= limit]
        if not full:
            yield series
            return
        end = min(int(each.time[-1]) for each in full) // _SECOND_NS * _SECOND_NS
        first = min(int(each.time[0]) for each in series)
        if end <= first:
            # More rows in one second than the limit: that second comes whole.
            end = first // _SECOND_NS * _SECOND_NS + _SECOND_NS
            stop = end if query.stop is None else min(end, query.stop)
            yield store.query(replace(query, start=start, stop=stop))
        else:
            yield [_before(each, end) for each in series if each.time[0] < end]
        start = end
        limit = max(_FIRST_ROWS, rows // len(series))


def rows(readings: Iterable[Reading]) -> list[tuple[int, dict[str, Any]]]:
    """Each row's time (µs) and its tags and present fields, in time order; ties in the order of the readings."""
    found: list[tuple[int, dict[str, Any]]] = []
    for reading in readings:
        names = list(reading.fields)
        columns = [listed(column) for column in reading.fields.values()]
        found += [
            (time, {**reading.tags, **{n: v for n, v in zip(names, values, strict=True) if v is not None}})
            for time, *values in zip(reading.time.tolist(), *columns, strict=True)
        ]
    found.sort(key=lambda row: row[0])
    return found


def columns(readings: Sequence[Reading], names: Sequence[str]) -> tuple[Int64Array, dict[str, Column]]:
    """The rows of all readings in time order, as rows() gives them, by column.

    Returns:
        time: µs since the epoch, shape (n,).
        columns: tag or field → values, shape (n,); floats with NaN where all present ones are numbers, else objects.
    """
    time = np.concatenate([reading.time for reading in readings]) if readings else np.zeros(0, dtype=np.int64)
    order = np.argsort(time, kind="stable")
    return time[order], {name: _column(readings, name)[order] for name in names}


def _column(readings: Sequence[Reading], name: str) -> Column:
    parts = [reading.fields.get(name, reading.tags.get(name)) for reading in readings]
    if all(part is None or (isinstance(part, np.ndarray) and part.dtype != np.object_) for part in parts):
        numbers = [
            np.full(len(each), np.nan) if part is None else part for each, part in zip(readings, parts, strict=True)
        ]
        return np.concatenate(numbers) if numbers else np.zeros(0)
    values = np.full(sum(map(len, readings)), None, dtype=np.object_)
    begin = 0
    for reading, part in zip(readings, parts, strict=True):
        values[begin : begin + len(reading)] = listed(part) if isinstance(part, np.ndarray) else part
        begin += len(reading)
    return values


def _check(store: MetricStore, request: Request) -> None:
    check_names(store, request.measurement, request.fields, tuple(request.where))
    if (request.every is None) != (request.agg is None):
        raise InvalidQuery("--every and --agg go together: a window's width, and what to do in it")
    if request.every is not None and request.every < _SECOND_NS:
        raise InvalidQuery("--every must be at least 1s")


def _stored_fields(store: MetricStore, request: Request, *, merging: bool) -> tuple[str, ...] | None:
    """What to ask the store for, so that the fields wanted can be shown."""
    if not request.fields:
        return None
    wanted = dict.fromkeys(request.fields)
    if request.measurement in RAW:
        if request.every is None:
            known = set(store.fields(request.measurement))
            extra = ("at", *(name + _NONFINITE for name in request.fields))
            wanted |= dict.fromkeys(name for name in extra if name in known)
    elif merging:
        wanted |= dict.fromkeys(needed_fields(request.fields))
    return tuple(wanted)


def _reading(series: Series, request: Request, *, exact: bool, merging: bool) -> Reading:
    tags = {tag: value for tag, value in series.tags.items() if not (merging and tag == SHARD)}
    fields = dict(series.fields)
    time = series.time // NS_PER_US
    if exact:
        at = fields.get("at")
        if at is not None:
            time = exact_time(series.time, at.astype(np.float64))
        fields = _named_nonfinite(fields)
    if request.fields:
        fields = {name: fields[name] for name in request.fields if name in fields}
    else:
        fields = {name: column for name, column in fields.items() if not _is_internal(name)}
    return _present(Reading(tags, time, fields), in_order=exact)


def _present(reading: Reading, *, in_order: bool) -> Reading:
    """The rows that have a field, in the order of their exact times."""
    keep = np.zeros(len(reading), dtype=np.bool_)
    for column in reading.fields.values():
        keep |= ~is_absent(column)
    order = np.flatnonzero(keep)
    if in_order:
        order = order[np.argsort(reading.time[order], kind="stable")]
    elif keep.all():
        return reading
    fields = {name: column[order] for name, column in reading.fields.items()}
    return Reading(reading.tags, reading.time[order], fields)


def _named_nonfinite(fields: Mapping[str, Column]) -> dict[str, Column]:
    """The fields with `NaN`, `Infinity` or `-Infinity` in place where a number was none."""
    named = {name: column for name, column in fields.items() if not name.endswith(_NONFINITE)}
    for name, codes in fields.items():
        if not name.endswith(_NONFINITE):
            continue
        field_name = name.removesuffix(_NONFINITE)
        mixed = np.full(len(codes), None, dtype=np.object_)
        if field_name in named:
            mixed[:] = listed(named[field_name])
        said = ~is_absent(codes)
        mixed[said] = codes[said]
        named[field_name] = mixed
    return named


def _is_internal(name: str) -> bool:
    return name in _INTERNAL or name.endswith(_INTERNAL_SUFFIXES)


def _before(series: Series, end: int) -> Series:
    keep = slice(0, int(np.searchsorted(series.time, end)))
    fields = {name: column[keep] for name, column in series.fields.items()}
    return Series(series.measurement, series.tags, series.time[keep], fields)


def listed(column: Column) -> list[Any]:
    """The values of a column, None where it has none."""
    values: list[Any] = column.tolist()
    if column.dtype == np.object_:
        return values
    if not is_absent(column).any():
        return values
    return [None if math.isnan(value) else value for value in values]
