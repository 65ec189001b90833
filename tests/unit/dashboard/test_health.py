"""`/health`: what answers and what does not."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from smartlearn.core.errors import StoreUnavailable
from smartlearn.core.stack import StackRecord
from smartlearn.core.topics import PERFORMANCE, TOPIC_OF
from smartlearn.dashboard.health import Health
from smartlearn.dashboard.live.feed import BrokerStatus

COUNT = 4


def worker(partitions: range = range(COUNT), *, answers: bool = True) -> dict[str, Any]:
    return {"pid": 7, "answers": answers, "assigned": {topic: list(partitions) for topic in TOPIC_OF.values()}}


@dataclass
class Present:
    """What the live topic tells, by hand."""

    up: bool = True
    clients: int = 2
    found: dict[str, Any] = field(default_factory=lambda: {"worker-1": worker()})
    partitions: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOPIC_OF.values(), COUNT))

    @property
    def broker(self) -> BrokerStatus:
        return BrokerStatus(self.up, "" if self.up else "no Kafka broker answers at localhost:1", self.partitions)

    def workers(self) -> dict[str, Any]:
        return self.found

    def lag(self) -> dict[str, int]:
        return {PERFORMANCE: 3}

    def counts(self) -> dict[str, dict[str, int]]:
        return {PERFORMANCE: {"in": 9}}


class Store:
    """A store that answers, or not."""

    def __init__(self, error: str | None = None) -> None:
        self.error = error
        self.asked = 0

    def check(self) -> str:
        self.asked += 1
        if self.error:
            raise StoreUnavailable(self.error)
        return "SQLite 3"


def record(folder: Path, workers: int) -> None:
    StackRecord(
        pid=os.getpid(), mode="embedded", kafka="localhost:1", kafka_epoch=None, dashboard="http://localhost:2",
        workers=workers, components=[],
    ).write(folder)  # fmt: skip


def report(present: Present, folder: Path, store: Store | None = None) -> dict[str, Any]:
    return Health(store or Store(), present, folder).report()


def test_a_whole_installation_is_ok(tmp_path: Path) -> None:
    state = report(Present(), tmp_path)
    assert state["status"] == "ok"
    assert state["components"]["store"] == {"state": "ok", "version": "SQLite 3"}
    assert state["components"]["workers"] == {"worker-1": {"state": "running", "pid": 7}}
    assert state["components"]["dashboard"]["live_pages"] == 2
    assert state["lag"] == {PERFORMANCE: 3}
    assert state["counts"] == {PERFORMANCE: {"in": 9}}


def test_a_broker_that_is_away_is_said(tmp_path: Path) -> None:
    state = report(Present(up=False), tmp_path)
    assert state["status"] == "degraded"
    assert state["components"]["broker"]["reason"] == "no Kafka broker answers at localhost:1"


def test_a_store_that_is_away_is_said(tmp_path: Path) -> None:
    state = report(Present(), tmp_path, Store("InfluxDB does not answer"))
    assert state["status"] == "degraded"
    assert state["components"]["store"] == {"state": "down", "reason": "InfluxDB does not answer"}


def test_a_worker_that_should_be_and_is_not_heard_is_silent(tmp_path: Path) -> None:
    record(tmp_path, 2)
    state = report(Present(), tmp_path)
    assert state["status"] == "degraded"
    assert state["components"]["workers"]["worker-2"] == {"state": "silent"}


def test_a_worker_that_stopped_beating_is_silent(tmp_path: Path) -> None:
    record(tmp_path, 1)
    state = report(Present(found={"worker-1": worker(answers=False)}), tmp_path)
    assert state["components"]["workers"]["worker-1"]["state"] == "silent"
    assert state["status"] == "degraded"


def test_a_former_worker_of_no_record_is_not_missed(tmp_path: Path) -> None:
    state = report(Present(found={"old": worker(answers=False), "new": worker()}), tmp_path)
    assert state["components"]["workers"] == {"new": {"state": "running", "pid": 7}}
    assert state["status"] == "ok"


def test_without_any_worker_it_is_degraded(tmp_path: Path) -> None:
    assert report(Present(found={}), tmp_path)["status"] == "degraded"


def test_partitions_that_nobody_has_are_named(tmp_path: Path) -> None:
    present = Present(found={"worker-1": worker(range(2)), "worker-2": worker(range(2, 4), answers=False)})
    state = report(present, tmp_path)
    assert state["status"] == "degraded"
    assert state["components"]["partitions"]["partitions"][PERFORMANCE] == [2, 3]


def test_two_workers_share_the_partitions(tmp_path: Path) -> None:
    present = Present(found={"worker-1": worker(range(2)), "worker-2": worker(range(2, 4))})
    assert report(present, tmp_path)["status"] == "ok"


def test_a_topic_that_does_not_exist_is_unassigned(tmp_path: Path) -> None:
    present = Present(partitions={}, found={"worker-1": {"pid": 1, "answers": True, "assigned": {}}})
    assert report(present, tmp_path)["components"]["partitions"]["state"] == "unassigned"


def test_a_store_is_not_asked_for_each_report(tmp_path: Path) -> None:
    store = Store()
    health = Health(store, Present(), tmp_path)
    for _ in range(5):
        health.report()
    assert store.asked == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]"])
def test_a_record_that_is_being_written_does_not_break_health(tmp_path: Path, content: bytes) -> None:
    StackRecord.path(tmp_path).write_bytes(content)
    assert report(Present(), tmp_path)["status"] == "ok"
