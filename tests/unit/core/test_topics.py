from __future__ import annotations

import socket
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]

from smartlearn.core.batch import Kind
from smartlearn.core.errors import BrokerError, BrokerUnavailable, SettingsError
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import (
    ALERTS,
    HEALTH,
    KIND_OF,
    LEDGER,
    LIVE,
    TOPIC_OF,
    client_config,
    ensure_topics,
    topics,
    verify_topics,
)


def test_every_kind_has_a_topic_of_its_own() -> None:
    assert set(TOPIC_OF) == set(Kind)
    assert {KIND_OF[topic] for topic in TOPIC_OF.values()} == set(Kind)


def test_inputs_have_the_partitions_of_the_settings_and_the_brokers_clock() -> None:
    layout = {topic.name: topic for topic in topics(KafkaSettings(partitions=6))}
    for name in TOPIC_OF.values():
        assert layout[name].partitions == 6
        assert layout[name].config["message.timestamp.type"] == "LogAppendTime"


def test_alerts_are_kept_for_ever_and_only_what_has_a_newest_state_is_compacted() -> None:
    layout = {topic.name: topic.config for topic in topics(KafkaSettings())}
    assert layout[ALERTS]["retention.ms"] == "-1"
    assert int(layout[LIVE]["retention.ms"]) <= 3_600_000
    assert [name for name, config in layout.items() if config["cleanup.policy"] == "compact"] == [HEALTH, LEDGER]


@pytest.mark.parametrize(("replication", "minimum"), [(1, None), (2, "2"), (3, "2"), (5, "3")])
def test_acknowledged_means_on_a_majority_of_the_replicas(replication: int, minimum: str | None) -> None:
    for topic in topics(KafkaSettings(replication=replication)):
        assert topic.config.get("min.insync.replicas") == minimum


def test_a_client_gets_the_address_and_the_security_of_the_settings() -> None:
    kafka = KafkaSettings.model_validate(
        {
            "bootstrap_servers": "kafka:9093",
            "security_protocol": "SASL_SSL",
            "sasl_mechanism": "SCRAM-SHA-512",
            "sasl_username": "node-1",
            "sasl_password": "hunter2",
            "ssl_ca_location": Path("ca.pem"),
        }
    )
    assert client_config(kafka) == {
        "bootstrap.servers": "kafka:9093",
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "node-1",
        "sasl.password": "hunter2",
        "ssl.ca.location": "ca.pem",
        "message.max.bytes": 6 * 1024 * 1024,
    }


def test_the_configuration_is_one_that_clients_take() -> None:
    config = client_config(KafkaSettings(bootstrap_servers="127.0.0.1:1")) | {"log_level": 0}
    assert isinstance(Producer(config), Producer)
    Consumer(config | {"group.id": "g"}).close()


def test_without_a_broker_the_sentence_says_how_to_get_one() -> None:
    with pytest.raises(SettingsError, match="no Kafka broker is set: start a local stack with `smartlearn up`"):
        client_config(KafkaSettings())


def test_settings_that_no_client_takes_are_one_sentence() -> None:
    kafka = KafkaSettings(bootstrap_servers="127.0.0.1:1", security_protocol="SASL_PLAINTEXT", sasl_mechanism="MAGIC")
    with pytest.raises(SettingsError, match="the Kafka settings do not fit together: "):
        ensure_topics(kafka)


@pytest.mark.parametrize("call", [ensure_topics, verify_topics])
def test_a_broker_that_does_not_answer_is_one_sentence(
    call: Callable[[KafkaSettings], object], monkeypatch: pytest.MonkeyPatch, unused_port: int
) -> None:
    monkeypatch.setattr("smartlearn.core.topics.REQUEST_TIMEOUT_S", 0.3)
    address = f"127.0.0.1:{unused_port}"
    with pytest.raises(BrokerUnavailable, match=f"no Kafka broker answers at {address}: check that it runs"):
        call(KafkaSettings(bootstrap_servers=address))


class Refusing:
    """A cluster with all topics that answers no request about them."""

    def __init__(self, *_config: object) -> None:
        self._refusal: Future[None] = Future()
        self._refusal.set_exception(
            KafkaException(KafkaError(KafkaError.INVALID_REPLICATION_FACTOR, "too few brokers"))
        )

    def create_topics(self, requests: list[NewTopic], **_options: object) -> dict[str, Future[None]]:
        return {request.topic: self._refusal for request in requests}

    def describe_configs(self, resources: list[object], **_options: object) -> dict[object, Future[None]]:
        return dict.fromkeys(resources, self._refusal)

    def list_topics(self, **_options: object) -> SimpleNamespace:
        return SimpleNamespace(topics={topic.name: layout(topic.partitions) for topic in topics(KafkaSettings())})


def layout(partitions: int) -> SimpleNamespace:
    return SimpleNamespace(error=None, partitions=dict.fromkeys(range(partitions), SimpleNamespace(replicas=[1])))


def test_a_topic_that_the_broker_refuses_is_named_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smartlearn.core.topics.AdminClient", Refusing)
    monkeypatch.setattr(Refusing, "list_topics", lambda _self, **_options: SimpleNamespace(topics={}))
    with pytest.raises(BrokerError, match=r"the broker did not create topic smartlearn\.performance: too few brokers"):
        ensure_topics(KafkaSettings(bootstrap_servers="kafka:9092"))


def test_what_the_broker_does_not_answer_is_no_mismatch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smartlearn.core.topics.AdminClient", Refusing)
    assert verify_topics(KafkaSettings(bootstrap_servers="kafka:9092")) == []


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_topics_have_the_names_of_the_contract() -> None:
    assert [topic.name for topic in topics(KafkaSettings())] == [
        "smartlearn.performance",
        "smartlearn.training",
        "smartlearn.interactions",
        "smartlearn.runs",
        "smartlearn.annotations",
        "smartlearn.live",
        "smartlearn.health",
        "smartlearn.alerts",
        "smartlearn.dead-letter",
        "smartlearn.ledger",
    ]
