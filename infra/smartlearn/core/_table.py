"""The arithmetic of aggregates: many rows of many metrics at once, in arrays.

A table holds r rows (a pane, a stored row) of m metrics. What `aggregates` offers by object is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.distinct import Distinct
from smartlearn.core.sketch import (
    CODE_BITS,
    codes_of,
    counted,
    decode_segments,
    encode_segments,
    segment_quantiles,
)

COUNT, TOTAL, SUMSQ, LOW, HIGH = range(5)
CODE_MASK = (1 << CODE_BITS) - 1
# So many counters a value are cheaper than sorting the values.
_DENSE = 4


@dataclass(frozen=True, slots=True)
class Table:
    """Aggregates by row and metric.

    Attributes:
        names: the m metrics, ascending.
        stats: count, total, sum of squares, min, max; float64, shape (r, m, 5). Without values: 0, 0, 0, NaN,
            NaN.
        cells: `(row * m + metric) << CODE_BITS | code` of every sketch bucket, ascending, int64, shape (c,).
        counts: values in each bucket, int64, shape (c,).
        distinct: a set of texts per row, or None per row.
    """

    names: tuple[str, ...]
    stats: FloatArray
    cells: Int64Array
    counts: Int64Array
    distinct: Sequence[Distinct | None]

    def __len__(self) -> int:
        return len(self.stats)

    @property
    def bounds(self) -> Int64Array:
        """Where the cells of each row and metric start, and where the last end, shape (r·m + 1,)."""
        edges = np.arange(len(self.stats) * len(self.names) + 1, dtype=np.int64) << CODE_BITS
        return np.searchsorted(self.cells, edges)

    @property
    def sketched(self) -> NDArray[np.bool_]:
        """Whether a sketch holds all values, shape (r, m): not if a merged row had none."""
        held = np.diff(np.concatenate(([0], np.cumsum(self.counts)))[self.bounds])
        complete: NDArray[np.bool_] = held.reshape(self.stats.shape[:2]) == self.stats[:, :, COUNT]
        return complete


def round12(values: FloatArray) -> FloatArray:
    """Each value at 12 significant digits: sums depend on their order, a mean must not."""
    # Formatting is exact where scaling by powers of ten is not, and fast enough: 3 million a second.
    return np.array([float(f"{value:.12g}") for value in values.tolist()], np.float64)


def from_values(groups: Int64Array, n_groups: int, columns: Mapping[str, FloatArray]) -> Table:
    """A table with a row for each group; values that are not finite are skipped."""
    names = tuple(sorted(columns))
    stats = np.zeros((n_groups, len(names), 5))
    stats[:, :, LOW:] = np.nan
    nothing: Sequence[Distinct | None] = [None] * n_groups
    order: Int64Array | None = None
    if len(groups) > 1 and bool((groups[1:] < groups[:-1]).any()):
        order = np.argsort(groups, kind="stable")
        groups = groups[order]
    starts = _starts(groups) if len(groups) else groups
    cells, counts = [], []
    # A column at a time: what is computed of it stays in the processor's cache.
    for index, name in enumerate(names):
        values = columns[name] if order is None else columns[name][order]
        finite = np.isfinite(values)
        if finite.all():
            owner, bounds = groups, starts
        else:
            values, owner = values[finite], groups[finite]
            bounds = _starts(owner) if len(owner) else owner
        if len(values):
            _aggregate(values, bounds, stats[:, index], owner[bounds])
            buckets, held = _buckets(values, owner, n_groups)
            cells.append(((buckets >> CODE_BITS) * len(names) + index) << CODE_BITS | (buckets & CODE_MASK))
            counts.append(held)
    if not cells:
        empty = np.zeros(0, np.int64)
        return Table(names, stats, empty, empty, nothing)
    unordered = np.concatenate(cells)
    ascending = np.argsort(unordered, kind="stable")
    return Table(names, stats, unordered[ascending], np.concatenate(counts)[ascending], nothing)


def _aggregate(values: FloatArray, starts: Int64Array, stats: FloatArray, which: Int64Array) -> None:
    """Fill the rows `which` of `stats`, shape (n_groups, 5), from values of which each row's begin at `starts`."""
    stats[which, COUNT] = np.diff(starts, append=len(values))
    with np.errstate(over="ignore"):
        stats[which, TOTAL] = np.add.reduceat(values, starts)
        stats[which, SUMSQ] = np.add.reduceat(values * values, starts)
    stats[which, LOW] = np.minimum.reduceat(values, starts)
    stats[which, HIGH] = np.maximum.reduceat(values, starts)


def _buckets(values: FloatArray, owner: Int64Array, n_groups: int) -> tuple[Int64Array, Int64Array]:
    """The sketches of one metric: `group << CODE_BITS | code` ascending, and how many values each holds."""
    codes = codes_of(values)
    lowest = int(codes.min())
    width = int(codes.max()) - lowest + 1
    if n_groups * width > _DENSE * len(values):
        return counted(codes | (owner << CODE_BITS))
    # Values of a metric lie close together: counting in place beats sorting.
    codes += owner * width - lowest
    held = np.bincount(codes, minlength=n_groups * width)
    filled = np.flatnonzero(held)
    group, code = np.divmod(filled, width)
    return (group << CODE_BITS) | (code + lowest), held[filled]


