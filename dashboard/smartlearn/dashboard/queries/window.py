"""Time ranges, the tier that fits them, and how a line stays below its number of points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np
from tsdownsample import MinMaxDownsampler

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.dashboard.queries.history import History

Tier: TypeAlias = Literal["10s", "1m", "1h"]

SECOND: Final = 1_000_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR

MAX_POINTS: Final = 2000
"""A line holds at most about so many points, whatever the range."""

TIERS: Final[tuple[Tier, ...]] = ("10s", "1m", "1h")
WIDTH: Final[dict[Tier, int]] = {"10s": 10 * SECOND, "1m": MINUTE, "1h": HOUR}
_SPAN: Final[dict[Tier, int]] = {"10s": 2 * HOUR, "1m": 2 * DAY, "1h": 1 << 62}

_MINUTES: Final = (1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 10080, 43200)
_WIDTHS: Final = (10 * SECOND, 30 * SECOND, *(minutes * MINUTE for minutes in _MINUTES))


@dataclass(frozen=True, slots=True)
class Window:
    """A time range `[start, stop)` in ns since the epoch."""

    start: int
    stop: int

    @classmethod
    def last(cls, seconds: float, now: int) -> Window:
        """The `seconds` before `now` (ns)."""
        return cls(now - int(seconds * SECOND), now)

    @property
    def span(self) -> int:
        """Its length in ns."""
        return self.stop - self.start

    def previous(self) -> Window:
        """The range of the same length just before it."""
        return Window(self.start - self.span, self.start)


def tier_for(window: Window, store: History | None = None, family: str = "performance") -> Tier:
    """The finest tier whose rows of the window make a line of at most about `MAX_POINTS` points.

    With a store, a tier whose retention is over at the window's start is passed over for a coarser one.
    """
    for tier in TIERS[:-1]:
        if window.span > _SPAN[tier]:
            continue
        kept = store.retention(f"{family}_{tier}") if store is not None else None
        if kept is None or window.span <= kept:
            return tier
    return "1h"


def pieces(window: Window, finest: Tier) -> list[tuple[Tier, Window]]:
    """A window as few rows: its whole hours from the 1h tier, what is left at both ends from the finest."""
    first, last = -(-window.start // HOUR) * HOUR, window.stop // HOUR * HOUR
    if finest == "1h" or first >= last:
        return [(finest, window)]
    parts: list[tuple[Tier, Window]] = [
        (finest, Window(window.start, first)),
        ("1h", Window(first, last)),
        (finest, Window(last, window.stop)),
    ]
    return [(tier, part) for tier, part in parts if part.span]


def bucket_width(window: Window, buckets: int, finest: int = 10 * SECOND) -> int:
    """The smallest human width (10 s … 30 days) from `finest` on that cuts the window in ≤ `buckets`."""
    wanted = max(window.span / max(buckets, 1), finest)
    return next((width for width in _WIDTHS if width >= wanted), _WIDTHS[-1])


def thin(value: FloatArray, points: int = MAX_POINTS) -> Int64Array:
    """Which rows of a line to keep so that it has at most `points`: the extremes of each stretch stay.

    Args:
        value: finite values in drawing order, shape (n,).
        points: the most rows to keep.

    Returns:
        Sorted row numbers, shape (≤ points,); all of them where n ≤ points.
    """
    if len(value) <= points:
        return np.arange(len(value), dtype=np.int64)
    downsampler = MinMaxDownsampler()  # type: ignore[no-untyped-call]
    chosen = downsampler.downsample(np.ascontiguousarray(value), n_out=points - points % 2)
    return np.asarray(chosen, dtype=np.int64)


def gap_limit(time: Int64Array, width: int, tolerance: float = 3.0) -> int:
    """The distance (ns) beyond which two neighbouring rows of a line are not joined: data is missing.

    It is `tolerance` times the width of a row, or times the usual distance where data is sparser than rows.
    """
    usual = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
    return int(tolerance * max(width, usual))


def with_gaps(
    time: Int64Array, width: int, columns: Sequence[FloatArray], tolerance: float = 3.0
) -> tuple[Int64Array, list[FloatArray]]:
    """Put a NaN row between neighbours further apart than the gap limit, so that a line breaks there."""
    breaks = np.flatnonzero(np.diff(time) > gap_limit(time, width, tolerance)) + 1
    if not len(breaks):
        return time, list(columns)
    times = np.insert(time, breaks, time[breaks - 1] + width)
    return times, [np.insert(column, breaks, np.nan) for column in columns]
