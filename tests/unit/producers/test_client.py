from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from tests.unit.producers.brokers import FakeBroker, until

from smartlearn.core.batch import Kind
from smartlearn.core.errors import SettingsError
from smartlearn.core.settings import KafkaSettings, ProducerSettings, Settings
from smartlearn.producers.client import EventProducer

PERFORMANCE = "smartlearn.performance"
Make = Callable[..., EventProducer]


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def make(tmp_path: Path, broker: FakeBroker) -> Iterator[Make]:
    made: list[EventProducer] = []

    def producer(source: str | None = None, known: bool = True, **options: object) -> EventProducer:
        settings = Settings(
            data_dir=tmp_path,
            node="n1",
            kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1" if known else None),
            producer=ProducerSettings(**{"linger_ms": 5, **options}),
        )
        made.append(EventProducer(settings, source=source, connect=broker.connect))
        return made[-1]

    yield producer
    for one in made:
        one.close(0)


def emit(producer: EventProducer, *values: float) -> None:
    for value in values:
        assert producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": value})


def test_events_arrive_in_order_with_consecutive_numbers(make: Make, broker: FakeBroker) -> None:
    producer = make()
    emit(producer, *range(100))
    assert producer.flush(10)
    batches = broker.batches()
    assert [value for batch in batches for value in batch.numbers["cpu_usage"].tolist()] == list(range(100))
    assert [n for b in batches for n in range(b.seq or 0, (b.seq or 0) + len(b))] == list(range(100))
    assert {(b.source, b.boot) for b in batches} == {("n1", producer.boot)}
    assert producer.counts() == {
        PERFORMANCE: {"produced": 100, "adopted": 0, "delivered": 100, "spooled": 0, "dropped": 0, "refused": 0}
    }


def test_a_time_may_be_now_microseconds_or_a_datetime(make: Make, broker: FakeBroker) -> None:
    producer = make()
    moment = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=timezone(timedelta(hours=2)))
    before = time.time_ns() // 1000
    fields = {"node": "n1", "cpu_usage": 1.0}
    producer.emit(Kind.PERFORMANCE, fields)
    producer.emit(Kind.PERFORMANCE, fields, 1_760_000_000_000_001)
    producer.emit(Kind.PERFORMANCE, fields, moment)
    producer.emit(Kind.PERFORMANCE, fields, moment.astimezone().replace(tzinfo=None))
    producer.flush(10)
    times = [time for batch in broker.batches() for time in batch.timestamp.tolist()]
    assert before <= times[0] <= time.time_ns() // 1000
    exact = int(datetime(2026, 3, 1, 10, 0, 0, tzinfo=UTC).timestamp()) * 1_000_000 + 5
    assert times[1:] == [1_760_000_000_000_001, exact, exact]


