"""What a kind of event is turned into beside its raw points: the interface, and the one that turns it into nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from smartlearn.core.batch import Batch
from smartlearn.stream_processors.domain.progress import Effect, Frontier
from smartlearn.stream_processors.domain.suspects import SuspectPanes


@dataclass(frozen=True, slots=True)
class Arrival:
    """Rows that count, with the message they came in."""

    partition: int
    offset: int
    batch: Batch
    effect: Effect


class Deriver(Protocol):
    """What a kind of event is turned into beside its raw points."""

    def open(self, partition: int, frontier: Frontier, suspects: SuspectPanes, *, clean: bool) -> None:
        """Begin a partition whose events had come so far by the offset that is read from.

        It is `clean` where its last owner let it go and ended: then that one cannot still write its panes. Which panes
        an owner before may still write is kept up to date in `suspects`, which is stored with the offset.
        """
        ...

    def close(self, partition: int) -> None:
        """Drop all that is held of a partition."""
        ...

    def fold(self, arrivals: Sequence[Arrival], now: float) -> None:
        """Take rows in; may count late ones in their effects."""
        ...

    def derive(self, now: float, behind: Collection[int] = ()) -> None:
        """Write all that is due at `now` (s); the raw points are durable. No key of a partition `behind` is idle."""
        ...

    def oldest_open(self, partition: int) -> int | None:
        """The first offset that what is not due yet still needs, or None."""
        ...

    def recompute(self, partition: int, owner: str, places: Sequence[int], offset: int) -> None:
        """Compute what was written of an owner again, from the store, with the next `derive`."""
        ...

    def catch_up(self, partition: int, owner: str, since: int) -> None:
        """Compute from the store, with the next `derive`, all that an owner's raw events from `since` (µs) on give."""
        ...

    def written(self) -> dict[tuple[int, str], list[int]]:
        """(partition, owner) → the places written since the last call."""
        ...


class RawOnly:
    """The deriver of events that are only kept."""

    def open(self, partition: int, frontier: Frontier, suspects: SuspectPanes, *, clean: bool) -> None:
        """Nothing to begin."""

    def close(self, partition: int) -> None:
        """Nothing to drop."""

    def fold(self, arrivals: Sequence[Arrival], now: float) -> None:
        """Nothing to fold."""

    def derive(self, now: float, behind: Collection[int] = ()) -> None:
        """Nothing to write."""

    def oldest_open(self, partition: int) -> int | None:
        """Nothing is ever open."""
        return None

    def recompute(self, partition: int, owner: str, places: Sequence[int], offset: int) -> None:
        """Nothing to compute."""

    def catch_up(self, partition: int, owner: str, since: int) -> None:
        """Nothing to compute."""

    def written(self) -> dict[tuple[int, str], list[int]]:
        """Nothing is written."""
        return {}
