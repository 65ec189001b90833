"""What every store must answer, in plain Python: the other side of each comparison."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

from smartlearn.core.stores.base import Points, Series, SeriesQuery, is_text_field

Value: TypeAlias = float | str
Row: TypeAlias = tuple[int, dict[str, Value]]
Answer: TypeAlias = list[tuple[dict[str, str], list[Row]]]
Tags: TypeAlias = tuple[tuple[str, str], ...]


def rows_of(points: Points) -> Iterable[tuple[Tags, int, dict[str, Value]]]:
    for index in range(len(points)):
        tags = {name: at(column, index) for name, column in points.tags.items()}
        fields = {name: at(column, index) for name, column in points.fields.items()}
        present = {name: value for name, value in fields.items() if not is_missing(value)}
        if present:
            yield (
                tuple(sorted((name, str(value)) for name, value in tags.items() if value)),
                int(points.time[index]),
                present,
            )  # type: ignore[misc]


def at(column: object, index: int) -> object:
    if column is None or isinstance(column, str | int | float):
        return column
    value = column[index]  # type: ignore[index]
    return value.item() if hasattr(value, "item") else value


def is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


AGGREGATES: Mapping[str, Callable[[list[float]], float]] = {
    "mean": lambda values: math.fsum(values) / len(values),
    "min": min,
    "max": max,
    "sum": math.fsum,
    "count": len,
    "last": lambda values: values[-1],
}


class Model:
    """A store of dictionaries."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, Tags], dict[int, dict[str, Value]]] = {}

    def write(self, *batch: Points) -> None:
        for points in batch:
            for tags, time, fields in rows_of(points):
                self.points.setdefault((points.measurement, tags), {}).setdefault(time, {}).update(fields)

    def delete(
        self,
        measurement: str,
        where: Mapping[str, str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> None:
        for (name, tags), rows in self.points.items():
            if name == measurement and all(dict(tags).get(tag) == value for tag, value in (where or {}).items()):
                for time in [time for time in rows if within(time, start, stop)]:
                    del rows[time]

    def query(self, query: SeriesQuery) -> Answer:
        groups: dict[Tags, list[Row]] = {}
        for (measurement, tags), points in self.points.items():
            if measurement != query.measurement or not matches(dict(tags), query):
                continue
            group = tags if query.group_by is None else tuple(pair for pair in tags if pair[0] in query.group_by)
            for time, fields in points.items():
                wanted = {name: value for name, value in fields.items() if query.fields is None or name in query.fields}
                between = all(
                    name in fields and low <= fields[name] < high  # type: ignore[operator]
                    for name, (low, high) in query.between.items()
                )
                if wanted and between and within(time, query.start, query.stop):
                    groups.setdefault(group, []).append((time, wanted))
        answer: Answer = []
        for group, found in sorted(groups.items(), key=lambda item: list(item[0])):
            rows = sorted(found, key=lambda row: row[0])
            if query.every is not None:
                rows = windows(rows, query.every, str(query.agg))
            if query.newest_first:
                rows.reverse()
            answer.append((dict(group), rows[: query.limit]))
        return answer


def windows(rows: list[Row], every: int, agg: str) -> list[Row]:
    by_window: dict[int, dict[str, list[Value]]] = {}
    for time, fields in rows:
        window = by_window.setdefault(math.floor(time // every) * every, {})
        for name, value in fields.items():
            window.setdefault(name, []).append(value)
    return [
        (start, {name: aggregate(name, values, agg) for name, values in fields.items()})
        for start, fields in sorted(by_window.items())
    ]


def aggregate(name: str, values: list[Value], agg: str) -> Value:
    if is_text_field(name):
        return float(len(values)) if agg == "count" else values[-1]
    return float(AGGREGATES[agg]([float(value) for value in values]))


def matches(tags: Mapping[str, str], query: SeriesQuery) -> bool:
    for name, wanted in query.where.items():
        allowed = wanted if isinstance(wanted, tuple) else (wanted,)
        if tags.get(name) not in allowed:
            return False
    return True


def within(time: int, start: int | None, stop: int | None) -> bool:
    return (start is None or time >= start) and (stop is None or time < stop)


def plain(answer: list[Series]) -> Answer:
    """A store's answer as rows of what is present."""
    return [
        (
            dict(series.tags),
            [
                (
                    int(series.time[index]),
                    {
                        name: at(column, index)  # type: ignore[misc]
                        for name, column in series.fields.items()
                        if not is_missing(at(column, index))
                    },
                )
                for index in range(len(series))
            ],
        )
        for series in answer
    ]
