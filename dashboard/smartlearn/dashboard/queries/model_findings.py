"""What a time range says about models and GPUs beyond the levels of rules: each with the numbers behind it.

A finding is made where a difference is larger than chance explains and large enough to matter; the constants say what
that is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

from smartlearn.dashboard.queries.estimates import Estimate
from smartlearn.dashboard.queries.gpus import RunGpu
from smartlearn.dashboard.queries.latency import VersionPoint
from smartlearn.dashboard.queries.models import Spread, Version

SLOWER: Final = 1.2
"""p95 so many times what it was is worth a word."""

BUSIER: Final = 1.15
"""So many times the answers of before may be why."""

ERRORS_FROM: Final = 0.01
WORSE_BY: Final = 0.01
IDLE_BELOW: Final = 60.0
"""A GPU in training that computes less of the time, in %, waits for something."""

_FEWEST: Final = 50
_FEWEST_ROWS: Final = 5


@dataclass(frozen=True, slots=True)
class Slower:
    """A version whose p95 rose against the period before.

    Attributes:
        version: its name.
        now: its answers in the range.
        before: its answers in the range of the same length before.
    """

    version: str
    now: Spread
    before: Spread

    @property
    def busier(self) -> bool:
        """Whether it had clearly more to answer."""
        return self.now.count >= BUSIER * self.before.count


@dataclass(frozen=True, slots=True)
class Rivals:
    """Two versions whose accuracies differ by more than chance explains.

    Attributes:
        better: the more accurate one.
        worse: the less accurate one.
    """

    better: VersionPoint
    worse: VersionPoint

    @property
    def faster(self) -> bool | None:
        """Whether the more accurate one is faster as well; None where chance may explain the difference."""
        if not differ(self.better.latency, self.worse.latency):
            return None
        return self.better.latency.mean < self.worse.latency.mean


@dataclass(frozen=True, slots=True)
class Failing:
    """A version of whose answers more than 1 % fail, beyond chance.

    Attributes:
        version: its speed, accuracy and errors.
        least: the version that fails least, where there are several.
    """

    version: VersionPoint
    least: VersionPoint | None


@dataclass(frozen=True, slots=True)
class Starved:
    """A training run whose GPU waits.

    Attributes:
        run: its name.
        utilization: % of the time that its GPU computed.
        memory: % of the GPU's memory in use; NaN where it is not told.
        others: the mean utilisation of the other runs, %; NaN without any.
        start: its first sample in the range, ns.
        stop: the end of its last one.
    """

    run: str
    utilization: float
    memory: float
    others: float
    start: int
    stop: int


def slower(now: Sequence[Version], before: Sequence[Version]) -> list[Slower]:
    """The versions whose p95 rose to at least 1.2 times what it was, of at least 50 answers each; the worst first."""
    past = {one.version: one.response_time for one in before}
    found = [
        Slower(one.version, one.response_time, past[one.version])
        for one in now
        if one.version in past
        and min(one.response_time.count, past[one.version].count) >= _FEWEST
        and one.response_time.p95 >= SLOWER * past[one.version].p95
    ]
    return sorted(found, key=lambda one: -one.now.p95 / one.before.p95)


def rivals(found: Sequence[VersionPoint]) -> list[Rivals]:
    """Pairs of versions with accuracies at least one point apart, beyond chance; the largest difference first."""
    pairs = []
    for one, other in combinations(found, 2):
        better, worse = sorted((one, other), key=lambda point: -point.accuracy.mean)
        apart = better.accuracy.mean - worse.accuracy.mean
        if apart >= WORSE_BY and differ(better.accuracy, worse.accuracy):
            pairs.append(Rivals(better, worse))
    return sorted(pairs, key=lambda pair: pair.worse.accuracy.mean - pair.better.accuracy.mean)


def failing(found: Sequence[VersionPoint]) -> list[Failing]:
    """The versions of whose answers more than 1 % fail, also at the lower end of the interval; the worst first."""
    known = [one for one in found if one.errors.n >= _FEWEST]
    least = min(known, key=lambda one: one.errors.mean, default=None)
    bad = [one for one in known if one.errors.low > ERRORS_FROM]
    bad.sort(key=lambda one: -one.errors.mean)
    return [Failing(one, least if least is not one else None) for one in bad]


def starved(found: Sequence[RunGpu]) -> list[Starved]:
    """The training runs whose GPU computed less than 60 % of the time; the idlest first."""
    use = {one.run: one.utilization.average for one in found if len(one.utilization) >= _FEWEST_ROWS}
    waiting = []
    for one in found:
        if use.get(one.run, 100.0) >= IDLE_BELOW:
            continue
        others = [value for run, value in use.items() if run != one.run]
        line = one.utilization
        waiting.append(
            Starved(
                one.run, use[one.run], one.memory.average, sum(others) / len(others) if others else math.nan,
                int(line.time[0]), int(line.time[-1]) + line.width,
            )
        )  # fmt: skip
    return sorted(waiting, key=lambda one: one.utilization)


def differ(one: Estimate, other: Estimate) -> bool:
    """Whether two means differ by more than chance explains: the 95 % interval of their difference excludes 0.

    The interval is that of Welch (Biometrika 34, 1947, 28-35), its half widths added as squares.
    """
    half = math.hypot(_half(one), _half(other))
    return abs(one.mean - other.mean) > half if math.isfinite(half) else False


def _half(one: Estimate) -> float:
    return (one.high - one.low) / 2
