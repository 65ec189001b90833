"""One metric by node and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.performance import grain, rank
from smartlearn.dashboard.queries.rollups import fold, grouped, read
from smartlearn.dashboard.queries.window import Window


@dataclass(frozen=True, slots=True)
class Matrix:
    """One metric by node and time.

    Attributes:
        names: the rows' names, the highest average first, r of them.
        time: start of each column, ns, c of them.
        width: the length of a column, ns.
        values: the means, NaN where a node sent nothing, shape (r, c).
        others: how many nodes are not shown.
    """

    metric: str
    names: list[str]
    time: Int64Array
    width: int
    values: FloatArray
    others: int = 0


def matrix(
    store: History,
    metric: str,
    window: Window,
    chosen: Sequence[str] = (),
    *,
    rows: int = 40,
    columns: int = 120,
) -> Matrix:
    """The means of a metric by node and time; the nodes with the highest averages where there are more."""
    ranked = rank(store, metric, window, chosen, rows)
    names = [name for name, _ in ranked[:rows]]
    tier, width = grain(store, window, columns)
    first = window.start - window.start % width
    time = np.arange(first, window.stop, width, dtype=np.int64)
    values = np.full((len(names), len(time)), np.nan)
    if names:
        series = read(store, "performance", tier, window, [metric], where={"node": tuple(names)})
        for node, group in grouped(series, "node", "").items():
            line = fold(group, metric, node, width)
            values[names.index(node), (line.time - first) // width] = line.mean
    return Matrix(metric, names, time, width, values, others=max(len(ranked) - rows, 0))
