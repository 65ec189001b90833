"""Randomness that is a function of a seed, a name and a number: the same at every start, in any order."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.batch import FloatArray, Int64Array

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


class Noise:
    """The random numbers of one thing, by its name."""

    def __init__(self, seed: int, name: str) -> None:
        digest = blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
        self._key = np.uint64(int.from_bytes(digest, "big"))

    def uniform(self, number: Int64Array) -> FloatArray:
        """A value in [0, 1) for each number, shape (n,)."""
        return (self._bits(number) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def normal(self, number: Int64Array) -> FloatArray:
        """A value of the standard normal distribution for each number, shape (n,)."""
        # Box and Muller's transform of two independent uniform values.
        radius = np.sqrt(-2.0 * np.log1p(-self.uniform(number * 2)))
        return radius * np.cos(2.0 * np.pi * self.uniform(number * 2 + 1))

    def smooth(self, time_s: FloatArray, period_s: float) -> FloatArray:
        """A curve through random values one period apart, within about ±1, shape (n,)."""
        at = time_s / period_s
        left = np.floor(at).astype(np.int64)
        part = at - left
        ease = part * part * (3.0 - 2.0 * part)
        low, high = self.uniform(left), self.uniform(left + 1)
        return 2.0 * (low + (high - low) * ease) - 1.0

    def _bits(self, number: Int64Array) -> NDArray[np.uint64]:
        """64 bits for each number: splitmix64."""
        with np.errstate(over="ignore"):
            z = self._key + number.astype(np.uint64) * _STEP
            z = (z ^ (z >> np.uint64(30))) * _FIRST
            z = (z ^ (z >> np.uint64(27))) * _SECOND
        return z ^ (z >> np.uint64(31))
