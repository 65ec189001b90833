"""The ledger: after a drain, what was delivered is what the workers account for, to the last row."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from confluent_kafka import Producer
from tests.integration.test_stack import write_export
from tests.stacks import Stack, running_stack, until

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.settings import KafkaSettings, Settings
from smartlearn.core.topics import INTERACTIONS, PERFORMANCE, TRAINING
from smartlearn.producers.client import EventProducer
from smartlearn.producers.counts import TopicCounts
from smartlearn.producers.ledger import Ledger

pytestmark = pytest.mark.integration

SECOND = 1_000_000


def ledger(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = stack.json("status", "--ledger", "--format", "json")
    return found


def training(first: int, rows: int, *, boot: str = "by-hand") -> Batch:
    now = time.time_ns() // 1000
    numbers = {
        "epoch": np.ones(rows),
        "step": np.arange(first, first + rows, dtype=float),
        "training_loss": np.ones(rows),
        "learning_rate": np.full(rows, 1e-4),
    }
    times = now + np.arange(rows, dtype=np.int64)
    return Batch(Kind.TRAINING, "trainer", "r", times, numbers, {"run": "r", "node": "n"}, boot=boot, seq=first)


def test_after_a_drain_the_sum_is_exact(tmp_path: Path) -> None:
    write_export(tmp_path / "export.json", datetime(2026, 1, 5, 10, tzinfo=UTC).replace(tzinfo=None), 50)
    with running_stack(tmp_path / "data", "--no-agent", "--workers", "2") as stack:
        settings = Settings(data_dir=stack.data_dir, node="lab-1", kafka=KafkaSettings())
        with EventProducer(settings) as producer:
            for number in range(2000):
                producer.emit(Kind.PERFORMANCE, {"node": f"lab-{number % 7}", "cpu_usage": number % 100})
                if number == 1000:
                    assert producer.flush(30)
                    os.kill(stack.pid("worker-1") or 0, signal.SIGKILL)
            ahead = time.time_ns() // 1000 + 3600 * SECOND
            for number in range(3):
                producer.emit(Kind.PERFORMANCE, {"node": "fast", "cpu_usage": 1.0}, ahead + number)
            producer.emit(Kind.PERFORMANCE, {"node": "lab-1", "cpu_usage": 1e9})
            assert producer.flush(30)
        with EventProducer(settings, source="trainer") as producer:
            # Rows 30 to 39 were lost before they could be sent, 50 to 59 are sent twice.
            for first, rows in ((0, 30), (40, 20), (50, 20)):
                assert producer.send(training(first, rows))
            assert producer.flush(30)
        by_hand = Producer({"bootstrap.servers": stack.kafka, "partitioner": "murmur2_random"})
        event = {"timestamp": "2026-01-05T10:00:00Z", "node": "by-hand", "cpu_usage": 12.5}
        by_hand.produce(PERFORMANCE, key="by-hand", value=json.dumps(event).encode())
        by_hand.produce(PERFORMANCE, key="another", value=json.dumps(event).encode())
        by_hand.produce(PERFORMANCE, key="by-hand", value=b"{nonsense")
        by_hand.produce(INTERACTIONS, key="x", value=b"[]")
        assert by_hand.flush(30) == 0
        for _ in range(2):
            stack.call("import", str(tmp_path / "export.json"), "--node", "old", "--wait")

        until(lambda: ledger(stack)["settled"] is True)
        found = ledger(stack)
        assert found["problems"] == []
        assert stack.call("status", "--ledger", "--check").returncode == 0

        performance = found["topics"][PERFORMANCE]
        assert performance["sent"] == {
            "produced": 2103, "refused": 1, "spooled": 0, "dropped": 0, "waiting": 0, "delivered": 2103,
        }  # fmt: skip
        forwarded = performance["arrived"]["forwarded"]
        assert forwarded <= 1
        assert performance["arrived"] == {
            "in": 2106 + forwarded, "forwarded": forwarded, "stored": 2052, "late": performance["arrived"]["late"],
            "duplicate": 50, "dead": 4, "expired": 0, "missing": 0, "others": 3,
        }  # fmt: skip
        assert found["topics"][TRAINING]["sent"]["delivered"] == 70
        assert found["topics"][TRAINING]["arrived"] == {
            "in": 70, "forwarded": 0, "stored": 60, "late": 0, "duplicate": 10, "dead": 0, "expired": 0, "missing": 10,
            "others": 0,
        }  # fmt: skip
        assert found["topics"][INTERACTIONS]["arrived"]["dead"] == 1
        assert found["topics"][INTERACTIONS]["sent"]["produced"] == 0
        for one in found["topics"].values():
            arrived = one["arrived"]
            fates = sum(arrived[fate] for fate in ("stored", "duplicate", "dead", "expired"))
            assert one["sent"]["delivered"] + arrived["others"] == fates
            assert (one["unaccounted"], one["extra"]) == (0, 0)

        assert found["sent"]["lab-1"][PERFORMANCE]["delivered"] == 2003
        assert found["sent"]["import"][PERFORMANCE]["delivered"] == 100
        assert found["arrived"]["import"][PERFORMANCE]["duplicate"] == 50
        assert found["arrived"]["lab-1"][PERFORMANCE]["dead"] == 3
        assert found["arrived"]["trainer"][TRAINING]["missing"] == 10
        assert len(stack.query("performance", "--field", "cpu_usage")) == 2052

        table = stack.call("status", "--ledger").stdout
        assert "2,103" in table
        assert "delivered = stored + duplicate + dead + expired" in table


def test_machines_are_added_up_and_what_was_never_read_is_named(tmp_path: Path) -> None:
    with running_stack(tmp_path / "data", "--no-agent") as stack:
        here = Settings(data_dir=stack.data_dir, node="lab-1", kafka=KafkaSettings())
        elsewhere = Settings(
            data_dir=tmp_path / "elsewhere", node="lab-2", kafka=KafkaSettings(bootstrap_servers=stack.kafka)
        )
        for settings in (here, elsewhere, elsewhere):
            with EventProducer(settings) as producer:
                for step in range(5):
                    producer.emit(Kind.TRAINING, {"run": "r", "node": "n", "epoch": 1, "step": step,
                                                  "training_loss": 1.0, "learning_rate": 1e-4})  # fmt: skip
                assert producer.flush(30)
        until(lambda: ledger(stack)["settled"] is True)
        found = ledger(stack)
        assert {source: topics[TRAINING]["delivered"] for source, topics in found["sent"].items()} == {
            "lab-1": 5, "lab-2": 10,
        }  # fmt: skip
        assert (found["problems"], found["topics"][TRAINING]["extra"]) == ([], 0)
        Ledger(stack.data_dir).add({("lab-1", TRAINING): TopicCounts(produced=2, delivered=2)})
        assert ledger(stack)["problems"] == [f"{TRAINING}: 2 rows were delivered and are not accounted for"]
        assert stack.call("status", "--ledger", "--check", check=False).returncode == 1
