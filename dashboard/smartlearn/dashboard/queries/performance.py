"""Machines and models over time: lines, quantiles, newest values, changes, the node × time matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.stores.base import Series, SeriesQuery
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.rollups import Trend, Where, fold, fold_sketches, grouped, read, read_sketches
from smartlearn.dashboard.queries.window import DAY, TIERS, WIDTH, Tier, Window, bucket_width, tier_for

FLEET = "fleet"
"""The name of a line over all nodes."""

UNVERSIONED = "no version"
"""The name of the line of answers whose model did not say its version."""

TOP = 10
"""So many lines are drawn one by one; of more, the highest."""

RANKED = 7 * DAY
"""The nodes of longer windows are ranked by so much of their end."""

ROWS = 240
"""A line over time has about so many rows; each carries the lowest and highest of the values that it stands for."""


@dataclass(frozen=True, slots=True)
class Lines:
    """One metric of several nodes.

    Attributes:
        metric: the metric's name.
        lines: the nodes' lines, the highest average first.
        others: how many nodes with the metric are not among them.
    """

    metric: str
    lines: list[Trend]
    others: int = 0


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Quantiles of one metric over time; each within 1 % of the exact value.

    Attributes:
        time: start of each row, ns, shape (n,).
        width: the length of a row, ns.
        p50: shape (n,), as are p95 and p99.
    """

    metric: str
    time: Int64Array
    width: int
    p50: FloatArray
    p95: FloatArray
    p99: FloatArray

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest pane of a metric on a node."""

    time: int
    value: float


@dataclass(frozen=True, slots=True)
class Change:
    """A metric over a window against the window before.

    Attributes:
        value: the mean of all its values in the window; NaN where there are none.
        previous: the same of the window before.
        low: the smallest value in the window.
        high: the largest value in the window.
        count: how many values the window holds.
        spark: the window's line, at most 60 points.
    """

    metric: str
    value: float
    previous: float
    low: float
    high: float
    count: int
    spark: Trend

    @property
    def change(self) -> float:
        """Value − previous, in the metric's unit; NaN where either is missing."""
        return self.value - self.previous


def nodes(store: History) -> list[str]:
    """Every node that has a stored pane, sorted."""
    found: set[str] = set()
    for tier in TIERS:
        found.update(store.tag_values(f"performance_{tier}", "node"))
    return sorted(found)


def trends(
    store: History,
    metrics: Sequence[str],
    window: Window,
    chosen: Sequence[str] = (),
    top: int = TOP,
    *,
    rows: int = ROWS,
) -> dict[str, Lines]:
    """A line a node for each metric, read in one query a set of nodes.

    Args:
        store: where to read.
        metrics: the metrics wanted; "gpu_memory" is used/total in %.
        window: the time range.
        chosen: the nodes wanted; empty is all.
        top: at most so many lines a metric, those with the highest averages.
        rows: a line has about so many.
    """
    names = list(chosen) or nodes(store)
    if len(names) <= top:
        return {metric: Lines(metric, drawn) for metric, drawn in _lines(store, metrics, window, names, rows).items()}
    found: dict[str, Lines] = {}
    for metric in metrics:
        ranked = [name for name, _ in rank(store, metric, window, chosen)]
        drawn = _lines(store, [metric], window, ranked[:top], rows)[metric]
        found[metric] = Lines(metric, drawn, max(len(ranked) - top, 0))
    return found


def fleet(store: History, metrics: Sequence[str], window: Window, rows: int = ROWS) -> dict[str, Trend]:
    """One line a metric over all nodes, merged from the shards."""
    tier, width = grain(store, window, rows)
    series = read(store, "performance_fleet", tier, window, metrics)
    return {metric: fold(series, metric, FLEET, width) for metric in metrics}


def merged(
    store: History, metrics: Sequence[str], window: Window, chosen: Sequence[str] = (), rows: int = ROWS
) -> dict[str, Trend]:
    """One line a metric over the chosen nodes together; over the fleet where none is chosen."""
    if not chosen:
        return fleet(store, metrics, window, rows)
    tier, width = grain(store, window, rows)
    series = read(store, "performance", tier, window, metrics, where=of_nodes(chosen))
    name = chosen[0] if len(chosen) == 1 else f"{len(chosen)} nodes"
    return {metric: fold(series, metric, name, width) for metric in metrics}


def by_version(
    store: History, metric: str, window: Window, chosen: Sequence[str] = (), rows: int = ROWS
) -> list[Trend]:
    """A line a model version, over the chosen nodes or all; the newest version first."""
    tier, width = grain(store, window, rows)
    series = read(store, "performance", tier, window, [metric], where=of_nodes(chosen))
    versions = grouped(series, "model_version", UNVERSIONED)
    lines = [fold(group, metric, version, width) for version, group in versions.items()]
    return sorted((line for line in lines if len(line)), key=lambda line: -int(line.time[0]))


