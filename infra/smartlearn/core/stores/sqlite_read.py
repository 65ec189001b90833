"""Reading from the SQLite file: one statement a part, joined by series and time."""

# ruff: noqa: S608 - the only names in statements are checked (`is_name`) and quoted

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smartlearn.core.batch import Int64Array
from smartlearn.core.stores.base import Aggregation, Series, SeriesQuery, is_text_field
from smartlearn.core.stores.frames import Column, Frame, grouped, join, matches, regroup, tags_order, to_series
from smartlearn.core.stores.sqlite_catalog import Catalog, quoted

_AGGREGATES: dict[Aggregation, str] = {
    "mean": "AVG({0})",
    "min": "MIN({0})",
    "max": "MAX({0})",
    "count": "NULLIF(COUNT({0}), 0)",
    "sum": "SUM({0})",
}
_INT64 = np.iinfo(np.int64)


def clamped(instant: int) -> int:
    """The nearest time that SQLite can compare with."""
    return max(int(_INT64.min), min(instant, int(_INT64.max)))


@dataclass(frozen=True, slots=True)
class _Selection:
    """What of a measurement is read.

    Attributes:
        ids: the numbers of the series, in the order of their keys.
        groups: the key of the group of each series, in the same order.
        tags: the tags of each group.
        parts: part → the fields wanted of it.
        whole: the parts all of whose fields are wanted, so that each of their rows has one.
        between: part → the conditions on its fields.
    """

    ids: list[int]
    groups: Int64Array
    tags: list[dict[str, str]]
    parts: dict[str, list[str]]
    whole: set[str]
    between: dict[str, list[tuple[str, float, float]]]


def read(connection: sqlite3.Connection, catalog: Catalog, query: SeriesQuery) -> list[Series]:
    """The series that a checked query asks for."""
    selection = _select(connection, catalog, query)
    if selection is None:
        return []
    if query.every is None or query.agg is None:
        frames = [
            _frame(connection.execute(*_rows_sql(selection, query, part)), fields)
            for part, fields in selection.parts.items()
        ]
        frame = join([frame for frame in frames if len(frame)])
        if query.group_by is not None and len(frame):
            frame = regroup(frame, selection.groups)
    else:
        frames = [
            _frame(connection.execute(sql, parameters), fields)
            for part in selection.parts
            for sql, parameters, fields in _window_sql(selection, query, query.every, query.agg, part)
        ]
        frame = join([frame for frame in frames if len(frame)])
    return to_series(frame, selection.tags, query)


def _select(connection: sqlite3.Connection, catalog: Catalog, query: SeriesQuery) -> _Selection | None:
    placed = catalog.layout(connection).get(query.measurement, {})
    wanted = placed if query.fields is None else {name: placed[name] for name in query.fields if name in placed}
    if not wanted or any(name not in placed for name in query.between):
        return None
    index = catalog.series(connection, query.measurement)
    found = [(tags_order(tags), number) for number, tags in index.tags.copy().items() if matches(tags, query.where)]
    if not found:
        return None
    ids = [number for _, number in sorted(found)]
    groups, tags = grouped([index.tags[number] for number in ids], query.group_by)
    parts: dict[str, list[str]] = {}
    for name, part in wanted.items():
        parts.setdefault(part, []).append(name)
    sizes: dict[str, int] = {}
    for part in placed.values():
        sizes[part] = sizes.get(part, 0) + 1
    between: dict[str, list[tuple[str, float, float]]] = {}
    for name, (low, high) in query.between.items():
        between.setdefault(placed[name], []).append((name, low, high))
    whole = {part for part, fields in parts.items() if len(fields) == sizes[part]}
    return _Selection(ids, groups, tags, parts, whole, between)


