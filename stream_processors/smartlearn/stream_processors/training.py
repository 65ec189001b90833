"""Training by steps: the buckets of every run, computed from its stored rows.

There are no windows to wait for. The level-64 buckets that new rows fall into are computed again from the raw rows in
the store, the coarser ones from the level below, so that repeats, late rows and imports need no care of their own.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Final

import numpy as np

from smartlearn.core.batch import Int64Array
from smartlearn.core.identity import exact_time
from smartlearn.core.stores.base import MetricStore, Points, SeriesQuery, is_text_field
from smartlearn.stream_processors.deriver import Arrival
from smartlearn.stream_processors.domain.progress import Frontier
from smartlearn.stream_processors.domain.steps import (
    LEVELS,
    TRAINING_STEPS,
    StepBuckets,
    anchor_of,
    bucket_steps,
    buckets_of,
    coarsen,
    merge_buckets,
    step_points,
)
from smartlearn.stream_processors.domain.suspects import SuspectPanes

RAW: Final = "training"
_KEYS: Final = frozenset({"step", "epoch", "at"})
_FINEST: Final = LEVELS[0]
_NOTHING: Final[Int64Array] = np.zeros(0, np.int64)


class StepDeriver:
    """Writes `training_steps` of the runs whose rows arrived."""

    def __init__(self, store: MetricStore) -> None:
        self._store = store
        self._touched: dict[str, list[Int64Array]] = {}
        self._anchors: dict[str, int] = {}
        self._runs: dict[str, int] = {}
        self._written: dict[tuple[int, str], list[int]] = {}

    def open(self, partition: int, frontier: Frontier, suspects: SuspectPanes, *, clean: bool) -> None:
        """See `Deriver.open`: there is nothing to begin."""

    def close(self, partition: int) -> None:
        """See `Deriver.close`."""
        for run in [run for run, number in self._runs.items() if number == partition]:
            for known in (self._runs, self._touched, self._anchors):
                known.pop(run, None)

    def oldest_open(self, partition: int) -> int | None:
        """See `Deriver.oldest_open`: rows are through once they and their buckets are stored."""
        return None

    def fold(self, arrivals: Sequence[Arrival], now: float) -> None:
        """See `Deriver.fold`."""
        for arrival in arrivals:
            batch = arrival.batch
            self._runs[batch.key] = arrival.partition
            arrival.effect.owner = batch.key
            numbers = np.unique(batch.numbers["step"].astype(np.int64) // _FINEST)
            self._touched.setdefault(batch.key, []).append(numbers)

    def recompute(self, partition: int, owner: str, places: Sequence[int], offset: int) -> None:
        """See `Deriver.recompute`: places are numbers of the finest buckets."""
        self._runs[owner] = partition
        self._touched.setdefault(owner, []).append(np.array(places, np.int64))

    def catch_up(self, partition: int, owner: str, since: int) -> None:
        """See `Deriver.catch_up`."""
        query = SeriesQuery(RAW, max(since, 0) * 1000, fields=("step",), where={"run": owner})
        steps = [series.fields["step"].astype(np.int64) for series in self._store.query(query)]
        if steps:
            self.recompute(partition, owner, np.unique(np.concatenate(steps) // _FINEST).tolist(), 0)

    def written(self) -> dict[tuple[int, str], list[int]]:
        """See `Deriver.written`."""
        written, self._written = self._written, {}
        return written

    def derive(self, now: float, behind: Collection[int] = ()) -> None:
        """See `Deriver.derive`."""
        for run in list(self._touched):
            buckets = np.unique(np.concatenate(self._touched[run]))
            self._written[self._runs[run], run] = buckets.tolist()
            self._store.write(self._points(run, buckets))
            del self._touched[run]

    def _points(self, run: str, numbers: Int64Array) -> list[Points]:
        level, times = self._from_raw(run, numbers)
        if not len(level.bucket):
            return []
        anchor = self._anchor(run, times)
        points = [step_points(run, anchor, level)]
        for finer, coarser in pairwise(LEVELS):
            level = self._coarser(run, level, finer, coarser)
            points.append(step_points(run, anchor, level))
        return points

    def _anchor(self, run: str, times: Int64Array) -> int:
        if run not in self._anchors:
            where = {"run": run, "level": str(_FINEST)}
            stored = self._store.query(SeriesQuery(TRAINING_STEPS, fields=("anchor",), where=where, limit=1))
            self._anchors[run] = anchor_of(stored, times)
        return self._anchors[run]

    def _from_raw(self, run: str, numbers: Int64Array) -> tuple[StepBuckets, Int64Array]:
        """The finest buckets, from the stored rows of the run, and the rows' event times, µs."""
        parts = [bucket_steps(_NOTHING, _NOTHING, {})]
        times = [_NOTHING]
        for low, high in _ranges(numbers):
            between = {"step": (float(low * _FINEST), float(high * _FINEST))}
            for series in self._store.query(SeriesQuery(RAW, where={"run": run}, between=between)):
                columns = {
                    name: column.astype(np.float64)
                    for name, column in series.fields.items()
                    if name not in _KEYS and not is_text_field(name)
                }
                steps = series.fields["step"].astype(np.int64)
                wanted = np.isin(steps // _FINEST, numbers)
                columns = {name: column[wanted] for name, column in columns.items()}
                parts.append(bucket_steps(steps[wanted], series.time[wanted], columns))
                times.append(
                    exact_time(series.time, series.fields.get("at", np.full(len(series), np.nan)).astype(float))
                )
        return merge_buckets(parts), np.concatenate(times)

    def _coarser(self, run: str, changed: StepBuckets, finer: int, coarser: int) -> StepBuckets:
        """The coarser buckets over changed finer ones: these, and their stored neighbours."""
        times = coarser // finer
        parts = [changed]
        for low, high in _ranges(np.unique(changed.numbers // times)):
            between = {"step_start": (float(low * coarser), float(high * coarser))}
            where = {"run": run, "level": str(finer)}
            stored = self._store.query(SeriesQuery(TRAINING_STEPS, where=where, between=between))
            parts.extend(_without(buckets_of(series), changed.numbers) for series in stored)
        return coarsen(merge_buckets(parts), coarser)


def _without(buckets: StepBuckets, numbers: Int64Array) -> StepBuckets:
    """The buckets that do not have these numbers."""
    keep = ~np.isin(buckets.bucket, numbers)
    return StepBuckets(
        buckets.level,
        buckets.names,
        buckets.bucket[keep],
        buckets.metric[keep],
        buckets.values[keep],
        buckets.order[keep],
    )


def _ranges(numbers: Int64Array) -> list[tuple[int, int]]:
    """Half-open runs of numbers that are close to each other, ascending."""
    breaks = np.flatnonzero(np.diff(numbers) > 64) + 1
    return [(int(part[0]), int(part[-1]) + 1) for part in np.split(numbers, breaks)]
