"""One topic on its way to the store: read, kept, derived from, and only then passed.

A lane is plain blocking code without Kafka in it: records go in by `receive`, `flush` makes everything so far durable
and answers the offsets that may be committed. When `flush` raises, nothing is lost: the next one does the same again,
and a process that dies instead reads again from the committed offset.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from smartlearn.core.batch import Batch, Int64Array, Kind
from smartlearn.core.errors import InvalidMessage
from smartlearn.core.partitioning import partition_of, shard_of
from smartlearn.core.stores.base import MetricStore, Points, Refused, SeriesQuery
from smartlearn.core.topics import DEAD_LETTER, TOPIC_OF
from smartlearn.stream_processors.deriver import Arrival, Deriver
from smartlearn.stream_processors.domain.progress import COUNTERS, Effect, Frontier, PendingEffects, Progress
from smartlearn.stream_processors.domain.seen import SeenRows
from smartlearn.stream_processors.intake import IntakeRules, Taken, dead_letter, take
from smartlearn.stream_processors.publisher import Publisher
from smartlearn.stream_processors.raw import MEASUREMENT_OF, RawPoints, raw_points
from smartlearn.stream_processors.recompute import asks_to_recompute, parse_recompute, recompute_messages
from smartlearn.stream_processors.records import Outgoing, Record

# A sender that has been silent for so long will not send the same rows again: spools are drained sooner.
REMEMBER_US: Final = 30 * 24 * 3600 * 1_000_000


# Offsets trail by the oldest open pane: nothing that is older than this waits to be passed.
_UNPASSED_US: Final = 3600 * 1_000_000
# So long records from before are asked for again and waited for.
_GAP_S: Final = 15.0
_OWNER_TAG: Final = {Kind.PERFORMANCE: "node", Kind.TRAINING: "run", Kind.INTERACTION: "shard"}
_NO_TIMES: Final[Int64Array] = np.zeros(0, np.int64)


@dataclass(slots=True)
class _Partition:
    """One partition: as far as it was carried into the store, as far as it was read, and what lies between."""

    progress: Progress
    seen: SeenRows
    read: dict[str, int]
    position: int
    pending: PendingEffects = field(default_factory=PendingEffects)
    unsaved: bool = False
    begun: bool = False
    ahead_since: float | None = None

    def begins(self, offset: int, now: float) -> bool:
        """Whether reading may go on at an offset: the first one must follow the stored progress.

        What lies between would be missing from panes that are thought to be read whole. Where it does not come although
        it is asked for, the broker does not have it any more.
        """
        if not self.begun and offset > self.position:
            self.ahead_since = now if self.ahead_since is None else self.ahead_since
            if now - self.ahead_since < _GAP_S:
                return False
        self.begun = True
        return True

    def count(self, effect: Effect) -> None:
        for counter, rows in effect.counts.items():
            self.read[counter] += rows


class _Origin(NamedTuple):
    """The message that points came in."""

    number: int
    partition: _Partition
    effect: Effect

    @property
    def noted(self) -> int | None:
        """How many of the message's rows were in the store before it, where that was asked already."""
        return self.partition.progress.known.get(self.effect.offset)

    def unstored(self, rows: int, fate: str) -> None:
        """Count rows that turned out not to be stored."""
        for counter, change in (("stored", -rows), (fate, rows)):
            self.effect.count(counter, change)
            self.partition.read[counter] += change


