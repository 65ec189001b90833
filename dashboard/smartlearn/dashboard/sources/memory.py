"""A history in memory: a few thousand points, kept as arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.stores.base import Aggregation, Points, Series, SeriesQuery, is_text_field

_REDUCE: Final[dict[Aggregation, Callable[[FloatArray], np.float64]]] = {
    "mean": np.mean,
    "min": np.min,
    "max": np.max,
    "sum": np.sum,
    "count": lambda values: np.float64(len(values)),
    "last": lambda values: values[-1],
}


class MemoryHistory:
    """Answers `History` queries over points that it was made from; nothing is kept anywhere else."""

    def __init__(self, points: Iterable[Points]) -> None:
        self._series: dict[str, list[Series]] = {}
        for table in points:
            self._series.setdefault(table.measurement, []).extend(_split(table))

    def query(self, query: SeriesQuery) -> list[Series]:
        """Read series; `group_by` is not answered, the queries of the dashboards have no use for it."""
        found = []
        for series in self._series.get(query.measurement, []):
            if not _matches(series.tags, query.where):
                continue
            rows = _rows(series, query)
            if not rows.any():
                continue
            wanted = query.fields if query.fields is not None else tuple(series.fields)
            cut = Series(
                series.measurement,
                series.tags,
                series.time[rows],
                {name: _column(series, name)[rows] for name in wanted},
            )
            found.append(_limited(_windowed(cut, query), query))
        return sorted(found, key=lambda series: sorted(series.tags.items()))

    def latest(
        self, measurement: str, fields: tuple[str, ...] | None = None, where: Mapping[str, str] | None = None
    ) -> list[Series]:
        """The newest row of each series."""
        return self.query(SeriesQuery(measurement, None, None, fields, dict(where or {}), limit=1, newest_first=True))

    def tag_values(self, measurement: str, tag: str) -> list[str]:
        """The values of a tag, sorted."""
        return sorted({series.tags[tag] for series in self._series.get(measurement, []) if tag in series.tags})

    def fields(self, measurement: str) -> list[str]:
        """The names of a measurement's fields, sorted."""
        return sorted({name for series in self._series.get(measurement, []) for name in series.fields})

    def retention(self, measurement: str) -> int | None:
        """Points in memory are kept as long as the object."""
        return None


def _split(points: Points) -> list[Series]:
    """The points as series, each in time order."""
    columns = {name: _spread(name, value, len(points)) for name, value in points.fields.items()}
    tags = {
        name: [value] * len(points) if value is None or isinstance(value, str) else list(value)
        for name, value in points.tags.items()
    }
    groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for row in range(len(points)):
        key = tuple((name, text) for name, values in tags.items() if (text := values[row]))
        groups.setdefault(key, []).append(row)
    found = []
    for key, members in groups.items():
        rows = np.array(members)
        rows = rows[np.argsort(points.time[rows], kind="stable")]
        fields = {name: column[rows] for name, column in columns.items()}
        found.append(Series(points.measurement, dict(key), points.time[rows], fields))
    return found


def _spread(name: str, value: object, rows: int) -> FloatArray | NDArray[np.object_]:
    kind: type = np.object_ if is_text_field(name) else np.float64
    if value is None or isinstance(value, str | float | int):
        return np.full(rows, value, dtype=kind)
    return np.asarray(value, dtype=kind)


def _matches(tags: Mapping[str, str], where: Mapping[str, str | tuple[str, ...] | None]) -> bool:
    return all(
        tags.get(name, "") in wanted if isinstance(wanted, tuple) else tags.get(name, "") == (wanted or "")
        for name, wanted in where.items()
    )


def _column(series: Series, name: str) -> FloatArray | NDArray[np.object_]:
    if name in series.fields:
        return series.fields[name]
    return _spread(name, None if is_text_field(name) else float("nan"), len(series))


def _present(column: FloatArray | NDArray[np.object_]) -> NDArray[np.bool_]:
    if column.dtype == np.object_:
        return np.array([value is not None for value in column.tolist()], dtype=np.bool_)
    return ~np.isnan(column.astype(np.float64, copy=False))


def _rows(series: Series, query: SeriesQuery) -> NDArray[np.bool_]:
    rows = np.ones(len(series), dtype=np.bool_)
    if query.start is not None:
        rows &= series.time >= query.start
    if query.stop is not None:
        rows &= series.time < query.stop
    for name, (low, high) in query.between.items():
        column = _column(series, name).astype(np.float64)
        rows &= (column >= low) & (column < high)
    if query.fields is not None:
        rows &= np.logical_or.reduce([_present(_column(series, name)) for name in query.fields])
    return rows


def _windowed(series: Series, query: SeriesQuery) -> Series:
    if query.every is None or query.agg is None:
        return series
    reduce = _REDUCE[query.agg]
    starts, groups = np.unique(series.time - series.time % query.every, return_inverse=True)
    fields: dict[str, FloatArray | NDArray[np.object_]] = {}
    for name, column in series.fields.items():
        if column.dtype == np.object_:
            continue
        has = _present(column)
        values = np.full(len(starts), np.nan)
        for window in np.unique(groups[has]):
            values[window] = reduce(column[has & (groups == window)])
        fields[name] = values
    return Series(series.measurement, series.tags, starts.astype(np.int64), fields)


def _limited(series: Series, query: SeriesQuery) -> Series:
    rows: Int64Array = np.arange(len(series))
    if query.newest_first:
        rows = rows[::-1]
    rows = rows[: query.limit]
    fields = {name: column[rows] for name, column in series.fields.items()}
    return Series(series.measurement, series.tags, series.time[rows], fields)
