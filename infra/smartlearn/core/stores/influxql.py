"""InfluxQL: the statements that answer a `SeriesQuery`, and what the server's answers hold.

Names are checked (`is_name`) before they come here, and quoted. Values that a user chose never stand in a statement:
they travel beside it as bound parameters.
"""

# ruff: noqa: S608 - see above

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from smartlearn.core.errors import StoreRejected
from smartlearn.core.stores.base import Aggregation, SeriesQuery, is_text_field
from smartlearn.core.stores.frames import Column, Frame, tags_order

MIN_TIME = -(2**63) + 2
MAX_TIME = 2**63 - 2
"""The outermost times that InfluxDB keeps."""

Answer: TypeAlias = Sequence[Mapping[str, Any]]
"""The series of one statement's result."""


@dataclass(slots=True)
class Statement:
    """A statement in the making, and the values bound to its parameters."""

    text: str
    parameters: dict[str, str | float] = field(default_factory=dict)

    def bind(self, value: str | float) -> str:
        """A parameter that stands for the value."""
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"${name}"


def select(query: SeriesQuery, fields: Sequence[str]) -> Statement:
    """The statement for a checked query; `fields` are those to read, and exist."""
    windowed = query.every is not None and query.agg is not None
    columns = ", ".join(
        f"{_aggregate(query.agg, name)} AS {_quoted(name)}" if query.agg else f"{_quoted(name)}::field"
        for name in fields
    )
    statement = Statement(f"SELECT {columns} FROM {_quoted(query.measurement)}")
    statement.text += " WHERE " + " AND ".join(_conditions(query, statement))
    if windowed:
        tags = "*" if query.group_by is None else ", ".join(map(_quoted, query.group_by))
        statement.text += f" GROUP BY time({query.every}ns){', ' + tags if tags else ''} fill(none)"
    else:
        statement.text += f" GROUP BY * ORDER BY time {'DESC' if query.newest_first else 'ASC'}"
        if query.limit is not None:
            statement.text += f" LIMIT {query.limit:d}"
    return statement


def select_tagged(measurement: str, tag: str, value: str) -> Statement:
    """All fields of the one series with a tag's value."""
    statement = Statement(f"SELECT *::field FROM {_quoted(measurement)}")
    statement.text += f" WHERE {_quoted(tag)}::tag = {statement.bind(value)}"
    return statement


def show_measurements() -> Statement:
    """The measurements of a bucket."""
    return Statement("SHOW MEASUREMENTS")


def show_fields(measurement: str) -> Statement:
    """The fields of a measurement."""
    return Statement(f"SHOW FIELD KEYS FROM {_quoted(measurement)}")


def show_tag_values(measurement: str, tag: str) -> Statement:
    """The values of a tag; without the condition, deleted ones would be among them."""
    show = f"SHOW TAG VALUES FROM {_quoted(measurement)} WITH KEY = {_quoted(tag)}"
    return Statement(f"{show} WHERE {_quoted(tag)}::tag != ''")


def series_of(answer: Mapping[str, Any]) -> Answer:
    """The series in the answer to one statement.

    Raises:
        StoreRejected: the server refused the statement, or cut its answer short.
    """
    result = answer["results"][0]
    if "error" in result:
        raise StoreRejected(f"InfluxDB refused a query: {result['error']}")
    series: Answer = result.get("series", ())
    if any(each.get("partial") for each in series):
        raise StoreRejected("InfluxDB cut an answer short (max-row-limit); raise its limit or ask for less")
    return series


def column_of(answer: Answer, position: int) -> list[str]:
    """One column of a SHOW statement's answer."""
    return [row[position] for series in answer for row in series["values"]]


def frame_of(answer: Answer, *, counts: bool) -> tuple[Frame, list[dict[str, str]]]:
    """The rows in the answer to a `select`, ascending in time, and the tags of each key."""
    tags = [{name: value for name, value in series.get("tags", {}).items() if value} for series in answer]
    order = sorted(range(len(answer)), key=lambda index: tags_order(tags[index]))
    frames = [_one(key, answer[index], counts=counts) for key, index in enumerate(order)]
    if not frames:
        return Frame(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), {}), []
    whole = Frame(
        np.concatenate([frame.key for frame in frames]),
        np.concatenate([frame.time for frame in frames]),
        {name: np.concatenate([frame.columns[name] for frame in frames]) for name in frames[0].columns},
    )
    return whole, [tags[index] for index in order]


def _one(key: int, series: Mapping[str, Any], *, counts: bool) -> Frame:
    columns = list(zip(*series["values"], strict=True))
    names = series["columns"][1:]
    frame = Frame(
        np.full(len(columns[0]), key, dtype=np.int64),
        np.array(columns[0], dtype=np.int64),
        {name: _column(name, values, counts=counts) for name, values in zip(names, columns[1:], strict=True)},
    )
    descending = len(frame) > 1 and frame.time[0] > frame.time[-1]
    return frame.take(slice(None, None, -1)) if descending else frame


def _column(name: str, values: Iterable[Any], *, counts: bool) -> Column:
    if is_text_field(name) and not counts:
        listed = list(values)
        column = np.empty(len(listed), dtype=np.object_)
        column[:] = listed
        return column
    numbers = np.array(list(values), dtype=np.float64)
    return np.where(numbers == 0, np.nan, numbers) if counts else numbers


def _aggregate(agg: Aggregation, name: str) -> str:
    function = "last" if is_text_field(name) and agg != "count" else agg
    return f"{function}({_quoted(name)}::field)"


def _conditions(query: SeriesQuery, statement: Statement) -> list[str]:
    start = MIN_TIME if query.start is None else max(query.start, MIN_TIME)
    stop = MAX_TIME if query.stop is None else min(query.stop - 1, MAX_TIME)
    terms = [f"time >= {start:d}", f"time <= {stop:d}"]
    for name, wanted in query.where.items():
        values = wanted if isinstance(wanted, tuple) else (wanted or "",)
        any_of = " OR ".join(f"{_quoted(name)}::tag = {statement.bind(value)}" for value in values)
        terms.append(f"({any_of or 'time < 0 AND time > 0'})")
    for name, (low, high) in query.between.items():
        column = f"{_quoted(name)}::field"
        terms.append(f"{column} >= {statement.bind(float(low))} AND {column} < {statement.bind(float(high))}")
    return terms


def _quoted(name: str) -> str:
    return f'"{name}"'
