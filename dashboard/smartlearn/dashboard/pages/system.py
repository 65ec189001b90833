"""System Overview: is anything wrong, and where?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from smartlearn.core.settings import Settings
from smartlearn.dashboard import format as words
from smartlearn.dashboard import queries, theme
from smartlearn.dashboard.figures import costs, heat, trends
from smartlearn.dashboard.figures.metrics import metric, rule_of
from smartlearn.dashboard.pages import system_node
from smartlearn.dashboard.panels import Chart, Choice, Column, Context, Page, Stat, Table
from smartlearn.dashboard.queries import Change, NodeHealth, Transition
from smartlearn.dashboard.queries.catalog import metric_names
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.theme import Status
from smartlearn.dashboard.view import View

_WATCHED: Final = ("cpu_usage", "memory_usage", "gpu_memory")


def any_metric(history: History) -> dict[str, str]:
    """Every metric that nodes have, by the name it is called."""
    return {name: metric(name).title for name in metric_names(history)}


HEAT_METRIC: Final = Choice(
    "heat",
    "Metric of the heatmap",
    {
        "cpu_usage": "CPU",
        "memory_usage": "Memory",
        "gpu_memory": "GPU memory",
        "response_time": "Response time",
    },
    more=any_metric,
)


def stats(context: Context, view: View) -> list[Stat]:
    """Nodes healthy, the three resources, and what stands."""
    nodes = queries.health(context.history, context.settings, view.now, view.nodes)
    changes = queries.changes(context.history, _WATCHED, view.window, view.nodes)
    alerts = queries.open_alerts(context.history, view.nodes)
    return [
        healthy(nodes),
        *(resource(changes[name], context.settings) for name in _WATCHED),
        standing(alerts, view.now),
    ]


def healthy(nodes: list[NodeHealth]) -> Stat:
    """How many nodes are well, and which is worst."""
    if not nodes:
        return Stat("Nodes healthy", words.NOTHING, note="no node has sent anything yet", status="unknown")
    well = sum(1 for one in nodes if one.status == "ok")
    worst = nodes[0]
    note = "all of them" if worst.status == "ok" else f"worst: {worst.node}"
    return Stat("Nodes healthy", f"{well}", f"/ {len(nodes)}", status=worst.status, note=note)


def resource(change: Change, settings: Settings) -> Stat:
    """A metric over the range: its mean, change, line, and how it stands now."""
    what = metric(change.metric)
    value, unit = words.split_unit(change.value, what.unit)
    spark = change.spark.mean if len(change.spark) else None
    newest = float(spark[-1]) if spark is not None else float("nan")
    return Stat(
        what.title,
        value,
        unit,
        change="" if np.isnan(change.change) else words.signed(change.change, what.unit),
        verdict=None if np.isnan(change.change) or abs(change.change) < 0.5 else "bad" if change.change > 0 else "good",
        status=level(change.metric, newest, settings),
        note=f"peak {words.with_unit(change.high, what.unit)}" if change.count else "not measured",
        spark=spark,
        color=theme.metric_color(change.metric, settings),
        hint="mean over the range, and its change against the range before",
    )


def level(name: str, value: float, settings: Settings) -> Status:
    """How a value stands against the metric's rule."""
    rule = rule_of(name, settings)
    if rule is None or np.isnan(value):
        return "unknown"
    return "critical" if value > rule.critical else "warning" if value > rule.warning else "ok"


def standing(alerts: list[Transition], now: int) -> Stat:
    """How many alerts are open."""
    if not alerts:
        return Stat("Open alerts", "0", status="ok", note="nothing above its level")
    critical = sum(1 for one in alerts if one.state == "critical")
    first = alerts[0]
    return Stat(
        "Open alerts",
        str(len(alerts)),
        status="critical" if critical else "warning",
        note=f"{critical} critical" if critical else f"{first.rule} on {first.node}",
        hint=f"the newest since {words.clock(first.at)}, {words.ago((now - first.at) / queries.SECOND)}",
    )


