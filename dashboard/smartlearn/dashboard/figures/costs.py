"""Where a health score comes from: the points that each metric cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import plotly.graph_objects as go

from smartlearn.core.health import WEIGHT
from smartlearn.core.settings import RuleSettings, Settings
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.figures.metrics import metric
from smartlearn.dashboard.format import with_unit
from smartlearn.dashboard.queries import Newest, NodeHealth

_MOST: Final = 12
_LEFT: Final = "rgba(134,142,150,0.35)"


def cost(component: float) -> float:
    """The points that a component takes from a score."""
    return WEIGHT * (100.0 - component)


def by_node(
    found: Sequence[NodeHealth],
    newest: Mapping[str, Mapping[str, Newest]],
    settings: Settings,
    height: int = style.HEIGHT,
) -> go.Figure:
    """A bar a node, the worst on top: what is left of 100 points, and what each metric took.

    Args:
        found: the nodes, worst first.
        newest: node → metric → its newest pane, for the hover.
        settings: rules and colours.
        height: px.
    """
    if not found:
        return style.empty("No health yet: no node has sent a watched metric.<br>Run <b>smartlearn demo</b>.", height)
    shown = list(found[:_MOST])
    words = style.labels([one.node for one in shown], 16)
    rows = [words[one.node] for one in shown]
    fig = style.figure(height, barmode="stack", bargap=0.3)
    fig.add_bar(
        y=rows, x=[one.score for one in shown], orientation="h", name="left", marker={"color": _LEFT},
        customdata=[[one.node] for one in shown],
        hovertemplate="<b>%{customdata[0]}</b><br>%{x:.0f} points left<extra></extra>",
    )  # fmt: skip
    for rule in settings.rules:
        costs = [cost(one.components.get(rule.name, 100.0)) for one in shown]
        if not any(costs):
            continue
        fig.add_bar(
            y=rows, x=costs, orientation="h", name=metric(rule.metric).title,
            marker={"color": theme.metric_color(rule.metric, settings)},
            customdata=[[one.node, _value(newest.get(one.node, {}), rule)] for one in shown],
            hovertemplate="<b>%{customdata[0]}</b><br>%{fullData.name} %{customdata[1]} costs %{x:.1f}<extra></extra>",
        )  # fmt: skip
    for row, one in zip(rows, shown, strict=True):
        fig.add_annotation(
            text=f"<b>{theme.STATUS_ICONS[one.status]} {one.score:.0f}</b>", xref="x domain", x=1, xanchor="left",
            xshift=8, yref="y", y=row, showarrow=False, font={"size": 11, "color": theme.STATUS_COLORS[one.status]},
        )  # fmt: skip
    fig.update_xaxes(range=[0, 100], dtick=25, showgrid=True)
    fig.update_yaxes(range=[max(len(shown), 4) - 0.5, -0.5], showgrid=False, dtick=1)
    fig.update_layout(hovermode="closest")
    style.legend(fig)
    fig.update_layout(legend={"traceorder": "normal"}, margin={**fig.layout.margin.to_plotly_json(), "r": 52})
    if len(found) > len(shown):
        fig.add_annotation(
            text=f"the {len(shown)} worst of {len(found)} nodes", xref="x domain", x=1, xanchor="right",
            yref="y domain", y=0, yanchor="bottom", showarrow=False, font={"size": 10, "color": theme.GREY},
        )  # fmt: skip
    return fig


def of_one(
    one: NodeHealth | None, newest: Mapping[str, Newest], settings: Settings, height: int = style.HEIGHT
) -> go.Figure:
    """How the score of a node comes about: from 100 down, a step for each rule that has a value, to the score."""
    if one is None:
        return style.empty("No health yet: this node has sent no watched metric", height)
    rules = sorted(
        (rule for rule in settings.rules if rule.name in one.components),
        key=lambda rule: one.components[rule.name],
    )
    costs = [cost(one.components[rule.name]) for rule in rules]
    colors = [theme.metric_color(rule.metric, settings) for rule in rules]
    before = 100.0 - np.cumsum([0.0, *costs])
    fig = style.figure(height, bargap=0.35)
    fig.add_bar(
        x=["Full", *[metric(rule.metric).title for rule in rules], "Score"],
        y=[100.0, *costs, one.score],
        base=[0.0, *before[1:].tolist(), 0.0],
        marker={"color": [_LEFT, *colors, theme.STATUS_COLORS[one.status]]},
        text=["100", *[f"−{points:.1f}" if points else "0" for points in costs], f"<b>{one.score:.0f}</b>"],
        textposition="outside", cliponaxis=False,
        customdata=["", *[_rule(newest, rule) for rule in rules], theme.STATUS_WORDS[one.status]],
        hovertemplate="%{x}<br>%{customdata}<extra></extra>",
    )  # fmt: skip
    fig.update_yaxes(range=[min(0.0, 100 - sum(costs)), 112], dtick=25)
    fig.update_xaxes(tickangle=0)
    fig.update_layout(hovermode="closest", margin={**style.MARGIN, "t": 16})
    return fig


def _value(newest: Mapping[str, Newest], rule: RuleSettings) -> str:
    found = newest.get(rule.metric)
    return with_unit(found.value, metric(rule.metric).unit) if found else ""


def _rule(newest: Mapping[str, Newest], rule: RuleSettings) -> str:
    levels = f"warning {with_unit(rule.warning, rule.unit)}, critical {with_unit(rule.critical, rule.unit)}"
    return f"{_value(newest, rule)}, {levels}".lstrip(", ")
