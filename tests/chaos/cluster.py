"""Real Kafka, real InfluxDB and real workers, each of which a test may kill, stop or cut off at any moment."""

from __future__ import annotations

import itertools
import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from pydantic import SecretStr
from tests.comparison import differences
from tests.processes import WorkerProcesses
from tests.reference import Events, Rows, alerts_of, micros, rows_of
from tests.stacks import until

from smartlearn.core.batch import Batch
from smartlearn.core.settings import InfluxSettings, KafkaSettings, RetentionSettings, Settings, StoreSettings
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.core.stores.influx_setup import init_influx
from smartlearn.core.topics import TOPIC_OF, client_config, ensure_topics, verify_topics
from smartlearn.ops import servers
from smartlearn.ops.servers import ServersRecord
from smartlearn.producers.client import EventProducer
from smartlearn.stream_processors.domain.progress import Progress

PARTITIONS = 4
PATIENCE_S = 90.0
RAW = {"performance", "training", "interactions"}
_NOT_DERIVED = RAW | {"alerts", "runs", "annotations"}
_IDENTITY = ("node", "run", "source", "subject")

_number = itertools.count(1)


class Cluster(WorkerProcesses):
    """Servers with empty topics and buckets, a producer, and the workers that a test starts.

    Attributes:
        servers_dir: where the servers' data directory is.
        producer: sends what a test sends.
    """

    def __init__(self, folder: Path, servers_dir: Path, record: ServersRecord, more: Mapping[str, str]) -> None:
        number = next(_number)
        self.servers_dir = servers_dir
        kafka = KafkaSettings(
            bootstrap_servers=record.kafka,
            partitions=PARTITIONS,
            replication=min(3, len(record.brokers)),
            group=f"workers-{number}",
        )
        influx = InfluxSettings(url=record.influxdb_url, org=record.org, prefix=f"chaos{number}")
        tokens = init_influx(influx, RetentionSettings(), record.admin_token or "")
        influx = influx.model_copy(update={"token": SecretStr(tokens.write)})
        _empty_topics(kafka)
        super().__init__(
            Settings(data_dir=folder, node="chaos", kafka=kafka, store=StoreSettings(kind="influxdb", influx=influx)),
            {
                "SMARTLEARN_KAFKA__REPLICATION": str(kafka.replication),
                "SMARTLEARN_KAFKA__GROUP": kafka.group,
                "SMARTLEARN_STORE__KIND": "influxdb",
                "SMARTLEARN_STORE__INFLUX__URL": str(influx.url),
                "SMARTLEARN_STORE__INFLUX__ORG": influx.org,
                "SMARTLEARN_STORE__INFLUX__PREFIX": influx.prefix,
                "SMARTLEARN_STORE__INFLUX__TOKEN": tokens.write,
                **more,
            },
        )
        self.producer = EventProducer(self.settings)

    def kill(self, *names: str) -> None:
        """Kill workers, all at the same moment."""
        for name in names:
            self.workers[name].kill()
        for name in names:
            self.workers[name].wait(10)

    def send(self, batch: Batch) -> None:
        """Send a batch through the producer."""
        assert self.producer.send(batch), "the producer did not take a batch"

    def heartbeat(self, worker: str) -> dict[str, Any]:
        """The newest heartbeat of the process that a worker is now; empty where there was none."""
        beat = super().heartbeat(worker)
        return beat if beat and beat["pid"] == self.workers[worker].pid else {}

    def owned(self, worker: str) -> set[tuple[str, int]]:
        """The partitions that a worker says it owns."""
        assigned: dict[str, list[int]] = self.heartbeat(worker).get("assigned", {})
        return {(topic, number) for topic, numbers in assigned.items() for number in numbers}

    def own_everything(self, *workers: str) -> bool:
        """Whether these workers say that all partitions are theirs, each of them some."""
        ended = [worker for worker in workers if self.workers[worker].poll() is not None]
        assert not ended, f"{', '.join(ended)} ended by itself:\n{self.logs()}"
        each = [self.owned(worker) for worker in workers]
        return all(each) and set().union(*each) == {
            (topic, n) for topic in TOPIC_OF.values() for n in range(PARTITIONS)
        }

    def stored(self, measurement: str = "performance") -> int:
        """How many points of a measurement are stored."""
        return super().stored(measurement)

    def await_more(self, patience_s: float = PATIENCE_S) -> None:
        """Wait until some more samples are stored than now."""
        before = self.stored()
        until(lambda: self.stored() > before + 20, patience_s)

    def ledger(self, topic: str) -> Counter[str]:
        """The counters of a topic that are stored beside its offsets."""
        total: Counter[str] = Counter()
        for number in range(PARTITIONS):
            if (state := self.store.get_state(f"progress/{topic}/{number}")) is not None:
                total.update(Progress.decode(state).totals())
        return total

    def lag(self) -> int | None:
        """How many messages of the input topics lie behind the group's committed offsets; None while nobody says."""
        consumer = Consumer(client_config(self.settings.kafka) | {"group.id": self.settings.kafka.group})
        try:
            parts = [TopicPartition(topic, number) for topic in TOPIC_OF.values() for number in range(PARTITIONS)]
            committed = consumer.committed(parts, timeout=10)
            return sum(self._end(consumer, part) - max(part.offset, 0) for part in committed)
        except KafkaException:
            # A broker that has just started loads its groups; who asks has a deadline.
            return None
        finally:
            consumer.close()

    def check(self, events: Events, *, patience_s: float = PATIENCE_S) -> None:
        """Drain, then hold the store and the alert topic against the offline answer for these events."""
        until(lambda: self.producer.flush(1.0), patience_s)
        deadline = time.monotonic() + patience_s
        expected = rows_of(events)
        while found := self._unlike(events, expected):
            if time.monotonic() > deadline:
                told = "\n".join(found[:20])
                raise AssertionError(f"{len(found)} differences after {patience_s:.0f} s:\n{told}\n{self.logs()}")
            time.sleep(0.3)
        for kind, topic in TOPIC_OF.items():
            counts = self.ledger(topic)
            wanted = {"performance": events.performance, "training": events.training}.get(
                kind.value, events.interactions if kind.value == "interaction" else []
            )
            assert counts["stored"] == len(wanted), (topic, counts)
            assert counts["in"] == sum(counts[fate] for fate in ("stored", "duplicate", "forwarded", "dead", "expired"))

    def _unlike(self, events: Events, expected: Rows) -> list[str]:
        """What is not as it must be in the end, cheapest first."""
        if (lag := self.lag()) != 0:
            return [f"{lag} messages are not committed"]
        found = self._raw_unlike(events)
        if not found:
            found = differences(self.rows(*_NOT_DERIVED), expected)
        if not found:
            alerts = {alert.id: (alert.node, alert.previous, alert.state) for alert in alerts_of(events.performance)}
            told = {i: (alert["node"], alert["previous"], alert["state"]) for i, alert in self.valid_alerts().items()}
            kept = self._stored_alerts()
            found = [f"alert {alert} is not as computed" for alert in sorted(alerts.items() ^ told.items())]
            found += [f"alert {alert} is not as stored" for alert in sorted(alerts.keys() ^ kept)]
        return found

    def _raw_unlike(self, events: Events) -> list[str]:
        """The events that are not stored exactly once, with every number."""
        wanted: Counter[tuple[object, ...]] = Counter()
        for measurement in RAW:
            for event in getattr(events, measurement):
                names = [name for name in _IDENTITY if name in event and name != "source"]
                texts = tuple((name, str(event[name])) for name in names)
                numbers = tuple(sorted((name, value) for name, value in event.items() if isinstance(value, float)))
                wanted[measurement, texts, micros(event["timestamp"]), numbers] += 1
        stored: Counter[tuple[object, ...]] = Counter()
        for measurement in RAW:
            for series in self.store.query(SeriesQuery(measurement)):
                texts = tuple(
                    (name, series.tags[name]) for name in _IDENTITY if name in series.tags and name != "source"
                )
                names = [name for name in series.fields if name not in ("at", "learner")]
                at = series.fields.get("at")
                for row, instant in enumerate(series.time.tolist()):
                    exact = instant // 1000 if at is None or math.isnan(at[row]) else int(at[row])
                    values = ((name, float(series.fields[name][row])) for name in names)
                    numbers = tuple(sorted((name, value) for name, value in values if not math.isnan(value)))
                    stored[measurement, texts, exact, numbers] += 1
        found = [f"{times} times too few: {event}" for event, times in (wanted - stored).items()]
        return found + [f"{times} times too many: {event}" for event, times in (stored - wanted).items()]

    def _stored_alerts(self) -> set[str]:
        return {
            str(series.fields["id"][row])
            for series in self.store.query(SeriesQuery("alerts"))
            for row, revision in enumerate(series.fields["revision"])
            if int(revision) % 2 == 0
        }

    def close(self) -> None:
        """End what was started."""
        self.producer.close(0.5)
        super().close()

    @staticmethod
    def _end(consumer: Consumer, part: TopicPartition) -> int:
        return int(consumer.get_watermark_offsets(part, timeout=10)[1])


def _empty_topics(kafka: KafkaSettings) -> None:
    """Delete what an earlier test left, and make the topics anew."""
    admin = AdminClient(client_config(kafka) | {"log_level": 0})

    def ours() -> list[str]:
        return [name for name in admin.list_topics(timeout=10).topics if name.startswith("smartlearn.")]

    if names := ours():
        for future in admin.delete_topics(names).values():
            future.result(30)
        until(lambda: not ours(), PATIENCE_S)
    ensure_topics(kafka)
    until(lambda: not verify_topics(kafka), PATIENCE_S)


@contextmanager
def running_cluster(
    folder: Path, servers_dir: Path, *, brokers: int = 1, more: Mapping[str, str] | None = None
) -> Iterator[Cluster]:
    """A cluster on the servers of a directory; those that a test before left stopped are started again.

    `more` are variables of the workers, over the usual ones.
    """
    made = Cluster(folder, servers_dir, servers.up(servers_dir, brokers), more or {})
    try:
        yield made
    finally:
        made.close()