def trend(name: str) -> Callable[[Context, View], go.Figure]:
    """A chart of one metric: a line a node, with levels and notes."""

    def draw(context: Context, view: View) -> go.Figure:
        found = queries.trends(context.history, [name], view.window, view.nodes)[name]
        styles = theme.series_style([*queries.nodes(context.history), *(line.name for line in found.lines)])
        figure = trends.lines(found, context.settings, view.window, styles=styles)
        if found.lines:
            trends.add_notes(figure, queries.notes(context.history, view.window))
        return figure

    return draw


def heatmap(context: Context, view: View) -> go.Figure:
    """Node × time of the metric chosen."""
    found = queries.matrix(context.history, HEAT_METRIC.of(view), view.window, view.nodes)
    return heat.resource_heatmap(found, context.settings)


def health_rows(context: Context, view: View) -> list[dict[str, Any]]:
    """A row a node: score, what each component costs it, and its newest values."""
    nodes = queries.health(context.history, context.settings, view.now, view.nodes)
    newest = queries.newest(context.history, _NEWEST, view.nodes)
    rows = []
    for one in nodes:
        values = newest.get(one.node, {})
        rows.append(
            {
                "node": one.node,
                "status": one.status,
                "score": round(one.score, 1),
                **{f"cost_{name}": round(costs.cost(value), 1) for name, value in one.components.items()},
                **{name: found.value for name, found in values.items()},
                "age": words.ago(one.age_s),
            }
        )
    return rows


_NEWEST: Final = ("cpu_usage", "memory_usage", "gpu_memory", "response_time")

COLUMNS: Final = (
    Column("node", "Node", "link"),
    Column("status", "Status", "status", 96),
    Column("score", "Score", "bar", 150),
    Column("cpu_usage", "CPU %", "number", 84),
    Column("cost_cpu_usage", "costs", "number", 72),
    Column("memory_usage", "Memory %", "number", 100),
    Column("cost_memory_usage", "costs", "number", 72),
    Column("gpu_memory", "GPU mem. %", "number", 110),
    Column("cost_gpu_memory", "costs", "number", 72),
    Column("response_time", "Response ms", "number", 116),
    Column("cost_response_time", "costs", "number", 72),
    Column("age", "Newest", "text", 96),
)

PAGE: Final = Page(
    path="/system",
    name="System Overview",
    question="Is anything wrong, and where?",
    icon="system",
    stats=stats,
    places=5,
    panels=(
        Chart(
            "system-score", "What costs health", system_node.score, "points of 100", span=5, click="node",
            help="A metric costs nothing up to three quarters of its warning level, then 15 points at the warning and "
            "45 at the critical level. Below 80 a node is in warning, below 50 critical.",
        ),
        Chart("system-heat", "Nodes over time", heatmap, span=7, choice=HEAT_METRIC, click="node", only="fleet"),
        Chart("system-scores", "Health over time", system_node.score_over_time, "of 100", span=7, only="node"),
        Chart("system-cpu", "CPU", trend("cpu_usage"), "%, mean by node", span=4),
        Chart("system-memory", "Memory", trend("memory_usage"), "%, mean by node", span=4),
        Chart("system-gpu", "GPU memory", trend("gpu_memory"), "% of total, mean by node", span=4, optional=True),
        *system_node.PANELS[:-1],
        Chart(
            "system-full", "Running full", system_node.forecast, "%, with the 95 % band", span=12,
            choice=system_node.CAPACITY,
            help="A straight line through at most 30 days, of the node that is full soonest. It looks no further ahead "
            "than there is history.",
        ),
        Chart("system-response", "Response time", trend("response_time"), "ms, mean by node", span=4, optional=True),
        Chart("system-accuracy", "Model accuracy", trend("model_accuracy"), "% right, by node", span=4, optional=True),
        Chart("system-engagement", "Engagement", trend("user_engagement"), "1–10, mean by node", span=4, optional=True),
        Table(
            "system-health",
            "Health by node",
            COLUMNS,
            health_rows,
            unit="score 0–100; each newest value with the points that it costs",
            height=240,
            empty="No node has sent a watched metric yet: start an agent, or run smartlearn demo",
            key="node",
            only="fleet",
        ),
        system_node.PANELS[-1],
    ),
)  # fmt: skip
