"""What every metric store can do: the interface, and the columnar values that cross it.

Times are int64 nanoseconds since the epoch. A point is identified by measurement + tags + time; writing the
same point again merges its fields over the old ones, so that every writer may repeat itself. Numbers are
floats; the fields that hold text are known by name (`is_text_field`), and a store refuses a value of the other
type. What else a point must be is written at `prepare.py`, which every store hands its points to first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.batch import FloatArray, Int64Array

Aggregation: TypeAlias = Literal["mean", "min", "max", "count", "sum", "last"]
TagColumn: TypeAlias = str | Sequence[str | None] | None
NumberArray: TypeAlias = NDArray[np.floating[Any]] | NDArray[np.integer[Any]]
FieldColumn: TypeAlias = float | str | NumberArray | NDArray[np.object_] | Sequence[float | str | None] | None

_TEXT_SUFFIXES = ("_sketch", "_learners", "_nonfinite")
_TEXT_FIELDS = frozenset(
    {"learner", "id", "fingerprint", "previous", "action", "author", "text", "payload", "status", "type"}
)


def is_text_field(name: str) -> bool:
    """Whether a field holds text; every other field holds a float."""
    return name in _TEXT_FIELDS or name.endswith(_TEXT_SUFFIXES)


@dataclass(frozen=True, slots=True)
class Points:
    """n points of one measurement, by column.

    Attributes:
        measurement: the measurement's name.
        time: int64 ns since the epoch, shape (n,).
        tags: a value for all rows, or one a row; None or "" where a row has no such tag.
        fields: a value for all rows, or one a row; NaN or None where a row has no such field. A row without
            any field is not written.
    """

    measurement: str
    time: Int64Array
    tags: Mapping[str, TagColumn]
    fields: Mapping[str, FieldColumn]

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True)
class Refused:
    """One point that a store will never take, and why."""

    measurement: str
    tags: Mapping[str, str]
    time: int
    reason: str


@dataclass(frozen=True, slots=True)
class SeriesQuery:
    """Which points to read, and how to thin them.

    Attributes:
        measurement: the measurement's name; an unknown one has no series.
        start: ns, inclusive; None is the beginning.
        stop: ns, exclusive; None is the end.
        fields: the fields wanted; None is all. A row that has none of them is left out.
        where: tag → the value, or the values, that match; None matches a series without the tag.
        between: field → (low, high), keeps rows with low ≤ value < high.
        every: window width in ns, aligned to the epoch; set together with `agg`. A window's row is stamped
            with its start, empty windows are omitted, text fields take their last value (their count for
            `count`).
        agg: how the rows of a window become one, per series and field; a field without a value in the window
            stays absent, also for `count`.
        group_by: merge the series that share these tags before windowing; None keeps every series apart, ()
            merges all. Without a window, rows of equal time stay separate rows.
        limit: at most so many rows a series: the newest with `newest_first`, else the oldest.
        newest_first: rows in descending time.
    """

    measurement: str
    start: int | None = None
    stop: int | None = None
    fields: tuple[str, ...] | None = None
    where: Mapping[str, str | tuple[str, ...] | None] = field(default_factory=dict)
    between: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    every: int | None = None
    agg: Aggregation | None = None
    group_by: tuple[str, ...] | None = None
    limit: int | None = None
    newest_first: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """The rows of one series, in time order.

    Attributes:
        measurement: the measurement's name.
        tags: the series' tags (of a grouped query: the tags grouped by).
        time: int64 ns since the epoch, shape (n,).
        fields: per field a float64 array (NaN where absent) or, of text fields, an object array (None where
            absent), shape (n,). Every field that the query named is there, also one without a value; of a
            query that named none, those that have a value in these rows. The counts of a text field are floats.
    """

    measurement: str
    tags: Mapping[str, str]
    time: Int64Array
    fields: Mapping[str, FloatArray | NDArray[np.object_]]

    def __len__(self) -> int:
        return len(self.time)


class MetricStore(Protocol):
    """A place that keeps points. Calls block; one instance may be used from several threads.

    Every method raises StoreUnavailable where the store does not answer (after the store's own bounded
    retries), StoreRejected where it answers that the request can never work, and the reading ones InvalidQuery
    where a name or a combination in the query cannot be. A write that raised may have written a part: write all
    of it again.
    """

    def write(self, batch: Iterable[Points]) -> list[Refused]:
        """Write all points durably before returning; return those that can never be written."""
        ...

    def query(self, query: SeriesQuery) -> list[Series]:
        """Read series, sorted by their tags; series without rows are left out."""
        ...

    def latest(
        self, measurement: str, fields: tuple[str, ...] | None = None, where: Mapping[str, str] | None = None
    ) -> list[Series]:
        """The newest row of each series."""
        ...

    def delete(
        self,
        measurement: str,
        where: Mapping[str, str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> None:
        """Delete the points of a measurement that match; without conditions, all of them."""
        ...

    def measurements(self) -> list[str]:
        """The names of the measurements that hold points, sorted."""
        ...

    def fields(self, measurement: str) -> list[str]:
        """The names of a measurement's fields, sorted; one whose last value was deleted may be among them."""
        ...

    def tag_values(self, measurement: str, tag: str) -> list[str]:
        """The values of a tag on points that are there, sorted."""
        ...

    def retention(self, measurement: str) -> int | None:
        """How long points of the measurement are kept, in ns; None is for ever."""
        ...

    def expire(self, now: int) -> None:
        """Drop what is older than its retention at `now` (ns); a no-op where a server does it by itself."""
        ...

    def get_state(self, key: str) -> bytes | None:
        """A value kept beside the points (a partition's progress), or None."""
        ...

    def put_state(self, values: Mapping[str, bytes]) -> None:
        """Keep values durably, all or none where the store can."""
        ...

    def check(self) -> str:
        """The store's name and version, if it answers."""
        ...

    def close(self) -> None:
        """Release what the instance holds."""
        ...
