"""Training by steps: every metric of a run in buckets of 64, 1024 and 16384 steps.

A chart of a million-step run reads a thousand buckets instead of a million rows. A bucket keeps count, mean,
min, max, first and last of each metric, in the order of the steps; equal steps are ordered by time, then as
they come. What a bucket holds depends on the set of rows only (the same rows in another order, or in parts,
give the same), so a bucket may be folded as rows arrive, or computed from stored rows by their step.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.stores.base import FieldColumn, Points, Series

TRAINING_STEPS = "training_steps"
"""The measurement of buckets."""

LEVELS = (64, 1024, 16384)
"""Steps of a bucket; each is a multiple of the one before."""

SUFFIXES = ("min", "max", "mean", "first", "last", "count")
"""What a row has of each metric."""

_COUNT, _TOTAL, _LOW, _HIGH, _FIRST, _LAST = range(6)
_FIRST_STEP, _FIRST_TIME, _LAST_STEP, _LAST_TIME = range(4)
_EARLIEST = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class StepBuckets:
    """The buckets of one run at one level: a cell for each bucket and metric that has values.

    Attributes:
        level: steps of a bucket.
        names: the metrics, ascending.
        bucket: the bucket number of each cell, step // level, shape (c,); cells ascend by bucket and metric.
        metric: the index in `names` of each cell, shape (c,).
        values: count, total, min, max, first and last of each cell, float64, shape (c, 6).
        order: step and time of the first value and of the last one, int64, shape (c, 4).
    """

    level: int
    names: tuple[str, ...]
    bucket: Int64Array
    metric: Int64Array
    values: FloatArray
    order: Int64Array

    @property
    def numbers(self) -> Int64Array:
        """The numbers of the buckets that have values, ascending."""
        return np.unique(self.bucket)


def bucket_steps(
    step: Int64Array, time: Int64Array, columns: Mapping[str, FloatArray], level: int = LEVELS[0]
) -> StepBuckets:
    """Put rows into buckets.

    Args:
        step: the training step of each row, shape (n,).
        time: what orders rows of the same step, any unit, shape (n,): the stored time, so that rows read back
            from the store are ordered as they were on arrival.
        columns: float64 of shape (n,) per metric; values that are not finite are skipped.
        level: steps of a bucket.
    """
    names = tuple(sorted(columns))
    if not names:
        return _no_cells(level)
    values = np.stack([columns[name] for name in names])
    metric, row = np.nonzero(np.isfinite(values))
    found = values[metric, row]
    cells = np.stack([np.ones(len(found)), *[found] * 5], axis=1)
    when = np.stack([step[row], time[row], step[row], time[row]], axis=1)
    return _settled(StepBuckets(level, names, step[row] // level, metric, cells, when))


def merge_buckets(parts: Sequence[StepBuckets]) -> StepBuckets:
    """The buckets of the rows of all parts; rows of equal step and time are ordered as the parts are.

    Raises:
        ValueError: there is no part, or the levels differ.
    """
    if len({part.level for part in parts}) != 1:
        raise ValueError("only buckets of one level merge")
    names = tuple(sorted({name for part in parts for name in part.names}))
    place = {name: index for index, name in enumerate(names)}
    metric = [np.array([place[name] for name in part.names], np.int64)[part.metric] for part in parts]
    return _settled(
        StepBuckets(
            parts[0].level,
            names,
            np.concatenate([part.bucket for part in parts]),
            np.concatenate(metric),
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.order for part in parts]),
        )
    )


def coarsen(buckets: StepBuckets, level: int) -> StepBuckets:
    """The buckets of a coarser level.

    Raises:
        ValueError: the level is no multiple of the buckets' own.
    """
    times, rest = divmod(level, buckets.level)
    if rest or times < 1:
        raise ValueError(f"buckets of {buckets.level} steps do not make buckets of {level}")
    return _settled(
        StepBuckets(level, buckets.names, buckets.bucket // times, buckets.metric, buckets.values, buckets.order)
    )


def anchor_of(stored: Iterable[Series], timestamps: Int64Array) -> int:
    """The anchor of a run, µs: that of its stored rows; of a new run the first write's earliest event time.

    Args:
        stored: rows of the run at any level.
        timestamps: event times of the rows about to be written, µs, at least one.
    """
    anchors = [int(series.fields["anchor"][0]) for series in stored if len(series)]
    return min(anchors) if anchors else int(timestamps.min())


def step_points(run: str, anchor: int, buckets: StepBuckets) -> Points:
    """Buckets as points, stamped anchor + bucket number in µs; NaN where a bucket has no such metric."""
    numbers, row = np.unique(buckets.bucket, return_inverse=True)
    fields: dict[str, FieldColumn] = {}
    for index, name in enumerate(buckets.names):
        cells = buckets.metric == index
        place, values = row[cells], buckets.values[cells]
        by_suffix = {
            "min": values[:, _LOW],
            "max": values[:, _HIGH],
            "mean": _round12(values[:, _TOTAL] / values[:, _COUNT]),
            "first": values[:, _FIRST],
            "last": values[:, _LAST],
            "count": values[:, _COUNT],
        }
        for suffix in SUFFIXES:
            column = np.full(len(numbers), np.nan)
            column[place] = by_suffix[suffix]
            fields[f"{name}_{suffix}"] = column
    fields["step_start"] = (numbers * buckets.level).astype(np.float64)
    fields["anchor"] = float(anchor)
    return Points(TRAINING_STEPS, (anchor + numbers) * 1000, {"run": run, "level": str(buckets.level)}, fields)


def buckets_of(series: Series) -> StepBuckets:
    """Parse the stored rows of one run and level.

    A row does not say at which steps its first and last values were: merged with rows of the same bucket, it
    counts as the earlier part. A bucket that may get earlier rows is computed from the rows themselves.
    """
    level = int(series.tags["level"])
    names = tuple(sorted(name.removesuffix("_count") for name in series.fields if name.endswith("_count")))
    number = series.fields["step_start"].astype(np.int64) // level
    buckets, metrics, cells = [], [], []
    for index, name in enumerate(names):
        by_suffix = {suffix: series.fields[f"{name}_{suffix}"].astype(np.float64) for suffix in SUFFIXES}
        present = by_suffix["count"] > 0
        total = by_suffix["mean"] * by_suffix["count"]
        columns = [
            by_suffix["count"],
            total,
            *(by_suffix[suffix] for suffix in ("min", "max", "first", "last")),
        ]
        cells.append(np.stack(columns, axis=1)[present])
        buckets.append(number[present])
        metrics.append(np.full(int(present.sum()), index, np.int64))
    if not names:
        return _no_cells(level)
    bucket = np.concatenate(buckets)
    when = np.full((len(bucket), 4), _EARLIEST, np.int64)
    when[:, [_FIRST_STEP, _LAST_STEP]] = (bucket * level)[:, None]
    return _settled(StepBuckets(level, names, bucket, np.concatenate(metrics), np.concatenate(cells), when))


def _no_cells(level: int) -> StepBuckets:
    nothing = np.zeros(0, np.int64)
    return StepBuckets(level, (), nothing, nothing, np.zeros((0, 6)), np.zeros((0, 4), np.int64))


def _settled(cells: StepBuckets) -> StepBuckets:
    """The cells in order, with those of the same bucket and metric merged."""
    if not len(cells.bucket):
        return cells
    order = cells.order
    by_first = np.lexsort((order[:, _FIRST_TIME], order[:, _FIRST_STEP], cells.metric, cells.bucket))
    by_last = np.lexsort((order[:, _LAST_TIME], order[:, _LAST_STEP], cells.metric, cells.bucket))
    bucket, metric, values = cells.bucket[by_first], cells.metric[by_first], cells.values[by_first]
    new = np.ones(len(bucket), np.bool_)
    new[1:] = (bucket[1:] != bucket[:-1]) | (metric[1:] != metric[:-1])
    starts = np.flatnonzero(new)
    last = by_last[np.append(starts[1:], len(bucket)) - 1]
    merged = np.empty((len(starts), 6))
    with np.errstate(over="ignore"):
        merged[:, : _TOTAL + 1] = np.add.reduceat(values[:, : _TOTAL + 1], starts, axis=0)
    merged[:, _LOW] = np.minimum.reduceat(values[:, _LOW], starts)
    merged[:, _HIGH] = np.maximum.reduceat(values[:, _HIGH], starts)
    merged[:, _FIRST] = values[starts, _FIRST]
    merged[:, _LAST] = cells.values[last, _LAST]
    when = np.concatenate([order[by_first[starts], :_LAST_STEP], order[last, _LAST_STEP:]], axis=1)
    return StepBuckets(cells.level, cells.names, bucket[starts], metric[starts], merged, when)


def _round12(values: FloatArray) -> FloatArray:
    return np.array([float(f"{value:.12g}") for value in values.tolist()], np.float64)
