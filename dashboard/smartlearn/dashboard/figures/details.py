"""One node in detail: several metrics together, and its cores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from smartlearn.core.settings import Settings
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.figures.heat import scale
from smartlearn.dashboard.figures.metrics import metric
from smartlearn.dashboard.queries import Trend, Window, with_gaps
from smartlearn.dashboard.queries.details import Cores

_CORE_LABELS = 16


def together(
    lines: Sequence[Trend], what: str, window: Window, *, stacked: bool = False, height: int = style.HEIGHT
) -> go.Figure:
    """Several metrics of one unit over time, each in a colour of its own; stacked where they are parts of one whole.

    Args:
        lines: the metrics, in drawing order.
        what: what they are, for where there are none.
        window: the range of the time axis.
        stacked: whether they are drawn on top of each other.
        height: px.
    """
    if not lines:
        return style.empty(f"This node sends nothing about its {what}", height)
    fig = style.figure(height)
    style.time_axis(fig, window.start, window.stop)
    for line, color in zip(lines, theme.SERIES * (1 + len(lines) // len(theme.SERIES)), strict=False):
        known = metric(line.metric)
        time, (mean,) = with_gaps(line.time, line.width, [line.mean])
        fig.add_scatter(
            x=style.moments(time), y=mean, name=known.title, mode="lines" if len(line) > 2 else "lines+markers",
            connectgaps=False, stackgroup="all" if stacked else None,
            line={"color": color, "width": 0.8 if stacked else 1.8},
            fillcolor=theme.faded(color, 0.5) if stacked else None,
            hovertemplate=f"%{{y:.3~r}} {known.unit}<extra>%{{fullData.name}}</extra>",
        )  # fmt: skip
    units = {metric(line.metric).unit for line in lines}
    if stacked:
        fig.update_yaxes(ticksuffix="%", rangemode="tozero")
    elif units == {"%"}:
        style.percent_axis(fig)
    else:
        fig.update_yaxes(rangemode="tozero", tickformat="~s")
    style.legend(fig)
    return fig


def cores(found: Cores, settings: Settings, window: Window, height: int = style.HEIGHT) -> go.Figure:
    """Every core over time, core 0 on top."""
    if not found.names:
        return style.empty("This node does not tell its cores one by one", height)
    titles = [metric(name).title for name in found.names]
    fig = style.figure(height)
    fig.add_heatmap(
        x=style.moments(found.time + found.width // 2), y=titles, z=found.values, hoverongaps=False, xgap=0,
        ygap=1 if len(titles) <= _CORE_LABELS else 0,
        hovertemplate="%{y}<br>%{x}<br>%{z:.3~r} %<extra></extra>", **scale(0, 100, "%"),
    )  # fmt: skip
    style.time_axis(fig, window.start, window.stop)
    step = max(int(np.ceil(len(titles) / _CORE_LABELS)), 1)
    fig.update_yaxes(autorange="reversed", showgrid=False, tickvals=titles[::step])
    fig.update_layout(hovermode="closest")
    return fig
