"""The consumer group's lag as the broker knows it: for when no worker is there to tell."""

from __future__ import annotations

from confluent_kafka import Consumer, KafkaException, TopicPartition

from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import KIND_OF, client_config


def uncommitted(kafka: KafkaSettings, timeout_s: float) -> dict[str, int]:
    """Topic → messages behind the committed offsets of its partitions; empty where no broker answers."""
    consumer = Consumer(client_config(kafka) | {"group.id": kafka.group, "enable.auto.commit": False, "log_level": 0})
    try:
        existing = consumer.list_topics(timeout=timeout_s).topics
        places = [
            TopicPartition(topic, partition)
            for topic in KIND_OF
            if topic in existing
            for partition in existing[topic].partitions
        ]
        if not places:
            return {}
        lag = dict.fromkeys(KIND_OF, 0)
        for place in consumer.committed(places, timeout=timeout_s):
            low, high = consumer.get_watermark_offsets(place, timeout=timeout_s)
            lag[place.topic] += max(0, high - max(low, place.offset))
    except KafkaException:
        return {}
    finally:
        consumer.close()
    return lag
