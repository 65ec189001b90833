"""One node in detail: whatever its sources send."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.dashboard.queries.catalog import metric_names
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.performance import grain
from smartlearn.dashboard.queries.rollups import Trend, fold, read
from smartlearn.dashboard.queries.window import Window

CORE: Final = "cpu_core_"


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores of a node over time.

    Attributes:
        names: the cores' metrics, in the order of their numbers, r of them.
        time: start of each column, ns, c of them.
        width: the length of a column, ns.
        values: the means in %, NaN where nothing was sent, shape (r, c).
    """

    names: list[str]
    time: Int64Array
    width: int
    values: FloatArray


def node_lines(store: History, node: str, metrics: Sequence[str], window: Window, rows: int = 240) -> list[Trend]:
    """A line for each of the metrics that the node has, in the order asked for."""
    if not metrics:
        return []
    tier, width = grain(store, window, rows)
    series = read(store, "performance", tier, window, metrics, where={"node": node})
    lines = [fold(series, name, name, width) for name in metrics]
    return [line for line in lines if len(line)]


def cores(store: History, node: str, window: Window, columns: int = 120) -> Cores:
    """Every core of a node over time."""
    names = [name for name in metric_names(store) if name.startswith(CORE)]
    lines = node_lines(store, node, names, window, columns)
    _, width = grain(store, window, columns)
    first = window.start - window.start % width
    time = np.arange(first, window.stop, width, dtype=np.int64)
    values = np.full((len(lines), len(time)), np.nan)
    for row, line in enumerate(lines):
        values[row, (line.time - first) // width] = line.mean
    return Cores([line.name for line in lines], time, width, values)


def everything(store: History, node: str, window: Window) -> list[Trend]:
    """A short line of every metric that a node sends, by name."""
    return node_lines(store, node, metric_names(store), window, rows=40)
