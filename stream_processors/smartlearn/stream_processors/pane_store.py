"""Panes in the store: computed from raw events, read back as contexts, written with all that derives from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from smartlearn.core.aggregates import Summary, merge, merge_groups
from smartlearn.core.batch import FloatArray, Int64Array, TextColumn
from smartlearn.core.identity import exact_time
from smartlearn.core.rollup_rows import rolling_columns, summaries_of, tier_columns
from smartlearn.core.stores.base import MetricStore, Points, Series, SeriesQuery, is_text_field
from smartlearn.stream_processors.domain.derive import PANE, Row
from smartlearn.stream_processors.domain.grouping import Grouped, Grouping, summarize_panes
from smartlearn.stream_processors.domain.panes import PaneValue, SeriesKey
from smartlearn.stream_processors.domain.windows import LONGEST_TIER

NS: Final = 1000
"""ns in a µs."""

# Raw events between two wanted panes cost less to read than one more query does.
_GAP_US: Final = 600 * 1_000_000
# Between the arrival of a row and the computation of its pane nothing of it may expire.
_SLACK_US: Final = 600 * 1_000_000
# More owners in one query make its text and its plan too long.
_OWNERS_A_QUERY: Final = 200


@dataclass(frozen=True, slots=True)
class PaneStore:
    """The panes of one kind of event.

    Attributes:
        store: where they are.
        raw: the measurement of the raw events.
        prefix: of the measurements of aggregates.
        owner_tag: the tag that holds the owner: `node`, or `shard`.
        grouping: which series an event belongs to.
        length: the panes' length, µs.
        rolling_sketch: whether rolling rows must be mergeable (those kept per shard).
    """

    store: MetricStore
    raw: str
    prefix: str
    owner_tag: str
    grouping: Grouping
    length: int
    rolling_sketch: bool

    def reach(self) -> int | None:
        """How old a pane may be, µs, whose raw events and whose windows' panes are all kept; None where all are."""
        raw, panes = self.store.retention(self.raw), self.store.retention(f"{self.prefix}_{PANE}")
        kept = [] if raw is None else [raw // NS]
        if panes is not None:
            kept.append(panes // NS - LONGEST_TIER)
        return max(0, min(kept) - _SLACK_US) if kept else None

    def from_raw(self, owner: str, starts: Sequence[int]) -> dict[int, PaneValue]:
        """The value of panes, computed from the stored raw events; panes without events are left out.

        Args:
            owner: the node or shard.
            starts: of the panes, µs, ascending.
        """
        wanted = set(starts)
        values: dict[int, PaneValue] = {}
        for low, high in _ranges(starts, self.length):
            query = SeriesQuery(self.raw, low * NS, high * NS, where={self.owner_tag: owner})
            groups = [self._grouped(owner, series) for series in self.store.query(query)]
            for (_, key), summaries in summarize_panes(groups, self.length).items():
                for start, summary in summaries.items():
                    if start in wanted:
                        add_summary(values.setdefault(start, {}), key, summary)
        return values

    def starts(self, owner: str, since: int) -> list[int]:
        """The starts of the panes that hold raw events of an owner from `since` (µs) on, ascending."""
        low = (since - since % self.length) * NS
        found = self.store.query(SeriesQuery(self.raw, low, where={self.owner_tag: owner}))
        times = np.concatenate([np.zeros(0, np.int64), *(series.time // NS for series in found)])
        starts: list[int] = np.unique(times - times % self.length).tolist()
        return starts

    def contexts(self, owners: Iterable[str], low: int, high: int | None) -> dict[str, dict[int, PaneValue]]:
        """The stored panes of owners with low ≤ start < high (None: no end), µs."""
        contexts: dict[str, dict[int, PaneValue]] = {owner: {} for owner in owners}
        names = sorted(contexts)
        for first in range(0, len(names), _OWNERS_A_QUERY):
            some = tuple(names[first : first + _OWNERS_A_QUERY])
            query = SeriesQuery(
                f"{self.prefix}_{PANE}",
                low * NS,
                None if high is None else high * NS,
                where={self.owner_tag: some},
            )
            for series in self.store.query(query):
                key = tuple(sorted(series.tags.items()))
                context = contexts[series.tags[self.owner_tag]]
                starts = (series.time // NS).tolist()
                for start, summary in zip(starts, summaries_of(series), strict=True):
                    context.setdefault(start, {})[key] = summary
        return context_by_start(contexts)

    def pane(self, start: int) -> dict[str, PaneValue]:
        """One stored pane of every owner that has it."""
        query = SeriesQuery(f"{self.prefix}_{PANE}", start * NS, (start + self.length) * NS)
        values: dict[str, PaneValue] = {}
        for series in self.store.query(query):
            key = tuple(sorted(series.tags.items()))
            values.setdefault(series.tags[self.owner_tag], {})[key] = summaries_of(series)[0]
        return values

    def newest(self) -> int:
        """The start of the newest stored pane of any owner, µs; -1 where there is none."""
        latest = self.store.latest(f"{self.prefix}_{PANE}")
        return max((int(series.time[0]) // NS for series in latest), default=-1)

    def points(self, rows: Iterable[Row]) -> list[Points]:
        """The points of rows, all merged at once."""
        listed = list(rows)
        if not listed:
            return []
        summaries = [row.parts[0] for row in listed]
        several = [index for index, row in enumerate(listed) if len(row.parts) > 1]
        groups = np.repeat(np.arange(len(several)), [len(listed[index].parts) for index in several])
        merged = merge_groups(groups, len(several), [part for index in several for part in listed[index].parts])
        for index, summary in zip(several, merged, strict=True):
            summaries[index] = summary
        sorted_rows: dict[tuple[str, bool, tuple[str, ...]], list[int]] = {}
        for index, row in enumerate(listed):
            window = "rolling" if row.rolling else row.window
            kind = (window, row.rolling, tuple(name for name, _ in row.series))
            sorted_rows.setdefault(kind, []).append(index)
        return [
            self._points(f"{self.prefix}_{window}", rolling, [listed[i] for i in some], [summaries[i] for i in some])
            for (window, rolling, _), some in sorted_rows.items()
        ]

    def _points(self, measurement: str, rolling: bool, rows: list[Row], summaries: list[Summary]) -> Points:
        tags = {name: [dict(row.series)[name] for row in rows] for name, _ in rows[0].series}
        if rolling:
            tags["window"] = [row.window for row in rows]
            fields = rolling_columns(summaries, sketch=self.rolling_sketch)
        else:
            fields = tier_columns(summaries)
        time = np.fromiter((row.time for row in rows), np.int64, len(rows)) * NS
        return Points(measurement, time, tags, fields)

    def _grouped(self, owner: str, series: Series) -> Grouped:
        at: FloatArray = series.fields.get("at", np.full(len(series), np.nan)).astype(np.float64)
        times: Int64Array = exact_time(series.time, at)
        numbers = {
            name: column.astype(np.float64)
            for name, column in series.fields.items()
            if name != "at" and not is_text_field(name)
        }
        texts: dict[str, TextColumn] = {**series.tags}
        for name, column in series.fields.items():
            if is_text_field(name):
                texts[name] = column.astype(np.object_)
        return self.grouping(owner, times, numbers, texts)


def add_summary(value: PaneValue, key: SeriesKey, summary: Summary) -> None:
    """Merge a summary into a pane's value."""
    known = value.get(key)
    value[key] = summary if known is None else merge([known, summary])


def context_by_start(contexts: Mapping[str, dict[int, PaneValue]]) -> dict[str, dict[int, PaneValue]]:
    """Every context with its panes in time order."""
    return {owner: dict(sorted(context.items())) for owner, context in contexts.items()}


def _ranges(starts: Sequence[int], length: int) -> list[tuple[int, int]]:
    """Few ranges of time that cover panes, µs."""
    if not starts:
        return []
    breaks = [i + 1 for i, (one, next_) in enumerate(pairwise(starts)) if next_ - one > _GAP_US]
    edges = [0, *breaks, len(starts)]
    return [(starts[i], starts[j - 1] + length) for i, j in pairwise(edges)]
