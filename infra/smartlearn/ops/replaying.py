"""Sending dead letters again, as what they were.

A replay that dies between its two steps (send, remember) sends a letter twice, and nothing is doubled: rows of a batch
have their numbers, and a single event carries the place where it was read first, which identifies it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from smartlearn.core.batch import EXTERNAL_SOURCE, Batch
from smartlearn.core.codec import decode
from smartlearn.core.errors import BrokerUnavailable, InvalidMessage, StoreUnavailable
from smartlearn.core.partitioning import partition_of
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import DEAD_LETTER, KIND_OF, TOPIC_OF, client_config
from smartlearn.ops.dead_letters import REPLAYED, DeadLetter, letter_messages, value_of
from smartlearn.producers.counts import TopicCounts
from smartlearn.producers.ledger import Account, Ledger
from smartlearn.stream_processors.intake import ORIGIN_BOOT, ORIGIN_OFFSET, ORIGIN_PARTITION

# A broker that is failing over needs about 12 s.
_DELIVERY_S: Final = 30.0

# librdkafka's RD_KAFKA_PARTITION_UA: the partitioner chooses.
_BY_KEY: Final = -1


@dataclass(frozen=True, slots=True)
class InputTopics:
    """What a replay must know of the input topics.

    Attributes:
        partitions: topic → how many it has.
        lives: topic → what names its life.
    """

    partitions: Mapping[str, int]
    lives: Mapping[str, str]


def replay(kafka: KafkaSettings, letters: Sequence[DeadLetter], inputs: InputTopics, ledger: Ledger) -> None:
    """Send letters again: the original bytes, to their topic, to the partition of their key; then remember them.

    Args:
        kafka: where the broker is.
        letters: which; none that has a `refusal`.
        inputs: the input topics.
        ledger: where the rows are counted once more: they are delivered once more.

    Raises:
        BrokerUnavailable: no broker answers, or it did not take all; what it took is remembered.
    """
    by_number = {letter.number: letter for letter in letters}
    batches: dict[str, Batch | None] = {}
    producer = _Producer(kafka)
    for number, message in letter_messages(kafka, by_number):
        letter, value = by_number[number], value_of(message)
        batch = batches[number] = _batch(letter, value)
        producer.send(
            number,
            letter.topic,
            value=value,
            key=message.key(),
            headers=_origin(letter, inputs.lives),
            # What cannot be read goes where its key leads.
            partition=_BY_KEY if batch is None else partition_of(batch.key, inputs.partitions[letter.topic]),
        )
    sent = producer.delivered()
    for number in sent:
        producer.send(number, DEAD_LETTER, value=b"", headers={REPLAYED: number.encode()})
    with suppress(StoreUnavailable):
        ledger.add(_counts([batch for number in sent if (batch := batches[number]) is not None]))
    if len(sent) < len(by_number) or len(producer.delivered()) < len(sent):
        reason = producer.failure or "it does not answer"
        raise BrokerUnavailable(
            f"the broker took {len(sent)} of {len(by_number)} letters ({reason}): do the same again, nothing is doubled"
        )


class _Producer:
    """Sends, and knows what arrived."""

    def __init__(self, kafka: KafkaSettings) -> None:
        self.failure: str | None = None
        self._delivered: list[str] = []
        self._client = Producer(
            client_config(kafka)
            | {
                "enable.idempotence": True,
                "partitioner": "murmur2_random",
                "compression.type": "lz4",
                "delivery.timeout.ms": int(_DELIVERY_S * 1000),
                "log_level": 0,
            }
        )

    def send(self, number: str, topic: str, **message: Any) -> None:
        """Send; `number` is told by `delivered` once it arrived."""

        def report(error: KafkaError | None, _message: object) -> None:
            if error is None:
                self._delivered.append(number)
            else:
                self.failure = error.str()

        while True:
            try:
                self._client.produce(topic, on_delivery=report, **message)
            except BufferError:
                self._client.poll(0.1)
            except KafkaException as error:
                self.failure = error.args[0].str()
                return
            else:
                self._client.poll(0)
                return

    def delivered(self) -> list[str]:
        """Wait for what is on the way; the numbers of what arrived since the last call."""
        self._client.flush(_DELIVERY_S + 5)
        found, self._delivered = self._delivered, []
        return found


def _batch(letter: DeadLetter, value: bytes) -> Batch | None:
    """What a letter holds, if that can be read."""
    try:
        return decode(value, kind=KIND_OF[letter.topic], topic_boot="", partition=0, offset=0)
    except InvalidMessage:
        return None


def _counts(batches: Iterable[Batch]) -> dict[Account, TopicCounts]:
    """The rows of sources that keep a count."""
    counts: dict[Account, TopicCounts] = {}
    for batch in batches:
        if batch.source != EXTERNAL_SOURCE:
            account = (batch.source, TOPIC_OF[batch.kind])
            rows = TopicCounts(produced=len(batch), delivered=len(batch))
            counts[account] = counts.get(account, TopicCounts()) + rows
    return counts


def _origin(letter: DeadLetter, lives: Mapping[str, str]) -> dict[str, bytes]:
    """Where the letter was read first, as the headers of a forwarded message tell it."""
    return {
        ORIGIN_BOOT: lives[letter.topic].encode(),
        ORIGIN_PARTITION: str(letter.partition).encode(),
        ORIGIN_OFFSET: str(letter.offset).encode(),
    }
