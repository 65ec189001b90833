"""The dead letters: what was refused, why, and which of it can be sent again.

A letter that was replayed is remembered on the dead-letter topic itself, by a message without a value whose header
names it: whoever reads the letters reads that too, it lives as long as they do, and it needs no right in the store.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import orjson
from confluent_kafka import Message

from smartlearn.core.masking import MASK
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import DEAD_LETTER, INTERACTIONS, KIND_OF
from smartlearn.ops.timespan import Span
from smartlearn.ops.topic_reading import held_messages

REPLAYED: Final = "replayed"
"""The header of a message that says of a letter that it was sent again."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused message, without its value.

    Attributes:
        number: what it is called by: its offset on the dead-letter topic, after its partition where that is not 0.
        time_us: when it was refused, µs since the epoch.
        topic: where it was read; "" where that is not told.
        partition: the partition that it was read from, or None.
        offset: its offset there, or None.
        reason: why it was refused.
        size: bytes of the value.
        unsendable: why it cannot be sent again, or None.
        replayed: whether it was sent again.
    """

    number: str
    time_us: int
    topic: str
    partition: int | None
    offset: int | None
    reason: str
    size: int
    unsendable: str | None
    replayed: bool = False

    @property
    def refusal(self) -> str | None:
        """Why a replay leaves it out, or None."""
        return "it was replayed already" if self.replayed else self.unsendable


def dead_letters(kafka: KafkaSettings, *, topic: str | None = None, span: Span | None = None) -> list[DeadLetter]:
    """The dead letters of a topic (None: of all) and a part of time, in their order; one that was sent twice is one.

    Raises:
        BrokerUnavailable: no broker answers, or it has no dead-letter topic.
    """
    found: dict[str, DeadLetter] = {}
    replayed: set[str] = set()
    known: set[tuple[object, ...]] = set()
    for message in held_messages(kafka, DEAD_LETTER):
        headers = headers_of(message)
        if REPLAYED in headers:
            replayed.add(_text(headers[REPLAYED]))
            continue
        letter = _letter(message, headers)
        # A worker that dies between sending a letter and noting so sends it again.
        same = (letter.topic, letter.partition, letter.offset, hashlib.sha256(value_of(message)).digest())
        if letter.offset is not None and same in known:
            continue
        known.add(same)
        if (topic is None or letter.topic == topic) and _within(letter, span or Span()):
            found[letter.number] = letter
    return [replace(letter, replayed=True) if letter.number in replayed else letter for letter in found.values()]


def letter_messages(kafka: KafkaSettings, numbers: Collection[str]) -> Iterator[tuple[str, Message]]:
    """Number → message, of the letters with these numbers; ends with the last of them.

    Raises:
        BrokerUnavailable: no broker answers, or it has no dead-letter topic.
    """
    wanted = set(numbers)
    if not wanted:
        return
    with closing(held_messages(kafka, DEAD_LETTER)) as messages:
        for message in messages:
            number = _number(message)
            if number in wanted:
                wanted.discard(number)
                yield number, message
                if not wanted:
                    return


def headers_of(message: Message) -> dict[str, bytes]:
    """The headers of a message; of one that is there twice, the last; one without a value is empty."""
    pairs = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return {name: value or b"" for name, value in pairs}


def value_of(message: Message) -> bytes:
    """The bytes of a message."""
    return message.value() or b""


def _letter(message: Message, headers: Mapping[str, bytes]) -> DeadLetter:
    value = value_of(message)
    topic = _text(headers.get("topic"))
    partition, offset = _integer(headers.get("partition")), _integer(headers.get("offset"))
    return DeadLetter(
        number=_number(message),
        time_us=max(0, message.timestamp()[1]) * 1000,
        topic=topic,
        partition=partition,
        offset=offset,
        reason=_text(headers.get("reason")),
        size=len(value),
        unsendable=_unsendable(topic, partition, offset, headers, value),
    )


def _unsendable(
    topic: str, partition: int | None, offset: int | None, headers: Mapping[str, bytes], value: bytes
) -> str | None:
    if headers.get("holds") == b"point":
        return "it is a point that the store refused, not a message"
    if topic not in KIND_OF or partition is None or offset is None:
        return "its headers do not tell which message it was"
    if "cut" in headers:
        return f"it was cut: of {_text(headers['cut'])} bytes it holds {len(value)}"
    if topic == INTERACTIONS and _is_masked(value):
        return "its values were masked, so that it tells of no learner: send it again from its source"
    return None


def _is_masked(value: bytes) -> bool:
    """Whether anything of a refused interaction was masked."""
    try:
        message: Any = orjson.loads(value)
    except orjson.JSONDecodeError:
        return True
    return type(message) is not dict or "masked_bytes" in message or _holds_mask(message)


def _holds_mask(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_holds_mask(part) for part in value.values())
    if isinstance(value, list):
        return any(_holds_mask(part) for part in value)
    return bool(value == MASK)


def _within(letter: DeadLetter, span: Span) -> bool:
    time_ns = letter.time_us * 1000
    return (span.start is None or time_ns >= span.start) and (span.stop is None or time_ns < span.stop)


def _number(message: Message) -> str:
    return str(message.offset()) if message.partition() == 0 else f"{message.partition()}/{message.offset()}"


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "replace")


def _integer(value: bytes | None) -> int | None:
    text = _text(value)
    return int(text) if text.isdecimal() else None
