"""Smoothing of a noisy curve: over all of its rows, before any of them is left out for drawing.

A row stands for one step, or for the steps of a bucket with their mean. Both filters count steps, not rows, so that a
strength means the same on a short run, on a long one and after a zoom.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from smartlearn.core.batch import FloatArray

_TEXT: Final = re.compile(r"(ema|gauss)-(\d+(?:\.\d+)?)")
_REACH: Final = 4.0
_FORGOTTEN: Final = 1e-3


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How a curve is smoothed.

    Attributes:
        kind: "ema" is an exponential moving average, which looks back only; "gauss" looks to both sides.
        strength: of an EMA the share that a value keeps from row to row, 0–1; of a Gaussian its sigma in values.
    """

    kind: Literal["ema", "gauss"]
    strength: float

    @classmethod
    def of(cls, text: str) -> Smoothing | None:
        """Read "ema-0.9" or "gauss-10"; None for anything else, which is no smoothing."""
        match = _TEXT.fullmatch(text)
        if match is None:
            return None
        strength = float(match[2])
        if match[1] == "gauss":
            return cls("gauss", strength) if strength > 0 else None
        return cls("ema", strength) if 0 < strength < 1 else None

    @property
    def reach(self) -> int:
        """How many values before a value still matter to it (a thousandth of its weight is beyond them)."""
        if self.kind == "ema":
            return int(np.ceil(np.log(_FORGOTTEN) / np.log(self.strength)))
        return int(np.ceil(_REACH * self.strength))

    def apply(self, value: FloatArray, count: FloatArray | None = None) -> FloatArray:
        """The smoothed values, shape (n,); see `ema` and `gaussian`."""
        return ema(value, self.strength, count) if self.kind == "ema" else gaussian(value, self.strength, count)


def ema(value: FloatArray, keep: float, count: FloatArray | None = None) -> FloatArray:
    """An exponential moving average with bias correction.

    m[i] = keep·m[i-1] + (1-keep)·value[i] and its weight w[i] = keep·w[i-1] + (1-keep), from 0; the result is m/w. That
    is the correction of Kingma and Ba, "Adam" (2015), section 3: the first values are not pulled to zero. A row that
    stands for n values decays by keep^n, which is exact where the n values are equal.

    Args:
        value: finite, in the order of the steps, shape (n,).
        keep: the share that is kept from value to value, 0 ≤ keep < 1.
        count: how many values each row stands for, shape (n,), positive; one each where None.
    """
    count = np.ones(len(value)) if count is None else np.asarray(count, dtype=np.float64)
    decay = keep**count
    result = np.empty(len(value))
    mean = weight = 0.0
    for row, (kept, one) in enumerate(zip(decay.tolist(), value.tolist(), strict=True)):
        mean = kept * mean + (1.0 - kept) * one
        weight = kept * weight + (1.0 - kept)
        result[row] = mean / weight
    return result


def gaussian(value: FloatArray, sigma: float, count: FloatArray | None = None) -> FloatArray:
    """A Gaussian kernel regression (Nadaraya 1964, Watson 1964), cut off at four sigma.

    result[i] = Σ n[j]·k(i-j)·value[j] / Σ n[j]·k(i-j) with k(d) = exp(-d²/2s²): towards the ends only what is
    there counts.

    Args:
        value: finite, in the order of the steps, shape (n,).
        sigma: in values, > 0.
        count: how many values each row stands for, shape (n,); one each where None. Rows are taken to be equally far
            apart, by the mean of the counts.
    """
    if not len(value):
        return value
    weight = np.ones(len(value)) if count is None else np.asarray(count, dtype=np.float64)
    width = sigma / float(weight.mean())
    reach = min(int(np.ceil(_REACH * width)), len(value) - 1)
    if reach < 1:
        return np.asarray(value, dtype=np.float64)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    total = _convolved(value * weight, kernel, reach)
    return np.asarray(total / _convolved(weight, kernel, reach), dtype=np.float64)


def _convolved(value: FloatArray, kernel: FloatArray, reach: int) -> FloatArray:
    return np.asarray(np.convolve(value, kernel, "full")[reach : reach + len(value)], dtype=np.float64)
