"""What a topic holds now, read from its beginning to its present end."""

from __future__ import annotations

import time
from collections.abc import Generator

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition

from smartlearn.core.errors import BrokerUnavailable
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import REQUEST_TIMEOUT_S, client_config

_POLL_S = 0.5


def held_messages(kafka: KafkaSettings, topic: str) -> Generator[Message]:
    """The messages of a topic that stand there when this is called, each partition's in their order.

    A partition ends where its reader meets the end, or the first message that is newer than the call: the embedded
    broker does not tell the last offset rightly.

    Raises:
        BrokerUnavailable: no broker answers, or not any more, or it has no such topic.
    """
    consumer = Consumer(
        client_config(kafka)
        | {
            "group.id": "smartlearn-cli",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "log_level": 0,
            "fetch.wait.max.ms": 100,
        }
    )
    asked_ms = time.time_ns() // 1_000_000
    try:
        unread = set(_partitions(consumer, kafka, topic))
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for partition in unread])
        heard = time.monotonic()
        while unread:
            message = consumer.poll(_POLL_S)
            if message is None:
                if time.monotonic() - heard > REQUEST_TIMEOUT_S:
                    raise BrokerUnavailable(f"the broker at {kafka.bootstrap_servers} stopped sending topic {topic}")
                continue
            heard = time.monotonic()
            error = message.error()
            if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                raise BrokerUnavailable(f"topic {topic} cannot be read: {error.str()}")
            if error is not None or message.timestamp()[1] > asked_ms:
                unread -= {message.partition()}
            elif message.partition() in unread:
                yield message
    finally:
        consumer.close()


def _partitions(consumer: Consumer, kafka: KafkaSettings, topic: str) -> list[int]:
    try:
        found = consumer.list_topics(topic, timeout=REQUEST_TIMEOUT_S).topics[topic]
    except KafkaException as error:
        raise BrokerUnavailable(f"no Kafka broker answers at {kafka.bootstrap_servers}") from error
    if found.error is not None or not found.partitions:
        raise BrokerUnavailable(f"the broker has no topic {topic}: run `smartlearn topics create`")
    return list(found.partitions)
