"""From a record to rows that count: decoded, owned, plausible in time, and never read before.

Each record has exactly one fate a row, and the ledger counts it: stored, late (of the stored), duplicate, forwarded,
dead, expired.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from smartlearn.core.batch import EXTERNAL_SOURCE, Batch, Kind
from smartlearn.core.codec import decode
from smartlearn.core.errors import InvalidMessage
from smartlearn.core.masking import masked
from smartlearn.core.partitioning import partition_of
from smartlearn.core.topics import DEAD_LETTER, TOPIC_OF
from smartlearn.stream_processors.domain.progress import Effect
from smartlearn.stream_processors.domain.seen import SeenRows, Sender
from smartlearn.stream_processors.records import Outgoing, Record

ORIGIN_BOOT: Final = "smartlearn-origin-boot"
ORIGIN_PARTITION: Final = "smartlearn-origin-partition"
ORIGIN_OFFSET: Final = "smartlearn-origin-offset"
"""Headers of a forwarded message: where it was read first, which its rows are identified by."""

_REASON_BYTES: Final = 500


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """What the intake of one topic decides by.

    Attributes:
        kind: the kind of event the topic holds.
        partitions: how many partitions the topic has.
        boot: the topic's identity: rows without an envelope are identified by it and their offset.
        future: µs an event may be ahead of its record.
        retention: µs that raw events are kept, or None.
        kept_fields: of a rejected interaction, the fields whose values a dead letter may show.
    """

    kind: Kind
    partitions: int
    boot: str
    future: int
    retention: int | None
    kept_fields: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one record.

    Attributes:
        batches: the rows to store and fold, in order.
        effect: what the record changes in the ledger.
        outgoing: dead letters and forwards that must be delivered before the record is passed.
    """

    batches: list[Batch]
    effect: Effect
    outgoing: list[Outgoing]


def take(record: Record, rules: IntakeRules, seen: SeenRows, now: int) -> Taken:
    """Decide the fate of a record's rows; `seen` is told the rows that are taken.

    Args:
        record: the record.
        rules: the topic's rules.
        seen: the rows read so far from this partition.
        now: the worker's clock, µs; stands in for a record's time where the broker does not tell it.
    """
    effect = Effect(record.offset, at=record.timestamp or now)
    try:
        batch = _decode(record, rules)
    except InvalidMessage as error:
        effect.count("in", 1)
        effect.count("dead", 1)
        return Taken([], effect, [dead_letter(record, str(error), rules)])
    effect.count("in", len(batch))
    owner = partition_of(batch.key, rules.partitions)
    if owner != record.partition and ORIGIN_BOOT not in record.headers:
        effect.count("forwarded", len(batch))
        return Taken([], effect, [_forward(record, batch, owner, rules)])
    outgoing = []
    reference = record.timestamp or now
    ahead = batch.timestamp > reference + rules.future
    if ahead.any():
        effect.count("dead", int(ahead.sum()))
        first = int(np.argmax(ahead))
        seconds = (int(batch.timestamp[first]) - reference) / 1e6
        reason = (
            f"row {first}: timestamp is {seconds:.0f} s ahead of the record, more than the "
            f"{rules.future / 1e6:.0f} s allowed; set the sender's clock"
        )
        outgoing.append(dead_letter(record, reason, rules))
    keep = ~ahead
    if rules.retention is not None:
        expired = keep & (batch.timestamp < now - rules.retention)
        effect.count("expired", int(expired.sum()))
        keep &= ~expired
    batches = [part for start, stop in _runs(keep) for part in _unseen(batch.rows(start, stop), record, seen, effect)]
    for part in batches:
        effect.count("stored", len(part))
        effect.newest = max(effect.newest, int(part.timestamp.max()))
    return Taken(batches, effect, outgoing)


def _decode(record: Record, rules: IntakeRules) -> Batch:
    headers = record.headers
    boot, partition, offset = rules.boot, record.partition, record.offset
    if ORIGIN_BOOT in headers:
        try:
            boot = headers[ORIGIN_BOOT].decode()
            partition = int(headers[ORIGIN_PARTITION])
            offset = int(headers[ORIGIN_OFFSET])
        except (KeyError, ValueError) as error:
            raise InvalidMessage("the headers of a forwarded message do not tell its origin") from error
    return decode(record.value, kind=rules.kind, topic_boot=boot, partition=partition, offset=offset)


def _forward(record: Record, batch: Batch, owner: int, rules: IntakeRules) -> Outgoing:
    origin = {
        ORIGIN_BOOT: rules.boot.encode(),
        ORIGIN_PARTITION: str(record.partition).encode(),
        ORIGIN_OFFSET: str(record.offset).encode(),
    }
    headers = {**record.headers, **origin}
    return Outgoing(record.topic, batch.key.encode(), record.value, headers, partition=owner)


def _unseen(batch: Batch, record: Record, seen: SeenRows, effect: Effect) -> list[Batch]:
    """The parts of a batch that were not read before; the rest is counted as duplicate."""
    sender = _sender(batch, record)
    if sender is None:
        return [batch]
    assert batch.seq is not None
    first = batch.seq
    missing = seen.unseen(sender, first, first + len(batch))
    for start, stop in missing:
        seen.add(sender, start, stop, effect.at)
        effect.rows.append((sender, start, stop))
    effect.count("duplicate", len(batch) - sum(stop - start for start, stop in missing))
    return [batch.rows(start - first, stop - first) for start, stop in missing]


def _sender(batch: Batch, record: Record) -> Sender | None:
    """What the row numbers are counted per; None where rows have none, or are the offsets of this very partition."""
    if batch.imported:
        return None
    assert batch.boot is not None
    if batch.source != EXTERNAL_SOURCE:
        return batch.source, batch.boot, batch.key
    return (batch.source, batch.boot, "") if ORIGIN_BOOT in record.headers else None


def _runs(keep: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """The half-open runs of True."""
    if keep.all():
        return [(0, len(keep))]
    edges = np.flatnonzero(np.diff(np.concatenate(([False], keep, [False])).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def dead_letter(record: Record, reason: str, rules: IntakeRules) -> Outgoing:
    """The original bytes with the reason and the origin in the headers; learners' values are masked."""
    value = masked(record.value, rules.kept_fields) if rules.kind is Kind.INTERACTION else record.value
    headers = {
        "reason": reason.encode()[:_REASON_BYTES],
        "topic": TOPIC_OF[rules.kind].encode(),
        "partition": str(record.partition).encode(),
        "offset": str(record.offset).encode(),
    }
    key = None if rules.kind is Kind.INTERACTION else record.key
    return Outgoing(DEAD_LETTER, key, value, headers)