class Lane:
    """The partitions of one topic that this worker owns. Calls come from one thread at a time."""

    def __init__(
        self, rules: IntakeRules, epoch: str | None, store: MetricStore, publisher: Publisher, deriver: Deriver,
        *, keep_raw: bool = True,
    ) -> None:  # fmt: skip
        """Build the lane of a topic.

        Args:
            rules: what the intake decides by.
            epoch: names the topic's life; stored offsets of another life are not looked at.
            store: where points and progress go.
            publisher: where dead letters and forwards go.
            deriver: what else the rows are turned into.
            keep_raw: whether raw points are stored.
        """
        self.topic = TOPIC_OF[rules.kind]
        self._rules = rules
        self._epoch = epoch
        self._store = store
        self._publisher = publisher
        self._deriver = deriver
        self._keep_raw = keep_raw
        self._partitions: dict[int, _Partition] = {}
        self._raw: RawPoints[_Origin] = RawPoints()
        self._placed: list[tuple[Batch, Points, _Origin]] = []
        self._outbox: list[Outgoing] = []
        self._lock = threading.Lock()

    @property
    def partitions(self) -> list[int]:
        """The partitions held, sorted."""
        return sorted(self._partitions)

    def assign(self, partitions: Iterable[int]) -> None:
        """Begin partitions at what the store knows of them.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        with self._lock:
            newest: Mapping[str, int] = {}
            for partition in partitions:
                stored = self._store.get_state(self._key(partition))
                # One copy is what is passed, the other what is read; they part from here on.
                progress, read = (
                    Progress(epoch=self._epoch) if stored is None else Progress.decode(stored) for _ in range(2)
                )
                other_life = progress.epoch != self._epoch
                if other_life:
                    progress.offset, progress.epoch = 0, self._epoch
                    progress.known.clear()
                clean = stored is None or progress.released
                progress.released = False
                self._partitions[partition] = _Partition(
                    progress, read.seen, read.totals(), progress.offset, begun=other_life or stored is None
                )
                behind: dict[str, int] = {}
                if other_life or stored is None:
                    newest = newest or self._newest_stored()
                    behind = self._behind(partition, newest, read.frontier)
                    for owner in behind:
                        progress.frontier.advance(owner, newest[owner])
                        read.frontier.advance(owner, newest[owner])
                self._deriver.open(partition, read.frontier, progress.suspects, clean=clean)
                for owner, since in behind.items():
                    # Without any progress, what is older was derived by the owner of another partition.
                    known = since if other_life else max(since, newest[owner] - _UNPASSED_US)
                    self._deriver.catch_up(partition, owner, known)

    def _newest_stored(self) -> dict[str, int]:
        """The newest raw event time of each owner, µs."""
        tag = _OWNER_TAG.get(self._rules.kind)
        newest: dict[str, int] = {}
        if tag is not None:
            for series in self._store.latest(MEASUREMENT_OF[self._rules.kind]):
                owner, time = series.tags[tag], int(series.time[0]) // 1000
                newest[owner] = max(time, newest.get(owner, time))
        return newest

    def _behind(self, partition: int, newest: Mapping[str, int], frontier: Frontier) -> dict[str, int]:
        """The partition's owners with raw events that no progress has passed, and how far they had come, µs.

        So it is where the broker forgot what was not passed, and where a key comes from another partition.
        """
        shards = self._rules.kind is Kind.INTERACTION
        count = self._rules.partitions
        return {
            owner: frontier.of(owner)
            for owner, time in newest.items()
            if (int(owner) % count if shards else partition_of(owner, count)) == partition and time > frontier.of(owner)
        }

    def revoke(self, partitions: Iterable[int]) -> None:
        """Drop partitions; what they held unflushed is read again by their next owner."""
        with self._lock:
            for partition in partitions:
                if self._partitions.pop(partition, None) is not None:
                    self._deriver.close(partition)
            # Rows that are written after the next owner asked what the store knows would be known to it.
            self._raw.keep(self._holds)
            self._placed = [placed for placed in self._placed if self._holds(placed[2])]

    def _holds(self, origin: _Origin) -> bool:
        return self._partitions.get(origin.number) is origin.partition

    def release(self) -> None:
        """Note with the progress of every partition that this worker will not write any more.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        with self._lock:
            for partition in self._partitions.values():
                partition.progress.released = True
            self._store_progress(self._partitions)

    def receive(self, records: Iterable[Record], now: float) -> list[Batch]:
        """Take records in, in the order of their offsets; the rows that count are returned."""
        arrivals = []
        effects = []
        with self._lock:
            for record in records:
                partition = self._partitions.get(record.partition)
                # After a rebalance the consumer seeks to what is committed, and may hand records over twice.
                if partition is None or record.offset < partition.position:
                    continue
                if not partition.begins(record.offset, now):
                    continue
                partition.position = record.offset + 1
                taken = self._take(record, partition, now)
                partition.pending.append(taken.effect)
                effects.append((partition, taken.effect))
                self._outbox.extend(taken.outgoing)
                for batch in taken.batches:
                    arrivals.append(Arrival(record.partition, record.offset, batch, taken.effect))
                    if self._keep_raw:
                        shard = shard_of(batch.key) if batch.kind is Kind.INTERACTION else None
                        points = raw_points(batch, shard)
                        origin = _Origin(record.partition, partition, taken.effect)
                        self._raw.add(points, origin)
                        if batch.imported:
                            self._placed.append((batch, points, origin))
            self._deriver.fold(arrivals, now)
            for partition, effect in effects:
                partition.count(effect)
        return [arrival.batch for arrival in arrivals]

    def _take(self, record: Record, partition: _Partition, now: float) -> Taken:
        if not asks_to_recompute(record):
            return take(record, self._rules, partition.seen, int(now * 1e6))
        effect = Effect(record.offset)
        try:
            owner, places = parse_recompute(record.value)
        except InvalidMessage as error:
            return Taken([], effect, [dead_letter(record, str(error), self._rules)])
        self._deriver.recompute(record.partition, owner, places, record.offset)
        return Taken([], effect, [])

    def rows_held(self) -> int:
        """How many raw rows wait for the next flush."""
        return len(self._raw)

    def flush(self, now: float, behind: Collection[int] = ()) -> dict[int, int]:
        """Make everything taken in so far durable, with what is due; the offset to commit by partition.

        Args:
            now: the worker's clock, s.
            behind: the partitions of which there is more to read: there no key is idle.

        Raises:
            StoreUnavailable: the store does not answer; call again.
            BrokerUnavailable: dead letters, forwards or alerts were not taken; call again.
        """
        with self._lock:
            self._count_known()
            if self._raw:
                self._refuse(self._store.write(self._raw.joined()))
                self._raw.clear()
            if self._outbox:
                self._publisher.publish(self._outbox)
                self._outbox.clear()
            self._deriver.derive(now, behind)
            return self._pass(now)

    def written(self) -> list[Outgoing]:
        """What asks for everything to be computed again that was written since the last call."""
        with self._lock:
            return recompute_messages(self.topic, self._deriver.written())

    def ahead(self) -> dict[int, int]:
        """The partitions whose records come from behind their stored progress, and where to read instead."""
        return {
            number: partition.position
            for number, partition in self._partitions.items()
            if not partition.begun and partition.ahead_since is not None
        }

    def passed(self, partition: int) -> int | None:
        """The offset up to which a held partition is in the store, or None where it is not held."""
        held = self._partitions.get(partition)
        return None if held is None else held.progress.offset

    def counts(self) -> dict[str, int]:
        """The ledger of the held partitions, as far as it was read; answers also while a flush waits for the store."""
        held = tuple(self._partitions.values())
        return {counter: sum(partition.read[counter] for partition in held) for counter in COUNTERS}

    def _refuse(self, refused: Sequence[Refused]) -> None:
        """Dead-letter the points that the store will never take."""
        for point, origin in zip(refused, self._raw.origins(refused), strict=True):
            origin.unstored(1, "dead")
            self._outbox.append(_refused_letter(point, self.topic, origin))

    def _count_known(self) -> None:
        """Count the placed rows that are in the store already as duplicates: they have no number to be known by.

        What is found is stored before the rows are. The store would name rows that this message brought itself, once
        they are written and the message is read again.
        """
        known = self._known_rows()
        asked = [origin for origin, _ in known if origin.noted is None]
        for origin, rows in known:
            origin.partition.progress.known[origin.effect.offset] = rows
        try:
            self._store_progress({origin.number: origin.partition for origin in asked})
        except BaseException:
            for origin in asked:
                del origin.partition.progress.known[origin.effect.offset]
            raise
        for origin, rows in known:
            origin.unstored(min(rows, origin.effect.counts.get("stored", 0)), "duplicate")
        self._placed.clear()

    def _known_rows(self) -> list[tuple[_Origin, int]]:
        """How many placed rows of each message were known before it: as noted, or else as the store says."""
        written: dict[tuple[Kind, str, str], Int64Array] = {}
        rows: dict[tuple[int, int], int] = {}
        origins: dict[tuple[int, int], _Origin] = {}
        for batch, points, origin in self._placed:
            message = origin.number, origin.effect.offset
            origins[message] = origin
            sender = (batch.kind, batch.source, batch.key)
            before = written.get(sender, _NO_TIMES)
            written[sender] = np.append(before, points.time)
            if origin.noted is None:
                times = np.append(before, self._stored_times(batch, points))
                rows[message] = rows.get(message, 0) + int(np.isin(points.time, times).sum())
            else:
                rows[message] = origin.noted
        return [(origins[message], found) for message, found in rows.items()]

    def _stored_times(self, batch: Batch, points: Points) -> Int64Array:
        """The times of a sender's stored points within those of a batch, ns."""
        key = str(shard_of(batch.key)) if batch.kind is Kind.INTERACTION else batch.key
        owner = {_OWNER_TAG[batch.kind]: key} if batch.kind in _OWNER_TAG else {}
        first, last = int(points.time.min()), int(points.time.max())
        query = SeriesQuery(points.measurement, first, last + 1, where={"source": batch.source, **owner})
        return np.concatenate([_NO_TIMES, *(series.time for series in self._store.query(query))])

    def _pass(self, now: float) -> dict[int, int]:
        before = int(now * 1e6) - REMEMBER_US
        moved = {}
        for number, partition in self._partitions.items():
            bound = self._deriver.oldest_open(number)
            partition.unsaved |= partition.pending.pass_before(bound, partition.progress)
            if partition.unsaved:
                partition.seen.forget(before)
                partition.progress.forget(before)
                moved[number] = partition
        self._store_progress(moved)
        for partition in moved.values():
            partition.unsaved = False
        return {number: partition.progress.offset for number, partition in moved.items()}

    def _store_progress(self, partitions: Mapping[int, _Partition]) -> None:
        if partitions:
            self._store.put_state({self._key(number): each.progress.encode() for number, each in partitions.items()})

    def _key(self, partition: int) -> str:
        return f"progress/{self.topic}/{partition}"


def _refused_letter(point: Refused, topic: str, origin: _Origin) -> Outgoing:
    """A point that the store refused: which it is, why, and the message it came in."""
    tags = "".join(f",{name}={value}" for name, value in sorted(point.tags.items()))
    headers = {
        "reason": point.reason.encode()[:500],
        "topic": topic.encode(),
        "partition": str(origin.number).encode(),
        "offset": str(origin.effect.offset).encode(),
        "holds": b"point",
    }
    return Outgoing(DEAD_LETTER, None, f"{point.measurement}{tags} {point.time}".encode(), headers)
