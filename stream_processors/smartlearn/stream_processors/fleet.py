"""The fleet's panes and tiers: the merge of the nodes of each shard."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from smartlearn.core.aggregates import Summary, merge
from smartlearn.core.partitioning import shard_of
from smartlearn.core.stores.base import Points
from smartlearn.stream_processors.domain.derive import PANE, Row
from smartlearn.stream_processors.domain.windows import TIERS, tier_start
from smartlearn.stream_processors.pane_deriver import Emission
from smartlearn.stream_processors.pane_store import PaneStore

_MINUTE: Final = TIERS["1m"]
_HOUR: Final = TIERS["1h"]
# Live panes need the newest few; an import passes through the rest once.
_PANES_KEPT: Final = 12
_HOURS_KEPT: Final = 2


@dataclass(slots=True)
class _Hour:
    """One shard's panes of one hour, and the merge of each minute of it."""

    panes: dict[int, Summary] = field(default_factory=dict)
    minutes: dict[int, Summary] = field(default_factory=dict)

    def put(self, start: int, summary: Summary) -> None:
        self.panes[start] = summary
        minute = tier_start(start, _MINUTE)
        self.minutes[minute] = merge(self.within(minute))

    def within(self, minute: int) -> list[Summary]:
        """The panes of a minute in time order: a sum of floats depends on the order."""
        return [self.panes[start] for start in sorted(self.panes) if minute <= start < minute + _MINUTE]

    def by_minute(self) -> list[Summary]:
        """The merge of each minute, in time order."""
        return [self.minutes[minute] for minute in sorted(self.minutes)]


class Fleet:
    """Keeps `performance_fleet_*`: follows the nodes' panes of the partitions this worker owns.

    A shard lies in one partition, so no other worker writes the same rows.
    """

    def __init__(self, nodes: PaneStore, fleet: PaneStore) -> None:
        """Build from where the nodes' panes are and where the fleet's go."""
        self._nodes = nodes
        self._fleet = fleet
        self._panes: OrderedDict[int, dict[int, dict[str, list[Summary]]]] = OrderedDict()
        self._hours: OrderedDict[int, dict[int, _Hour]] = OrderedDict()
        self._newest: int | None = None

    def forget(self) -> None:
        """See `Follower.forget`."""
        self._panes.clear()
        self._hours.clear()
        self._newest = None

    def follow(self, emissions: Sequence[Emission]) -> None:
        """See `Follower.follow`."""
        touched = self._contributions(emissions)
        self._load_hours(touched)
        points: list[Points] = self._fleet.points(self._rows(touched))
        self._fleet.store.write(points)
        while len(self._panes) > _PANES_KEPT:
            self._panes.popitem(last=False)
        while len(self._hours) > _HOURS_KEPT:
            self._hours.popitem(last=False)

    def _contributions(self, emissions: Sequence[Emission]) -> list[tuple[int, int]]:
        """Take the nodes' new values in; the (shard, pane start) they change."""
        if self._newest is None:
            self._newest = self._fleet.newest()
        cold = sorted({emission.start for emission in emissions} - self._panes.keys())
        for start in cold:
            stored = self._nodes.pane(start) if start <= self._newest else {}
            self._newest = max(self._newest, start)
            shards: dict[int, dict[str, list[Summary]]] = {}
            for node, value in stored.items():
                shards.setdefault(shard_of(node), {})[node] = [value[series] for series in sorted(value)]
            self._panes[start] = shards
        touched = set()
        for emission in emissions:
            shard = shard_of(emission.owner)
            nodes = self._panes[emission.start].setdefault(shard, {})
            nodes[emission.owner] = [emission.value[series] for series in sorted(emission.value)]
            touched.add((shard, emission.start))
        return sorted(touched, key=lambda change: change[1])

    def _load_hours(self, touched: Iterable[tuple[int, int]]) -> None:
        wanted: dict[int, set[int]] = {}
        for shard, start in touched:
            hour = tier_start(start, _HOUR)
            if shard not in self._hours.setdefault(hour, {}):
                wanted.setdefault(hour, set()).add(shard)
        for hour, shards in wanted.items():
            contexts = self._fleet.contexts([str(shard) for shard in shards], hour, hour + _HOUR)
            for name, context in contexts.items():
                loaded = self._hours[hour][int(name)] = _Hour()
                for start, value in context.items():
                    loaded.panes[start] = merge(value.values())
                for minute in {tier_start(start, _MINUTE) for start in loaded.panes}:
                    loaded.minutes[minute] = merge(loaded.within(minute))

    def _rows(self, touched: Iterable[tuple[int, int]]) -> Iterator[Row]:
        tiers: dict[tuple[str, int, int], _Hour] = {}
        for shard, start in touched:
            series = (("shard", str(shard)),)
            nodes = self._panes[start][shard]
            parts = [part for node in sorted(nodes) for part in nodes[node]]
            summary = merge(parts)
            yield Row(PANE, False, series, start, [summary])
            window = tier_start(start, _HOUR)
            hour = self._hours[window][shard]
            hour.put(start, summary)
            tiers["1m", shard, tier_start(start, _MINUTE)] = hour
            tiers["1h", shard, window] = hour
        for (name, shard, window), hour in tiers.items():
            parts = [hour.minutes[window]] if name == "1m" else hour.by_minute()
            yield Row(name, False, (("shard", str(shard)),), window, parts)
