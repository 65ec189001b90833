"""Which groups of learners may be shown: none too small, and none that can be had by subtraction."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.distinct import Distinct
from smartlearn.dashboard.queries.window import HOUR, MINUTE, Window

_SHORT = 6 * HOUR
_STEP = 5 * MINUTE


def may_be_shown(sets: Sequence[Distinct], minimum: int, hidden: Collection[int] = ()) -> NDArray[np.bool_]:
    """Which parts of a whole may be shown where the whole is shown as well.

    A part of fewer than `minimum` learners is hidden. Where all that is hidden together has fewer, whoever subtracts
    the shown parts from the whole would have it: then the smallest shown parts are hidden too, until it has enough.
    This is secondary cell suppression (Willenborg and de Waal, Elements of Statistical Disclosure Control, 2001).

    Args:
        sets: the learners of each part.
        minimum: the fewest learners of a shown part, and of all that is hidden, unless that is nobody.
        hidden: the numbers of parts that are hidden already.

    Returns:
        Shape (n,). A part without learners is not shown.
    """
    sizes = np.array([one.estimate() for one in sets], dtype=np.float64)
    shown = sizes >= minimum
    shown[list(hidden)] = False
    lost = Distinct.union(one for one, show in zip(sets, shown, strict=True) if not show)
    while 0 < lost.estimate() < minimum and shown.any():
        smallest = int(np.argmin(np.where(shown, sizes, np.inf)))
        shown[smallest] = False
        lost = Distinct.union([lost, sets[smallest]])
    return shown


def whole(window: Window) -> Window:
    """The window in whole hours, or in steps of five minutes where it is six hours or shorter.

    Two ranges that differ by a moment would otherwise differ by one answer, and by subtraction show it.
    """
    step = _STEP if window.span <= _SHORT else HOUR
    return Window(window.start // step * step, -(-window.stop // step) * step)
