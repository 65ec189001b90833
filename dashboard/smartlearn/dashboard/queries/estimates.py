"""Means and shares with what is known about their error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

Z: Final = NormalDist().inv_cdf(0.975)
"""The 97.5 % point of the normal distribution, 1.96: of two-sided 95 % intervals."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and how sure it is.

    Attributes:
        mean: of n values.
        deviation: their standard deviation (n − 1); NaN for one value.
        low: start of the 95 % interval of the mean (Student's t; Wilson's of shares); NaN for one value.
        high: its end.
        n: how many values.
    """

    mean: float
    deviation: float
    low: float
    high: float
    n: int


def estimate(count: float, total: float, sumsq: float) -> Estimate:
    """Mean, deviation and the mean's 95 % interval from count, sum and sum of squares."""
    n = int(count)
    if n == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan, 0)
    mean = total / n
    if n == 1:
        return Estimate(mean, math.nan, math.nan, math.nan, 1)
    deviation = math.sqrt(max(sumsq - n * mean * mean, 0.0) / (n - 1))
    half = student_t(n - 1) * deviation / math.sqrt(n)
    return Estimate(mean, deviation, mean - half, mean + half, n)


def share(count: float, total: float, sumsq: float) -> Estimate:
    """The mean of values from 0 to 1: with Wilson's interval where all are 0 or 1, else with Student's, cut to 0–1.

    Of values from 0 to 1 the squares add up to the values only where each is 0 or 1.
    """
    found = estimate(count, total, sumsq)
    if found.n > 1 and abs(total - sumsq) <= 1e-9 * found.n:
        low, high = wilson(total, found.n)
        return Estimate(found.mean, found.deviation, low, high, found.n)
    return Estimate(found.mean, found.deviation, max(found.low, 0.0), min(found.high, 1.0), found.n)


def wilson(successes: float, n: float) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson, JASA 22, 1927, 209-212); (0, 1) of nothing.

    It keeps its coverage near 0 and 1 and for few values, where mean ± 1.96 standard errors does not (Brown, Cai and
    DasGupta, Statistical Science 16, 2001, 101-133).
    """
    if n <= 0:
        return 0.0, 1.0
    p, z2 = successes / n, Z * Z
    middle = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = Z / (1 + z2 / n) * math.sqrt(max(p * (1 - p), 0.0) / n + z2 / (4 * n * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)


def student_t(freedom: int) -> float:
    """The 97.5 % point of Student's t (Cornish-Fisher expansion; within 1 % from 3 degrees on)."""
    if freedom < 3:
        return {1: 12.706, 2: 4.303}[freedom]
    z, v = Z, float(freedom)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + first / v + second / v**2 + third / v**3 + fourth / v**4
