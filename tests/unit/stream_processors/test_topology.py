"""What a worker needs to know of the topics before it starts, and what it says when it cannot."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from smartlearn.core.errors import BrokerError, BrokerUnavailable
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import PERFORMANCE, TOPIC_OF, TRAINING
from smartlearn.stream_processors import topology
from smartlearn.stream_processors.topology import input_partitions, topic_lives

KAFKA = KafkaSettings(bootstrap_servers="broker:9092")


class Admin:
    """A cluster as its admin client shows it."""

    def __init__(self, **partitions: int) -> None:
        counts = dict.fromkeys(TOPIC_OF.values(), 12) | {
            name.replace("_", "."): count for name, count in partitions.items()
        }
        self.topics = {
            name: SimpleNamespace(error=None, partitions=dict.fromkeys(range(count))) for name, count in counts.items()
        }
        self.fault: KafkaError | None = None

    def list_topics(self, timeout: float) -> Any:
        assert timeout > 0
        if self.fault is not None:
            raise KafkaException(self.fault)
        return self

    def describe_topics(self, names: Any, request_timeout: float) -> dict[str, Future[Any]]:
        assert request_timeout > 0
        described = {}
        for name in names.topic_names if hasattr(names, "topic_names") else self.topics:
            described[name] = Future[Any]()
            if self.fault is not None:
                described[name].set_exception(KafkaException(self.fault))
            else:
                described[name].set_result(SimpleNamespace(topic_id=f"id-{name}"))
        return described


@pytest.fixture
def admin(monkeypatch: pytest.MonkeyPatch) -> Admin:
    made = Admin()
    monkeypatch.setattr(topology, "AdminClient", lambda _config: made)
    return made


def test_every_input_topic_has_its_number_of_partitions(admin: Admin) -> None:
    admin.topics[TRAINING].partitions = dict.fromkeys(range(6))
    assert input_partitions(KAFKA) == {**dict.fromkeys(TOPIC_OF.values(), 12), TRAINING: 6}


def test_a_broker_that_does_not_answer_is_named(admin: Admin) -> None:
    admin.fault = KafkaError(KafkaError._TRANSPORT)
    with pytest.raises(BrokerUnavailable, match="no Kafka broker answers at broker:9092"):
        input_partitions(KAFKA)
    with pytest.raises(BrokerUnavailable, match="does not describe its topics"):
        topic_lives(KAFKA, [PERFORMANCE])


@pytest.mark.parametrize("how", ["absent", "broken"])
def test_a_topic_that_does_not_exist_is_named_with_the_command_that_makes_it(admin: Admin, how: str) -> None:
    if how == "absent":
        del admin.topics[PERFORMANCE]
    else:
        admin.topics[PERFORMANCE].error = KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART)
    with pytest.raises(
        BrokerError, match=r"topic smartlearn.performance does not exist: run `smartlearn topics create`"
    ):
        input_partitions(KAFKA)


def test_partitions_that_would_split_a_shard_are_refused(admin: Admin) -> None:
    admin.topics[TRAINING].partitions = dict.fromkeys(range(10))
    with pytest.raises(BrokerError, match=r"topic smartlearn.training has 10 partitions, which do not divide 48"):
        input_partitions(KAFKA)


def test_a_topic_s_life_is_its_id(admin: Admin) -> None:
    assert topic_lives(KAFKA, admin.topics)[PERFORMANCE] == f"id-{PERFORMANCE}"


def test_the_life_of_a_broker_that_forgets_is_its_start() -> None:
    lives = topic_lives(KAFKA.model_copy(update={"epoch": "start-7"}), [PERFORMANCE, TRAINING])
    assert lives == {PERFORMANCE: "start-7", TRAINING: "start-7"}
