"""Learners as groups: estimates with their intervals, spreads, counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import plotly.graph_objects as go

from smartlearn.core.settings import Settings
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.figures.heat import hidden_note, in_order, not_shown
from smartlearn.dashboard.figures.metrics import metric
from smartlearn.dashboard.format import number, with_unit
from smartlearn.dashboard.queries import Estimate, Group, Groups, Histogram, OverTime, Window, with_gaps

_MOST = 12


def over_time(
    found: OverTime, settings: Settings, window: Window | None = None, *, height: int = style.HEIGHT
) -> go.Figure:
    """A mean over time in the band of its 95 % interval."""
    line, minimum = found.line, settings.privacy.minimum_group
    what = metric(line.metric)
    if not len(line):
        return style.too_few(minimum, height) if found.hidden else style.nothing("interactions", height)
    color = theme.metric_color(line.metric, settings)
    fig = style.figure(height)
    style.time_axis(fig, *((window.start, window.stop) if window else (None, None)))
    time, (mean, low, high) = with_gaps(line.time, line.width, [line.mean, found.low, found.high], 1.5)
    x = style.moments(time + line.width // 2)
    style.band(fig, x, low, high, theme.faded(color, 0.2))
    fig.add_scatter(
        x=x, y=mean, name="all learners", mode="lines+markers" if len(line) < 60 else "lines", connectgaps=False,
        line={"color": color, "width": 1.8}, marker={"size": 5, "color": color},
        customdata=np.interp(time, line.time, line.count),
        hovertemplate="%{y:.3~r} (n = %{customdata:.0f})<extra></extra>",
    )  # fmt: skip
    if what.high is not None:
        fig.update_yaxes(range=[what.low, what.high])
    if found.hidden:
        style.corner(fig, f"{found.hidden} point{'' if found.hidden == 1 else 's'} under {minimum} learners not shown")
    return fig


def by_group(
    found: Groups, by: Literal["subject", "difficulty"], settings: Settings, height: int = style.HEIGHT
) -> go.Figure:
    """Accuracy of each group with its 95 % interval: subjects the weakest first, difficulties from easy to hard."""
    minimum = settings.privacy.minimum_group
    if not found.shown:
        return not_shown(found, minimum, height)
    groups = _ordered(found.shown, by)
    color = theme.metric_color("accuracy", settings)
    names = [style.readable(getattr(group, by)) for group in groups]
    estimates = [group.accuracy for group in groups]
    fig = style.figure(height)
    fig.add_scatter(
        x=[one.mean for one in estimates],
        y=names,
        mode="markers",
        marker={"size": 10, "color": color},
        error_x=_interval(estimates, color),
        customdata=[[group.count, group.learners, *_ends(group.accuracy)] for group in groups],
        hovertemplate="<b>%{y}</b><br>accuracy %{x:.1%} (95 %: %{customdata[2]:.1%}–%{customdata[3]:.1%})"
        "<br>%{customdata[0]} answers of %{customdata[1]:.0f} learners<extra></extra>",
    )
    for group, name in zip(groups, names, strict=True):
        fig.add_annotation(
            text=f"{group.accuracy.mean:.0%}  <span style='opacity:.7'>n {group.count}</span>", xref="x domain",
            x=1, xanchor="left", xshift=6, yref="y", y=name, showarrow=False, font={"size": 11},
        )  # fmt: skip
    fig.update_layout(hovermode="closest", margin={**style.MARGIN, "r": 76})
    fig.update_xaxes(range=[0, 1], tickformat=".0%", dtick=0.25, showgrid=True)
    fig.update_yaxes(autorange="reversed", showgrid=False, nticks=len(names))
    if found.hidden:
        style.corner(fig, hidden_note(found.hidden, minimum))
    return fig


def most_accessed(found: Groups, settings: Settings, height: int = style.HEIGHT) -> go.Figure:
    """Interactions by subject, the most first."""
    minimum = settings.privacy.minimum_group
    if not found.shown:
        return not_shown(found, minimum, height)
    groups = found.shown[:_MOST]
    fig = style.figure(height)
    fig.add_bar(
        x=[group.count for group in groups],
        y=[style.readable(group.subject) for group in groups],
        orientation="h",
        marker={"color": theme.BLUE, "cornerradius": 3},
        text=[number(group.count) for group in groups],
        textposition="outside",
        cliponaxis=False,
        customdata=[group.learners for group in groups],
        hovertemplate="<b>%{y}</b><br>%{x} interactions of %{customdata:.0f} learners<extra></extra>",
    )
    fig.update_layout(hovermode="closest", bargap=0.35, margin={**style.MARGIN, "r": 40})
    fig.update_xaxes(rangemode="tozero", showgrid=True, nticks=5)
    fig.update_yaxes(autorange="reversed", showgrid=False, nticks=len(groups))
    rest = len(found.shown) - len(groups)
    remarks = [f"the {_MOST} most of {len(found.shown)}"] if rest else []
    remarks += [hidden_note(found.hidden, minimum)] if found.hidden else []
    if remarks:
        style.corner(fig, "; ".join(remarks))
    return fig


def spread(found: Histogram, name: str, settings: Settings, height: int = style.HEIGHT) -> go.Figure:
    """How a metric is spread, with its median and its 95th percentile."""
    what = metric(name)
    if not found.count:
        minimum = settings.privacy.minimum_group
        return style.too_few(minimum, height) if found.hidden else style.nothing("interactions", height)
    fig = style.figure(height)
    width = np.diff(found.edges)
    fig.add_bar(
        x=found.edges[:-1], y=found.share, width=width, offset=0,
        marker={"color": theme.metric_color(name, settings), "line": {"width": 0}},
        customdata=np.stack([found.edges[:-1], found.edges[1:]], axis=1),
        hovertemplate=f"%{{customdata[0]:.4~r}}–%{{customdata[1]:.4~r}} {what.unit}"
        "<br>%{y:.1%} of answers<extra></extra>",
    )  # fmt: skip
    top = float(found.share.max()) * 1.18
    for word, value, anchor in (("median", found.p50, "right"), ("p95", found.p95, "left")):
        fig.add_shape(
            type="line", xref="x", x0=value, x1=value, yref="y domain", y0=0, y1=1,
            line={"color": theme.GREY, "width": 1, "dash": "dot"},
        )  # fmt: skip
        fig.add_annotation(
            text=f"{word} {with_unit(value, what.unit)}", xref="x", x=value, xanchor=anchor, yref="y domain",
            y=1, yanchor="top", xshift=-4 if anchor == "right" else 4, showarrow=False, font={"size": 11},
        )  # fmt: skip
    fig.update_layout(hovermode="closest")
    fig.update_xaxes(nticks=7)
    fig.update_yaxes(range=[0, top], tickformat=".0%", nticks=5)
    return fig


def _ordered(groups: Sequence[Group], by: Literal["subject", "difficulty"]) -> list[Group]:
    if by == "difficulty":
        order = in_order({group.difficulty for group in groups})
        return sorted(groups, key=lambda group: order.index(group.difficulty))
    return sorted(groups, key=lambda group: (group.accuracy.mean, group.subject))[:_MOST]


def _interval(estimates: Sequence[Estimate], color: str) -> dict[str, object]:
    upper = [max(min(one.high, 1.0) - one.mean, 0.0) if one.n > 1 else 0.0 for one in estimates]
    lower = [max(one.mean - max(one.low, 0.0), 0.0) if one.n > 1 else 0.0 for one in estimates]
    return {
        "type": "data", "symmetric": False, "array": upper, "arrayminus": lower, "thickness": 2, "width": 0,
        "color": theme.faded(color, 0.55),
    }  # fmt: skip


def _ends(one: Estimate) -> tuple[float, float]:
    return max(one.low, 0.0), min(one.high, 1.0)
