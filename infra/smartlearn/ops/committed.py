"""Waiting for the workers: until all before some offsets is stored, with everything that derives from it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from confluent_kafka import Consumer, KafkaException, TopicPartition

from smartlearn.core.errors import BrokerUnavailable
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import REQUEST_TIMEOUT_S, client_config

Offsets = Mapping[tuple[str, int], int]
"""(topic, partition) → the offset after the last message."""

POLL_S = 0.25
"""A commit every few hundred milliseconds is what workers do."""


def wait_committed(
    kafka: KafkaSettings, targets: Offsets, advance: Callable[[int, int], None] | None = None, patience_s: float = 60.0
) -> bool:
    """Wait until the workers have committed up to the targets: all before an offset is durable when it is committed.

    Args:
        kafka: the broker.
        targets: what to wait for.
        advance: told how many messages of all the wait is for are done.
        patience_s: give up when nothing moved for so long.

    Returns:
        Whether all targets were reached.

    Raises:
        BrokerUnavailable: the broker does not answer.
    """
    consumer = Consumer(client_config(kafka) | {"group.id": kafka.group, "enable.auto.commit": False, "log_level": 0})
    wanted = [TopicPartition(topic, partition) for topic, partition in targets]
    total = sum(targets.values())
    left, moved = total, time.monotonic()
    try:
        while True:
            committed = _committed(consumer, wanted, kafka)
            now_left = sum(max(0, target - committed.get(place, 0)) for place, target in targets.items())
            if now_left < left:
                left, moved = now_left, time.monotonic()
            if advance is not None:
                advance(total - left, total)
            if left == 0:
                return True
            if time.monotonic() - moved > patience_s:
                return False
            time.sleep(POLL_S)
    finally:
        consumer.close()


def _committed(consumer: Consumer, wanted: list[TopicPartition], kafka: KafkaSettings) -> dict[tuple[str, int], int]:
    try:
        answer = consumer.committed(wanted, timeout=REQUEST_TIMEOUT_S)
    except KafkaException as error:
        raise BrokerUnavailable(f"no Kafka broker answers at {kafka.bootstrap_servers}") from error
    return {(place.topic, place.partition): max(0, place.offset) for place in answer}