def test_without_a_broker_events_wait_for_the_next_process(
    make: Make, broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.up = False
    first = make()
    emit(first, 1, 2, 3)
    assert not first.flush(0.1)
    assert not first.close(0)
    assert first.counts()[PERFORMANCE]["spooled"] == 3
    assert len(capsys.readouterr().err.splitlines()) == 1
    broker.up = True
    second = make()
    emit(second, 4)
    assert second.flush(10)
    until(lambda: broker.rows() == 4)
    assert {batch.boot for batch in broker.batches()} == {first.boot, second.boot}


def test_an_outage_is_said_once_however_long_it_lasts(
    make: Make, broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    broker.up = False
    producer = make()
    for value in range(20):
        emit(producer, value)
        producer.flush(0.01)
    producer.close(0)
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "127.0.0.1:1" in said


def test_a_missing_broker_does_not_hold_up_the_end_of_a_program(make: Make) -> None:
    producer = make(known=False)
    emit(producer, 1)
    started = time.monotonic()
    producer.close(30)
    assert time.monotonic() - started < 5


def test_events_after_close_are_not_taken_and_counted(make: Make) -> None:
    producer = make()
    emit(producer, 1)
    assert producer.close(10)
    assert producer.close(10)
    assert not producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": 1.0})
    assert producer.counts()[""]["dropped"] == 1


def test_a_full_queue_drops_and_counts_and_never_raises(
    make: Make, broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    producer = make(queue_rows=10, linger_ms=500)
    taken = [producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": 1.0}) for _ in range(200)]
    assert taken[:10] == [True] * 10
    assert producer.flush(10)
    assert broker.rows() == sum(taken)
    assert producer.counts()[""]["dropped"] == 200 - sum(taken)
    assert "faster" in capsys.readouterr().err


def test_an_event_that_breaks_the_contract_is_counted_and_said_once(
    make: Make, broker: FakeBroker, capsys: pytest.CaptureFixture[str]
) -> None:
    producer = make()
    for value in (50.0, 150.0, 250.0, "hot", 60.0):
        producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": value})
    producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": 1.0}, "yesterday")  # type: ignore[arg-type]
    assert producer.flush(10)
    assert broker.rows() == 2
    assert producer.counts()[PERFORMANCE]["refused"] == 4
    assert capsys.readouterr().err.count("left out") == 1


@pytest.mark.parametrize("name", ["import", "demo", "external"])
def test_a_name_that_the_contract_reserves_is_refused(make: Make, name: str) -> None:
    with pytest.raises(SettingsError, match=name):
        make(source=name)


def test_a_forked_child_sends_its_own_events_and_not_its_parents(
    make: Make, broker: FakeBroker, tmp_path: Path
) -> None:
    producer = make(linger_ms=200)
    emit(producer, 1)
    child = os.fork()
    if child == 0:
        broker.log.clear()
        emit(producer, 2, 3)
        sent = producer.flush(10)
        values = [value for batch in broker.batches() for value in batch.numbers["cpu_usage"].tolist()]
        os._exit(0 if sent and values == [2, 3] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert producer.flush(10)
    assert [value for batch in broker.batches() for value in batch.numbers["cpu_usage"].tolist()] == [1]


def test_a_program_that_ends_leaves_nothing_behind_in_memory(tmp_path: Path) -> None:
    code = (
        "from smartlearn.core.batch import Kind\n"
        "from smartlearn.core.settings import load_settings\n"
        "from smartlearn.producers.client import EventProducer\n"
        "p = EventProducer(load_settings())\n"
        "for n in range(10): p.emit(Kind.PERFORMANCE, {'node': 'n', 'cpu_usage': 1.0})\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "SMARTLEARN_DATA_DIR": str(tmp_path)}, check=True,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert ended.stderr.count("\n") == 1
    assert len(list((tmp_path / "spool").glob("*.seg"))) == 1


def test_a_forked_worker_of_multiprocessing_keeps_what_it_emitted(tmp_path: Path) -> None:
    code = (
        "import multiprocessing\n"
        "from smartlearn.core.batch import Kind\n"
        "from smartlearn.core.settings import load_settings\n"
        "from smartlearn.producers.client import EventProducer\n"
        "p = EventProducer(load_settings())\n"
        "def work(): p.emit(Kind.PERFORMANCE, {'node': 'n', 'cpu_usage': 1.0})\n"
        "child = multiprocessing.get_context('fork').Process(target=work)\n"
        "child.start()\n"
        "child.join()\n"
        "assert child.exitcode == 0\n"
    )
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "SMARTLEARN_DATA_DIR": str(tmp_path)}, check=True,
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert len(list((tmp_path / "spool").glob("*.seg"))) == 1


def test_the_first_of_many_threads_starts_one_worker(make: Make, broker: FakeBroker) -> None:
    import threading

    producer = make()
    threads = [threading.Thread(target=emit, args=(producer, *range(50))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert producer.flush(10)
    assert broker.rows() == 400
    assert len(broker.clients) == 1
