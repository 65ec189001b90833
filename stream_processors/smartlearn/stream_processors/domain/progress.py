"""How far a partition has been carried into the store: what a new owner of the partition starts from.

A partition's offset is committed behind what has been read (up to the first event of the oldest open pane). Stored
beside the offset is what was true just before it, so every message's effect on the counters and on the seen rows
waits here until the offset passes it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from smartlearn.core.batch import EXTERNAL_SOURCE
from smartlearn.stream_processors.domain.seen import SeenRows, Sender
from smartlearn.stream_processors.domain.suspects import SuspectPanes

COUNTERS: Final = ("in", "stored", "late", "duplicate", "forwarded", "dead", "expired")
"""Rows read; of them stored, and late of the stored; read before; sent on to their partition; dead-lettered;
older than the retention."""

BEGINNING: Final = -(1 << 62)
"""A frontier before every event."""


class Frontier:
    """How far event time had come when an offset was reached, by owner of panes, µs.

    A pane that begins later than its owner's has no event before the offset: reading from there gives all of it.
    """

    def __init__(self, owners: Mapping[str, int] | None = None, floor: int = BEGINNING) -> None:
        """From each owner's newest event time; `floor` is that of the owners that are not named any more."""
        self._owners = dict(owners or {})
        self._floor = floor

    def of(self, owner: str) -> int:
        """The newest event time of an owner."""
        return self._owners.get(owner, self._floor)

    def advance(self, owner: str, time: int) -> None:
        """An owner has an event at this time."""
        self._owners[owner] = max(time, self.of(owner))

    def forget(self, before: int) -> None:
        """Name the owners no more whose newest event is older than `before`."""
        for owner in [owner for owner, time in self._owners.items() if time < before]:
            self._floor = max(self._floor, self._owners.pop(owner))

    def encode(self) -> dict[str, object]:
        """As JSON."""
        return {"owners": self._owners, "floor": self._floor}


@dataclass(slots=True)
class Effect:
    """What one message changes: the counters of its source, the newest event time of a panes' owner, rows read.

    `rows` are those of a sender that were taken, `refused` those that came and were not: dead or expired.
    """

    offset: int
    source: str = EXTERNAL_SOURCE
    counts: dict[str, int] = field(default_factory=dict)
    rows: list[tuple[Sender, int, int]] = field(default_factory=list)
    refused: list[tuple[Sender, int, int]] = field(default_factory=list)
    at: int = 0
    newest: int = BEGINNING
    owner: str = ""

    def count(self, counter: str, rows: int) -> None:
        """Add rows to a counter."""
        if rows:
            self.counts[counter] = self.counts.get(counter, 0) + rows


@dataclass(slots=True)
class Progress:
    """The carried-in state of one partition at `offset`.

    Attributes:
        offset: the next offset to read; everything before it is in the store.
        epoch: which broker the offset belongs to; None is one that keeps its topics.
        frontier: the newest event times before `offset`.
        counts: the ledger up to `offset`: source → counter → rows. What cannot be read is of the source `external`.
        seen: the rows read up to `offset`.
        released: whether the owner that stored this has ended and will not write any more.
        known: offset of a message not passed yet → how many of its rows without numbers were in the store before it.
            Stored before the rows are, so that whoever reads the message again does not count its own rows as known.
        suspects: the panes that an owner before may still write.
    """

    offset: int = 0
    epoch: str | None = None
    frontier: Frontier = field(default_factory=Frontier)
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    seen: SeenRows = field(default_factory=SeenRows)
    released: bool = False
    known: dict[int, int] = field(default_factory=dict)
    suspects: SuspectPanes = field(default_factory=dict)

    def apply(self, effect: Effect) -> None:
        """Pass one message."""
        self.offset = effect.offset + 1
        self.known.pop(effect.offset, None)
        if effect.counts:
            counts = self.counts.setdefault(effect.source, dict.fromkeys(COUNTERS, 0))
            for counter, rows in effect.counts.items():
                counts[counter] += rows
        for sender, start, stop in effect.rows:
            self.seen.add(sender, start, stop, effect.at)
        for sender, start, stop in effect.refused:
            self.seen.refuse(sender, start, stop, effect.at)
        if effect.newest > BEGINNING:
            self.frontier.advance(effect.owner, effect.newest)

    def totals(self) -> dict[str, int]:
        """Counter → rows of all sources."""
        return {counter: sum(counts[counter] for counts in self.counts.values()) for counter in COUNTERS}

    def forget(self, before: int) -> None:
        """Drop what is known of senders and owners silent since `before` (µs), and of messages passed over."""
        self.seen.forget(before)
        self.frontier.forget(before)
        self.known = {offset: rows for offset, rows in self.known.items() if offset >= self.offset}

    def encode(self) -> bytes:
        """As bytes for the store."""
        return orjson.dumps(
            {
                "offset": self.offset,
                "epoch": self.epoch,
                "frontier": self.frontier.encode(),
                "counts": self.counts,
                "released": self.released,
                "known": list(self.known.items()),
                "suspects": {owner: list(panes.items()) for owner, panes in self.suspects.items()},
                "seen": self.seen.encode(),
            }
        )

    @classmethod
    def decode(cls, value: bytes) -> Progress:
        """The inverse of `encode`."""
        stored = orjson.loads(value)
        return cls(
            offset=stored["offset"],
            epoch=stored["epoch"],
            frontier=Frontier(**stored["frontier"]),
            counts=stored["counts"],
            seen=SeenRows.decode(stored["seen"]),
            released=stored.get("released", False),
            known=dict(stored.get("known", ())),
            suspects={owner: dict(panes) for owner, panes in stored.get("suspects", {}).items()},
        )


class PendingEffects:
    """Messages read but not yet passed, in the order of their offsets."""

    def __init__(self) -> None:
        self._effects: deque[Effect] = deque()

    def append(self, effect: Effect) -> None:
        """Add the effect of the message read last."""
        self._effects.append(effect)

    def pass_before(self, offset: int | None, progress: Progress) -> bool:
        """Apply to `progress` all messages before `offset` (None: all); whether there was any."""
        passed = False
        while self._effects and (offset is None or self._effects[0].offset < offset):
            progress.apply(self._effects.popleft())
            passed = True
        return passed
