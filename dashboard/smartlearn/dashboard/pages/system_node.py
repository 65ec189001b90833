"""System Overview of one node: whatever its sources send."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import plotly.graph_objects as go

from smartlearn.dashboard import queries
from smartlearn.dashboard.figures import capacity, costs, details, health
from smartlearn.dashboard.figures.metrics import metric
from smartlearn.dashboard.figures.style import empty
from smartlearn.dashboard.format import ago
from smartlearn.dashboard.panels import Chart, Choice, Column, Context, Panel, Table
from smartlearn.dashboard.queries import SECOND
from smartlearn.dashboard.queries.catalog import metric_names
from smartlearn.dashboard.queries.details import cores, everything, node_lines
from smartlearn.dashboard.queries.forecast import forecasts
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.view import View

WATCHED: Final = ("cpu_usage", "memory_usage", "gpu_memory", "response_time")
_CHOOSE: Final = "Choose one node to see its details"


def fillable(history: History) -> dict[str, str]:
    """What can run full: the metrics in percent of something that has an end."""
    return {
        name: metric(name).title
        for name in metric_names(history)
        if name.endswith("_usage") and metric(name).unit == "%" and name != "cpu_usage"
    }


CAPACITY: Final = Choice(
    "full", "What may run full", {"memory_usage": "Memory", "gpu_memory": "GPU memory"}, more=fillable
)


def the_node(context: Context, view: View) -> str | None:
    """The node that is shown alone: the one chosen, or the only one there is."""
    if view.nodes:
        return view.nodes[0] if len(view.nodes) == 1 else None
    names = queries.nodes(context.history)
    return names[0] if len(names) == 1 else None


def together(what: str, metrics: Sequence[str], *, stacked: bool = False) -> Callable[[Context, View], go.Figure]:
    """A chart of several metrics of the node."""

    def draw(context: Context, view: View) -> go.Figure:
        node = the_node(context, view)
        if node is None:
            return empty(_CHOOSE)
        return details.together(
            node_lines(context.history, node, metrics, view.window), what, view.window, stacked=stacked
        )

    return draw


def each_core(context: Context, view: View) -> go.Figure:
    """Core × time."""
    node = the_node(context, view)
    if node is None:
        return empty(_CHOOSE)
    return details.cores(cores(context.history, node, view.window), context.settings, view.window)


def score(context: Context, view: View) -> go.Figure:
    """What the score is made of: of one node step by step, of many as bars."""
    found = queries.health(context.history, context.settings, view.now, view.nodes)
    newest = queries.newest(context.history, WATCHED, [one.node for one in found[:12]])
    if len(found) == 1:
        return costs.of_one(found[0], newest.get(found[0].node, {}), context.settings)
    return costs.by_node(found, newest, context.settings)


def score_over_time(context: Context, view: View) -> go.Figure:
    """How healthy the node was."""
    node = the_node(context, view)
    if node is None:
        return empty(_CHOOSE)
    return health.score_lines(queries.scores(context.history, view.window, [node]), context.settings, view.window)


def forecast(context: Context, view: View) -> go.Figure:
    """How full the node, or the one that is full soonest, will be."""
    name = CAPACITY.of(view)
    found = forecasts(context.history, name, view.now, view.nodes)
    return capacity.forecast(found[0] if found else None, name, context.settings)


def rows(context: Context, view: View) -> list[dict[str, Any]]:
    """A row a metric of the node."""
    node = the_node(context, view)
    if node is None:
        return []
    return [
        {
            "metric": metric(line.metric).title,
            "name": line.metric,
            "unit": metric(line.metric).unit or ("ratio" if metric(line.metric).ratio else ""),
            "newest": float(line.mean[-1]),
            "mean": line.average,
            "low": float(line.low.min()),
            "high": float(line.high.max()),
            "spark": line.mean.tolist(),
            "age": ago((view.now - int(line.time[-1]) - line.width) / SECOND if view.range else None),
        }
        for line in everything(context.history, node, view.window)
    ]


_STATES: Final = tuple(f"cpu_{name}" for name in ("user", "nice", "system", "irq", "softirq", "iowait", "steal"))

COLUMNS: Final = (
    Column("metric", "Metric", "text", 190),
    Column("spark", "In this range", "spark", 150),
    Column("newest", "Newest", "number", 90),
    Column("mean", "Mean", "number", 90),
    Column("low", "Lowest", "number", 90),
    Column("high", "Highest", "number", 90),
    Column("unit", "Unit", "text", 90),
    Column("name", "Name in queries", "text", 170),
)

PANELS: Final[tuple[Panel, ...]] = (
    Chart(
        "system-states", "Where CPU time went",
        together("CPU states", _STATES, stacked=True),
        "% of all cores", span=6, only="node",
    ),
    Chart("system-cores", "Cores", each_core, "%, mean", span=6, only="node"),
    Chart("system-load", "Load", together("load", ("load_1m", "load_5m", "load_15m")), "processes that want to run",
          span=4, only="node"),
    Chart("system-disk", "Disk traffic", together("disks", ("disk_read_mb_s", "disk_write_mb_s")), "MB/s", span=4,
          only="node"),
    Chart("system-network", "Network", together("network", ("network_in_mb_s", "network_out_mb_s")), "MB/s", span=4,
          only="node"),
    Chart("system-space", "Memory, swap, disk", together("space", ("memory_usage", "swap_usage", "disk_usage")), "%",
          span=4, only="node"),
    Chart("system-processes", "Processes", together("processes", ("processes", "process_cpu")),
          "how many, and % of a core of the busiest", span=4, only="node"),
    Chart("system-gpus", "GPU", together("GPU", ("gpu_utilization", "gpu_temperature", "gpu_power_w")), "%, °C, W",
          span=4, only="node", optional=True),
    Table(
        "system-everything", "Everything this node sends", COLUMNS, rows, height=420, key="name", only="node",
        empty="This node has sent nothing in this time range",
    ),
)  # fmt: skip
"""What is shown of one node beside what is shown of all."""
