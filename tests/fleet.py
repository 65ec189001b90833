"""A large fleet for tests and benchmarks: nodes by the thousand over months, stored as workers store their tiers.

Hours are there for the whole time, minutes for the last day, panes and health for the last ten minutes: that is what
the pages read of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from smartlearn.core.batch import FloatArray
from smartlearn.core.stores.base import MetricStore, Points

SECOND: Final = 1_000_000_000
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR
SHARDS: Final = 48

METRICS: Final[Mapping[str, float]] = {"cpu_usage": 40.0, "memory_usage": 55.0}
"""Metric → its usual value; a node deviates from it by its number, by the hour of the day, and by chance."""

_TIERS: Final = (("1h", HOUR, None), ("1m", 60 * SECOND, DAY), ("10s", 10 * SECOND, 600 * SECOND))
_NODES_AT_ONCE: Final = 50


def names(nodes: int) -> list[str]:
    """The names of so many nodes."""
    return [f"node-{number:04}" for number in range(nodes)]


def seed(store: MetricStore, now: int, *, nodes: int = 1000, days: int = 90) -> None:
    """Write a fleet up to `now` (ns)."""
    for tier, width, longest in _TIERS:
        span = min(days * DAY, longest or days * DAY)
        for first in range(0, nodes, _NODES_AT_ONCE):
            part = names(nodes)[first : first + _NODES_AT_ONCE]
            store.write(_rows(f"performance_{tier}", "node", part, now, span, width, first))
        shards = [str(shard) for shard in range(SHARDS)]
        store.write(_rows(f"performance_fleet_{tier}", "shard", shards, now, span, width, 0))
    for first in range(0, nodes, _NODES_AT_ONCE):
        store.write(_health(names(nodes)[first : first + _NODES_AT_ONCE], now, first))


def _rows(
    measurement: str, tag: str, values: Sequence[str], now: int, span: int, width: int, first: int
) -> Iterator[Points]:
    last = now // width * width
    time = np.arange(last - span, last, width, dtype=np.int64)
    count = np.full(len(time), float(width // (10 * SECOND)))
    daily = np.sin(2 * np.pi * (time % DAY) / DAY)
    for number, value in enumerate(values, start=first):
        rng = np.random.default_rng(number)
        fields: dict[str, FloatArray] = {}
        for metric, usual in METRICS.items():
            mean = np.clip(usual + number % 40 + 8 * daily + rng.normal(0, 2, len(time)), 0, 100)
            fields |= {
                f"{metric}_count": count, f"{metric}_sum": mean * count, f"{metric}_mean": mean,
                f"{metric}_min": np.clip(mean - 3, 0, 100), f"{metric}_max": np.clip(mean + 3, 0, 100),
            }  # fmt: skip
        yield Points(measurement, time, {tag: value}, fields)


def _health(values: Sequence[str], now: int, first: int) -> Iterator[Points]:
    last = now // (10 * SECOND) * (10 * SECOND)
    time = np.arange(last - 600 * SECOND, last, 10 * SECOND, dtype=np.int64)
    for number, value in enumerate(values, start=first):
        component = float(np.clip(100 - number % 60, 0, 100))
        score = max(0.0, 100 - 0.6 * (100 - component))
        yield Points("health", time, {"node": value}, {"score": score, "cpu_usage": component})
