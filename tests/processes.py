"""Worker processes of a test, and what can be seen of them from outside: heartbeats, topics, the store, logs."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import orjson
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition
from tests.comparison import stored_rows
from tests.reference import Rows
from tests.stacks import environment

from smartlearn.core.settings import Settings
from smartlearn.core.stores import open_store
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.core.topics import ALERTS, LIVE, client_config

_FETCH_S = 50.0


class WorkerProcesses:
    """The workers that a test starts, and a look at what they do.

    Attributes:
        settings: of the workers, and of everything here.
        store: the workers' store, of this process.
        workers: the workers that were started, by name, the last one of each.
    """

    def __init__(self, settings: Settings, variables: Mapping[str, str]) -> None:
        """Begin without workers; they get these variables, and the data directory's."""
        self.settings = settings
        self.store = open_store(settings)
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        kafka = settings.kafka
        self._variables = {
            "SMARTLEARN_DATA_DIR": str(settings.data_dir),
            "SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS": str(kafka.bootstrap_servers),
            "SMARTLEARN_KAFKA__PARTITIONS": str(kafka.partitions),
            **variables,
        }
        self._started: list[subprocess.Popen[bytes]] = []
        self._heard: dict[str, dict[str, Any]] = {}
        self._live = self._from_beginning(LIVE)

    def environment(self) -> dict[str, str]:
        """The variables of a process that belongs to the workers."""
        return {**environment(), **self._variables}

    def start(self, name: str, *command: str, **more: str) -> subprocess.Popen[bytes]:
        """Start a worker, with a command before its own where one is given; it owns partitions seconds later."""
        with (self.settings.data_dir / f"{name}.log").open("ab") as log:
            worker = subprocess.Popen(
                [*command, sys.executable, "-m", "smartlearn.stream_processors"],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**self.environment(), "SMARTLEARN_WORKER_NAME": name, **more},
            )
        self.workers[name] = worker
        self._started.append(worker)
        return worker

    def heartbeat(self, worker: str) -> dict[str, Any]:
        """The newest heartbeat of a worker, empty where there was none."""
        while message := self._live.poll(0):
            if message.error() is None:
                beat: dict[str, Any] = orjson.loads(message.value() or b"")
                self._heard[beat["worker"]] = beat
        return self._heard.get(worker, {})

    def stored(self, measurement: str) -> int:
        """How many points of a measurement are stored."""
        return sum(len(series) for series in self.store.query(SeriesQuery(measurement)))

    def rows(self, *without: str) -> Rows:
        """All stored rows but those of some measurements."""
        found: Rows = {}
        for name in set(self.store.measurements()) - set(without):
            found |= stored_rows(self.store.query(SeriesQuery(name)))
        return found

    def messages(self, topic: str) -> list[Message]:
        """Everything on a topic. Only a fetch tells where it ends: asked for the end, Tansu names an earlier offset."""
        consumer = self._from_beginning(topic, eof=True)
        try:
            found = []
            left = {part.partition for part in consumer.assignment()}
            while left:
                message = consumer.poll(_FETCH_S)
                assert message is not None, f"{topic} does not end"
                error = message.error()
                if error is None:
                    found.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    left.discard(message.partition() or 0)
            return found
        finally:
            consumer.close()

    def valid_alerts(self) -> dict[str, dict[str, Any]]:
        """The transitions that hold, as a consumer sees them: the highest revision of each id."""
        newest: dict[str, dict[str, Any]] = {}
        for message in self.messages(ALERTS):
            alert: dict[str, Any] = orjson.loads(message.value() or b"")
            if alert["id"] not in newest or alert["revision"] > newest[alert["id"]]["revision"]:
                newest[alert["id"]] = alert
        return {name: alert for name, alert in newest.items() if alert["revision"] % 2 == 0}

    def logs(self) -> str:
        """The ends of the workers' logs, for a failing test."""
        return "\n".join(f"== {log.name}\n{log.read_text()[-3000:]}" for log in self.settings.data_dir.glob("*.log"))

    def close(self) -> None:
        """End what was started."""
        for worker in self._started:
            if worker.poll() is None:
                worker.send_signal(signal.SIGCONT)
                worker.kill()
            worker.wait(10)
        self._live.close()
        self.store.close()

    def _from_beginning(self, topic: str, *, eof: bool = False) -> Consumer:
        consumer = Consumer(
            client_config(self.settings.kafka)
            | {"group.id": "observer", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
            | {"enable.partition.eof": eof, "log_level": 0}
        )
        known = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        consumer.assign([TopicPartition(topic, number, 0) for number in known])
        return consumer
