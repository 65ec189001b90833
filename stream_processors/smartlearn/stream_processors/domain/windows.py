"""Event-time windows: panes, and the windows that are merges of panes.

A pane is [start, start + length), aligned to the epoch. Tiers (1m, 1h) are aligned windows stamped with their start;
rolling windows (1m, 5m, 15m) are the panes up to and including one pane, stamped with that pane's end.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from smartlearn.core.batch import Int64Array

MICROS: Final = 1_000_000
"""µs in a second."""

TIERS: Final = {"1m": 60 * MICROS, "1h": 3600 * MICROS}
"""Lengths of the tiers above the pane, µs."""

ROLLING: Final = {"1m": 60 * MICROS, "5m": 300 * MICROS, "15m": 900 * MICROS}
"""Lengths of the rolling windows, µs."""

LONGEST_ROLLING: Final = max(ROLLING.values())
LONGEST_TIER: Final = max(TIERS.values())


@dataclass(frozen=True, slots=True)
class PaneGrid:
    """The panes of one length.

    Attributes:
        length: µs; divides a minute.
    """

    length: int

    def starts(self, times: Int64Array) -> Int64Array:
        """The start of each time's pane, µs, shape (n,)."""
        return times - times % self.length

    def start(self, time: int) -> int:
        """The start of a time's pane, µs."""
        return time - time % self.length

    def after(self, time: int) -> int:
        """The start of the first pane that holds no time up to and including `time`."""
        return self.start(time) + self.length

    def context(self, starts: Iterable[int]) -> tuple[int, int]:
        """The range [low, high) of pane starts that windows over these panes may need."""
        ordered = sorted(starts)
        low = min(tier_start(ordered[0], LONGEST_TIER), ordered[0] + self.length - LONGEST_ROLLING)
        high = max(tier_start(ordered[-1], LONGEST_TIER) + LONGEST_TIER, ordered[-1] + LONGEST_ROLLING)
        return low, high

    def apart(self, starts: Iterable[int]) -> list[list[int]]:
        """Ascending pane starts in parts so far apart that no window holds panes of two."""
        parts: list[list[int]] = []
        for start in sorted(starts):
            if parts and start - parts[-1][-1] < LONGEST_TIER + LONGEST_ROLLING:
                parts[-1].append(start)
            else:
                parts.append([start])
        return parts


def tier_start(time: int, length: int) -> int:
    """The start of the tier window that holds a time, µs."""
    return time - time % length
