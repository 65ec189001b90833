"""The aggregates of a set of events, by metric.

A `Summary` maps metrics to their `Aggregate`: count, sum, sum of squares, min, max, and a sketch for
quantiles. It keeps them in three arrays, under a kilobyte for a pane of eight metrics, and is immutable.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smartlearn.core._table import CODE_MASK, COUNT, TOTAL, Table, round12, stack
from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.distinct import Distinct
from smartlearn.core.sketch import CODE_BITS, Sketch


@dataclass(frozen=True, slots=True)
class Aggregate:
    """One metric over a set of finite values, at least one.

    Attributes:
        count: how many values.
        total: their sum.
        sumsq: the sum of their squares; NaN where it was not kept.
        min: the smallest.
        max: the largest.
        sketch: for quantiles; empty where it was not kept.
    """

    count: int
    total: float
    sumsq: float
    min: float
    max: float
    sketch: Sketch

    @property
    def mean(self) -> float:
        """The mean at 12 significant digits."""
        return float(f"{self.total / self.count:.12g}")

    def quantile(self, q: float) -> float:
        """The ceil(q·count)-th smallest value, within 1 %; NaN where no sketch was kept."""
        return float(np.clip(self.sketch.quantile(q), self.min, self.max))


class Summary(Mapping[str, Aggregate]):
    """The aggregates of a set of events, by metric; metrics without values are absent.

    Attributes:
        names: the metrics, ascending.
        stats: count, total, sum of squares, min and max of each metric, float64, shape (m, 5).
        cells: `metric << CODE_BITS | code` of every sketch bucket, ascending, int64, shape (c,).
        counts: values in each bucket, int64, shape (c,).
        distinct: the learners seen, or None where they were not counted.
    """

    __slots__ = ("cells", "counts", "distinct", "names", "stats")

    def __init__(
        self,
        names: tuple[str, ...],
        stats: FloatArray,
        cells: Int64Array,
        counts: Int64Array,
        distinct: Distinct | None = None,
    ) -> None:
        self.names = names
        self.stats = stats
        self.cells = cells
        self.counts = counts
        self.distinct = distinct

    def __getitem__(self, name: str) -> Aggregate:
        if name not in self.names:
            raise KeyError(name)
        index = self.names.index(name)
        low, high = np.searchsorted(self.cells, (index << CODE_BITS, (index + 1) << CODE_BITS))
        count, total, sumsq, least, most = self.stats[index].tolist()
        sketch = Sketch(self.cells[low:high] & CODE_MASK, self.counts[low:high])
        return Aggregate(int(count), total, sumsq, least, most, sketch)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Summary):
            return NotImplemented
        return (
            self.names == other.names
            and np.array_equal(self.stats, other.stats, equal_nan=True)
            and np.array_equal(self.cells, other.cells)
            and np.array_equal(self.counts, other.counts)
            and self.distinct == other.distinct
        )

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        counts = self.stats[:, COUNT].astype(int).tolist()
        return f"Summary({dict(zip(self.names, counts, strict=True))})"

    def means(self) -> dict[str, float]:
        """The mean of each metric at 12 significant digits."""
        means = self.stats[:, TOTAL] / self.stats[:, COUNT]
        return dict(zip(self.names, round12(means).tolist(), strict=True))


EMPTY = Summary((), np.zeros((0, 5)), np.zeros(0, np.int64), np.zeros(0, np.int64))
"""The summary of no events."""


def table_of(summaries: Sequence[Summary]) -> Table:
    """The summaries as the rows of a table."""
    names = summaries[0].names if summaries else ()
    if not names or any(part.names != names for part in summaries):
        tables = [Table(part.names, part.stats[None], part.cells, part.counts, [part.distinct]) for part in summaries]
        return stack(tables)
    # Panes of one owner have the same metrics nearly always: then no row needs a table of its own.
    cells = [part.cells for part in summaries]
    sizes = np.fromiter(map(len, cells), np.int64, len(cells))
    firsts = np.arange(len(cells), dtype=np.int64) * (len(names) << CODE_BITS)
    return Table(
        names,
        np.concatenate([part.stats for part in summaries]).reshape(len(cells), len(names), 5),
        np.concatenate(cells) + np.repeat(firsts, sizes),
        np.concatenate([part.counts for part in summaries]),
        [part.distinct for part in summaries],
    )


def split(table: Table) -> list[Summary]:
    """The rows of a table as summaries."""
    metrics = len(table.names)
    rows = len(table)
    present: NDArray[np.bool_] = table.stats[:, :, COUNT] > 0
    full = np.logical_and.reduce(present, axis=1).tolist()
    local = table.cells - (((table.cells >> CODE_BITS) // max(metrics, 1) * metrics) << CODE_BITS)
    edges = np.searchsorted(table.cells, (np.arange(rows + 1) * metrics) << CODE_BITS).tolist()
    summaries = []
    for row in range(rows):
        low, high = edges[row], edges[row + 1]
        names, stats, cells = table.names, table.stats[row], local[low:high]
        if not full[row]:
            kept = np.flatnonzero(present[row])
            position = np.cumsum(present[row]) - 1
            names = tuple(names[index] for index in kept.tolist())
            stats = stats[kept]
            cells = (position[cells >> CODE_BITS] << CODE_BITS) | (cells & CODE_MASK)
        # Copies, so that a pane that is kept does not keep its whole batch.
        summaries.append(Summary(names, stats.copy(), cells.copy(), table.counts[low:high].copy(), table.distinct[row]))
    return summaries
