"""Memory efficiency: how much of the memory that a node had to have was in use on average."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.performance import TOP, trends
from smartlearn.dashboard.queries.window import Window


@dataclass(frozen=True, slots=True)
class Efficiency:
    """A node's memory in a window.

    Attributes:
        node: the node.
        metric: memory_usage or gpu_memory.
        mean: % in use, over all samples.
        peak: the highest % that any sample saw.
    """

    node: str
    metric: str
    mean: float
    peak: float

    @property
    def efficiency(self) -> float:
        """Mean / peak, 0–1: 1 is memory in steady use, a low one is memory bought for short peaks."""
        return self.mean / self.peak if self.peak else 0.0


def memory_efficiency(
    store: History, window: Window, chosen: Sequence[str] = (), metric: str = "memory_usage"
) -> list[Efficiency]:
    """The efficiency of the chosen nodes or of those that use the most memory, the lowest first."""
    lines = trends(store, [metric], window, chosen, TOP)[metric].lines
    found = [Efficiency(line.name, metric, line.average, float(line.high.max())) for line in lines]
    return sorted(found, key=lambda one: (one.efficiency, one.node))
