"""Removing the demo from a store, and what derived from it: shared rollups are computed again from what is left."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from smartlearn.core.batch import DEMO_SOURCE
from smartlearn.core.identity import NS_PER_US
from smartlearn.core.partitioning import shard_of
from smartlearn.core.settings import Settings
from smartlearn.core.stores.base import MetricStore, Series, SeriesQuery
from smartlearn.stream_processors.domain import grouping
from smartlearn.stream_processors.domain.derive import rows_of
from smartlearn.stream_processors.domain.windows import LONGEST_ROLLING, LONGEST_TIER, MICROS, PaneGrid
from smartlearn.stream_processors.fleet import Fleet
from smartlearn.stream_processors.pane_deriver import Emission
from smartlearn.stream_processors.pane_store import PaneStore

_RAW = ("performance", "training", "interactions", "runs", "annotations")
_OF_NODE = ("performance_10s", "performance_1m", "performance_1h", "performance_rolling", "health")
_FLEET = ("performance_fleet_10s", "performance_fleet_1m", "performance_fleet_1h")
_SHARED = ("interactions_10s", "interactions_1m", "interactions_1h", "interactions_rolling")


@dataclass(frozen=True, slots=True)
class Forgotten:
    """What was removed.

    Attributes:
        nodes: the demo's nodes, sorted.
        runs: the demo's runs, sorted.
        events: how many events.
    """

    nodes: tuple[str, ...]
    runs: tuple[str, ...]
    events: int


def forget_demo(store: MetricStore, settings: Settings) -> Forgotten:
    """Delete every event of the demo and all that derived from it.

    No worker may run: one would write again what it holds in memory.

    Raises:
        StoreUnavailable: the store does not answer; call again.
    """
    present = set(store.measurements())
    newest = [series for name in _RAW if name in present for series in store.latest(name, where=_DEMO)]
    # A node or a run that others send for too keeps what is not the demo's; its panes are computed again.
    nodes = {series.tags["node"] for series in newest if "node" in series.tags and series.measurement == "performance"}
    runs = {series.tags["run"] for series in newest if series.measurement == "training"}
    shards = {series.tags["shard"] for series in newest if series.measurement == "interactions"}
    spans = {name: _span(store, name) for name in ("performance", "interactions") if name in present}
    events = sum(_count(store, name) for name in _RAW if name in present)
    for name in present.intersection(_RAW):
        store.delete(name, _DEMO)
    for node in nodes:
        for name in present.intersection(_OF_NODE):
            store.delete(name, {"node": node})
        if "alerts" in present:
            store.delete("alerts", {"scope": node})
    for run in runs:
        if "training_steps" in present:
            store.delete("training_steps", {"run": run})
    length = round(settings.windows.pane_s * MICROS)
    if (span := spans.get("performance")) is not None:
        _rebuild_fleet(store, present, {shard_of(node) for node in nodes}, span, length)
    if (span := spans.get("interactions")) is not None:
        _rebuild_interactions(store, present, shards, span, length)
    return Forgotten(tuple(sorted(nodes)), tuple(sorted(runs)), events)


_DEMO: Mapping[str, str] = {"source": DEMO_SOURCE}


def _span(store: MetricStore, measurement: str) -> tuple[int, int] | None:
    """The whole hours that the demo's events of a measurement lie in, µs; None where it has none."""
    first = store.query(SeriesQuery(measurement, where=_DEMO, limit=1))
    last = store.query(SeriesQuery(measurement, where=_DEMO, limit=1, newest_first=True))
    if not first:
        return None
    low = min(int(series.time[0]) for series in first) // NS_PER_US
    high = max(int(series.time[0]) for series in last) // NS_PER_US
    return low // LONGEST_TIER * LONGEST_TIER, high // LONGEST_TIER * LONGEST_TIER + LONGEST_TIER


def _count(store: MetricStore, measurement: str) -> int:
    """How many events of the demo a measurement holds: every event has the field that is counted most."""
    everything = SeriesQuery(measurement, where=_DEMO, every=1 << 62, agg="count", group_by=())
    counts = [
        float(np.nanmax(column.astype(np.float64)))
        for series in store.query(everything)
        for column in series.fields.values()
        if not np.isnan(column.astype(np.float64)).all()
    ]
    return round(max(counts, default=0.0))


def _rebuild_fleet(
    store: MetricStore, present: Iterable[str], shards: set[int], span: tuple[int, int], length: int
) -> None:
    low, high = span
    for name in set(present).intersection(_FLEET):
        for shard in shards:
            store.delete(name, {"shard": str(shard)}, low * NS_PER_US, high * NS_PER_US)
    nodes = PaneStore(store, "performance", "performance", "node", grouping.performance, length, False)
    fleet = PaneStore(store, "", "performance_fleet", "shard", grouping.performance, length, True)
    left = [node for node in store.tag_values("performance_10s", "node") if shard_of(node) in shards]
    follower = Fleet(nodes, fleet)
    by_hour: dict[int, list[Emission]] = {}
    for node, panes in nodes.contexts(left, low, high).items():
        for start, value in panes.items():
            by_hour.setdefault(start // LONGEST_TIER, []).append(Emission(node, start, value, False))
    for _, emissions in sorted(by_hour.items()):
        follower.follow(sorted(emissions, key=lambda emission: emission.start))


def _rebuild_interactions(
    store: MetricStore, present: Iterable[str], shards: set[str], span: tuple[int, int], length: int
) -> None:
    low, high = span
    # A rolling row of the demo's last pane is stamped after it, and rows up to there may count the demo.
    end = high + LONGEST_ROLLING + length
    panes = PaneStore(store, "interactions", "interactions", "shard", grouping.interactions, length, True)
    grid = PaneGrid(length)
    for shard in shards:
        for name in set(present).intersection(_SHARED):
            store.delete(name, {"shard": shard}, low * NS_PER_US, end * NS_PER_US)
        query = SeriesQuery("interactions", low * NS_PER_US, (end + LONGEST_TIER) * NS_PER_US, where={"shard": shard})
        starts = _pane_starts(store.query(query), grid)
        if not starts:
            continue
        values = panes.from_raw(shard, starts)
        before, after = grid.context(starts)
        context = {**panes.contexts([shard], before, after)[shard], **values}
        store.write(panes.points(rows_of(grid, dict(sorted(context.items())), values)))


def _pane_starts(found: Iterable[Series], grid: PaneGrid) -> list[int]:
    """The panes that hold rows; a row's stored time is in the second of its exact one, and so in its pane."""
    times = [series.time // NS_PER_US for series in found]
    return np.unique(grid.starts(np.concatenate(times))).tolist() if times else []
