"""Alert transitions: from the store, and as they come on the topic."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaException, TopicPartition

from smartlearn.core.errors import BrokerUnavailable
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.stores.base import MetricStore
from smartlearn.core.times import format_time
from smartlearn.core.topics import ALERTS, REQUEST_TIMEOUT_S, client_config
from smartlearn.ops.reading import Request, read, rows
from smartlearn.ops.timespan import Span

COLUMNS = (
    "id", "fingerprint", "rule", "node", "state", "previous", "value", "threshold", "action", "at", "revision",
)  # fmt: skip
"""What a transition says, in order."""


def stored_transitions(store: MetricStore, span: Span) -> list[dict[str, Any]]:
    """The valid transitions of a part of time, in event-time order."""
    found = []
    for block in read(store, Request("alerts", span)):
        for time, values in rows(block):
            revision = int(values.get("revision", 0))
            if revision % 2 == 0:
                shown = {**values, "node": values["scope"], "at": format_time(time), "revision": revision}
                found.append({name: shown.get(name) for name in COLUMNS})
    return found


def follow_transitions(kafka: KafkaSettings, *, from_beginning: bool) -> Iterator[dict[str, Any]]:
    """Every message of the alert topic as it comes, retractions (odd revisions) included; never ends.

    Raises:
        BrokerUnavailable: no broker answers, or it has no alert topic.
    """
    consumer = Consumer(
        client_config(kafka)
        | {"group.id": "smartlearn-cli", "enable.auto.commit": False, "log_level": 0, "auto.offset.reset": "earliest"}
    )
    try:
        for partition in _partitions(consumer, kafka):
            offset = OFFSET_BEGINNING if from_beginning else OFFSET_END
            consumer.incremental_assign([TopicPartition(ALERTS, partition, offset)])
        while True:
            message = consumer.poll(0.5)
            if message is None:
                continue
            error = message.error()
            if error is not None:
                # Everything else passes: a broker that restarts is found again.
                if error.fatal():
                    raise BrokerUnavailable(f"the alert topic cannot be read: {error.str()}")
                continue
            alert = orjson.loads(message.value() or b"{}")
            yield {name: alert.get(name) for name in COLUMNS}
    finally:
        consumer.close()


def _partitions(consumer: Consumer, kafka: KafkaSettings) -> list[int]:
    try:
        topic = consumer.list_topics(ALERTS, timeout=REQUEST_TIMEOUT_S).topics[ALERTS]
    except KafkaException as error:
        raise BrokerUnavailable(f"no Kafka broker answers at {kafka.bootstrap_servers}") from error
    if topic.error is not None or not topic.partitions:
        raise BrokerUnavailable(f"the broker has no topic {ALERTS}: run `smartlearn topics create`")
    return sorted(topic.partitions)
