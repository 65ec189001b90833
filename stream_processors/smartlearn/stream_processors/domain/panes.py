"""The open panes of a partition: folding rows in, and deciding when a pane is due.

A pane's value is a function of the set of raw events in it. A pane is folded in memory only where the partition has
been read without a gap since before the pane's first event; every other pane is marked `from_store`, to be computed
from the stored raw events once those are durable.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from smartlearn.core.aggregates import Summary
from smartlearn.stream_processors.domain.progress import BEGINNING, Frontier
from smartlearn.stream_processors.domain.windows import PaneGrid

SeriesKey: TypeAlias = tuple[tuple[str, str], ...]
"""A series' tags, sorted by name, absent ones left out."""

PaneValue: TypeAlias = dict[SeriesKey, Summary]
"""What one pane of one owner holds: a summary for each of the owner's series."""


@dataclass(slots=True)
class Clock:
    """How far a series key's event time has come (µs), and when its last event arrived (worker's clock, s).

    Imports of a key have a clock of their own.
    """

    event_time: int = BEGINNING
    arrived: float = 0.0
    imported: bool = False


@dataclass(slots=True)
class Pane:
    """One pane of one owner (a node; of interactions a shard).

    Attributes:
        owner: whose pane it is.
        start: µs.
        from_store: whether its value is computed from the stored raw events.
        clock: the clock of the sender that touched it last.
        value: what was folded so far; unused with `from_store`.
        first_offset: of the first message whose events have not been emitted; None where all have.
    """

    owner: str
    start: int
    from_store: bool
    clock: Clock
    value: PaneValue = field(default_factory=dict)
    first_offset: int | None = None


class PaneBook:
    """All panes of a partition that may still change without a look into the store."""

    def __init__(self, grid: PaneGrid, lateness: int, idle_s: float, frontier: Frontier) -> None:
        """Start after a frontier: how far each owner's events had come before the offset that reading starts at."""
        self._grid = grid
        self._lateness = lateness
        self._idle_s = idle_s
        self._frontier = frontier
        self._panes: dict[tuple[str, int], Pane] = {}
        self._clocks: dict[tuple[str, bool], Clock] = {}
        self._folds_from: dict[str, int] = {}
        self._open: dict[tuple[str, int], Pane] = {}

    def clock(self, key: str, *, imported: bool) -> Clock:
        """The clock of a series key."""
        known = self._clocks.get((key, imported))
        if known is None:
            known = self._clocks[key, imported] = Clock(imported=imported)
        return known

    def folds_from(self, owner: str) -> int:
        """The first pane start of an owner that may be folded in memory."""
        known = self._folds_from.get(owner)
        if known is None:
            frontier = self._frontier.of(owner)
            known = BEGINNING if frontier == BEGINNING else self._grid.after(frontier)
            self._folds_from[owner] = known
        return known

    def folds(self, owner: str, start: int) -> bool:
        """Whether a pane is folded in memory."""
        pane = self._panes.get((owner, start))
        return start >= self.folds_from(owner) if pane is None else not pane.from_store

    def touch(self, owner: str, start: int, offset: int, clock: Clock, *, imported: bool) -> Pane:
        """The pane that holds new events of the message at `offset`, opened where it was not."""
        pane = self._panes.get((owner, start))
        if pane is None:
            stored = imported or not self.folds(owner, start)
            pane = self._panes[owner, start] = Pane(owner, start, stored, clock)
        elif imported and not pane.from_store:
            pane.from_store = True
            pane.value.clear()
        pane.clock = clock
        pane.first_offset = offset if pane.first_offset is None else min(offset, pane.first_offset)
        self._open[owner, start] = pane
        return pane

    def is_late(self, start: int, clock: Clock) -> bool:
        """Whether a pane's lateness was over when its key's clock stood so."""
        return start + self._grid.length + self._lateness <= clock.event_time

    def due(self, now: float, *, all_read: bool = True) -> list[Pane]:
        """The open panes to emit at `now` (s): passed by their clock, or over and idle; oldest first.

        A key is not idle while more of its partition waits to be read: what is missing of it may be there.
        """
        due = []
        for pane in self._open.values():
            end = pane.start + self._grid.length
            clock = pane.clock
            if clock.event_time >= end or (all_read and now - clock.arrived >= self._idle_s and end <= now * 1e6):
                due.append(pane)
        due.sort(key=lambda pane: (pane.start, pane.owner))
        return due

    def emitted(self, panes: Iterable[Pane]) -> None:
        """Close panes that are in the store, with all that derives from them."""
        for pane in panes:
            pane.first_offset = None
            self._open.pop((pane.owner, pane.start), None)

    def forget(self, now: float) -> None:
        """Drop the closed panes whose lateness is over at `now` (s), and remember that they were."""
        for (owner, start), pane in list(self._panes.items()):
            if pane.first_offset is not None:
                continue
            keep_until = start + self._grid.length + self._lateness
            if pane.from_store or keep_until <= max(pane.clock.event_time, int(now * 1e6)):
                del self._panes[owner, start]
                self._folds_from[owner] = max(self.folds_from(owner), start + self._grid.length)

    def oldest_open(self) -> int | None:
        """The first offset that some open pane still needs, or None."""
        return min((p.first_offset for p in self._open.values() if p.first_offset is not None), default=None)

    def __len__(self) -> int:
        return len(self._panes)
