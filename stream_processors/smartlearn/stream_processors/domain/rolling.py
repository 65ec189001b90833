"""One rolling window that moves on with every pane of its series.

Merging ninety panes for each new one is most of a worker's time. A sketch's counts are whole numbers, so what a window
holds is what it held, plus the pane that enters, minus the panes that leave, exactly. Sums, extremes and sets of
learners cannot be taken back and are merged again from the panes, which is cheap.

Ninety panes a series are most of a worker's memory, too: they are kept packed.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.aggregates import Summary, merge, union_learners, union_stats
from smartlearn.core.batch import Int64Array
from smartlearn.core.distinct import Distinct
from smartlearn.core.sketch import counted


@dataclass(frozen=True, slots=True)
class PackedPane:
    """The summary of one pane in half the memory.

    Attributes:
        start: µs.
        names: the metrics, ascending.
        stats: the summary's `stats`, float64.
        cells: its sketch buckets, int32.
        counts: the values in each, int32.
        distinct: the learners seen, or None where they were not counted.
    """

    start: int
    names: tuple[str, ...]
    stats: bytes
    cells: bytes
    counts: bytes
    distinct: Distinct | None

    @classmethod
    def of(cls, start: int, summary: Summary) -> PackedPane:
        """The pane that starts at a time, µs."""
        cells, counts = summary.cells.astype(np.int32), summary.counts.astype(np.int32)
        stats = summary.stats.tobytes()
        return cls(start, summary.names, stats, cells.tobytes(), counts.tobytes(), summary.distinct)

    def summary(self) -> Summary:
        """The summary that was packed."""
        stats = np.frombuffer(self.stats).reshape(-1, 5)
        return Summary(self.names, stats, _unpacked(self.cells), _unpacked(self.counts), self.distinct)


class RollingWindow:
    """The panes of one series within a length, and the merge of their sketches."""

    __slots__ = ("_cells", "_counts", "_length", "_names", "_panes")

    def __init__(self, length: int, panes: Iterable[PackedPane] = ()) -> None:
        """Start with panes in time order; those too old leave with the first push."""
        self._length = length
        self._panes = deque(panes)
        self._names: tuple[str, ...] | None = None
        self._cells: NDArray[np.int32]
        self._counts: NDArray[np.int32]

    def push(self, start: int, end: int, summary: Summary, packed: PackedPane | None = None) -> Summary:
        """Add the pane [start, end), which comes next; the summary of the window that ends with it.

        Windows of one series share a pane where they are given it `packed`.
        """
        panes = self._panes
        panes.append(packed or PackedPane.of(start, summary))
        left = []
        while panes[0].start < end - self._length:
            left.append(panes.popleft())
        if self._names != summary.names or any(part.names != summary.names for part in left):
            return self._anew()
        cells, counts = counted(
            np.concatenate([summary.cells, self._cells, *(_unpacked(part.cells) for part in left)]),
            np.concatenate([summary.counts, self._counts, *(-_unpacked(part.counts) for part in left)]),
        )
        held = counts > 0
        cells, counts = cells[held], counts[held]
        self._keep(cells, counts)
        every = np.frombuffer(b"".join([part.stats for part in panes])).reshape(len(panes), -1, 5)
        learners = union_learners(part.distinct for part in panes)
        return Summary(summary.names, union_stats(every), cells, counts, learners)

    def _anew(self) -> Summary:
        """Merge all panes; the next push goes on from it where they share their metrics."""
        merged = merge(pane.summary() for pane in self._panes)
        same = all(part.names == merged.names for part in self._panes)
        self._names = merged.names if same else None
        self._keep(merged.cells, merged.counts)
        return merged

    def _keep(self, cells: Int64Array, counts: Int64Array) -> None:
        self._cells, self._counts = cells.astype(np.int32), counts.astype(np.int32)


def _unpacked(values: bytes) -> Int64Array:
    return np.frombuffer(values, np.int32).astype(np.int64)