def with_sketches(
    names: tuple[str, ...],
    stats: FloatArray,
    texts: NDArray[np.object_],
    distinct: Sequence[Distinct | None],
) -> Table:
    """A table of stored rows, whose sketches are texts (None without one), shape (r, m).

    Raises:
        ValueError: a text is not that of a sketch.
    """
    codes, counts, bounds = decode_segments(texts.ravel().tolist())
    owner = np.repeat(np.arange(texts.size, dtype=np.int64), np.diff(bounds))
    return Table(names, stats, codes | (owner << CODE_BITS), counts, distinct)


def stack(tables: Sequence[Table]) -> Table:
    """The rows of all tables, one after the other, over the metrics of any."""
    names = tables[0].names if tables else ()
    if any(table.names != names for table in tables):
        names = tuple(sorted({name for table in tables for name in table.names}))
        tables = [_over(table, names) for table in tables]
    if not tables:
        return Table((), np.zeros((0, 0, 5)), np.zeros(0, np.int64), np.zeros(0, np.int64), [])
    firsts = np.cumsum([0] + [len(table) for table in tables[:-1]]) * len(names)
    sizes = [len(table.cells) for table in tables]
    return Table(
        names,
        np.concatenate([table.stats for table in tables]),
        np.concatenate([table.cells for table in tables]) + np.repeat(firsts << CODE_BITS, sizes),
        np.concatenate([table.counts for table in tables]),
        [each for table in tables for each in table.distinct],
    )


def _over(table: Table, names: tuple[str, ...]) -> Table:
    """The same rows over more metrics."""
    place = {name: index for index, name in enumerate(names)}
    position = np.array([place[name] for name in table.names], np.int64)
    stats = np.zeros((len(table), len(names), 5))
    stats[:, :, LOW:] = np.nan
    stats[:, position] = table.stats
    row, metric = np.divmod(table.cells >> CODE_BITS, max(len(table.names), 1))
    cells = ((row * len(names) + position[metric]) << CODE_BITS) | (table.cells & CODE_MASK)
    return Table(names, stats, cells, table.counts, table.distinct)


def merge_rows(table: Table, groups: Int64Array, n_groups: int) -> Table:
    """A table with a row for each group: the rows of `table` that belong to it, merged.

    Args:
        table: r rows.
        groups: the group of each row, 0 … n_groups - 1, shape (r,).
        n_groups: how many rows to return; a group without rows has no values.
    """
    metrics = len(table.names)
    stats = np.zeros((n_groups, metrics, 5))
    stats[:, :, LOW:] = np.nan
    if len(groups):
        order = np.argsort(groups, kind="stable")
        ordered, by_group = table.stats[order], groups[order]
        starts = _starts(by_group)
        which = by_group[starts]
        with np.errstate(over="ignore", invalid="ignore"):
            stats[which, :, :LOW] = np.add.reduceat(ordered[:, :, :LOW], starts, axis=0)
        stats[which, :, LOW] = np.fmin.reduceat(ordered[:, :, LOW], starts, axis=0)
        stats[which, :, HIGH] = np.fmax.reduceat(ordered[:, :, HIGH], starts, axis=0)
    cells, counts = table.cells, table.counts
    if len(cells):
        row, metric = np.divmod(cells >> CODE_BITS, metrics)
        cells, counts = counted(((groups[row] * metrics + metric) << CODE_BITS) | (cells & CODE_MASK), table.counts)
    return Table(table.names, stats, cells, counts, _merge_distinct(table.distinct, groups, n_groups))


def mean_of(table: Table) -> FloatArray:
    """The mean of each row and metric at 12 significant digits, NaN without values, shape (r, m)."""
    count, total = table.stats[:, :, COUNT], table.stats[:, :, TOTAL]
    means = np.divide(total, count, out=np.full(count.shape, np.nan), where=count > 0)
    return round12(means.ravel()).reshape(means.shape)


def quantiles_of(table: Table, quantiles: Sequence[float]) -> list[FloatArray]:
    """Each quantile of each row and metric, between its min and max; NaN without a sketch, shape (r, m)."""
    low, high = table.stats[:, :, LOW], table.stats[:, :, HIGH]
    found = segment_quantiles(table.cells & CODE_MASK, table.counts, table.bounds, quantiles)
    return [
        np.where(table.sketched, np.minimum(np.maximum(values.reshape(low.shape), low), high), np.nan)
        for values in found
    ]


def sketches_of(table: Table) -> NDArray[np.object_]:
    """The text of each row's and metric's sketch, None without one, shape (r, m)."""
    texts = np.empty(table.stats.shape[0] * len(table.names), np.object_)
    texts[:] = encode_segments(table.cells & CODE_MASK, table.counts, table.bounds)
    texts[~table.sketched.ravel()] = None
    return texts.reshape(table.stats.shape[:2])


def _starts(ordered: Int64Array) -> Int64Array:
    return np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))


def _merge_distinct(sets: Sequence[Distinct | None], groups: Int64Array, n_groups: int) -> Sequence[Distinct | None]:
    merged: list[Distinct | None] = [None] * n_groups
    members: dict[int, list[Distinct]] = {}
    for group, distinct in zip(groups.tolist(), sets, strict=True):
        if distinct is not None:
            members.setdefault(group, []).append(distinct)
    for group, parts in members.items():
        merged[group] = parts[0] if len(parts) == 1 else Distinct.union(parts)
    return merged
