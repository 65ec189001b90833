"""One rolling window that moves on with every pane of its series.

Merging ninety panes for each new one is most of a worker's time. A sketch's counts are whole numbers, so what a window
holds is what it held, plus the pane that enters, minus the panes that leave, exactly. Sums, extremes and sets of
learners cannot be taken back and are merged again from the panes, which is cheap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np

from smartlearn.core.aggregates import Summary, merge, merged_learners, merged_stats
from smartlearn.core.batch import Int64Array
from smartlearn.core.sketch import counted


class RollingWindow:
    """The panes of one series within a length, and the merge of their sketches."""

    __slots__ = ("_cells", "_counts", "_length", "_names", "_panes")

    def __init__(self, length: int, panes: Iterable[tuple[int, Summary]] = ()) -> None:
        """Start with panes (start in µs, summary) in time order; those too old leave with the first push."""
        self._length = length
        self._panes = deque(panes)
        self._names: tuple[str, ...] | None = None
        self._cells: Int64Array
        self._counts: Int64Array

    def push(self, start: int, end: int, summary: Summary) -> Summary:
        """Add the pane [start, end), which comes next; the summary of the window that ends with it."""
        panes = self._panes
        panes.append((start, summary))
        left = []
        while panes[0][0] < end - self._length:
            left.append(panes.popleft()[1])
        if self._names != summary.names or any(part.names != summary.names for part in left):
            return self._anew()
        signed = [summary.counts, self._counts, *(-part.counts for part in left)]
        cells, counts = counted(
            np.concatenate([summary.cells, self._cells, *(part.cells for part in left)]), np.concatenate(signed)
        )
        held = counts > 0
        self._cells, self._counts = cells[held], counts[held]
        parts = [part for _, part in panes]
        stats, learners = merged_stats(parts), merged_learners(parts)
        return Summary(summary.names, stats, self._cells, self._counts, learners)

    def _anew(self) -> Summary:
        """Merge all panes; the next push goes on from it where they share their metrics."""
        merged = merge(part for _, part in self._panes)
        same = all(part.names == merged.names for _, part in self._panes)
        self._names = merged.names if same else None
        self._cells, self._counts = merged.cells, merged.counts
        return merged
