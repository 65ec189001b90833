"""A message counts as published once the broker says so, and not before."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from smartlearn.core.errors import BrokerUnavailable
from smartlearn.core.settings import KafkaSettings
from smartlearn.stream_processors import publisher as module
from smartlearn.stream_processors.publisher import KafkaPublisher
from smartlearn.stream_processors.records import Outgoing

Callback = Callable[[KafkaError | None, Any], None]


class Producer:
    """librdkafka's producer: what is produced is acknowledged by a later poll, or not."""

    def __init__(self, config: dict[str, Any]) -> None:
        self.config = config
        self.sent: list[dict[str, Any]] = []
        self.waiting: list[Callback] = []
        self.full = 0
        self.fault: KafkaError | None = None
        self.answers: list[KafkaError | None] = []
        self.silent = False

    def produce(self, topic: str, *, on_delivery: Callback | None, **message: Any) -> None:
        if self.full:
            self.full -= 1
            raise BufferError
        if self.fault is not None:
            raise KafkaException(self.fault)
        self.sent.append({"topic": topic, **message})
        if on_delivery is not None:
            self.waiting.append(on_delivery)

    def poll(self, _timeout: float) -> int:
        if self.silent:
            return 0
        for callback in self.waiting:
            callback(self.answers.pop(0) if self.answers else None, None)
        self.waiting.clear()
        return 1

    def flush(self, _timeout: float) -> int:
        return len(self.waiting)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> tuple[KafkaPublisher, Producer]:
    monkeypatch.setattr(module, "Producer", Producer)
    publisher = KafkaPublisher(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    producer: Any = publisher._producer
    return publisher, producer


def messages(count: int) -> list[Outgoing]:
    return [Outgoing("t", b"k", str(number).encode(), {"h": b"1"}) for number in range(count)]


def test_publishing_returns_once_everything_is_acknowledged(made: tuple[KafkaPublisher, Producer]) -> None:
    publisher, producer = made
    publisher.publish(messages(3))
    assert [each["value"] for each in producer.sent] == [b"0", b"1", b"2"]
    assert {each["partition"] for each in producer.sent} == {-1}
    assert producer.sent[0]["headers"] == [("h", b"1")]
    assert producer.waiting == []


def test_a_message_may_name_its_partition(made: tuple[KafkaPublisher, Producer]) -> None:
    publisher, producer = made
    publisher.publish([Outgoing("t", None, b"x", partition=7)])
    assert producer.sent[0]["partition"] == 7


def test_nothing_to_publish_asks_nobody(made: tuple[KafkaPublisher, Producer]) -> None:
    publisher, producer = made
    producer.silent = True
    publisher.publish([])


def test_a_message_that_the_broker_does_not_take_is_an_error_that_says_how_many(
    made: tuple[KafkaPublisher, Producer],
) -> None:
    publisher, producer = made
    producer.answers = [None, KafkaError(KafkaError._MSG_TIMED_OUT), KafkaError(KafkaError._MSG_TIMED_OUT)]
    with pytest.raises(BrokerUnavailable, match=r"did not take 2 messages: .*imed out"):
        publisher.publish(messages(3))


def test_a_broker_that_never_answers_is_an_error(
    made: tuple[KafkaPublisher, Producer], monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher, producer = made
    monkeypatch.setattr(module, "DELIVERY_S", -5.0)
    producer.silent = True
    with pytest.raises(BrokerUnavailable, match="did not take 1 messages: no answer"):
        publisher.publish(messages(1))


def test_a_full_queue_is_waited_for(made: tuple[KafkaPublisher, Producer]) -> None:
    publisher, producer = made
    producer.full = 2
    publisher.publish(messages(1))
    assert len(producer.sent) == 1


def test_what_the_client_refuses_is_an_error_that_names_the_topic(made: tuple[KafkaPublisher, Producer]) -> None:
    publisher, producer = made
    producer.fault = KafkaError(KafkaError._FATAL)
    with pytest.raises(BrokerUnavailable, match=r"^topic t: "):
        publisher.publish(messages(1))


def test_a_message_sent_without_waiting_may_be_lost_quietly(made: tuple[KafkaPublisher, Producer]) -> None:
    publisher, producer = made
    publisher.send(messages(1)[0])
    producer.full = 1
    publisher.send(messages(1)[0])
    producer.fault = KafkaError(KafkaError._FATAL)
    publisher.send(messages(1)[0])
    assert len(producer.sent) == 1


def test_closing_tells_what_did_not_arrive(made: tuple[KafkaPublisher, Producer]) -> None:
    publisher, producer = made
    assert publisher.close(0.1) == 0
    producer.waiting.append(lambda _error, _message: None)
    assert publisher.close(0.1) == 1


def test_keys_go_where_other_clients_put_them(made: tuple[KafkaPublisher, Producer]) -> None:
    assert made[1].config["partitioner"] == "murmur2_random"
    assert made[1].config["enable.idempotence"] is True
