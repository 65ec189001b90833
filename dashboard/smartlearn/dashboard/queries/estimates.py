"""Means with what is known about their error."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and how sure it is.

    Attributes:
        mean: of n values.
        deviation: their standard deviation (n − 1); NaN for one value.
        low: start of the 95 % interval of the mean (Student's t); NaN for one value.
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


def student_t(freedom: int) -> float:
    """The 97.5 % point of Student's t (Cornish-Fisher expansion; within 1 % from 3 degrees on)."""
    if freedom < 3:
        return {1: 12.706, 2: 4.303}[freedom]
    z, v = NormalDist().inv_cdf(0.975), float(freedom)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + first / v + second / v**2 + third / v**3 + fourth / v**4
