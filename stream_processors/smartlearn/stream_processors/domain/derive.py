"""From panes to everything that derives from them: rolling windows and tiers, by owner.

Two ways to the same rows. `rows_of` takes a context, all panes that the windows may need, and any set of changed
panes. `OwnerPanes.append` is the fast path for the pane that comes next in time, on running merges. Either gives
rows as the summaries to be merged, so that a caller merges those of many owners at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np

from smartlearn.core.aggregates import Summary, merge
from smartlearn.core.batch import Int64Array
from smartlearn.stream_processors.domain.panes import PaneValue, SeriesKey
from smartlearn.stream_processors.domain.rolling import PackedPane, RollingWindow
from smartlearn.stream_processors.domain.windows import LONGEST_ROLLING, ROLLING, TIERS, PaneGrid, tier_start

PANE: Final = "10s"
"""The name of the pane's own tier, whatever its length."""


@dataclass(frozen=True, slots=True)
class Row:
    """One aggregate to store.

    Attributes:
        window: of a tier "10s", "1m" or "1h"; of a rolling window its name.
        rolling: whether it is a rolling window.
        series: the series' tags.
        time: µs; a tier's start, a rolling window's end.
        parts: the summaries whose merge it is, at least one.
    """

    window: str
    rolling: bool
    series: SeriesKey
    time: int
    parts: list[Summary]


Context: TypeAlias = Mapping[int, PaneValue]
"""Pane start (µs) → value, for one owner."""


def rows_of(grid: PaneGrid, context: Context, changed: Iterable[int]) -> Iterator[Row]:
    """All rows that derive from changed panes, the panes themselves among them.

    Args:
        grid: the panes' grid.
        context: every pane of the owner in `grid.context(changed)`, the changed ones with their new value.
        changed: the starts of the changed panes, µs.
    """
    by_series: dict[SeriesKey, dict[int, Summary]] = {}
    for start in sorted(context):
        for series, summary in context[start].items():
            by_series.setdefault(series, {})[start] = summary
    wanted = np.unique(np.fromiter(changed, np.int64))
    for series, panes in by_series.items():
        starts = np.fromiter(panes, np.int64, len(panes))
        summaries = list(panes.values())
        touched = np.intersect1d(wanted, starts, assume_unique=True)
        for start in touched.tolist():
            yield Row(PANE, False, series, start, [panes[start]])
        for name, length in ROLLING.items():
            for index in _covering(starts, touched, length).tolist():
                end = int(starts[index]) + grid.length
                first = int(np.searchsorted(starts, end - length))
                yield Row(name, True, series, end, summaries[first : index + 1])
        for name, length in TIERS.items():
            for window in np.unique(touched - touched % length).tolist():
                first, stop = np.searchsorted(starts, (window, window + length)).tolist()
                yield Row(name, False, series, window, summaries[first:stop])


def _covering(starts: Int64Array, changed: Int64Array, length: int) -> Int64Array:
    """The indices of the panes whose rolling window of a length covers a changed pane."""
    marks = np.zeros(len(starts) + 1, np.int64)
    np.add.at(marks, np.searchsorted(starts, changed), 1)
    np.add.at(marks, np.searchsorted(starts, changed + length), -1)
    return np.flatnonzero(np.cumsum(marks)[:-1] > 0)


@dataclass(slots=True)
class OwnerPanes:
    """The newest panes of an owner, kept so that the next pane's rows need no look into the store.

    Attributes:
        last: the newest pane's start, µs; nothing newer is stored.
        rolling: the rolling windows that end with the newest pane, by series.
        running: the merge so far of the tier window that holds the newest pane, by tier and series.
    """

    last: int = -1
    rolling: dict[SeriesKey, dict[str, RollingWindow]] = field(default_factory=dict)
    running: dict[tuple[str, SeriesKey], tuple[int, Summary]] = field(default_factory=dict)

    @classmethod
    def of(cls, context: Context) -> OwnerPanes:
        """From a context that reaches to the owner's newest stored pane."""
        owner = cls(last=max(context, default=-1))
        panes: dict[SeriesKey, list[tuple[int, Summary]]] = {}
        for start in sorted(context):
            for series, summary in context[start].items():
                panes.setdefault(series, []).append((start, summary))
        for series, listed in panes.items():
            packed = [
                PackedPane.of(start, summary) for start, summary in listed if start > owner.last - LONGEST_ROLLING
            ]
            owner.rolling[series] = {
                name: RollingWindow(length, [pane for pane in packed if pane.start > owner.last - length])
                for name, length in ROLLING.items()
            }
            for name, length in TIERS.items():
                window = tier_start(listed[-1][0], length)
                owner.running[name, series] = (window, merge(part for at, part in listed if at >= window))
        return owner

    def append(self, grid: PaneGrid, start: int, value: PaneValue) -> Iterator[Row]:
        """Add the pane that comes next, and give all rows that derive from it.

        Raises:
            ValueError: the pane is not newer than the last one.
        """
        if start <= self.last:
            raise ValueError(f"pane {start} is not after {self.last}")
        self.last = start
        end = start + grid.length
        for series, summary in value.items():
            yield Row(PANE, False, series, start, [summary])
            windows = self.rolling.get(series)
            if windows is None:
                windows = self.rolling[series] = {name: RollingWindow(length) for name, length in ROLLING.items()}
            packed = PackedPane.of(start, summary)
            for name, window in windows.items():
                yield Row(name, True, series, end, [window.push(start, end, summary, packed)])
            for name, length in TIERS.items():
                yield Row(name, False, series, *self._run(name, series, tier_start(start, length), summary))

    def _run(self, name: str, series: SeriesKey, window: int, summary: Summary) -> tuple[int, list[Summary]]:
        """Take a pane into the tier window that holds it; the window's start and its summary so far."""
        known = self.running.get((name, series))
        so_far = merge([known[1], summary]) if known is not None and known[0] == window else summary
        self.running[name, series] = (window, so_far)
        return window, [so_far]
