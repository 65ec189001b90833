"""What the broker says of the input topics: how many partitions, and which life of the topic this is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from smartlearn.core.errors import BrokerError, BrokerUnavailable
from smartlearn.core.settings import SHARDS, KafkaSettings
from smartlearn.core.topics import TOPIC_OF, client_config

# One round trip; a broker that is up answers within a second or two.
_REQUEST_S: Final = 10.0


def input_partitions(kafka: KafkaSettings) -> dict[str, int]:
    """Topic → number of partitions, of every input topic.

    Raises:
        BrokerUnavailable: no broker answers.
        BrokerError: a topic does not exist, or its partitions do not divide the shards.
    """
    try:
        found = _admin(kafka).list_topics(timeout=_REQUEST_S).topics
    except KafkaException as error:
        raise BrokerUnavailable(f"no Kafka broker answers at {kafka.bootstrap_servers}: check that it runs") from error
    partitions = {}
    for topic in TOPIC_OF.values():
        if topic not in found or found[topic].error is not None:
            raise BrokerError(f"topic {topic} does not exist: run `smartlearn topics create`")
        partitions[topic] = len(found[topic].partitions)
        if SHARDS % partitions[topic]:
            raise BrokerError(
                f"topic {topic} has {partitions[topic]} partitions, which do not divide {SHARDS}: "
                f"add partitions up to the next divisor"
            )
    return partitions


def topic_lives(kafka: KafkaSettings, topics: Iterable[str]) -> Mapping[str, str]:
    """Topic → what names its life: its id, or the start of a broker that forgets its topics.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    names = list(topics)
    if kafka.epoch is not None:
        return dict.fromkeys(names, kafka.epoch)
    # The client must live until it has answered.
    admin = _admin(kafka)
    described = admin.describe_topics(TopicCollection(names), request_timeout=_REQUEST_S)
    try:
        return {name: str(future.result().topic_id) for name, future in described.items()}
    except KafkaException as error:
        raise BrokerUnavailable(f"the broker does not describe its topics: {error.args[0].str()}") from error


def _admin(kafka: KafkaSettings) -> AdminClient:
    return AdminClient(client_config(kafka) | {"log_level": 0})
