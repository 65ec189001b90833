from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from tests.unit.producers.brokers import FakeBroker

from smartlearn.core.batch import Kind
from smartlearn.core.errors import StoreUnavailable
from smartlearn.core.settings import KafkaSettings, ProducerSettings, Settings
from smartlearn.producers.client import EventProducer
from smartlearn.producers.counts import TopicCounts
from smartlearn.producers.ledger import Account, Ledger, Notebook

PERFORMANCE = "smartlearn.performance"
TRAINING = "smartlearn.training"


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "data")


def settings(data_dir: Path) -> Settings:
    return Settings(
        data_dir=data_dir,
        node="n1",
        kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"),
        producer=ProducerSettings(linger_ms=5),
    )


def await_ledger(data_dir: Path, wanted: dict[Account, TopicCounts]) -> None:
    deadline = time.monotonic() + 30
    while Ledger(data_dir).read() != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_counts_add_up_by_source_and_topic(ledger: Ledger) -> None:
    assert ledger.read() == {}
    ledger.add({("a", PERFORMANCE): TopicCounts(3, 0, 2, 1), ("b", PERFORMANCE): TopicCounts(1)})
    ledger.add({("a", PERFORMANCE): TopicCounts(1, 0, 2, 0), ("a", TRAINING): TopicCounts(refused=4)})
    assert ledger.read() == {
        ("a", PERFORMANCE): TopicCounts(produced=4, delivered=4, spooled=1),
        ("a", TRAINING): TopicCounts(refused=4),
        ("b", PERFORMANCE): TopicCounts(produced=1),
    }


def test_processes_that_add_at_once_lose_nothing(ledger: Ledger) -> None:
    def add() -> None:
        for _ in range(20):
            ledger.add({("a", PERFORMANCE): TopicCounts(produced=1)})

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert ledger.read() == {("a", PERFORMANCE): TopicCounts(produced=80)}


def test_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StoreUnavailable, match="cannot be written"):
        Ledger(tmp_path / "file").add({("a", PERFORMANCE): TopicCounts(1)})
    (tmp_path / "ledger.db").write_text("this is no database, and long enough to be looked at as one" * 20)
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        Ledger(tmp_path).read()


def test_a_notebook_adds_what_changed_at_most_once_a_second(ledger: Ledger) -> None:
    now = 0.0
    notebook = Notebook(ledger, "a", clock=lambda: now)
    assert notebook.note({PERFORMANCE: TopicCounts(2)}) is None
    assert notebook.note({PERFORMANCE: TopicCounts(2)}) is None
    now = 0.25
    assert notebook.note({PERFORMANCE: TopicCounts(5, delivered=1)}) == 0.75
    assert ledger.read() == {("a", PERFORMANCE): TopicCounts(2)}
    now = 1.0
    assert notebook.note({PERFORMANCE: TopicCounts(6, delivered=1)}) is None
    assert ledger.read() == {("a", PERFORMANCE): TopicCounts(6, delivered=1)}
    notebook.note({PERFORMANCE: TopicCounts(7, delivered=1)}, now=True)
    assert ledger.read() == {("a", PERFORMANCE): TopicCounts(7, delivered=1)}


def test_what_could_not_be_added_is_added_later(tmp_path: Path) -> None:
    blocker = tmp_path / "data"
    blocker.touch()
    ledger = Ledger(blocker)
    notebook = Notebook(ledger, "a")
    assert notebook.note({PERFORMANCE: TopicCounts(2)}, now=True) == 1.0
    blocker.unlink()
    assert notebook.note({PERFORMANCE: TopicCounts(3)}, now=True) is None
    assert ledger.read() == {("a", PERFORMANCE): TopicCounts(3)}


def test_counts_that_change_afterwards_are_not_taken_for_noted(ledger: Ledger) -> None:
    notebook, counts = Notebook(ledger, "a"), TopicCounts(1)
    notebook.note({PERFORMANCE: counts}, now=True)
    counts.produced = 4
    notebook.note({PERFORMANCE: counts}, now=True)
    assert ledger.read() == {("a", PERFORMANCE): TopicCounts(4)}


def test_producers_that_follow_each_other_are_added_up(tmp_path: Path) -> None:
    broker = FakeBroker()
    for _ in range(2):
        with EventProducer(settings(tmp_path), connect=broker.connect) as producer:
            for _ in range(5):
                producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": 1.0})
            producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": 1000.0})
    assert Ledger(tmp_path).read() == {("n1", PERFORMANCE): TopicCounts(produced=10, delivered=10, refused=2)}


def test_a_running_producer_notes_what_it_did_though_nothing_follows(tmp_path: Path) -> None:
    with EventProducer(settings(tmp_path), connect=FakeBroker().connect) as producer:
        for _ in range(3):
            producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": 1.0})
            producer.flush(10)
        await_ledger(tmp_path, {("n1", PERFORMANCE): TopicCounts(produced=3, delivered=3)})


def test_a_killed_process_has_noted_what_it_kept(tmp_path: Path) -> None:
    program = """
import sys, time
from smartlearn.core.batch import Kind
from smartlearn.core.settings import KafkaSettings, Settings
from smartlearn.producers.client import EventProducer
settings = Settings(data_dir=sys.argv[1], node="n1", kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))
producer = EventProducer(settings)
for number in range(10):
    producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": number})
time.sleep(60)
"""
    kept = {("n1", PERFORMANCE): TopicCounts(produced=10, spooled=10)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        await_ledger(tmp_path, kept)
        os.kill(process.pid, signal.SIGKILL)
    assert Ledger(tmp_path).read() == kept
