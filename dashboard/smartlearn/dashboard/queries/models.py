"""How models answer: quantiles of a whole time range, and a row a model version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smartlearn.core.stores.base import Series
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.performance import UNVERSIONED, of_nodes
from smartlearn.dashboard.queries.rollups import Where, fold, fold_sketches, grouped, read_sketches
from smartlearn.dashboard.queries.window import Window, pieces, tier_for

_ALL = 1 << 62
"""A row width that holds every time there is."""


@dataclass(frozen=True, slots=True)
class Spread:
    """All values of a metric in a time range.

    Attributes:
        count: how many values.
        mean: NaN where there are none, as all below.
        low: the smallest.
        high: the largest.
        p50: the median, within 1 %, as p95 and p99.
    """

    count: int
    mean: float
    low: float
    high: float
    p50: float
    p95: float
    p99: float


NOTHING = Spread(0, *[float("nan")] * 6)


@dataclass(frozen=True, slots=True)
class Version:
    """What one model version did in a time range.

    Attributes:
        version: its name.
        nodes: how many nodes answered with it.
        first: start of its first row in the range, ns.
        last: start of its last row, ns.
        response_time: ms.
        accuracy: 0–1.
    """

    version: str
    nodes: int
    first: int
    last: int
    response_time: Spread
    accuracy: Spread


def spread(store: History, metric: str, window: Window, chosen: Sequence[str] = ()) -> Spread:
    """All values of a metric in a window, over the chosen nodes or the fleet."""
    family = "performance" if chosen else "performance_fleet"
    return _spread(_read(store, family, window, metric, of_nodes(chosen)), metric)


def versions(store: History, window: Window, chosen: Sequence[str] = ()) -> list[Version]:
    """A row a model version that answered in the window, the one that came last first."""
    where = of_nodes(chosen)
    times = grouped(_read(store, "performance", window, "response_time", where), "model_version", UNVERSIONED)
    rates = grouped(_read(store, "performance", window, "model_accuracy", where), "model_version", UNVERSIONED)
    found = []
    for name in {*times, *rates}:
        series = [*times.get(name, ()), *rates.get(name, ())]
        found.append(
            Version(
                name,
                len({one.tags.get("node", "") for one in series}),
                min(int(one.time.min()) for one in series),
                max(int(one.time.max()) for one in series),
                _spread(times.get(name, []), "response_time"),
                _spread(rates.get(name, []), "model_accuracy"),
            )
        )
    return sorted(found, key=lambda one: (-one.first, one.version))


def _read(store: History, family: str, window: Window, metric: str, where: Where) -> list[Series]:
    """The sketches of a window: whole hours from the 1h tier, what is left at both ends from the finer one."""
    return [
        series
        for tier, part in pieces(window, tier_for(window, store))
        for series in read_sketches(store, f"{family}_{tier}", part, metric, where)
    ]


def _spread(series: Sequence[Series], metric: str) -> Spread:
    line = fold(series, metric, "", _ALL)
    if not len(line):
        return NOTHING
    low, high = float(line.low[0]), float(line.high[0])
    sketches = fold_sketches(series, metric, _ALL)
    quantiles = [float(np.clip(one[0], low, high)) for one in sketches.quantiles(0.5, 0.95, 0.99)]
    return Spread(int(line.count[0]), float(line.mean[0]), low, high, *quantiles)
