"""The one consumer behind all live views: a thread that follows the live and the alert topic from their ends.

It belongs to no group and commits nothing. While the broker is away it tries again quietly, and says so in `status`.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from confluent_kafka import OFFSET_END, Consumer, KafkaException, Message, TopicPartition

from smartlearn.core.errors import SettingsError
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import ALERTS, LIVE, TOPIC_OF, client_config

_log = logging.getLogger(__name__)

# Workers speak twice a second; after so long without a word the broker is asked whether it is there.
_SILENCE_S: Final = 4.0
# One round trip to a broker that is up.
_METADATA_S: Final = 3.0
# How often partitions are counted again: topics may be made, or grow, while we run.
_RECOUNT_S: Final = 15.0
_RECOUNT_INCOMPLETE_S: Final = 1.0
_RETRY_S: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
_POLL_S: Final = 0.1
# Half a minute of one worker's messages, or seconds of many's.
_BEFORE: Final = 60
# What an older message still tells: samples. That its worker was alive then tells nothing of now.
_SAMPLES: Final = ("performance", "training", "interactions")
_MOST_MESSAGES: Final = 500
# What the broker does not answer by then is left to the end of the process.
_STOP_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """What is known of the broker.

    Attributes:
        up: whether it answered last.
        reason: why not, one sentence; "" while it is up.
        partitions: input topic → how many partitions; a topic that does not exist is absent.
    """

    up: bool
    reason: str = ""
    partitions: Mapping[str, int] = field(default_factory=dict)


class LiveFeed:
    """Hands every message to two functions, in its own thread, and a third one a turn of the loop.

    Args:
        kafka: where the broker is.
        on_live: gets each parsed message of the live topic; of those sent before we came, the samples only.
        on_alert: gets each parsed transition.
        on_turn: called about ten times a second.
    """

    def __init__(
        self,
        kafka: KafkaSettings,
        on_live: Callable[[Mapping[str, Any]], None],
        on_alert: Callable[[Mapping[str, Any]], None],
        on_turn: Callable[[], None],
    ) -> None:
        self._kafka = kafka
        self._handlers = {LIVE: on_live, ALERTS: on_alert}
        self._on_turn = on_turn
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live-feed", daemon=True)
        self._status = BrokerStatus(False, "the broker has not been asked yet")
        self._end = 0

    @property
    def status(self) -> BrokerStatus:
        """What is known of the broker now."""
        return self._status

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and close the consumer; waits a second for them."""
        self._stop.set()
        self._thread.join(_STOP_S)

    def _run(self) -> None:
        attempt = 0
        while not self._stop.is_set():
            try:
                self._follow()
                attempt = 0
            except SettingsError as error:
                self._status = BrokerStatus(False, str(error))
            except KafkaException as error:
                self._status = BrokerStatus(
                    False, f"no Kafka broker answers at {self._kafka.bootstrap_servers}: {_reason(error)}"
                )
            except Exception:  # a defect must not end the feed for good: it is logged, and tried again
                _log.exception("the live feed failed")
                self._status = BrokerStatus(False, "the live feed failed; the dashboard's log says why")
            pause = _RETRY_S[min(attempt, len(_RETRY_S) - 1)]
            attempt += 1
            until = time.monotonic() + pause
            while not self._stop.wait(_POLL_S) and time.monotonic() < until:
                self._on_turn()

    def _follow(self) -> None:
        """Follow both topics until the feed stops, or the broker has nothing to say and does not answer."""
        consumer = Consumer(
            client_config(self._kafka)
            | {
                "group.id": "smartlearn-dashboard",
                "enable.auto.commit": False,
                "auto.offset.reset": "latest",
                "fetch.wait.max.ms": 100,
                # Quiet: what goes wrong is told by `status`, not by the library on stderr.
                "log_level": 0,
                "error_cb": _ignore,
                "reconnect.backoff.max.ms": 2000,
            }
        )
        try:
            self._status = BrokerStatus(True, "", _partitions(consumer))
            self._assign(consumer)
            heard = counted = time.monotonic()
            while not self._stop.is_set():
                messages = consumer.consume(_MOST_MESSAGES, _POLL_S)
                now = time.monotonic()
                if messages:
                    heard = now
                    for message in messages:
                        self._handle(message)
                self._on_turn()
                if now - heard > _SILENCE_S:
                    # A broker that lost its topics (the embedded one, started anew) has other ends.
                    self._status = BrokerStatus(True, "", _partitions(consumer))
                    self._assign(consumer)
                    heard = counted = time.monotonic()
                elif now - counted > (_RECOUNT_S if self._complete else _RECOUNT_INCOMPLETE_S):
                    self._status = BrokerStatus(True, "", _partitions(consumer))
                    counted = time.monotonic()
        finally:
            consumer.close()

    @property
    def _complete(self) -> bool:
        return len(self._status.partitions) == len(TOPIC_OF)

    def _assign(self, consumer: Consumer) -> None:
        """Begin at the ends; of the live topic a little before, for what was said while we were not there.

        Raises:
            KafkaException: the broker does not answer.
        """
        low, self._end = consumer.get_watermark_offsets(TopicPartition(LIVE, 0), timeout=_METADATA_S)
        first = max(low, self._end - _BEFORE)
        consumer.assign([TopicPartition(LIVE, 0, first), TopicPartition(ALERTS, 0, OFFSET_END)])

    def _handle(self, message: Message) -> None:
        topic, value = message.topic(), message.value()
        if message.error() is not None or topic not in self._handlers or value is None:
            return
        try:
            content = orjson.loads(value)
            if topic == LIVE and (message.offset() or 0) < self._end:
                content = {name: content[name] for name in _SAMPLES if name in content}
            self._handlers[topic](content)
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
            _log.warning("a message on %s is not what it should be and is passed over: %r", topic, error)


def _partitions(consumer: Consumer) -> dict[str, int]:
    """Input topic → how many partitions.

    Raises:
        KafkaException: the broker does not answer.
    """
    found = consumer.list_topics(timeout=_METADATA_S).topics
    return {
        name: len(found[name].partitions) for name in TOPIC_OF.values() if name in found and found[name].error is None
    }


def _reason(error: KafkaException) -> str:
    first = error.args[0] if error.args else error
    return str(first.str()) if hasattr(first, "str") else str(first)


def _ignore(_error: object) -> None:
    """Errors of single connections; librdkafka reconnects by itself."""
