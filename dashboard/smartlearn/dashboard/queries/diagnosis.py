"""What a run's curves say: that it overfits, that it diverges, that it learns no more; each with its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from smartlearn.core.batch import FloatArray
from smartlearn.dashboard.queries.curves import Curve
from smartlearn.dashboard.queries.smoothing import gaussian

Sign: TypeAlias = Literal["overfitting", "diverging", "not finite", "stalled"]

OVERFITTING: Final = 0.05
"""From so much generalization loss on a run counts as overfitting: Prechelt's GL with alpha 5."""

DIVERGING: Final = 0.2
STALLED: Final = 0.01
_STALLED_FOR: Final = 0.5
_NOISE: Final = 5.0
_FEWEST: Final = 12


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a curve shows.

    Attributes:
        run: whose curve.
        sign: what it is.
        step: where it begins.
        value: the loss there.
        amount: how much: of overfitting and diverging the newest loss against the lowest, minus 1; of "not finite" the
            number of such steps; of "stalled" the share of the run's steps since.
        best: the lowest loss before it; NaN where that says nothing.
        best_step: where that was.
        fell: how much the training loss fell since the best validation, as a share; NaN where that is not known.
    """

    run: str
    sign: Sign
    step: float
    value: float
    amount: float
    best: float = float("nan")
    best_step: float = float("nan")
    fell: float = float("nan")


def findings(training: Curve, validation: Curve) -> list[Finding]:
    """All that the loss curves of a run show, the worst first."""
    found = [not_finite(training), diverging(training), overfitting(training, validation)]
    if not any(found):
        found.append(stalled(validation if len(validation) >= _FEWEST else training))
    return [one for one in found if one is not None]


def not_finite(training: Curve) -> Finding | None:
    """The first step at which the loss was NaN or infinite."""
    if not len(training.nonfinite):
        return None
    last = float(training.value[-1]) if len(training) else float("nan")
    return Finding(training.run, "not finite", float(training.nonfinite[0]), last, float(len(training.nonfinite)))


def overfitting(training: Curve, validation: Curve) -> Finding | None:
    """The step from which the validation loss stays above its best while the training loss goes on falling.

    Generalization loss GL(t) = E_va(t) / min E_va − 1 above 5 %, after Prechelt, "Early Stopping — but when?" (1998),
    section 2, on the validation loss smoothed over a fiftieth of its rows, so that one bad step is none. It has to hold
    at the newest step, and the training loss has to be lower than it was at the best validation: otherwise it is not
    overfitting.
    """
    if len(validation) < _FEWEST or len(training) < _FEWEST:
        return None
    smooth = _calm(validation.value)
    best = int(np.argmin(smooth))
    if not smooth[best] > 0:
        return None
    loss = smooth / smooth[best] - 1.0
    if best == len(smooth) - 1 or loss[-1] <= OVERFITTING:
        return None
    then, now = np.interp(validation.step[[best, -1]], training.step, _calm(training.value))
    if not now < then:
        return None
    below = np.flatnonzero(loss[best:] <= OVERFITTING)
    start = best + int(below[-1]) + 1
    return Finding(
        validation.run, "overfitting", float(validation.step[start]), float(validation.value[start]), float(loss[-1]),
        float(smooth[best]), float(validation.step[best]), float(1.0 - now / then),
    )  # fmt: skip


def diverging(training: Curve) -> Finding | None:
    """The step from which the training loss stays above its lowest by more than a fifth and more than its noise.

    The noise is the median absolute deviation from the smoothed loss, times 1.4826 (a standard deviation, where it is
    normal); the rise has to be five times as large.
    """
    if len(training) < _FEWEST:
        return None
    smooth = _calm(training.value)
    best = int(np.argmin(smooth))
    noise = 1.4826 * float(np.median(np.abs(training.value - smooth)))
    level = smooth[best] + max(DIVERGING * abs(float(smooth[best])), _NOISE * noise / np.sqrt(_width(len(smooth))))
    if best == len(smooth) - 1 or smooth[-1] <= level:
        return None
    start = best + int(np.flatnonzero(smooth[best:] <= level)[-1]) + 1
    return Finding(
        training.run, "diverging", float(training.step[start]), float(training.value[start]),
        float(smooth[-1] / smooth[best] - 1.0) if smooth[best] > 0 else float("nan"),
        float(smooth[best]), float(training.step[best]),
    )  # fmt: skip


def stalled(curve: Curve) -> Finding | None:
    """The step at which 99 % of all that was learned was learned, where more than half of the steps came after it."""
    if len(curve) < _FEWEST:
        return None
    smooth = _calm(curve.value)
    lowest = float(smooth.min())
    learned = float(smooth[0]) - lowest
    if not learned > 0:
        return None
    start = int(np.argmax(smooth - lowest <= STALLED * learned))
    span = float(curve.step[-1] - curve.step[0])
    since = float(curve.step[-1] - curve.step[start]) / span if span else 0.0
    if since <= _STALLED_FOR:
        return None
    return Finding(curve.run, "stalled", float(curve.step[start]), float(curve.value[start]), since, lowest)


def _calm(value: FloatArray) -> FloatArray:
    """The values smoothed over a fiftieth of them."""
    return gaussian(value, _width(len(value)))


def _width(rows: int) -> float:
    return max(rows / 50.0, 1.0)
