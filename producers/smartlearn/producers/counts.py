"""What a producer counts, by topic."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass
class TopicCounts:
    """What became of one topic's rows in this process.

    produced + adopted = delivered + dropped + what is still on its way or on disk.

    Attributes:
        produced: rows that were encoded.
        adopted: rows taken over from the spools of processes that ended.
        delivered: rows whose delivery was confirmed, those from spools included.
        spooled: rows that were written to the spool.
        dropped: rows lost because the spool had no room, or the broker refuses them for good.
        refused: rows that break the contract; they are not among the produced.
    """

    produced: int = 0
    adopted: int = 0
    delivered: int = 0
    spooled: int = 0
    dropped: int = 0
    refused: int = 0

    def __add__(self, other: TopicCounts) -> TopicCounts:
        return TopicCounts(*(one + more for one, more in zip(astuple(self), astuple(other), strict=True)))

    def __sub__(self, other: TopicCounts) -> TopicCounts:
        return TopicCounts(*(one - less for one, less in zip(astuple(self), astuple(other), strict=True)))
