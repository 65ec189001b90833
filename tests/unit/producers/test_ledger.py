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
from smartlearn.core.schemas import SentLedger
from smartlearn.core.settings import KafkaSettings, ProducerSettings, Settings
from smartlearn.core.topics import LEDGER
from smartlearn.producers.client import EventProducer
from smartlearn.producers.counts import TopicCounts
from smartlearn.producers.ledger import Account, Ledger, Notebook, Page

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
    while Ledger(data_dir).read().counts != wanted:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_counts_add_up_by_source_and_topic(ledger: Ledger) -> None:
    assert ledger.read().counts == {}
    ledger.add({("a", PERFORMANCE): TopicCounts(3, 0, 2, 1), ("b", PERFORMANCE): TopicCounts(1)})
    ledger.add({("a", PERFORMANCE): TopicCounts(1, 0, 2, 0), ("a", TRAINING): TopicCounts(refused=4)})
    assert ledger.read().counts == {
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
    assert ledger.read().counts == {("a", PERFORMANCE): TopicCounts(produced=80)}


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
    assert ledger.read().counts == {("a", PERFORMANCE): TopicCounts(2)}
    now = 1.0
    assert notebook.note({PERFORMANCE: TopicCounts(6, delivered=1)}) is None
    assert ledger.read().counts == {("a", PERFORMANCE): TopicCounts(6, delivered=1)}
    notebook.note({PERFORMANCE: TopicCounts(7, delivered=1)}, now=True)
    assert ledger.read().counts == {("a", PERFORMANCE): TopicCounts(7, delivered=1)}


def test_what_could_not_be_added_is_added_later(tmp_path: Path) -> None:
    blocker = tmp_path / "data"
    blocker.touch()
    ledger = Ledger(blocker)
    notebook = Notebook(ledger, "a")
    assert notebook.note({PERFORMANCE: TopicCounts(2)}, now=True) == 1.0
    blocker.unlink()
    assert notebook.note({PERFORMANCE: TopicCounts(3)}, now=True) is None
    assert ledger.read().counts == {("a", PERFORMANCE): TopicCounts(3)}


def test_counts_that_change_afterwards_are_not_taken_for_noted(ledger: Ledger) -> None:
    notebook, counts = Notebook(ledger, "a"), TopicCounts(1)
    notebook.note({PERFORMANCE: counts}, now=True)
    counts.produced = 4
    notebook.note({PERFORMANCE: counts}, now=True)
    assert ledger.read().counts == {("a", PERFORMANCE): TopicCounts(4)}


def test_producers_that_follow_each_other_are_added_up(tmp_path: Path) -> None:
    broker = FakeBroker()
    for _ in range(2):
        with EventProducer(settings(tmp_path), connect=broker.connect) as producer:
            for _ in range(5):
                producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": 1.0})
            producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": 1000.0})
    assert Ledger(tmp_path).read().counts == {("n1", PERFORMANCE): TopicCounts(produced=10, delivered=10, refused=2)}


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
    assert Ledger(tmp_path).read().counts == kept


def test_a_page_is_the_same_after_its_way_over_the_topic(ledger: Ledger) -> None:
    ledger.add({("a", PERFORMANCE): TopicCounts(1, 2, 3, 4, 5, 6), ("b", ""): TopicCounts(dropped=7)})
    first = ledger.read()
    message = first.message()
    assert (message.topic, message.key, message.rows) == (LEDGER, first.id.encode(), 0)
    assert Page.parse(message.value) == first
    SentLedger.model_validate_json(message.value)
    ledger.add({("a", PERFORMANCE): TopicCounts(1)})
    assert (ledger.read().id, ledger.read().revision) == (first.id, first.revision + 1)


def test_news_are_announced_once_a_minute_and_at_the_end(ledger: Ledger) -> None:
    now = 0.0
    notebook = Notebook(ledger, "a", clock=lambda: now)
    assert notebook.announcement(now=True) is None
    notebook.note({PERFORMANCE: TopicCounts(1)}, now=True)
    assert notebook.announcement() is None
    now = 60.0
    assert notebook.announcement() is not None
    assert notebook.announcement(now=True) is None
    notebook.note({PERFORMANCE: TopicCounts(2)}, now=True)
    assert notebook.announcement() is None
    last = notebook.announcement(now=True)
    assert last is not None
    assert Page.parse(last.value).counts == {("a", PERFORMANCE): TopicCounts(2)}


def test_a_producer_that_ends_announces_all_that_its_machine_sent(tmp_path: Path) -> None:
    broker = FakeBroker()
    for source in ("first", "second"):
        with EventProducer(settings(tmp_path), source=source, connect=broker.connect) as producer:
            producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": 1.0})
    assert Page.parse(broker.announced[-1].value) == Ledger(tmp_path).read()
    assert set(Ledger(tmp_path).read().counts) == {("first", PERFORMANCE), ("second", PERFORMANCE)}


def test_a_broker_that_does_not_take_the_announcement_keeps_no_program_from_ending(tmp_path: Path) -> None:
    broker = FakeBroker()
    producer = EventProducer(settings(tmp_path), connect=broker.connect)
    producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": 1.0})
    assert producer.flush(10)
    broker.up = False
    began = time.monotonic()
    producer.close(5)
    assert time.monotonic() - began < 3
    assert Ledger(tmp_path).read().counts == {("n1", PERFORMANCE): TopicCounts(produced=1, delivered=1)}
