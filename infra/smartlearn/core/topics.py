"""The topics: names, what each holds, how each is configured; create them and verify them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourceType,
)

from smartlearn.core.batch import Kind
from smartlearn.core.errors import BrokerError, BrokerUnavailable, SettingsError
from smartlearn.core.schemas import MAX_MESSAGE_BYTES
from smartlearn.core.settings import KafkaSettings

PERFORMANCE = "smartlearn.performance"
TRAINING = "smartlearn.training"
INTERACTIONS = "smartlearn.interactions"
RUNS = "smartlearn.runs"
ANNOTATIONS = "smartlearn.annotations"
LIVE = "smartlearn.live"
HEALTH = "smartlearn.health"
ALERTS = "smartlearn.alerts"
DEAD_LETTER = "smartlearn.dead-letter"
LEDGER = "smartlearn.ledger"
ROLLUPS = "smartlearn.rollups"
"""Not made with the others: nothing writes it unless it is switched on."""

TOPIC_OF: Mapping[Kind, str] = MappingProxyType(
    {
        Kind.PERFORMANCE: PERFORMANCE,
        Kind.TRAINING: TRAINING,
        Kind.INTERACTION: INTERACTIONS,
        Kind.RUN: RUNS,
        Kind.ANNOTATION: ANNOTATIONS,
    }
)
KIND_OF: Mapping[str, Kind] = MappingProxyType({topic: kind for kind, topic in TOPIC_OF.items()})

# A metadata or an admin request is one round trip; a broker that is up answers within a second or two.
REQUEST_TIMEOUT_S = 10.0

_MINUTE_MS = 60_000
_DAY_MS = 24 * 60 * _MINUTE_MS


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as it should be.

    Attributes:
        name: its name.
        partitions: how many partitions.
        config: the topic's own configuration, Kafka's names and values.
    """

    name: str
    partitions: int
    config: Mapping[str, str]


class _Found(NamedTuple):
    """What the cluster's metadata tells about a topic: its partitions, and the replicas of the one that has fewest."""

    partitions: int
    replication: int