def quantiles(store: History, metric: str, window: Window, chosen: Sequence[str] = (), rows: int = ROWS) -> Quantiles:
    """p50, p95 and p99 over the chosen nodes, or over the fleet, in about `rows` rows."""
    tier, width = grain(store, window, rows)
    family = "performance" if chosen else "performance_fleet"
    series = read_sketches(store, f"{family}_{tier}", window, metric, of_nodes(chosen))
    sketches = fold_sketches(series, metric, width)
    line = fold(series, metric, "", width)
    places = np.searchsorted(line.time, sketches.time)
    low, high = line.low[places], line.high[places]
    p50, p95, p99 = (np.clip(value, low, high) for value in sketches.quantiles(0.5, 0.95, 0.99))
    return Quantiles(metric, sketches.time, width, p50, p95, p99)


def newest(store: History, metrics: Sequence[str], chosen: Sequence[str] = ()) -> dict[str, dict[str, Newest]]:
    """Node → metric → its newest pane; nodes and metrics without any are left out."""
    found: dict[str, dict[str, Newest]] = {}
    for metric in metrics:
        fields = (f"{metric}_count", f"{metric}_sum", f"{metric}_min", f"{metric}_max")
        for tier in TIERS:
            rows = store.latest(f"performance_{tier}", fields)
            if rows:
                break
        for node, series in grouped(rows, "node", "").items():
            if chosen and node not in chosen:
                continue
            line = fold(series, metric, node, 1)
            if len(line):
                found.setdefault(node, {})[metric] = Newest(int(line.time[-1]), float(line.mean[-1]))
    return found


def changes(store: History, metrics: Sequence[str], window: Window, chosen: Sequence[str] = ()) -> dict[str, Change]:
    """Each metric's mean in the window against the window before, over the chosen nodes or the fleet."""
    now = merged(store, metrics, window, chosen)
    before = merged(store, metrics, window.previous(), chosen)
    return {metric: _change(now[metric], before[metric], window) for metric in metrics}


def rank(
    store: History, metric: str, window: Window, chosen: Sequence[str] = (), least: int = TOP
) -> list[tuple[str, float]]:
    """Nodes with the metric and their averages, the highest first: a row or two a node leave the store.

    Longer windows are ranked by a coarser tier than they are drawn from, and those of more than a week by their last
    week, unless fewer than `least` nodes were there then: with thousands of nodes that is what counts.
    """
    if window.span > RANKED:
        recent = _averages(store, metric, Window(window.stop - RANKED, window.stop), chosen)
        if len(recent) >= least:
            return recent
    return _averages(store, metric, window, chosen)


def _averages(store: History, metric: str, window: Window, chosen: Sequence[str]) -> list[tuple[str, float]]:
    """Nodes and their averages, the highest first."""
    tier = _coarser(tier_for(window, store), window)
    query = SeriesQuery(
        f"performance_{tier}", window.start, window.stop, (f"{metric}_count", f"{metric}_sum"),
        of_nodes(chosen), every=max(window.span, WIDTH[tier]), agg="sum",
    )  # fmt: skip
    averages: list[tuple[str, float]] = []
    for node, series in grouped(store.query(query), "node", "").items():
        count = sum(float(np.nansum(one.fields[f"{metric}_count"])) for one in series)
        total = sum(float(np.nansum(one.fields[f"{metric}_sum"])) for one in series)
        if count:
            averages.append((node, total / count))
    return sorted(averages, key=lambda pair: (-pair[1], pair[0]))


def _lines(
    store: History, metrics: Sequence[str], window: Window, names: Sequence[str], rows: int
) -> dict[str, list[Trend]]:
    """The lines of the nodes by metric, the highest average first."""
    tier, width = grain(store, window, rows)
    series = read(store, "performance", tier, window, metrics, where=of_nodes(names)) if names else []
    groups = grouped(series, "node", "")
    found: dict[str, list[Trend]] = {}
    for metric in metrics:
        drawn = [fold(group, metric, node, width) for node, group in groups.items()]
        found[metric] = sorted((one for one in drawn if len(one)), key=lambda one: (-one.average, one.name))
    return found


def of_nodes(chosen: Sequence[str]) -> Where:
    """The condition that picks nodes; none chosen is all."""
    return {"node": tuple(chosen)} if chosen else {}


def _change(now: Trend, before: Trend, window: Window) -> Change:
    return Change(
        now.metric,
        now.average,
        before.average,
        float(now.low.min()) if len(now) else float("nan"),
        float(now.high.max()) if len(now) else float("nan"),
        int(now.count.sum()),
        _in_rows(now, bucket_width(window, 60)),
    )


def _in_rows(line: Trend, width: int) -> Trend:
    """The same line in rows of `width`."""
    series = Series(
        "", {}, line.time,
        {"x_count": line.count, "x_sum": line.mean * line.count, "x_min": line.low, "x_max": line.high},
    )  # fmt: skip
    coarse = fold([series], "x", line.name, width)
    return Trend(line.metric, line.name, coarse.time, width, coarse.mean, coarse.low, coarse.high, coarse.count)


def grain(store: History, window: Window, rows: int) -> tuple[Tier, int]:
    """The tier of a window, and the row width (ns) that cuts it in at most about `rows`."""
    tier = tier_for(window, store)
    return tier, bucket_width(window, rows, WIDTH[tier])


def _coarser(tier: Tier, window: Window) -> Tier:
    """The next coarser tier, where the window holds at least ten of its rows."""
    following: dict[Tier, Tier] = {"10s": "1m", "1m": "1h", "1h": "1h"}
    return following[tier] if window.span >= 10 * WIDTH[following[tier]] else tier
