"""The workers' heartbeats, read from the live topic."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from confluent_kafka import OFFSET_END, Consumer, TopicPartition

from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import LIVE, client_config

Counts = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What a worker last said of itself.

    Attributes:
        worker: its name.
        pid: its process.
        sent_us: when, µs since the epoch.
        assigned: topic → its partitions.
        counts: topic → what → how many, since the topic was made.
        lag: topic → messages not read yet.
    """

    worker: str
    pid: int
    sent_us: int
    assigned: Mapping[str, list[int]]
    counts: Counts
    lag: Mapping[str, int]


def heartbeats(kafka: KafkaSettings, within_s: float) -> Iterator[Heartbeat]:
    """The heartbeats that arrive from now on, for `within_s` seconds; none where no broker answers."""
    consumer = Consumer(
        client_config(kafka)
        | {
            "group.id": "smartlearn-cli",
            "enable.auto.commit": False,
            "log_level": 0,
            "fetch.wait.max.ms": 100,
        }
    )
    deadline = time.monotonic() + within_s
    try:
        consumer.assign([TopicPartition(LIVE, 0, OFFSET_END)])
        while (left := deadline - time.monotonic()) > 0:
            message = consumer.poll(min(left, 0.2))
            if message is None or message.error() is not None:
                continue
            heartbeat = parse_heartbeat(message.value())
            if heartbeat is not None:
                yield heartbeat
    finally:
        consumer.close()


def newest_heartbeats(kafka: KafkaSettings, within_s: float, expected: int | None = None) -> dict[str, Heartbeat]:
    """Worker → its newest heartbeat; returns early once `expected` workers have been heard."""
    found: dict[str, Heartbeat] = {}
    for heartbeat in heartbeats(kafka, within_s):
        found[heartbeat.worker] = heartbeat
        if expected is not None and len(found) >= expected:
            break
    return found


def drained(kafka: KafkaSettings, workers: int, within_s: float) -> bool:
    """Whether all workers say within the time that they have read everything sent before the call."""
    asked_us = time.time_ns() // 1000
    done: set[str] = set()
    for heartbeat in heartbeats(kafka, within_s):
        if heartbeat.sent_us < asked_us:
            continue
        if any(heartbeat.lag.values()):
            done.discard(heartbeat.worker)
        else:
            done.add(heartbeat.worker)
        if len(done) >= workers:
            return True
    return False


def parse_heartbeat(value: bytes | None) -> Heartbeat | None:
    """The heartbeat in a message of the live topic; None where it is none."""
    try:
        message: Any = orjson.loads(value or b"")
        return Heartbeat(
            message["worker"],
            message["pid"],
            message["sent"],
            message["assigned"],
            message["counts"],
            message["lag"],
        )
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None
