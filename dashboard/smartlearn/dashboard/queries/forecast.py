"""When something will be full: a straight line through what was, and how sure it is.

The line is the least-squares line y = a + b·x over n means. The interval for a value at x is the prediction interval of
simple linear regression (Montgomery, Peck and Vining, *Introduction to Linear Regression Analysis*, section 2.5):

    a + b·x ± t · s · sqrt(1 + 1/m + (x - x̄)²/Sxx · n/m)

with s² = Σe²/n · m/(m - 2) the variance of the residuals e, Sxx = Σ(x - x̄)², and t the 97.5 % point of Student's t with
m - 2 degrees of freedom. Neighbouring means are alike, so n of them know as much as m = n · (1 - r) / (1 + r)
independent ones, r being the residuals' correlation with their neighbours (Bayley and Hammersley, "The effective number
of independent observations", 1946; first order). The means are those of days where there are enough, because then what
a day has of its own is no trend; otherwise of hours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.stores.base import Series
from smartlearn.dashboard.queries.columns import times
from smartlearn.dashboard.queries.estimates import student_t
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.performance import of_nodes
from smartlearn.dashboard.queries.rollups import Trend, fold, grouped, read
from smartlearn.dashboard.queries.window import DAY, HOUR, Window

LOOK_BACK: Final = 30 * DAY
"""So much history a forecast is drawn from; it looks as far ahead as there was history, and no further."""

FEWEST: Final = 12
"""Of fewer hours nothing is foretold, and from as many days on, days are looked at instead."""

FULL: Final = 100.0
CANDIDATES: Final = 20
"""The fullest nodes are looked at, so many."""

_ROWS: Final = 48


@dataclass(frozen=True, slots=True)
class Forecast:
    """A metric of a node, and how it goes on if it goes on so.

    Attributes:
        past: what was, by hour or by day.
        time: of what is foretold, ns, ascending, from the newest value on, shape (m,).
        mean: the line, shape (m,).
        low: the start of the 95 % prediction interval, shape (m,).
        high: its end, shape (m,).
        slope: what it gains a day.
        sure: whether the slope's own 95 % interval leaves 0 out.
        full: ns; when the line is full; None where it is not within what is foretold.
        earliest: ns; when the interval's upper end is full; None likewise.
    """

    past: Trend
    time: Int64Array
    mean: FloatArray
    low: FloatArray
    high: FloatArray
    slope: float
    sure: bool
    full: int | None
    earliest: int | None

    @property
    def node(self) -> str:
        """Whose it is."""
        return self.past.name

    @property
    def newest(self) -> float:
        """The last known value."""
        return float(self.past.mean[-1])

    @property
    def tells(self) -> bool:
        """Whether there was enough to tell anything."""
        return len(self.time) > 0


def forecasts(store: History, metric: str, now: int, chosen: Sequence[str] = ()) -> list[Forecast]:
    """The forecasts of the chosen nodes, or of the fullest, the soonest full first, then the fullest."""
    names = list(chosen) or _fullest(store, metric)
    if not names:
        return []
    window = Window(now - LOOK_BACK, now)
    series = read(store, "performance", "1h", window, [metric], where=of_nodes(names))
    width = DAY if _days(series) >= FEWEST else HOUR
    lines = [_whole(fold(group, metric, node, width)) for node, group in grouped(series, "node", "").items()]
    found = [forecast(line) for line in lines if len(line)]
    return sorted(found, key=lambda one: (_soonest(one), -one.newest, one.node))


def forecast(past: Trend) -> Forecast:
    """How a line of means goes on; nothing is foretold from fewer than `FEWEST` of them."""
    nothing = Forecast(past, np.empty(0, np.int64), *(np.empty(0),) * 3, 0.0, False, None, None)
    n = len(past)
    if n < FEWEST:
        return nothing
    origin = int(past.time[-1]) + past.width // 2
    x = (past.time + past.width // 2 - origin) / DAY
    middle, mean = float(x.mean()), float(past.mean.mean())
    spread = float(((x - middle) ** 2).sum())
    slope = float(((x - middle) * (past.mean - mean)).sum()) / spread
    residuals = past.mean - (mean + slope * (x - middle))
    m = _effective(residuals)
    if m <= 3:
        return nothing
    s = math.sqrt(float((residuals**2).mean()) * m / (m - 2))
    t = student_t(int(m) - 2)
    ahead = np.linspace(0.0, float(x[-1] - x[0]), _ROWS)
    line = mean + slope * (ahead - middle)
    half = t * s * np.sqrt(1 + 1 / m + (ahead - middle) ** 2 / spread * n / m)
    time = origin + np.round(ahead * DAY).astype(np.int64)
    error = s * math.sqrt(n / m / spread)
    return Forecast(
        past, time, line, line - half, line + half, slope, abs(slope) > t * error,
        _crossing(time, line), _crossing(time, line + half),
    )  # fmt: skip


def _whole(line: Trend) -> Trend:
    """A line without the days at its ends that have little of a day's values: a morning is no day."""
    if line.width < DAY or len(line) < FEWEST:
        return line
    keep = line.count > 0.9 * np.median(line.count)
    keep[1:-1] = True
    columns = (line.mean[keep], line.low[keep], line.high[keep], line.count[keep])
    return Trend(line.metric, line.name, line.time[keep], line.width, *columns)


def _days(series: Sequence[Series]) -> int:
    """On how many days there is anything."""
    return len(np.unique(times(series) // DAY))


def _effective(residuals: FloatArray) -> float:
    """How many independent values know as much; at most all, at least 1."""
    power = float((residuals**2).sum())
    if power <= 1e-18:
        return float(len(residuals))
    near = float((residuals[1:] * residuals[:-1]).sum()) / power
    r = min(max(near, 0.0), 0.99)
    return max(len(residuals) * (1 - r) / (1 + r), 1.0)


def _crossing(time: Int64Array, value: FloatArray) -> int | None:
    """When a line first is full, between its points too."""
    above = np.flatnonzero(value >= FULL)
    if not len(above):
        return None
    first = int(above[0])
    if first == 0:
        return int(time[0])
    share = (FULL - value[first - 1]) / (value[first] - value[first - 1])
    return int(time[first - 1] + share * (time[first] - time[first - 1]))


def _soonest(one: Forecast) -> float:
    if one.full is not None and one.sure:
        return float(one.full)
    return math.inf


def _fullest(store: History, metric: str) -> list[str]:
    fields = (f"{metric}_count", f"{metric}_sum")
    found: dict[str, float] = {}
    for node, series in grouped(store.latest("performance_1h", fields), "node", "").items():
        newest = max(series, key=lambda one: int(one.time[-1]))
        count, total = (float(newest.fields[name][-1]) for name in fields)
        if count > 0:
            found[node] = total / count
    return sorted(found, key=lambda node: (-found[node], node))[:CANDIDATES]
