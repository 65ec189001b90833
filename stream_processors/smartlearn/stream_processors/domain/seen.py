"""Which rows were read already: sets of row numbers, kept as intervals.

Never a maximum: a spool that drains late, or a forwarded message, brings lower numbers after higher ones.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from smartlearn.core.batch import EXTERNAL_SOURCE

Sender = tuple[str, str, str]
"""Source, boot and series key: what row numbers are counted per."""


class IntervalSet:
    """A set of integers as disjoint, sorted, half-open intervals that never touch."""

    __slots__ = ("_starts", "_stops")

    def __init__(self, intervals: Iterable[tuple[int, int]] = ()) -> None:
        self._starts: list[int] = []
        self._stops: list[int] = []
        for start, stop in intervals:
            self.add(start, stop)

    def missing(self, start: int, stop: int) -> list[tuple[int, int]]:
        """The parts of [start, stop) that are not in the set."""
        if not self._starts or start >= self._stops[-1]:
            return [(start, stop)]
        gaps = []
        for index in range(bisect_right(self._stops, start), len(self._starts)):
            if self._starts[index] >= stop:
                break
            if start < self._starts[index]:
                gaps.append((start, self._starts[index]))
            start = self._stops[index]
        if start < stop:
            gaps.append((start, stop))
        return gaps

    def add(self, start: int, stop: int) -> None:
        """Put [start, stop) into the set."""
        first = bisect_left(self._stops, start)
        last = bisect_right(self._starts, stop)
        if first < last:
            start = min(start, self._starts[first])
            stop = max(stop, self._stops[last - 1])
        self._starts[first:last] = [start]
        self._stops[first:last] = [stop]

    def holes(self) -> int:
        """How many numbers from 0 up to the last are not in the set."""
        return self._stops[-1] - len(self) if self._stops else 0

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._stops, strict=True)

    def __len__(self) -> int:
        return sum(stop - start for start, stop in zip(self._starts, self._stops, strict=True))


@dataclass(slots=True)
class SeenRows:
    """The row numbers read from each sender.

    Attributes:
        rows: sender → the rows that were taken.
        refused: sender → the rows that came and were not taken; sent again, they may be.
        heard: sender → when it was last heard of, µs, by the record's time.
    """

    rows: dict[Sender, IntervalSet] = field(default_factory=dict)
    refused: dict[Sender, IntervalSet] = field(default_factory=dict)
    heard: dict[Sender, int] = field(default_factory=dict)

    def unseen(self, sender: Sender, start: int, stop: int) -> list[tuple[int, int]]:
        """The parts of [start, stop) that this sender has not sent before."""
        known = self.rows.get(sender)
        return [(start, stop)] if known is None else known.missing(start, stop)

    def add(self, sender: Sender, start: int, stop: int, at: int) -> None:
        """Note [start, stop) of a sender as taken, at a time in µs."""
        self._note(self.rows, sender, start, stop, at)

    def refuse(self, sender: Sender, start: int, stop: int, at: int) -> None:
        """Note [start, stop) of a sender as come but not taken, at a time in µs."""
        self._note(self.refused, sender, start, stop, at)

    def missing(self) -> Counter[str]:
        """Source → rows that its senders numbered and that never came: holes below the highest number that did."""
        found: Counter[str] = Counter()
        for sender in self.heard:
            # What another program sends has no numbers of its own, but offsets.
            if sender[0] != EXTERNAL_SOURCE:
                came = (part for kept in (self.rows, self.refused) for part in kept.get(sender, ()))
                found[sender[0]] += IntervalSet(came).holes()
        return found

    def forget(self, before: int) -> None:
        """Drop the senders not heard of since `before` (µs)."""
        for sender in [sender for sender, at in self.heard.items() if at < before]:
            del self.heard[sender]
            self.rows.pop(sender, None)
            self.refused.pop(sender, None)

    def encode(self) -> list[Any]:
        """As JSON."""
        return [
            [*sender, at, list(self.rows.get(sender, ())), list(self.refused.get(sender, ()))]
            for sender, at in self.heard.items()
        ]

    @classmethod
    def decode(cls, stored: Sequence[Any]) -> SeenRows:
        """The inverse of `encode`."""
        seen = cls()
        for source, boot, key, at, rows, refused in stored:
            sender = (source, boot, key)
            seen.heard[sender] = at
            if rows:
                seen.rows[sender] = IntervalSet(rows)
            if refused:
                seen.refused[sender] = IntervalSet(refused)
        return seen

    def _note(self, kept: dict[Sender, IntervalSet], sender: Sender, start: int, stop: int, at: int) -> None:
        known = kept.get(sender)
        if known is None:
            known = kept[sender] = IntervalSet()
        known.add(start, stop)
        self.heard[sender] = max(at, self.heard.get(sender, at))
