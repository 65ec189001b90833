"""The present, as the live and alert topics tell it: newest values, workers, rates, what stands. No I/O, no clock.

Times are µs since the epoch; `now` is handed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

SECOND_US: Final = 1_000_000

# A worker beats twice a second; one that missed ten beats does not answer.
SILENT_US: Final = 5 * SECOND_US
# A node counts as reporting while its newest value is younger than this.
FRESH_US: Final = 60 * SECOND_US
# Rates are taken over so long: a burst shows, a single batch does not jump.
RATE_US: Final = 10 * SECOND_US

METRICS: Final = ("cpu_usage", "memory_usage", "gpu_memory", "response_time")
"""What live views show of a node."""

# What a page that was cut off reads from memory, before the store has it: minutes of some nodes, seconds of thousands.
RECENT_US: Final = 120 * SECOND_US
_MOST_RECENT: Final = 20_000

MOST_NODES: Final = 100
"""Up to so many nodes a client gets all that moved; of more, the highest of each metric."""

TOP: Final = 20


@dataclass(frozen=True, slots=True)
class Beat:
    """What a worker last said of itself.

    Attributes:
        received: when it was read.
        pid: the worker's process.
        assigned: topic → partitions.
        counts: topic → what → how many.
        lag: topic → messages not read yet.
    """

    received: int
    pid: int
    assigned: Mapping[str, Sequence[int]]
    counts: Mapping[str, Mapping[str, int]]
    lag: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Standing:
    """The state of one rule on one node.

    Attributes:
        at: end of the pane that decided.
    """

    rule: str
    node: str
    state: str
    value: float
    threshold: float
    action: str
    at: int


@dataclass(frozen=True, slots=True)
class Sample:
    """What a node sent at a time.

    Attributes:
        timestamp: µs.
        values: metric → value, of those that were sent.
    """

    timestamp: int
    node: str
    values: Mapping[str, float]


@dataclass(slots=True)
class _Node:
    timestamp: int
    values: dict[str, float] = field(default_factory=dict)


class Board:
    """Takes messages in, gives updates out. Not thread-safe: one thread owns it."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._moved: set[str] = set()
        self._beats: dict[str, Beat] = {}
        self._totals: deque[tuple[int, dict[str, int]]] = deque()
        self._standing: dict[tuple[str, str], Standing] = {}
        self._newest = 0
        self._recent: deque[Sample] = deque(maxlen=_MOST_RECENT)

    def take_live(self, message: Mapping[str, Any], now: int) -> None:
        """Take a worker's message in; one that names no worker brings samples only.

        Raises:
            KeyError: it lacks what every message of a worker has.
            TypeError: a part has another shape.
        """
        if "worker" in message:
            self._beats[str(message["worker"])] = Beat(
                now, int(message["pid"]), message["assigned"], message["counts"], message["lag"]
            )
            self._total(now)
        for table in ("performance", "training", "interactions"):
            times = message.get(table, {}).get("timestamp", ())
            self._newest = max(self._newest, *times, 0)
        self._take_nodes(message.get("performance", {}))

    def take_alert(self, message: Mapping[str, Any]) -> bool:
        """Take a transition in; False where it retracts one, so that what stands must be read from the store.

        Raises:
            KeyError: it lacks what every transition has.
            ValueError: its time is none.
        """
        if int(message["revision"]) % 2:
            return False
        at = round(datetime.fromisoformat(message["at"]).timestamp() * SECOND_US)
        key = (str(message["rule"]), str(message["node"]))
        known = self._standing.get(key)
        if known is None or at >= known.at:
            self._standing[key] = Standing(
                *key,
                str(message["state"]),
                float(message["value"]),
                float(message["threshold"]),
                str(message["action"]),
                at,
            )
        return True

    def replace_standing(self, standing: Iterable[Standing]) -> None:
        """What stands, as the store has it; newer transitions of the topic stay."""
        known = self._standing
        self._standing = {(one.rule, one.node): one for one in standing}
        for key, one in known.items():
            stored = self._standing.get(key)
            if stored is not None and one.at > stored.at:
                self._standing[key] = one

    def open_alerts(self) -> list[Standing]:
        """What is in warning or critical, critical first, then the newest."""
        found = [one for one in self._standing.values() if one.state != "ok"]
        return sorted(found, key=lambda one: (one.state != "critical", -one.at, one.rule, one.node))

    def workers(self, now: int) -> dict[str, Beat]:
        """Worker → its newest beat, of those that were heard of within a minute."""
        self._beats = {name: beat for name, beat in self._beats.items() if now - beat.received < 12 * SILENT_US}
        return dict(sorted(self._beats.items()))

    def answering(self, now: int) -> dict[str, Beat]:
        """The workers that beat."""
        return {name: beat for name, beat in self.workers(now).items() if now - beat.received < SILENT_US}

    def lag(self, now: int) -> dict[str, int]:
        """Topic → messages not read yet, over all workers that beat."""
        return _sums(beat.lag for beat in self.answering(now).values())

    def counts(self, now: int) -> dict[str, dict[str, int]]:
        """Topic → what → how many, over all workers that beat."""
        totals: dict[str, dict[str, int]] = {}
        for beat in self.answering(now).values():
            for topic, counts in beat.counts.items():
                mine = totals.setdefault(topic, {})
                for name, count in counts.items():
                    mine[name] = mine.get(name, 0) + count
        return totals

    def rates(self, now: int) -> dict[str, float]:
        """Topic → events a second, over the last seconds."""
        while len(self._totals) > 2 and self._totals[0][0] < now - RATE_US:
            self._totals.popleft()
        if len(self._totals) < 2:
            return {}
        (first, before), (last, after) = self._totals[0], self._totals[-1]
        seconds = max(last - first, 1) / SECOND_US
        return {topic: max(count - before.get(topic, count), 0) / seconds for topic, count in after.items()}

    def state(self, now: int) -> dict[str, Any]:
        """What every page shows: which workers answer, and how many alerts are open."""
        states = [one.state for one in self._standing.values()]
        return {
            "now": now,
            "workers": {name: (now - beat.received) < SILENT_US for name, beat in self.workers(now).items()},
            "open": {state: states.count(state) for state in ("critical", "warning")},
        }

    def update(self, now: int, watched: frozenset[str] = frozenset()) -> dict[str, Any]:
        """What changed and what is, for a client that watches some nodes, or all where it names none."""
        fresh = {name: node for name, node in self._nodes.items() if now - node.timestamp < FRESH_US}
        names = sorted((watched or self._shown(fresh)) & self._moved & fresh.keys())
        return {
            "newest": self._newest,
            "nodes": {
                "node": names,
                "timestamp": [fresh[name].timestamp for name in names],
                **{metric: [fresh[name].values.get(metric) for name in names] for metric in METRICS},
            },
            "fleet": _fleet({name: node.values for name, node in fresh.items() if not watched or name in watched}),
            "rates": self.rates(now),
            "lag": self.lag(now),
            "counts": self.counts(now),
            "alerts": [
                {
                    "rule": one.rule, "node": one.node, "state": one.state, "value": one.value,
                    "threshold": one.threshold, "action": one.action, "at": one.at,
                }
                for one in self.open_alerts()
                if not watched or one.node in watched
            ][:MOST_NODES],
        }  # fmt: skip

    def recent(self, now: int, watched: frozenset[str] = frozenset()) -> list[Sample]:
        """The samples of the last two minutes, in time order, of the watched nodes, or of all where none is named."""
        return sorted(
            (one for one in self._recent if one.timestamp > now - RECENT_US and (not watched or one.node in watched)),
            key=lambda one: one.timestamp,
        )

    def settle(self, now: int) -> None:
        """After an update has gone to all clients: what moved starts anew, old nodes go."""
        self._moved.clear()
        for name in [name for name, node in self._nodes.items() if now - node.timestamp > 10 * FRESH_US]:
            del self._nodes[name]

    def _take_nodes(self, table: Mapping[str, Sequence[Any]]) -> None:
        names = table.get("node", ())
        times = table.get("timestamp", ())
        columns = {name: table[name] for name in (*METRICS, "gpu_memory_used", "gpu_memory_total") if name in table}
        for row, (name, time) in enumerate(zip(names, times, strict=True)):
            values = {metric: column[row] for metric, column in columns.items() if isinstance(column[row], int | float)}
            total = values.pop("gpu_memory_total", 0.0)
            used = values.pop("gpu_memory_used", None)
            if used is not None and total > 0:
                values["gpu_memory"] = 100.0 * used / total
            self._recent.append(Sample(time, name, values))
            node = self._nodes.setdefault(name, _Node(0))
            if time < node.timestamp:
                continue
            node.timestamp = time
            node.values.update(values)
            self._moved.add(name)

    def _total(self, now: int) -> None:
        totals = {topic: counts.get("in", 0) for topic, counts in self.counts(now).items()}
        self._totals.append((now, totals))

    def _shown(self, fresh: Mapping[str, _Node]) -> frozenset[str]:
        if len(fresh) <= MOST_NODES:
            return frozenset(fresh)
        shown: set[str] = set()
        for metric in METRICS:
            having = [(node.values[metric], name) for name, node in fresh.items() if metric in node.values]
            shown.update(name for _, name in sorted(having, reverse=True)[:TOP])
        return frozenset(shown)


def _fleet(nodes: Mapping[str, Mapping[str, float]]) -> dict[str, Any]:
    """Metric → mean, the highest with its node, and how many nodes have it."""
    found: dict[str, Any] = {"nodes": len(nodes)}
    for metric in METRICS:
        having = [(values[metric], name) for name, values in nodes.items() if metric in values]
        if having:
            highest, name = max(having)
            mean = sum(value for value, _ in having) / len(having)
            found[metric] = {"mean": mean, "high": highest, "node": name, "nodes": len(having)}
    return found


def _sums(many: Iterable[Mapping[str, int]]) -> dict[str, int]:
    totals: dict[str, int] = {}
    for one in many:
        for name, count in one.items():
            totals[name] = totals.get(name, 0) + count
    return totals
