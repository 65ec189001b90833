"""The embedded store on a disk that is full."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.chaos.load import Load
from tests.comparison import differences
from tests.reference import rows_of
from tests.stacks import until
from tests.workers import PARTITIONS, PATIENCE_S, Bench, bench

from smartlearn.core.topics import TOPIC_OF, TRAINING

pytestmark = pytest.mark.chaos

RAW = ("performance", "training", "interactions", "alerts", "runs", "annotations")
ROUNDS = 20
FULL_US = 3_000_000


def owned(desk: Bench) -> int:
    """How many partitions the worker says it owns."""
    return sum(len(numbers) for numbers in desk.assigned("worker-1").values())


def send(desk: Bench, load: Load, rounds: int) -> None:
    """Send rounds, and wait until the broker has them."""
    for _ in range(rounds):
        desk.send(*load.round())
    desk.sent()


def fill(folder: Path) -> Path:
    """Leave no room at all on a file system; the file that holds it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(b"x" * (1 << 12)):
            pass
    room = os.statvfs(folder)
    assert room.f_bavail == 0
    return ballast


def test_sqlite_on_a_full_disk_costs_time_and_nothing_else(file_system: Callable[[str], Path], seed: int) -> None:
    """Guards that what a full disk refuses is written again."""
    load = Load(seed)
    with bench(file_system("24m")) as desk:
        worker = desk.start("worker-1")
        until(lambda: owned(desk) == len(TOPIC_OF) * PARTITIONS, PATIENCE_S)
        send(desk, load, ROUNDS)
        until(lambda: desk.stored("performance") > 0, PATIENCE_S)
        ballast = fill(desk.settings.data_dir)
        read = desk.counts(TRAINING, "worker-1")["in"]
        send(desk, load, ROUNDS)
        until(lambda: desk.counts(TRAINING, "worker-1")["in"] > read, PATIENCE_S)
        since = desk.heartbeat("worker-1")["sent"]
        until(lambda: desk.heartbeat("worker-1")["sent"] > since + FULL_US, PATIENCE_S)
        stored = desk.stored("performance")
        ballast.unlink()
        send(desk, load, ROUNDS)
        desk.send(*load.rest())
        desk.sent()
        events = load.events()
        assert stored < len(events.performance)
        until(lambda: desk.stored("performance") == len(events.performance), PATIENCE_S)
        expected = rows_of(events)
        until(lambda: not differences(desk.rows(*RAW), expected), PATIENCE_S)
        assert desk.stored("training") == len(events.training)
        assert desk.stored("interactions") == len(events.interactions)
        assert worker.poll() is None
