"""How values of learners are spread, from the stored sketches: as a histogram, or as boxes by group."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.sketch import values_of
from smartlearn.core.stores.base import Series
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.interactions import By, groups, read_groups
from smartlearn.dashboard.queries.rollups import fold_sketches
from smartlearn.dashboard.queries.window import Window

_ALL = 1 << 62
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Histogram:
    """How values are spread.

    Attributes:
        edges: of the bins, shape (b + 1,).
        share: of all values in each bin, shape (b,); sums to 1.
        count: how many values there are; 0 where there are none, or too few learners to show them.
        p50: the median; NaN without values. p95 likewise.
        hidden: whether there are values, of too few learners.
    """

    edges: FloatArray
    share: FloatArray
    count: int
    p50: float
    p95: float
    hidden: bool


@dataclass(frozen=True, slots=True)
class Box:
    """How a metric is spread in one group; quantiles are within 1 % of the exact ones.

    Attributes:
        name: the subject or the difficulty.
        count: how many values.
        learners: how many different learners.
        quantiles: of 5, 25, 50, 75 and 95 %.
    """

    name: str
    count: int
    learners: int
    quantiles: tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Boxes:
    """The groups that may be shown, the slowest median first, and how many may not."""

    shown: list[Box]
    hidden: int


def distribution(
    store: History, window: Window, minimum: int, metric: str = "response_time", bins: int = 40
) -> Histogram:
    """How a metric is spread, from the stored sketches: bin edges are exact within 1 % of their value."""
    everyone = groups(store, window, "all", minimum)
    nothing = Histogram(np.empty(0), np.empty(0), 0, math.nan, math.nan, bool(everyone.hidden))
    if not everyone.shown:
        return nothing
    series = read_groups(store, window, (f"{metric}_sketch",), "all")
    sketches = fold_sketches(series, metric, _ALL)
    if not len(sketches):
        return nothing
    p50, p95 = (float(value[0]) for value in sketches.quantiles(0.5, 0.95))
    edges, share = _histogram(sketches.codes, sketches.counts, bins)
    return Histogram(edges, share, int(sketches.counts.sum()), p50, p95, hidden=False)


def boxes(store: History, window: Window, by: By, minimum: int, metric: str = "response_time") -> Boxes:
    """How a metric is spread by subject or by difficulty.

    An outlier would be the answer of one learner: the whiskers of a box end at 5 and 95 % of the values instead.
    """
    found = groups(store, window, by, minimum)
    allowed = {group.subject or group.difficulty: group for group in found.shown}
    series: dict[str, list[Series]] = {}
    for one in read_groups(store, window, (f"{metric}_sketch",), by):
        name = one.tags.get("subject") or one.tags.get("difficulty", "")
        if name in allowed:
            series.setdefault(name, []).append(one)
    made = []
    for name, parts in series.items():
        sketches = fold_sketches(parts, metric, _ALL)
        if len(sketches):
            q05, q25, q50, q75, q95 = (float(value[0]) for value in sketches.quantiles(*_QUANTILES))
            made.append(Box(name, int(sketches.counts.sum()), round(allowed[name].learners), (q05, q25, q50, q75, q95)))
    return Boxes(sorted(made, key=lambda box: (-box.quantiles[2], box.name)), found.hidden)


def _histogram(codes: Int64Array, counts: Int64Array, bins: int) -> tuple[FloatArray, FloatArray]:
    """Sketch cells as even bins: each cell's count is spread evenly over the range of the cell."""
    middle = values_of(codes)
    low, high = middle * 0.9901, middle * 1.0099
    edges = np.linspace(_nice_floor(float(low[0]), float(high[-1]), bins), float(high[-1]), bins + 1)
    share = np.zeros(bins)
    width = np.maximum(high - low, 1e-12)
    for number in range(bins):
        overlap = np.minimum(high, edges[number + 1]) - np.maximum(low, edges[number])
        share[number] = float((np.clip(overlap, 0, None) / width * counts).sum())
    return edges, share / share.sum()


def _nice_floor(low: float, high: float, bins: int) -> float:
    """0 where the values reach near it, so that the axis starts there; else the lowest value."""
    return 0.0 if low <= 3 * (high - low) / bins else low
