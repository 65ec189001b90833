"""Raw events to and from the store: one point an event, at a time that is its identity."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Generic, TypeVar, cast

import numpy as np

from smartlearn.core.batch import NONFINITE_NAMES, Batch, Kind
from smartlearn.core.identity import stored_time
from smartlearn.core.stores.base import FieldColumn, Points, Refused, TagColumn

MEASUREMENT_OF: Final[Mapping[Kind, str]] = {
    Kind.PERFORMANCE: "performance",
    Kind.TRAINING: "training",
    Kind.INTERACTION: "interactions",
    Kind.RUN: "runs",
    Kind.ANNOTATION: "annotations",
}

_TEXT_FIELDS_OF: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.PERFORMANCE: (),
    Kind.TRAINING: (),
    Kind.INTERACTION: ("learner",),
    Kind.RUN: ("payload",),
    Kind.ANNOTATION: ("text", "author"),
}

# From so many rows on, a message's points are written as they are: a constant tag then costs less than a joined one.
_ALONE_FROM: Final = 200

Origin = TypeVar("Origin")


def raw_points(batch: Batch, shard: int | None = None) -> Points:
    """The points of a batch's rows.

    Args:
        batch: n rows.
        shard: of interactions, the shard they are kept in.
    """
    time, at = stored_time(batch)
    texts = _TEXT_FIELDS_OF[batch.kind]
    tags: dict[str, TagColumn] = {"source": batch.source}
    fields: dict[str, FieldColumn] = {**batch.numbers}
    for name, column in batch.texts.items():
        if name in texts:
            fields[name] = column
        else:
            tags[name] = column if isinstance(column, str) else column.tolist()
    if shard is not None:
        tags["shard"] = str(shard)
    if not np.isnan(at).all():
        fields["at"] = at
    for name, codes in batch.nonfinite.items():
        fields[f"{name}_nonfinite"] = np.array([NONFINITE_NAMES.get(int(code)) for code in codes], dtype=np.object_)
    return Points(MEASUREMENT_OF[batch.kind], time, tags, fields)


class RawPoints(Generic[Origin]):
    """Points that wait to be written, and where each came from."""

    def __init__(self) -> None:
        self._held: list[tuple[Points, Origin]] = []
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def add(self, points: Points, origin: Origin) -> None:
        """Hold the points of one message."""
        self._held.append((points, origin))
        self._rows += len(points)

    def keep(self, wanted: Callable[[Origin], bool]) -> None:
        """Hold only the points of the messages that are wanted."""
        self._held = [(points, origin) for points, origin in self._held if wanted(origin)]
        self._rows = sum(len(points) for points, _ in self._held)

    def clear(self) -> None:
        """Hold nothing."""
        self._held.clear()
        self._rows = 0

    def joined(self) -> list[Points]:
        """All points in few parts: a store writes a thousand rows at once much faster than a thousand times one."""
        parts = []
        small: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[Points]] = {}
        for points, _ in self._held:
            if len(points) >= _ALONE_FROM:
                parts.append(points)
            else:
                small.setdefault((points.measurement, (*points.tags,), (*points.fields,)), []).append(points)
        parts.extend(_join(each) for each in small.values())
        return parts

    def origins(self, refused: Sequence[Refused]) -> list[Origin]:
        """Where each refused point came from."""
        times = np.array([point.time for point in refused], np.int64)
        found = {}
        for points, origin in self._held:
            for row in np.flatnonzero(np.isin(points.time, times)).tolist():
                found[points.measurement, int(points.time[row]), _tags_of(points, row)] = origin
        return [found[point.measurement, point.time, frozenset(point.tags.items())] for point in refused]


def _join(parts: Sequence[Points]) -> Points:
    """Points that have the same tags and fields, as one."""
    if len(parts) == 1:
        return parts[0]
    rows = [len(part) for part in parts]
    tags = {name: _join_texts([part.tags[name] for part in parts], rows) for name in parts[0].tags}
    fields = {name: _join_fields([part.fields[name] for part in parts], rows) for name in parts[0].fields}
    return Points(parts[0].measurement, np.concatenate([part.time for part in parts]), tags, fields)


def _join_fields(columns: Sequence[FieldColumn], rows: Sequence[int]) -> FieldColumn:
    if all(isinstance(column, np.ndarray) and column.dtype == np.float64 for column in columns):
        return np.concatenate([np.asarray(column, np.float64) for column in columns])
    return _join_texts([cast("TagColumn", column) for column in columns], rows)


def _join_texts(columns: Iterable[TagColumn], rows: Iterable[int]) -> list[str | None]:
    texts: list[str | None] = []
    for column, count in zip(columns, rows, strict=True):
        texts.extend([column] * count if column is None or isinstance(column, str) else column)
    return texts


def _tags_of(points: Points, row: int) -> frozenset[tuple[str, str]]:
    """A row's tags; one that is empty is none."""
    values = (
        (name, column if column is None or isinstance(column, str) else column[row])
        for name, column in points.tags.items()
    )
    return frozenset((name, value) for name, value in values if value)
