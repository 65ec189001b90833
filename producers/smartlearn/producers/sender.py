"""The Kafka client of a producer: messages in, delivery reports out."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from smartlearn.core.schemas import MAX_MESSAGE_BYTES
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import client_config
from smartlearn.producers.rows import Outgoing

# How long the client itself tries to deliver. Three brokers need about 12 s to replace a dead leader; what takes
# longer is better kept on disk than in memory.
DELIVERY_TIMEOUT_S = 15.0

# One round trip to a broker that accepted the connection.
TOPICS_TIMEOUT_S = 2.0

# librdkafka's own queue; the bound that matters is the courier's, which is far below.
_QUEUE_MESSAGES = 100_000
_QUEUE_KBYTES = 128 * 1024


@dataclass(frozen=True, slots=True)
class Delivered:
    """Where a message stands."""

    topic: str
    partition: int
    offset: int


_SILENT = logging.getLogger("smartlearn.kafka")
_SILENT.setLevel(logging.CRITICAL + 1)


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a message was not delivered.

    Attributes:
        reason: what the client says.
        taken_back: whether it was us who asked for it back.
        hopeless: whether the same message would fail again wherever it is sent.
    """

    reason: str
    taken_back: bool
    hopeless: bool


Report = Callable[[Delivered | Failed], None]
"""Called once for each accepted message."""

_TAKEN_BACK = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})  # noqa: SLF001
_HOPELESS = frozenset(
    {KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG, KafkaError.INVALID_MSG_SIZE, KafkaError.INVALID_RECORD}
)
_UNREACHABLE = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._AUTHENTICATION})  # noqa: SLF001


class Sender(Protocol):
    """What a courier needs of a Kafka client. Not thread-safe: one thread sends and serves."""

    def send(self, message: Outgoing, report: Report) -> bool:
        """Take a message; False where the client has no room now."""
        ...

    def serve(self, timeout_s: float) -> None:
        """Call the reports that are due, waiting at most so long for the first."""
        ...

    def give_up(self, *, in_flight: bool = False) -> None:
        """Report what was not handed to the network as undelivered; with `in_flight` also what was."""
        ...

    def topics(self) -> frozenset[str] | None:
        """The topics that the broker has; None where it does not answer."""
        ...

    def revive(self) -> None:
        """Forget that no broker could be reached: one answered."""
        ...

    @property
    def broken(self) -> str | None:
        """Why no broker can be reached just now, or None."""
        ...

    @property
    def fatal(self) -> bool:
        """Whether this client can never send again."""
        ...


class KafkaSender:
    """Sends with confluent-kafka: idempotent, compressed, with the partitioner of the Java clients and Faust."""

    def __init__(self, kafka: KafkaSettings, **more: Any) -> None:
        """Create the client; it connects in the background.

        Args:
            kafka: where the broker is.
            more: librdkafka settings over the usual ones.

        Raises:
            SettingsError: no broker is set.
            KafkaException: librdkafka refuses the configuration.
        """
        self._broken: str | None = None
        self._fatal = False
        self._producer = Producer(
            client_config(kafka)
            | {
                "client.id": "smartlearn",
                "enable.idempotence": True,
                "compression.type": "lz4",
                "partitioner": "murmur2_random",
                # Batches come ready-made; a little time lets several of them share a request.
                "linger.ms": 5,
                "delivery.timeout.ms": int(DELIVERY_TIMEOUT_S * 1000),
                "message.max.bytes": MAX_MESSAGE_BYTES + 64 * 1024,
                "queue.buffering.max.messages": _QUEUE_MESSAGES,
                "queue.buffering.max.kbytes": _QUEUE_KBYTES,
                "reconnect.backoff.max.ms": 1000,
                # A topic that does not exist yet is tried again by the courier, not waited for in the client.
                "topic.metadata.propagation.max.ms": 1000,
                "topic.metadata.refresh.fast.interval.ms": 200,
                "log_level": 0,
                # What matters of librdkafka's own messages is said by the courier, once.
                "logger": _SILENT,
                "error_cb": self._failed,
            }
            | more
        )

    def send(self, message: Outgoing, report: Report) -> bool:
        """Take a message; False where the client has no room now."""
        try:
            self._producer.produce(
                message.topic, message.value, message.key, on_delivery=partial(self._reported, report)
            )
        except BufferError:
            return False
        except KafkaException as error:
            self._failed(error.args[0])
            return False
        return True

    def serve(self, timeout_s: float) -> None:
        """Call the reports that are due, waiting at most so long for the first."""
        try:
            self._producer.poll(timeout_s)
        except KafkaException as error:
            self._failed(error.args[0])

    def give_up(self, *, in_flight: bool = False) -> None:
        """Report what was not handed to the network as undelivered; with `in_flight` also what was.

        What is in flight may be delivered all the same.
        """
        self._producer.purge(in_queue=True, in_flight=in_flight, blocking=False)
        self.serve(0)

    def topics(self) -> frozenset[str] | None:
        """The topics that the broker has; None where it does not answer.

        Asks for all of them: naming one would make the embedded broker create it, with one partition.
        """
        with contextlib.suppress(KafkaException):
            return frozenset(self._producer.list_topics(timeout=TOPICS_TIMEOUT_S).topics)
        return None

    def revive(self) -> None:
        """Forget that no broker could be reached: one answered."""
        self._broken = None

    @property
    def broken(self) -> str | None:
        """Why no broker can be reached just now, or None."""
        return self._broken

    @property
    def fatal(self) -> bool:
        """Whether this client can never send again."""
        return self._fatal

    def _reported(self, report: Report, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            code = error.code()
            report(Failed(error.str(), code in _TAKEN_BACK, code in _HOPELESS))
            return
        self._broken = None
        report(Delivered(message.topic() or "", message.partition() or 0, message.offset() or 0))

    def _failed(self, error: KafkaError) -> None:
        if error.fatal():
            self._fatal = True
        if error.fatal() or error.code() in _UNREACHABLE:
            self._broken = error.str()
