"""From a record to rows that count: decoded, owned, plausible in time, and never read before.

Each record has exactly one fate a row, and the ledger counts it: stored, late (of the stored), duplicate, forwarded,
dead, expired.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np

from smartlearn.core.batch import EXTERNAL_SOURCE, Batch, Kind
from smartlearn.core.codec import decode
from smartlearn.core.errors import InvalidMessage
from smartlearn.core.masking import masked
from smartlearn.core.partitioning import partition_of
from smartlearn.core.text_columns import label_fault
from smartlearn.core.topics import DEAD_LETTER, TOPIC_OF
from smartlearn.stream_processors.domain.progress import Effect
from smartlearn.stream_processors.domain.seen import SeenRows, Sender
from smartlearn.stream_processors.records import Outgoing, Record

ORIGIN_BOOT: Final = "smartlearn-origin-boot"
ORIGIN_PARTITION: Final = "smartlearn-origin-partition"
ORIGIN_OFFSET: Final = "smartlearn-origin-offset"
"""Headers of a forwarded message: where it was read first, which its rows are identified by."""

# What is sent on must fit a topic whatever came in: a compressed message, or one whose values were masked, may be
# larger than the largest that the input topics take.
_LARGEST_SENT: Final = 5 * 1024 * 1024
_REASON_BYTES: Final = 500
_KEY_BYTES: Final = 1000

_NO_ORIGIN: Final = "the headers of a forwarded message do not tell its origin"
_PARTITIONS_END: Final = 1 << 31
_OFFSETS_END: Final = (1 << 63) - 1

BoolArray: TypeAlias = np.ndarray[tuple[int], np.dtype[np.bool_]]

logger = logging.getLogger(__name__)


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
        return _dead(record, effect, 1, str(error), rules)
    except Exception:
        # A fault of ours in reading one message must not stop every worker in front of all that is behind it.
        logger.exception("%s/%d at offset %d", record.topic, record.partition, record.offset)
        return _dead(record, effect, 1, "the message could not be read; the worker's log tells why", rules)
    effect.source = batch.source
    owner = partition_of(batch.key, rules.partitions)
    if owner != record.partition and ORIGIN_BOOT not in record.headers:
        if len(record.value) > _LARGEST_SENT:
            reason = f"the message lies in partition {record.partition} instead of {owner} and is too large to forward"
            return _dead(record, effect, len(batch), reason, rules)
        effect.count("in", len(batch))
        effect.count("forwarded", len(batch))
        return Taken([], effect, [_forward(record, batch, owner, rules)])
    effect.count("in", len(batch))
    outgoing: list[Outgoing] = []
    reference = record.timestamp or now
    oldest, newest = _span(batch)
    if newest <= reference + rules.future and (rules.retention is None or oldest >= now - rules.retention):
        batches = _unseen(batch, record, seen, effect)
    else:
        keep = _plausible(batch, record, rules, reference, now, effect, outgoing)
        _note_refused(batch, record, ~keep, effect)
        batches = [part for run in _runs(keep) for part in _unseen(batch.rows(*run), record, seen, effect)]
    for part in batches:
        effect.count("stored", len(part))
        effect.newest = max(effect.newest, newest if part is batch else int(part.timestamp.max()))
    return Taken(batches, effect, outgoing)


def _span(batch: Batch) -> tuple[int, int]:
    """The oldest and the newest event time, µs."""
    times = batch.timestamp
    if len(times) == 1:
        time = int(times[0])
        return time, time
    return int(times.min()), int(times.max())


def _plausible(
    batch: Batch,
    record: Record,
    rules: IntakeRules,
    reference: int,
    now: int,
    effect: Effect,
    outgoing: list[Outgoing],
) -> BoolArray:
    """The rows that are neither ahead of their record nor beyond retention; the others are counted, and told of."""
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
    keep: BoolArray = ~ahead
    if rules.retention is not None:
        expired = keep & (batch.timestamp < now - rules.retention)
        effect.count("expired", int(expired.sum()))
        keep &= ~expired
    return keep


def _dead(record: Record, effect: Effect, rows: int, reason: str, rules: IntakeRules) -> Taken:
    effect.count("in", rows)
    effect.count("dead", rows)
    return Taken([], effect, [dead_letter(record, reason, rules)])


def _decode(record: Record, rules: IntakeRules) -> Batch:
    boot, partition, offset = rules.boot, record.partition, record.offset
    if ORIGIN_BOOT in record.headers:
        boot, partition, offset = _origin(record)
    return decode(record.value, kind=rules.kind, topic_boot=boot, partition=partition, offset=offset)


def _origin(record: Record) -> tuple[str, int, int]:
    """Topic life, partition and offset of the message that was forwarded; any client may have set them."""
    values = [record.headers.get(name) for name in (ORIGIN_BOOT, ORIGIN_PARTITION, ORIGIN_OFFSET)]
    try:
        boot, partition, offset = ((value or b"").decode() for value in values)
        origin = boot, int(partition), int(offset)
    except ValueError as error:
        raise InvalidMessage(_NO_ORIGIN) from error
    if label_fault(boot) or not (0 <= origin[1] < _PARTITIONS_END and 0 <= origin[2] < _OFFSETS_END):
        raise InvalidMessage(_NO_ORIGIN)
    return origin


def _forward(record: Record, batch: Batch, owner: int, rules: IntakeRules) -> Outgoing:
    origin = {
        ORIGIN_BOOT: rules.boot.encode(),
        ORIGIN_PARTITION: str(record.partition).encode(),
        ORIGIN_OFFSET: str(record.offset).encode(),
    }
    return Outgoing(record.topic, batch.key.encode(), record.value, origin, partition=owner)


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


def _note_refused(batch: Batch, record: Record, refused: BoolArray, effect: Effect) -> None:
    """Rows that came and were not taken are no holes in their sender's numbers."""
    sender = _sender(batch, record)
    if sender is not None:
        assert batch.seq is not None
        effect.refused += [(sender, batch.seq + start, batch.seq + stop) for start, stop in _runs(refused)]


def _sender(batch: Batch, record: Record) -> Sender | None:
    """What the row numbers are counted per; None where rows have none, or are the offsets of this very partition."""
    if batch.imported:
        return None
    assert batch.boot is not None
    if batch.source != EXTERNAL_SOURCE:
        return batch.source, batch.boot, batch.key
    return (batch.source, batch.boot, "") if ORIGIN_BOOT in record.headers else None


def _runs(keep: BoolArray) -> list[tuple[int, int]]:
    """The half-open runs of True."""
    if keep.all():
        return [(0, len(keep))]
    edges = np.flatnonzero(np.diff(np.concatenate(([False], keep, [False])).astype(np.int8)))
    return [(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def dead_letter(record: Record, reason: str, rules: IntakeRules) -> Outgoing:
    """The original bytes with the reason and the origin in the headers; learners' values are masked.

    A value too large for the topic is cut, and the header `cut` tells how many bytes it had.
    """
    value = masked(record.value, rules.kept_fields) if rules.kind is Kind.INTERACTION else record.value
    headers = {
        "reason": reason.encode()[:_REASON_BYTES],
        "topic": TOPIC_OF[rules.kind].encode(),
        "partition": str(record.partition).encode(),
        "offset": str(record.offset).encode(),
    }
    if len(value) > _LARGEST_SENT:
        headers["cut"] = str(len(value)).encode()
        value = value[:_LARGEST_SENT]
    key = None if rules.kind is Kind.INTERACTION or record.key is None else record.key[:_KEY_BYTES]
    return Outgoing(DEAD_LETTER, key, value, headers)
