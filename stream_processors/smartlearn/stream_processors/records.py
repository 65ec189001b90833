"""What crosses the border to Kafka: a record as it was read, and a message to be sent. No client library here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Record:
    """One message as it was read.

    Attributes:
        topic: where it was read.
        partition: the partition it was read from.
        offset: its offset there.
        key: the message's key, or None.
        value: the message's bytes.
        timestamp: when the broker appended it, µs since the epoch; 0 where the broker does not tell.
        headers: the message's headers; None where one has no value.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes
    timestamp: int
    headers: Mapping[str, bytes | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message to send; without a partition its key chooses."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Mapping[str, bytes] = field(default_factory=dict)
    partition: int | None = None
