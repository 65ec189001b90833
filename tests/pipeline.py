"""A broker and a worker without either: a log of records, lanes that read it, and a store that is real.

What a test does to it (crashes, repeats, late rows, retries) it does to the code that runs in production; only
Faust and the network are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import orjson
from tests.comparison import stored_rows
from tests.reference import Rows

from smartlearn.core.batch import Batch
from smartlearn.core.codec import encode_batch
from smartlearn.core.partitioning import partition_of
from smartlearn.core.settings import Settings
from smartlearn.core.stores import open_store
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.core.topics import ALERTS, TOPIC_OF
from smartlearn.stream_processors.domain.suspects import LOOK_AFTER_S
from smartlearn.stream_processors.lane import Lane
from smartlearn.stream_processors.lanes import build_lanes
from smartlearn.stream_processors.records import Outgoing, Record

PARTITIONS = 4


class Published:
    """A publisher that keeps what it is given; `failing` makes it refuse."""

    def __init__(self) -> None:
        self.messages: list[Outgoing] = []

    def publish(self, messages: Iterable[Outgoing]) -> None:
        self.messages.extend(messages)

    def send(self, message: Outgoing) -> None:
        self.messages.append(message)

    def on(self, topic: str) -> list[Outgoing]:
        return [message for message in self.messages if message.topic == topic]


class Pipeline:
    """One worker that owns every partition, over a log in memory and a store in a file."""

    def __init__(self, data_dir: Path, **settings: object) -> None:
        self.settings = Settings(data_dir=data_dir, **settings)  # type: ignore[arg-type]
        self.store = open_store(self.settings)
        self.published = Published()
        self.log: dict[tuple[str, int], list[Record]] = defaultdict(list)
        self.committed: dict[tuple[str, int], int] = defaultdict(int)
        self._read: dict[tuple[str, int], int] = {}
        self.life = "one life"
        self.start()

    def start(self) -> None:
        """Begin as a new process does: from the store and the committed offsets, with nothing in memory."""
        counts = dict.fromkeys(TOPIC_OF.values(), PARTITIONS)
        boots = dict.fromkeys(counts, self.life)
        self.lanes = build_lanes(self.settings, self.store, self.published, counts, boots)
        for lane in self.lanes.values():
            lane.assign(range(PARTITIONS))
        self._read = {
            (topic, number): min(self.committed[topic, number], lane.passed(number) or 0)
            for topic, lane in self.lanes.items()
            for number in range(PARTITIONS)
        }

    def forget_log(self, life: str) -> None:
        """Lose everything that the broker held, as an embedded one does when it ends, and begin another life."""
        self.log.clear()
        self.committed.clear()
        self.life = life
        self.start()

    def append(self, topic: str, key: str, value: bytes, *, partition: int | None = None, at: int = 0) -> Record:
        """Put a message at the end of its partition; `at` is when the broker got it, µs."""
        number = partition_of(key, PARTITIONS) if partition is None else partition
        log = self.log[topic, number]
        record = Record(topic, number, len(log), key.encode(), value, at)
        log.append(record)
        return record

    def send(self, batch: Batch, *, at: int = 0) -> Record:
        """Send a batch as a producer does."""
        return self.append(TOPIC_OF[batch.kind], batch.key, encode_batch(batch), at=at)

    def wake(self, frozen: Mapping[str, Lane], now: float, *, tells: bool = True) -> None:
        """Let lanes of a worker that lost its partitions go on: they flush, are refused, and tell the owner.

        Or they die before they can.
        """
        for topic, lane in frozen.items():
            lane.flush(now)
            for message in lane.written() if tells else ():
                assert message.partition is not None
                log = self.log[topic, message.partition]
                record = Record(
                    topic, message.partition, len(log), message.key, message.value, 0, dict(message.headers)
                )
                log.append(record)

    def deliver_forwards(self) -> int:
        """Put forwarded messages into their partitions, as the broker does; how many."""
        forwards = [message for message in self.published.messages if message.topic in self.lanes]
        for message in forwards:
            assert message.partition is not None
            log = self.log[message.topic, message.partition]
            record = Record(
                message.topic, message.partition, len(log), message.key, message.value, 0, dict(message.headers)
            )
            log.append(record)
            self.published.messages.remove(message)
        return len(forwards)

    def step(self, now: float, most: int | None = None) -> int:
        """Read at most so many records of each partition, without a flush; how many were read."""
        read = 0
        for (topic, number), log in list(self.log.items()):
            first = self._read.get((topic, number), 0)
            records = log[first : None if most is None else first + most]
            self.lanes[topic].receive(records, now)
            self._read[topic, number] = first + len(records)
            read += len(records)
        return read

    def flush(self, now: float, *, commit: bool = True) -> None:
        """Flush every lane; without `commit` the process dies between its store and the broker."""
        for topic, lane in self.lanes.items():
            for number, offset in lane.flush(now).items():
                if commit:
                    self.committed[topic, number] = offset

    def settle(self, now: float) -> None:
        """Read and flush until nothing is left, at a time when every pane is over and every key idle."""
        while self.step(now) or self.deliver_forwards():
            self.flush(now)
        self.flush(now + 3600)
        for _ in LOOK_AFTER_S:
            self.flush(now + 7200)

    def rows(self, *, only: Iterable[str] | None = None, without: Iterable[str] = ()) -> Rows:
        """The numbers of all stored rows of these measurements, by their key."""
        names = self.store.measurements() if only is None else list(only)
        found: Rows = {}
        for name in names:
            if name not in set(without):
                found.update(stored_rows(self.store.query(SeriesQuery(name))))
        return found

    def valid_alerts(self) -> dict[str, Mapping[str, object]]:
        """The published transitions that hold, as a consumer sees them: the highest revision of each id."""
        newest: dict[str, Mapping[str, object]] = {}
        for message in self.published.on(ALERTS):
            alert = orjson.loads(message.value)
            if alert["id"] not in newest or alert["revision"] > newest[alert["id"]]["revision"]:
                newest[alert["id"]] = alert
        return {id_: alert for id_, alert in newest.items() if int(str(alert["revision"])) % 2 == 0}

    def counts(self, topic: str) -> dict[str, int]:
        """The ledger of a topic."""
        return self.lanes[topic].counts()
