"""Sending what the workers produce, and knowing that it arrived."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from smartlearn.core.errors import BrokerUnavailable
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import client_config
from smartlearn.stream_processors.records import Outgoing

# A broker that is restarting is back well within it; a flush that waits longer is replayed instead.
DELIVERY_S: Final = 60.0

# librdkafka's RD_KAFKA_PARTITION_UA: the partitioner chooses.
_BY_KEY: Final = -1


class Publisher(Protocol):
    """Where messages go."""

    def publish(self, messages: Iterable[Outgoing]) -> None:
        """Return once every message is acknowledged by the broker.

        Raises:
            BrokerUnavailable: some message was not; sending all of them again is safe.
        """
        ...

    def send(self, message: Outgoing) -> None:
        """Send without waiting; the message may be lost."""
        ...


class KafkaPublisher:
    """A publisher over one idempotent producer; may be used from several threads."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self._producer = Producer(
            {
                **client_config(kafka),
                "enable.idempotence": True,
                "compression.type": "lz4",
                "linger.ms": 5,
                "partitioner": "murmur2_random",
                "delivery.timeout.ms": int(DELIVERY_S * 1000),
                "message.max.bytes": 8 << 20,
            }
        )

    def publish(self, messages: Iterable[Outgoing]) -> None:
        """See `Publisher.publish`."""
        failures: list[KafkaError] = []
        waiting: list[None] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            waiting.pop()
            if error is not None:
                failures.append(error)

        for message in messages:
            waiting.append(None)
            self._produce(message, delivered)
        deadline = time.monotonic() + DELIVERY_S + 5
        while waiting and time.monotonic() < deadline:
            self._producer.poll(0.1)
        if failures or waiting:
            reason = failures[0].str() if failures else "no answer"
            raise BrokerUnavailable(f"the broker did not take {len(failures) + len(waiting)} messages: {reason}")

    def send(self, message: Outgoing) -> None:
        """See `Publisher.send`."""
        try:
            self._produce(message, None)
        except (BufferError, BrokerUnavailable):
            return
        self._producer.poll(0)

    def close(self, timeout: float) -> int:
        """Wait for what is on the way; the number of messages that did not arrive."""
        return int(self._producer.flush(timeout))

    def _produce(self, message: Outgoing, callback: Callable[[KafkaError | None, Message], None] | None) -> None:
        headers: list[tuple[str, str | bytes | None]] = list(message.headers.items())
        while True:
            try:
                self._producer.produce(
                    message.topic,
                    key=message.key,
                    value=message.value,
                    headers=headers,
                    on_delivery=callback,
                    partition=_BY_KEY if message.partition is None else message.partition,
                )
            except BufferError:
                if callback is None:
                    raise
                self._producer.poll(0.1)
            except KafkaException as error:
                raise BrokerUnavailable(f"topic {message.topic}: {error.args[0].str()}") from error
            else:
                return
