"""What the whole stack stores equals one offline computation, row for row, with live traffic beside it."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from tests.comparison import differences, stored_rows
from tests.reference import Rows, alerts_of, load_export, micros, rows_of
from tests.stacks import Stack, running_stack, until

from smartlearn.core.batch import Kind
from smartlearn.core.partitioning import partition_of
from smartlearn.core.settings import Settings
from smartlearn.core.stores import open_store
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.producers.client import EventProducer

pytestmark = pytest.mark.integration

RAW = ("performance", "training", "interactions", "runs", "annotations", "alerts")
PARTITIONS = 12
LEARNER = "p1_00000000_" + "0" * 32


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack of this module, whose store nobody else writes to."""
    with running_stack(tmp_path_factory.mktemp("offline"), "--no-agent", "--workers", "2") as running:
        yield running


def neighbour(key: str) -> str:
    """Another key on the same partition."""
    wanted = partition_of(key, PARTITIONS)
    return next(name for n in range(1000) if partition_of(name := f"live-{n}", PARTITIONS) == wanted)


@contextmanager
def live_traffic(stack: Stack, *nodes: str) -> Iterator[None]:
    """Nodes and an application that send what happens now, until the block ends."""
    settings = Settings(data_dir=stack.data_dir)
    stop, sent = threading.Event(), threading.Event()

    def send() -> None:
        with EventProducer(settings, source=neighbour("import")) as producer:
            while not stop.wait(0.2):
                for node in nodes:
                    producer.emit(Kind.PERFORMANCE, {"node": node, "cpu_usage": 95.0, "memory_usage": 10.0})
                interaction = {"learner": LEARNER, "action": "quiz", "subject": "physics", "difficulty": "advanced"}
                numbers = {"response_time": 10.0, "accuracy": 1.0, "engagement_score": 5.0}
                producer.emit(Kind.INTERACTION, interaction | numbers)
                sent.set()

    thread = threading.Thread(target=send)
    thread.start()
    try:
        assert sent.wait(10)
        yield
    finally:
        stop.set()
        thread.join()


def derived_rows(stack: Stack, before: datetime) -> Rows:
    """Everything derived that is stamped before a time."""
    store = open_store(Settings(data_dir=stack.data_dir))
    stop = int(before.timestamp() * 1e9)
    try:
        return {
            key: fields
            for name in store.measurements()
            if name not in RAW
            for key, fields in stored_rows(store.query(SeriesQuery(name, stop=stop))).items()
        }
    finally:
        store.close()


def check(stack: Stack, export_file: Path, node: str) -> None:
    events = load_export(export_file, node=node, run="run-1")
    assert differences(derived_rows(stack, datetime(2025, 12, 31, tzinfo=UTC)), rows_of(events)) == []
    alerts = stack.json("alerts", "list", "--stop", "2025-12-31", "--format", "json")
    wanted = alerts_of(events.performance)
    assert [alert["id"] for alert in sorted(alerts, key=lambda a: (a["at"], a["fingerprint"]))] == [
        alert.id for alert in wanted
    ]
    by_id = {alert["id"]: alert for alert in alerts}
    for alert in wanted:
        told = by_id[alert.id]
        assert told["value"] == pytest.approx(alert.value, rel=1e-11)
        assert micros(told["at"]) == alert.at
        for name in ("fingerprint", "rule", "node", "state", "previous", "threshold", "action"):
            assert told[name] == getattr(alert, name)


@pytest.mark.timeout(400)
def test_every_derived_row_of_an_import_equals_the_offline_one_beside_live_traffic_a_year_ahead(
    own: Stack, export_file: Path
) -> None:
    node = "laptop"
    with live_traffic(own, node, neighbour(node)):
        own.call("import", str(export_file), "--node", node, "--run", "run-1", "--wait")
        check(own, export_file, node)
        before = derived_rows(own, datetime(2025, 12, 31, tzinfo=UTC))
    old = {name: own.pid(name) for name in ("worker-1", "worker-2")}

    for pid in old.values():
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    until(lambda: all(own.pid(name) not in {None, pid} for name, pid in old.items()))
    own.call("import", str(export_file), "--node", node, "--run", "run-1", "--wait")
    assert derived_rows(own, datetime(2025, 12, 31, tzinfo=UTC)) == before
    counts = own.json("export", "--stop", "2025-12-31")["demo_info"]
    assert [counts[f"total_{kind}_metrics"] for kind in ("performance", "training", "user")] == [288, 200, 200]


def test_ten_thousand_events_of_a_coarse_clock_keep_their_exact_times(own: Stack) -> None:
    start = datetime(2026, 3, 1, tzinfo=UTC)
    rng = np.random.default_rng(20261125)
    seconds = rng.integers(0, 600, 10_000)
    with EventProducer(Settings(data_dir=own.data_dir), source="school") as producer:
        for number, second in enumerate(seconds.tolist()):
            at = start + timedelta(seconds=second)
            producer.emit(
                Kind.INTERACTION,
                {
                    "learner": f"p1_00000000_{number % 50:032x}",
                    "action": "quiz",
                    "subject": "physics",
                    "difficulty": "advanced",
                    "response_time": float(number),
                    "accuracy": 0.5,
                    "engagement_score": 5.0,
                },
                at,
            )
            producer.emit(
                Kind.TRAINING,
                {"run": "coarse", "node": "n", "epoch": 1, "step": number, "training_loss": 1.0, "learning_rate": 0.1},
                at,
            )
        assert producer.flush(60)
    window = ("--start", "2026-03-01", "--stop", "2026-03-02")

    def exported() -> dict[str, list[dict[str, object]]]:
        found: dict[str, list[dict[str, object]]] = json.loads(own.call("export", *window).stdout)
        return found

    until(lambda: exported()["demo_info"]["total_user_metrics"] == 10_000)  # type: ignore[call-overload]
    until(lambda: exported()["demo_info"]["total_training_metrics"] == 10_000)  # type: ignore[call-overload]
    document = exported()
    expected = {
        number: (start + timedelta(seconds=second)).replace(tzinfo=None).isoformat()
        for number, second in enumerate(seconds.tolist())
    }
    interactions = {int(float(str(r["response_time"]))): r["timestamp"] for r in document["user_metrics"]}
    steps = {int(str(r["step"])): r["timestamp"] for r in document["training_metrics"]}
    assert interactions == expected
    assert steps == expected
