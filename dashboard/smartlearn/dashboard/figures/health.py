"""Health and memory of nodes: scores with their components, means against peaks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from smartlearn.core.health import OK_FROM, WARNING_FROM
from smartlearn.core.settings import Settings
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.figures.metrics import metric, rule_of
from smartlearn.dashboard.queries import NodeHealth, Trend, Window, with_gaps
from smartlearn.dashboard.queries.memory import Efficiency

_MOST = 12
_FEWEST = 4


def components(found: Sequence[NodeHealth], settings: Settings, height: int = style.HEIGHT) -> go.Figure:
    """Each node's score, with the icon of its status, and the components it comes from; the worst node on top."""
    if not found:
        return style.empty("No health yet: no node has sent a watched metric.<br>Run <b>smartlearn demo</b>.", height)
    shown = list(found[:_MOST])
    rules = [rule for rule in settings.rules if any(rule.name in one.components for one in shown)]
    values = np.array([[one.score, *(one.components.get(rule.name, np.nan) for rule in rules)] for one in shown])
    text = [[f"{value:.0f}" if np.isfinite(value) else "" for value in row] for row in values.tolist()]
    for row, one in zip(text, shown, strict=True):
        row[0] = f"<b>{theme.STATUS_ICONS[one.status]} {row[0]}</b>"
    titles = [metric(rule.metric).title for rule in rules]
    heads = [title.replace(" memory", "<br>mem.").replace(" time", "<br>time") for title in titles]
    fig = style.figure(height)
    fig.add_heatmap(
        x=["<b>Score</b>", *heads],
        y=list(style.labels([one.node for one in shown]).values()),
        z=values,
        zmin=0,
        zmax=100,
        colorscale=theme.HEAT,
        showscale=False,
        text=text,
        texttemplate="%{text}",
        textfont={"size": 11},
        customdata=np.array([[one.node] * values.shape[1] for one in shown], dtype=object),
        hovertext=[[theme.STATUS_WORDS[one.status], *titles] for one in shown],
        hovertemplate="<b>%{customdata}</b><br>%{hovertext} %{z:.0f} of 100<extra></extra>",
        hoverongaps=False,
        xgap=2,
        ygap=2,
    )
    fig.update_layout(hovermode="closest")
    fig.update_xaxes(side="top", tickangle=0, tickfont={"size": 10}, showline=False)
    fig.update_yaxes(range=[max(len(shown), _FEWEST) - 0.5, -0.5], showgrid=False, dtick=1)
    if len(found) > len(shown):
        fig.add_annotation(
            text=f"the {len(shown)} worst of {len(found)} nodes", xref="x domain", x=1, xanchor="right",
            yref="y domain", y=0, yanchor="top", showarrow=False, font={"size": 10, "color": theme.GREY},
        )  # fmt: skip
        fig.update_layout(margin={**style.MARGIN, "b": 22})
    return fig


def score_lines(
    found: Sequence[Trend], settings: Settings, window: Window | None = None, *, height: int = style.HEIGHT
) -> go.Figure:
    """Scores over time, the worst nodes; where warning and critical begin."""
    drawn = [line for line in found if len(line)][:10]
    if not drawn:
        return style.empty("No health yet: no node has sent a watched metric", height)
    fig = style.figure(height)
    style.time_axis(fig, *((window.start, window.stop) if window else (None, None)))
    looks = theme.series_style(line.name for line in drawn)
    for line in drawn:
        color, dash = looks[line.name]
        time, (mean,) = with_gaps(line.time, line.width, [line.mean])
        fig.add_scatter(
            x=style.moments(time), y=mean, name=line.name, mode="lines", connectgaps=False,
            line={"color": color, "width": 1.8, "dash": dash}, hovertemplate="%{y:.0f}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    fig.update_yaxes(range=[0, 102], dtick=25)
    labels = [
        style.level(fig, OK_FROM, "warning", f"below {OK_FROM:.0f}"),
        style.level(fig, WARNING_FROM, "critical", f"below {WARNING_FROM:.0f}"),
    ]
    if 1 < len(drawn) <= 5:
        words = style.labels([line.name for line in drawn])
        labels += [style.Label(words[line.name], float(line.mean[-1]), looks[line.name][0]) for line in drawn]
    elif len(drawn) > 5:
        style.legend(fig)
    style.gutter(fig, labels, 0, 100)
    return fig


def memory_efficiency(found: Sequence[Efficiency], settings: Settings, height: int = style.HEIGHT) -> go.Figure:
    """Mean and peak of the memory in use, node by node, the least efficient on top."""
    shown = list(found[:_MOST])
    if not shown:
        return style.nothing("memory usage", height)
    fig = style.figure(height)
    words = style.labels([one.node for one in shown])
    names = [words[one.node] for one in shown]
    for one, name in zip(shown, names, strict=True):
        color = theme.metric_color(one.metric, settings)
        fig.add_scatter(
            x=[one.mean, one.peak],
            y=[name, name],
            mode="lines+markers",
            line={"color": theme.faded(color, 0.45), "width": 3},
            marker={
                "size": [11, 12],
                "symbol": ["circle", "line-ns"],
                "color": color,
                "line": {"width": [0, 3], "color": color},
            },
            text=["mean", "peak"],
            hovertemplate=f"<b>{one.node}</b><br>%{{text}} %{{x:.1f}} %<extra></extra>",
        )
        fig.add_annotation(
            text=f"<b>{one.efficiency:.0%}</b>", xref="x domain", x=1, xanchor="left", xshift=8, yref="y", y=name,
            showarrow=False, font={"size": 11},
        )  # fmt: skip
    rule = rule_of(shown[0].metric, settings)
    if rule is not None:
        style.upright(fig, rule.warning, "warning", rule.unit)
        style.upright(fig, rule.critical, "critical", rule.unit)
    fig.update_layout(hovermode="closest", margin={**style.MARGIN, "r": 52, "t": 24})
    fig.update_xaxes(title={"text": "in use: ● mean, ┃ peak", "standoff": 4})
    fig.update_xaxes(range=[0, 102], dtick=25, ticksuffix="%", showgrid=True)
    fig.update_yaxes(autorange="reversed", showgrid=False, dtick=1)
    return fig
