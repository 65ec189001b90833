"""When a run was at which step: found with few reads, however long it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from smartlearn.core.batch import FloatArray
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.dashboard.queries.columns import joined, times
from smartlearn.dashboard.queries.history import History

_FIRST_KNOTS: Final = 9
_MOST_READS: Final = 96
_TOLERANCE: Final = 0.004


@dataclass(frozen=True, slots=True)
class Clock:
    """Steps, times and epochs of a run at some moments; what lies between is on the straight line between them.

    Attributes:
        step: ascending, shape (k,).
        time: ns, ascending, shape (k,).
        epoch: shape (k,); NaN where the run does not count epochs.
    """

    step: FloatArray
    time: FloatArray
    epoch: FloatArray

    def at(self, step: FloatArray) -> FloatArray:
        """When the run was at these steps, ns."""
        return np.interp(step, self.step, self.time) if len(self.step) else np.full(len(step), np.nan)

    def epoch_of(self, step: FloatArray) -> FloatArray:
        """The epoch of these steps, with its fraction."""
        return np.interp(step, self.step, self.epoch) if len(self.step) else np.full(len(step), np.nan)

    def step_at(self, time: FloatArray) -> FloatArray:
        """The step at these times, ns."""
        return np.interp(time, self.time, self.step) if len(self.step) else np.full(len(time), np.nan)

    def around(self, low: float, high: float) -> tuple[int | None, int | None]:
        """A time range, ns, in which the steps [low, high) lie; None where it is open."""
        before = np.flatnonzero(self.step <= low)
        after = np.flatnonzero(self.step >= high)
        start = int(self.time[max(before[-1] - 1, 0)]) if len(before) else None
        stop = int(self.time[min(after[0] + 1, len(self.time) - 1)]) + 1 if len(after) else None
        return start, stop


def clock(store: History, run: str, started: int, updated: int) -> Clock:
    """The clock of a run.

    The middle between two known moments is read too while the line between them misses it by more than 0.4 % of the
    run, so that a run of even speed costs 17 reads of a row, and one with pauses at most 96.

    Args:
        store: where to read.
        run: its name.
        started: time of its first row, ns.
        updated: time of its newest row, ns.
    """
    reader = _Reader(store, run, updated)
    moments = np.linspace(started, updated, _FIRST_KNOTS).astype(np.int64).tolist()
    for moment in moments:
        reader.read(int(moment))
    waiting = [(first, last) for first, last in zip(reader.knots, reader.knots[1:], strict=False)]
    if waiting:
        tolerance = _TOLERANCE * max(reader.knots[-1][1] - reader.knots[0][1], 1.0)
        while waiting and reader.reads < _MOST_READS:
            first, last = waiting.pop(0)
            middle = reader.between(first, last)
            if middle is None:
                continue
            expected = np.interp(middle[0], [first[0], last[0]], [first[1], last[1]])
            if abs(middle[1] - expected) > tolerance:
                waiting += [(first, middle), (middle, last)]
    return _settled(reader.knots)


_Knot = tuple[int, float, float]


class _Reader:
    """Reads the row at or after a moment, or the one before it."""

    def __init__(self, store: History, run: str, updated: int) -> None:
        self._store = store
        self._run = run
        self._updated = updated
        self.knots: list[_Knot] = []
        self.reads = 0

    def between(self, first: _Knot, last: _Knot) -> _Knot | None:
        """A row about the middle between two; in a pause the last one before it. None where there is none."""
        moment = (first[0] + last[0]) // 2
        for before in (False, True):
            knot = self.read(moment, before=before)
            if knot is not None and first[0] < knot[0] < last[0]:
                return knot
        return None

    def read(self, moment: int, *, before: bool = False) -> _Knot | None:
        self.reads += 1
        start, stop = (None, moment) if before else (moment, None)
        query = SeriesQuery(
            "training", start, stop, ("step", "epoch"), {"run": self._run}, limit=1, newest_first=before
        )
        series = self._store.query(query)
        time, step, epoch = times(series), joined(series, "step"), joined(series, "epoch")
        has = ~np.isnan(step)
        if not has.any():
            return None
        rows = np.flatnonzero(has)
        row = int(rows[np.argmax(time[rows]) if before else np.argmin(time[rows])])
        knot = int(time[row]), float(step[row]), float(epoch[row])
        self.knots.append(knot)
        return knot


def _settled(knots: list[_Knot]) -> Clock:
    """The moments in order of time, without those at which an earlier step came again."""
    if not knots:
        nothing = np.empty(0)
        return Clock(nothing, nothing, nothing)
    table = np.array(sorted(set(knots)), dtype=np.float64)
    highest = np.maximum.accumulate(table[:, 1])
    table = table[(table[:, 1] >= highest) & np.r_[True, np.diff(highest) > 0]]
    return Clock(table[:, 1], table[:, 0], table[:, 2])