def _conditions(
    selection: _Selection, query: SeriesQuery, part: str, fields: Sequence[str], alias: str
) -> tuple[str, list[float]]:
    """The WHERE terms for the rows of one part, and their parameters."""
    terms: list[str] = []
    parameters: list[float] = []
    if query.start is not None:
        terms.append(f"{alias}._time >= ?")
        parameters.append(clamped(query.start))
    if query.stop is not None:
        terms.append(f"{alias}._time < ?")
        parameters.append(clamped(query.stop))
    if part not in selection.whole or len(fields) != len(selection.parts[part]):
        terms.append("(" + " OR ".join(f"{alias}.{quoted(name)} IS NOT NULL" for name in fields) + ")")
    for other, bounds in selection.between.items():
        side = alias if other == part else "b"
        compared = " AND ".join(f"{side}.{quoted(name)} >= ? AND {side}.{quoted(name)} < ?" for name, _, _ in bounds)
        if other != part:
            compared = (
                f"EXISTS (SELECT 1 FROM {quoted(other)} AS b"
                f" WHERE b._series = {alias}._series AND b._time = {alias}._time AND {compared})"
            )
        terms.append(compared)
        parameters.extend(bound for _, low, high in bounds for bound in (low, high))
    return "".join(f" AND {term}" for term in terms), parameters


def _rows_sql(selection: _Selection, query: SeriesQuery, part: str) -> tuple[str, list[object]]:
    fields = selection.parts[part]
    columns = ", ".join(f"p.{quoted(name)}" for name in fields)
    series = json.dumps(selection.ids)
    statement = (
        f"SELECT s.key, p._time, {columns} FROM json_each(?) AS s CROSS JOIN {quoted(part)} AS p"
        " WHERE p._series = s.value"
    )
    if query.limit is None:
        terms, parameters = _conditions(selection, query, part, fields, "p")
        return statement + terms, [series, *parameters]
    terms, parameters = _conditions(selection, query, part, fields, "n")
    kept = (
        f" AND p._time IN (SELECT n._time FROM {quoted(part)} AS n WHERE n._series = s.value{terms}"
        f" ORDER BY n._time {'DESC' if query.newest_first else 'ASC'} LIMIT ?)"
    )
    return statement + kept, [series, *parameters, query.limit]


def _window_sql(
    selection: _Selection, query: SeriesQuery, every: int, agg: Aggregation, part: str
) -> list[tuple[str, list[object], list[str]]]:
    """Statements that give (group, window, a value per field), their parameters, and the fields.

    Last values need a statement each: SQLite takes the other columns of a row from where MAX is found.
    """
    names = selection.parts[part]
    together = [name for name in names if agg == "count" or not (agg == "last" or is_text_field(name))]
    alone = [[name] for name in names if name not in together]
    statements: list[tuple[str, list[object], list[str]]] = []
    for fields in [together, *alone] if together else alone:
        if fields is together:
            values = ", ".join(_AGGREGATES[agg].format(f"p.{quoted(name)}") for name in fields)
        else:
            values = f"p.{quoted(fields[0])}, MAX(p._time)"
        terms, parameters = _conditions(selection, query, part, fields, "p")
        statement = (
            "WITH s (series, key) AS MATERIALIZED (SELECT json_extract(value, '$[0]'), "
            "json_extract(value, '$[1]') FROM json_each(?)) "
            f"SELECT s.key, p._time - ((p._time % ?) + ?) % ? AS window, {values} FROM s "
            f"CROSS JOIN {quoted(part)} AS p WHERE p._series = s.series{terms} GROUP BY s.key, window"
        )
        pairs = json.dumps(list(zip(selection.ids, selection.groups.tolist(), strict=True)))
        statements.append((statement, [pairs, every, every, every, *parameters], fields))
    return statements


def _frame(cursor: sqlite3.Cursor, fields: Sequence[str]) -> Frame:
    rows = cursor.fetchall()
    if not rows:
        return Frame(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), {})
    by_column = list(zip(*rows, strict=True))
    key = np.array(by_column[0], dtype=np.int64)
    time = np.array(by_column[1], dtype=np.int64)
    columns = {name: _column(name, by_column[position]) for position, name in enumerate(fields, start=2)}
    frame = Frame(key, time, columns)
    ascending = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & (time[1:] >= time[:-1]))
    return frame if ascending.all() else frame.take(np.lexsort((time, key)))


def _column(name: str, values: Sequence[float | str | None]) -> Column:
    if is_text_field(name) and not any(isinstance(value, int | float) for value in values):
        column = np.empty(len(values), dtype=np.object_)
        column[:] = values
        return column
    return np.array(values, dtype=np.float64)
