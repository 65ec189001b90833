"""A program that emits events while no broker answers, and says when all of them are on disk; then it waits."""

from __future__ import annotations

import sys
import time
from typing import Any

from smartlearn.core.batch import Kind
from smartlearn.core.settings import load_settings
from smartlearn.producers.client import EventProducer

NODES = 4
START_US = 1_790_000_000_000_001
"""Its last digit keeps every time at a resolution of a microsecond: stored, it is then cut to one."""


def events(count: int) -> list[dict[str, Any]]:
    """What it emits: ten events a second and node."""
    return [
        {
            "timestamp": START_US + number // NODES * 100_000,
            "node": f"emitting-{number % NODES}",
            "cpu_usage": float(number % 101),
        }
        for number in range(count)
    ]


def main() -> None:
    """Emit as many events as the first argument says; report the slowest `emit`, in µs."""
    producer = EventProducer(load_settings())
    slowest = 0
    made = events(int(sys.argv[1]))
    for event in made:
        fields = {name: value for name, value in event.items() if name != "timestamp"}
        started = time.perf_counter_ns()
        assert producer.emit(Kind.PERFORMANCE, fields, event["timestamp"])
        slowest = max(slowest, time.perf_counter_ns() - started)
    while sum(counts["spooled"] for counts in producer.counts().values()) < len(made):
        time.sleep(0.01)
    sys.stdout.write(f"{slowest // 1000}\n")
    sys.stdout.flush()
    # It may send what it has spooled, until it is killed.
    sys.stdin.read()


if __name__ == "__main__":
    main()
