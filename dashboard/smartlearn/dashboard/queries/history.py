"""What the queries read from: the reading half of a metric store."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from smartlearn.core.stores.base import Series, SeriesQuery


class History(Protocol):
    """Answers queries over stored points.

    A `MetricStore` is one; so is what `smartlearn.dashboard.sources` makes of a collector or an export file.
    """

    def query(self, query: SeriesQuery) -> list[Series]:
        """Read series, sorted by their tags; series without rows are left out."""
        ...

    def latest(
        self, measurement: str, fields: tuple[str, ...] | None = None, where: Mapping[str, str] | None = None
    ) -> list[Series]:
        """The newest row of each series."""
        ...

    def tag_values(self, measurement: str, tag: str) -> list[str]:
        """The values of a tag, sorted."""
        ...

    def fields(self, measurement: str) -> list[str]:
        """The names of a measurement's fields, sorted."""
        ...

    def retention(self, measurement: str) -> int | None:
        """How long points of the measurement are kept, in ns; None is for ever."""
        ...
