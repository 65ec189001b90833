"""The dashboards over a collector of this very process: no broker, no store, no workers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from smartlearn.core.settings import RuleSettings, Settings
from smartlearn.core.stores.base import Series, SeriesQuery
from smartlearn.core.topics import INTERACTIONS, PERFORMANCE, TOPIC_OF, TRAINING
from smartlearn.dashboard.live.board import METRICS, Standing
from smartlearn.dashboard.live.feed import BrokerStatus
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.sources import open_source

# One page asks a dozen times at once; the lists are read once for all.
_FRESH_S: Final = 1.0
_TURN_S: Final = 0.5
_STOP_S: Final = 2.0

_LISTS: Final = {PERFORMANCE: "performance_metrics", TRAINING: "training_metrics", INTERACTIONS: "user_metrics"}
_FIELDS: Final = (*METRICS, "gpu_memory_used", "gpu_memory_total")


class CollectorHistory:
    """What a collector holds now, as a history; read anew when it is a second old.

    Args:
        collector: an object with the lists `performance_metrics`, `training_metrics` and `user_metrics`.
        settings: levels and the names of what has none.
    """

    def __init__(self, collector: object, settings: Settings) -> None:
        self._collector = collector
        self._settings = settings
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._history: History | None = None

    def query(self, query: SeriesQuery) -> list[Series]:
        """Read series, sorted by their tags."""
        return self._now().query(query)

    def latest(
        self, measurement: str, fields: tuple[str, ...] | None = None, where: Mapping[str, str] | None = None
    ) -> list[Series]:
        """The newest row of each series."""
        return self._now().latest(measurement, fields, where)

    def tag_values(self, measurement: str, tag: str) -> list[str]:
        """The values of a tag, sorted."""
        return self._now().tag_values(measurement, tag)

    def fields(self, measurement: str) -> list[str]:
        """The names of a measurement's fields, sorted."""
        return self._now().fields(measurement)

    def retention(self, measurement: str) -> int | None:
        """A collector keeps so many, not so long."""
        return self._now().retention(measurement)

    def check(self) -> str:
        """What this is; it answers as long as the process does."""
        return "a collector in this process"

    def _now(self) -> History:
        with self._lock:
            if self._history is None or time.monotonic() - self._read_at > _FRESH_S:
                self._history = open_source(self._collector, self._settings).history
                self._read_at = time.monotonic()
            return self._history


class CollectorFeed:
    """Tells the board what a collector's newest sample is, as a worker would.

    Args:
        collector: an object with the three lists.
        node: whose its samples are.
        on_live: gets each message.
        on_alert: gets nothing: what stands is computed by `above_levels`.
        on_turn: called twice a second.
    """

    def __init__(
        self,
        collector: object,
        node: str,
        on_live: Callable[[Mapping[str, Any]], None],
        on_alert: Callable[[Mapping[str, Any]], None],
        on_turn: Callable[[], None],
    ) -> None:
        self._collector = collector
        self._node = node
        self._on_live = on_live
        self._on_turn = on_turn
        self._counts = dict.fromkeys(TOPIC_OF.values(), 0)
        self._newest: dict[str, object] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector-feed", daemon=True)

    @property
    def status(self) -> BrokerStatus:
        """There is no broker to be away."""
        return BrokerStatus(True, partitions=dict.fromkeys(TOPIC_OF.values(), 1))

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        while not self._stop.wait(_TURN_S):
            self._on_live(self._message())
            self._on_turn()

    def _message(self) -> dict[str, Any]:
        newest = {topic: self._take(topic) for topic in _LISTS}
        sample = newest[PERFORMANCE]
        table: dict[str, list[Any]] = {}
        if sample is not None:
            table = {"node": [str(getattr(sample, "node", None) or self._node)], "timestamp": [_time_us(sample)]}
            table |= {name: [getattr(sample, name, None)] for name in _FIELDS}
        return {
            "worker": "this process",
            "pid": os.getpid(),
            "assigned": {topic: [0] for topic in TOPIC_OF.values()},
            "counts": {topic: {"in": count, "stored": count} for topic, count in self._counts.items()},
            "lag": dict.fromkeys(TOPIC_OF.values(), 0),
            "performance": table,
        }

    def _take(self, topic: str) -> object | None:
        """The newest record of a list if it is a new one; the list is bounded, so its length alone does not tell."""
        records = list(getattr(self._collector, _LISTS[topic]))
        known = self._newest.get(topic)
        if not records or records[-1] is known:
            return None
        place = next((index for index, one in enumerate(records) if one is known), -1)
        self._counts[topic] += len(records) - 1 - place
        self._newest[topic] = records[-1]
        return self._newest[topic]


def _time_us(record: object) -> int:
    moment = getattr(record, "timestamp", None)
    return round(moment.timestamp() * 1e6) if isinstance(moment, datetime) else time.time_ns() // 1000


def above_levels(collector: object, node: str, rules: Sequence[RuleSettings]) -> list[Standing]:
    """What the newest sample of a collector is above; nothing where there is none yet."""
    records = list(getattr(collector, _LISTS[PERFORMANCE]))
    if not records:
        return []
    sample = records[-1]
    used, total = getattr(sample, "gpu_memory_used", None), getattr(sample, "gpu_memory_total", None)
    found = []
    for rule in rules:
        value = getattr(sample, rule.metric, None)
        if rule.metric == "gpu_memory" and used is not None and total:
            value = 100.0 * used / total
        if value is None or not value > rule.warning:
            continue
        state, threshold = ("critical", rule.critical) if value > rule.critical else ("warning", rule.warning)
        found.append(Standing(rule.name, node, state, float(value), threshold, rule.action, _time_us(sample)))
    return found
