"""Which rows were read already: sets of row numbers, kept as intervals.

Never a maximum: a spool that drains late, or a forwarded message, brings lower numbers after higher ones.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

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

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._starts, self._stops, strict=True)

    def __len__(self) -> int:
        return sum(stop - start for start, stop in zip(self._starts, self._stops, strict=True))


@dataclass(slots=True)
class SeenRows:
    """The row numbers read from each sender, and when the sender was last heard of (µs, by the record's time)."""

    rows: dict[Sender, IntervalSet] = field(default_factory=dict)
    heard: dict[Sender, int] = field(default_factory=dict)

    def unseen(self, sender: Sender, start: int, stop: int) -> list[tuple[int, int]]:
        """The parts of [start, stop) that this sender has not sent before."""
        known = self.rows.get(sender)
        return [(start, stop)] if known is None else known.missing(start, stop)

    def add(self, sender: Sender, start: int, stop: int, at: int) -> None:
        """Note [start, stop) of a sender as read, at a time in µs."""
        known = self.rows.get(sender)
        if known is None:
            known = self.rows[sender] = IntervalSet()
        known.add(start, stop)
        self.heard[sender] = max(at, self.heard.get(sender, at))

    def forget(self, before: int) -> None:
        """Drop the senders not heard of since `before` (µs)."""
        for sender in [sender for sender, at in self.heard.items() if at < before]:
            del self.rows[sender], self.heard[sender]