def topics(kafka: KafkaSettings) -> tuple[Topic, ...]:
    """Every topic of an installation, in the order of the pipeline."""
    common = {"max.message.bytes": str(MAX_MESSAGE_BYTES)}
    if kafka.replication > 1:
        common["min.insync.replicas"] = str(kafka.replication // 2 + 1)

    def topic(name: str, partitions: int, retention_ms: int, policy: str = "delete", **more: str) -> Topic:
        config = {"cleanup.policy": policy, "retention.ms": str(retention_ms), **common}
        return Topic(name, partitions, config | {key.replace("_", "."): value for key, value in more.items()})

    stamped = {"message_timestamp_type": "LogAppendTime"}
    return (
        *(topic(name, kafka.partitions, 7 * _DAY_MS, **stamped) for name in TOPIC_OF.values()),
        topic(LIVE, 1, 10 * _MINUTE_MS),
        topic(HEALTH, 1, -1, "compact"),
        topic(ALERTS, 1, -1),
        topic(DEAD_LETTER, 1, 30 * _DAY_MS),
        topic(LEDGER, 1, -1, "compact"),
    )


def client_config(kafka: KafkaSettings) -> dict[str, Any]:
    """What every confluent client of an installation is configured with: address, security, the largest message.

    Raises:
        SettingsError: no broker is set.
    """
    if not kafka.bootstrap_servers:
        raise SettingsError(
            "no Kafka broker is set: start a local stack with `smartlearn up`, "
            "or name one in SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS"
        )
    config: dict[str, Any] = {
        "bootstrap.servers": kafka.bootstrap_servers,
        "security.protocol": kafka.security_protocol,
        "message.max.bytes": MAX_MESSAGE_BYTES,
    }
    if kafka.sasl_mechanism is not None:
        config["sasl.mechanism"] = kafka.sasl_mechanism
    if kafka.sasl_username is not None:
        config["sasl.username"] = kafka.sasl_username
    if kafka.sasl_password is not None:
        config["sasl.password"] = kafka.sasl_password.get_secret_value()
    if kafka.ssl_ca_location is not None:
        config["ssl.ca.location"] = str(kafka.ssl_ca_location)
    return config


def _admin(kafka: KafkaSettings) -> AdminClient:
    try:
        # librdkafka writes to stderr by itself otherwise; what goes wrong is raised here.
        return AdminClient(client_config(kafka) | {"log_level": 0})
    except KafkaException as error:
        raise SettingsError(f"the Kafka settings do not fit together: {error.args[0].str()}") from error


def _existing(admin: AdminClient, kafka: KafkaSettings) -> dict[str, _Found]:
    """The topics that exist, by name."""
    try:
        metadata = admin.list_topics(timeout=REQUEST_TIMEOUT_S)
    except KafkaException as error:
        raise BrokerUnavailable(f"no Kafka broker answers at {kafka.bootstrap_servers}: check that it runs") from error
    return {
        name: _Found(len(topic.partitions), min(len(part.replicas) for part in topic.partitions.values()))
        for name, topic in metadata.topics.items()
        if topic.error is None and topic.partitions
    }


def ensure_topics(kafka: KafkaSettings) -> list[str]:
    """Create the topics that do not exist yet; return their names. One that exists is left as it is.

    Raises:
        SettingsError: no broker is set, or the Kafka settings do not fit together.
        BrokerUnavailable: no broker answers.
        BrokerError: the broker refuses to create a topic.
    """
    admin = _admin(kafka)
    existing = _existing(admin, kafka)
    requests = [
        NewTopic(topic.name, topic.partitions, kafka.replication, config=dict(topic.config))
        for topic in topics(kafka)
        if topic.name not in existing
    ]
    if not requests:
        return []
    created = []
    for name, future in admin.create_topics(requests, request_timeout=REQUEST_TIMEOUT_S).items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                continue
            raise BrokerError(f"the broker did not create topic {name}: {error.args[0].str()}") from error
        created.append(name)
    return created


def verify_topics(kafka: KafkaSettings) -> list[str]:
    """One sentence for each way in which a topic differs from what the settings ask for.

    What a broker does not answer is no mismatch: the embedded one has configurations, but not all that Kafka has.

    Raises:
        SettingsError: no broker is set, or the Kafka settings do not fit together.
        BrokerUnavailable: no broker answers.
    """
    admin = _admin(kafka)
    existing = _existing(admin, kafka)
    wanted = topics(kafka)
    configs = _configs(admin, [topic.name for topic in wanted if topic.name in existing])
    found = []
    for topic in wanted:
        if topic.name not in existing:
            found.append(f"topic {topic.name} does not exist: run `smartlearn topics create`")
        else:
            actual = configs.get(topic.name, {})
            found += _mismatches(topic, existing[topic.name], actual, kafka.replication)
    return found


def _mismatches(topic: Topic, found: _Found, config: Mapping[str, str | None], replication: int) -> list[str]:
    """What is wrong with a topic that exists, a sentence each."""
    sentences = []
    if found.partitions != topic.partitions:
        remedy = (
            "add partitions" if found.partitions < topic.partitions else f"set kafka.partitions to {found.partitions}"
        )
        sentences.append(f"topic {topic.name} has {found.partitions} partitions, not {topic.partitions}: {remedy}")
    if found.replication < replication:
        sentences.append(
            f"topic {topic.name} has {found.replication} replicas, not {replication}: reassign its partitions"
        )
    for key, value in topic.config.items():
        actual = config.get(key)
        if actual is not None and actual != value:
            sentences.append(f"topic {topic.name} has {key}={actual}, not {value}: set it with kafka-configs")
    return sentences


def _configs(admin: AdminClient, names: list[str]) -> dict[str, dict[str, str | None]]:
    """Topic → its configuration, of those that the broker describes."""
    if not names:
        return {}
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    configs = {}
    for resource, future in admin.describe_configs(resources, request_timeout=REQUEST_TIMEOUT_S).items():
        try:
            configs[resource.name] = {key: entry.value for key, entry in future.result().items()}
        except KafkaException:
            continue
    return configs
