"""Reading stored rollups: rows of several series folded into lines, vectorised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.sketch import CODE_BITS, counted, decode_segments, segment_quantiles
from smartlearn.core.stores.base import Series, SeriesQuery
from smartlearn.dashboard.queries.columns import joined, joined_texts, times
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.window import Tier, Window

Where: TypeAlias = Mapping[str, str | tuple[str, ...] | None]

_STATS = ("count", "sum", "min", "max")


@dataclass(frozen=True, slots=True)
class Trend:
    """One metric of one thing over time.

    Attributes:
        metric: the metric's name.
        name: whose it is: a node, "fleet", a model version, a subject.
        time: start of each row, ns, ascending, shape (n,).
        width: the length of a row, ns.
        mean: shape (n,); a row without the metric is left out.
        low: the smallest value of each row, shape (n,).
        high: the largest value of each row, shape (n,).
        count: how many values each row holds, shape (n,).
    """

    metric: str
    name: str
    time: Int64Array
    width: int
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    count: FloatArray

    def __len__(self) -> int:
        return len(self.time)

    @property
    def average(self) -> float:
        """The mean of all values (not of the means); NaN where there are none."""
        total = float(self.count.sum())
        return float(np.dot(self.mean, self.count)) / total if total else float("nan")


@dataclass(frozen=True, slots=True)
class Sketches:
    """Merged quantile sketches of a metric, one a row.

    Attributes:
        time: start of each row, ns, ascending, shape (n,).
        codes: bucket codes, row after row, shape (c,).
        counts: values of each code, shape (c,).
        bounds: row i is `[bounds[i], bounds[i + 1])`, shape (n + 1,).
    """

    time: Int64Array
    codes: Int64Array
    counts: Int64Array
    bounds: Int64Array

    def quantiles(self, *wanted: float) -> list[FloatArray]:
        """The quantiles of each row, shape (n,) each."""
        return segment_quantiles(self.codes, self.counts, self.bounds, wanted)

    def __len__(self) -> int:
        return len(self.time)


def read(
    store: History,
    family: str,
    tier: Tier,
    window: Window,
    metrics: Sequence[str],
    *,
    where: Where | None = None,
) -> list[Series]:
    """The counts, sums, minima and maxima of metrics, series by series; of rows that start in the window."""
    fields = tuple(f"{metric}_{stat}" for metric in metrics for stat in _STATS)
    query = SeriesQuery(f"{family}_{tier}", window.start, window.stop, fields, where or {})
    return store.query(query)


def grouped(series: Sequence[Series], tag: str, absent: str) -> dict[str, list[Series]]:
    """Series by the value of a tag; those without it under `absent`."""
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(one.tags.get(tag) or absent, []).append(one)
    return groups


def fold(series: Sequence[Series], metric: str, name: str, width: int) -> Trend:
    """Rows of several series as one line, rows of the same `width` (ns, aligned to the epoch) merged."""
    nothing = np.empty(0)
    time = times(series)
    count, total, low, high = (joined(series, f"{metric}_{stat}") for stat in _STATS)
    has = count > 0
    time, count, total, low, high = (time - time % width)[has], count[has], total[has], low[has], high[has]
    if not len(time):
        return Trend(metric, name, np.empty(0, np.int64), width, nothing, nothing, nothing, nothing)
    order = np.argsort(time, kind="stable")
    time = time[order]
    starts = np.flatnonzero(np.r_[True, time[1:] != time[:-1]])
    counts = np.add.reduceat(count[order], starts)
    return Trend(
        metric, name, time[starts], width,
        np.add.reduceat(total[order], starts) / counts,
        np.minimum.reduceat(low[order], starts),
        np.maximum.reduceat(high[order], starts),
        counts,
    )  # fmt: skip


def read_sketches(
    store: History,
    measurement: str,
    window: Window,
    metric: str,
    where: Where | None = None,
) -> list[Series]:
    """The sketches of a metric with their bounds, series by series."""
    fields = tuple(f"{metric}_{stat}" for stat in (*_STATS, "sketch"))
    return store.query(SeriesQuery(measurement, window.start, window.stop, fields, where or {}))


def fold_sketches(series: Sequence[Series], metric: str, width: int) -> Sketches:
    """The sketches of several series in rows of `width` (ns), as one series with all the values has them."""
    name = f"{metric}_sketch"
    time = times(series)
    codes, counts, bounds = decode_segments(joined_texts(series, name))
    starts, rows = np.unique(time - time % width, return_inverse=True)
    owner = np.repeat(rows.astype(np.int64), np.diff(bounds))
    keys, counts = counted((owner << CODE_BITS) | codes, counts)
    bounds = np.searchsorted(keys >> CODE_BITS, np.arange(len(starts) + 1))
    sketches = Sketches(starts, keys & ((1 << CODE_BITS) - 1), counts, bounds.astype(np.int64))
    filled = np.flatnonzero(np.diff(sketches.bounds) > 0)
    if len(filled) == len(starts):
        return sketches
    return Sketches(starts[filled], sketches.codes, counts, np.append(sketches.bounds[filled], len(keys)))
