"""How models answer, drawn: latencies as a heatmap over time, rates by version, speed against accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np
import plotly.graph_objects as go

from smartlearn.core.settings import Settings
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.figures.metrics import metric, rule_of
from smartlearn.dashboard.figures.trends import Styles
from smartlearn.dashboard.format import number, with_unit
from smartlearn.dashboard.queries import Quantiles, Trend, Window, with_gaps
from smartlearn.dashboard.queries.latency import Density, VersionPoint

_MOST: Final = 8
_DIRECT: Final = 5


def density(
    found: Density,
    quantiles: Quantiles,
    settings: Settings,
    window: Window | None = None,
    *,
    by: Literal["share", "count"] = "share",
    height: int = style.HEIGHT,
) -> go.Figure:
    """A histogram a column, its colours by share of the column or by number, with the median and p95 over it."""
    what = metric(found.metric)
    if not len(found):
        return style.nothing(what.title, height)
    totals = found.counts.sum(axis=0)
    values = found.counts / totals if by == "share" else found.counts
    # Columns keep their place: what is missing between them shows as missing.
    first = int(found.time[0])
    column = (found.time - first) // found.width
    grid = np.full((len(found.counts), int(column[-1]) + 1), np.nan)
    grid[:, column] = np.where(values > 0, values, np.nan)
    counts = np.zeros_like(grid)
    counts[:, column] = found.counts
    edges = np.log10(found.edges)
    time = first + np.arange(grid.shape[1], dtype=np.int64) * found.width
    fig = style.figure(height)
    style.time_axis(fig, *((window.start, window.stop) if window else (None, None)))
    ranges = np.array([f"{_ms(low)}–{_ms(high)}" for low, high in zip(found.edges, found.edges[1:], strict=False)])
    bar: dict[str, object] = {"thickness": 8, "outlinewidth": 0, "tickfont": {"size": 10}, "nticks": 4, "xpad": 4}
    if by == "share":
        bar |= {"tickformat": ".0%"}
    fig.add_heatmap(
        x=style.moments(time + found.width // 2), y=(edges[:-1] + edges[1:]) / 2, z=grid, zmin=0, xgap=0, ygap=0,
        colorscale=theme.HEAT, colorbar=bar, hoverongaps=False,
        text=np.repeat(ranges[:, None], grid.shape[1], axis=1), customdata=counts,
        hovertemplate="%{x|%a %d %b %H:%M}<br>%{text}: %{customdata:.0f} answers<extra></extra>"
        if by == "count"
        else "%{x|%a %d %b %H:%M}<br>%{text}: %{z:.0%}, %{customdata:.0f} answers<extra></extra>",
    )  # fmt: skip
    for name, line, width in (("p50", quantiles.p50, 2.0), ("p95", quantiles.p95, 1.4)):
        at, (drawn,) = with_gaps(quantiles.time, quantiles.width, [line])
        fig.add_scatter(
            x=style.moments(at + quantiles.width // 2), y=np.log10(drawn), name=name, mode="lines", connectgaps=False,
            line={"color": theme.VERMILLION, "width": width, "dash": "solid" if name == "p50" else "dot"},
            customdata=drawn, hovertemplate=f"{name} %{{customdata:.3~s}} {what.unit}<extra></extra>",
        )  # fmt: skip
    decades = found.edges[[_round(edge) for edge in found.edges]]
    fig.update_yaxes(
        range=[edges[0], edges[-1]],
        showgrid=False,
        tickvals=np.log10(decades),
        ticktext=[_ms(edge) for edge in decades],
    )
    fig.update_layout(hovermode="closest")
    style.corner(fig, "<span style='color:#D55E00'>━</span> p50  <span style='color:#D55E00'>┅</span> p95")
    return fig


def rates(
    drawn: Sequence[Trend],
    settings: Settings,
    window: Window | None,
    *,
    styles: Styles,
    share: bool = False,
    nothing: str,
    height: int = style.HEIGHT,
) -> go.Figure:
    """A line a model version of something that begins at zero: answers a minute, or the share that failed."""
    if not drawn:
        return style.empty(nothing, height)
    shown = list(drawn[:_MOST])
    fig = style.figure(height)
    style.time_axis(fig, *((window.start, window.stop) if window else (None, None)))
    for line in shown:
        color, dash = styles[line.name]
        time, (mean,) = with_gaps(line.time, line.width, [line.mean])
        fig.add_scatter(
            x=style.moments(time), y=mean, name=line.name, mode="lines" if len(line) > 2 else "lines+markers",
            line={"color": color, "width": 1.8, "dash": dash}, connectgaps=False,
            hovertemplate="%{y:.2%}<extra>%{fullData.name}</extra>"
            if share
            else "%{y:.3~r} a minute<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    high = max(style.bounds([line.mean for line in shown])[1] * 1.1, 0.01)
    fig.update_yaxes(range=[0, high], tickformat=".1~%" if share else None)
    if len(shown) <= _DIRECT:
        words = style.labels([line.name for line in shown], 16)
        places = [style.Label(words[line.name], float(line.mean[-1]), styles[line.name][0]) for line in shown]
        style.gutter(fig, places, 0.0, high)
    else:
        style.legend(fig)
    if len(drawn) > len(shown):
        style.corner(fig, f"{len(shown)} of {len(drawn)} versions")
    return fig


def speed_against_accuracy(
    found: Sequence[VersionPoint], settings: Settings, *, styles: Styles, height: int = style.HEIGHT
) -> go.Figure:
    """A point a model version with the 95 % intervals of both means: better is up and to the left."""
    if not found:
        return style.nothing("model version with a speed and an accuracy", height)
    shown = list(found[:_MOST])
    fig = style.figure(height)
    for one in shown:
        color, _ = styles[one.version]
        fig.add_scatter(
            x=[one.latency.mean], y=[one.accuracy.mean], name=one.version, mode="markers+text", text=[one.version],
            textposition="top center", textfont={"size": 11, "color": color},
            marker={"size": 11, "color": color, "line": {"width": 0}},
            error_x=_bars(one.latency.mean, one.latency.low, one.latency.high, color),
            error_y=_bars(one.accuracy.mean, one.accuracy.low, one.accuracy.high, color),
            customdata=[[one.latency.low, one.latency.high, one.accuracy.low, one.accuracy.high, one.latency.n]],
            hovertemplate="<b>%{fullData.name}</b><br>%{x:.3~s} ms (%{customdata[0]:.3~s}–%{customdata[1]:.3~s})"
            "<br>accuracy %{y:.1%} (%{customdata[2]:.1%}–%{customdata[3]:.1%})"
            "<br>%{customdata[4]} answers<extra></extra>",
        )  # fmt: skip
    fig.update_layout(hovermode="closest")
    latencies = [value for one in shown for value in (one.latency.low, one.latency.high, one.latency.mean)]
    low, high = style.bounds([np.array(latencies)])
    room = 0.22 * (high - low or high)
    fig.update_xaxes(range=[max(low - room, 0), high + room], title={"text": "mean response time (ms)"}, nticks=5)
    accuracies = [value for one in shown for value in (one.accuracy.low, one.accuracy.high, one.accuracy.mean)]
    bottom, top = style.bounds([np.array(accuracies)])
    room = max(0.3 * (top - bottom), 0.01)
    fig.update_yaxes(range=[max(bottom - room, 0), min(top + room, 1.02)], tickformat=".0%", nticks=5)
    rule = rule_of("response_time", settings)
    if rule is not None and low - room <= rule.warning <= high + room:
        style.upright(fig, rule.warning, "warning", rule.unit)
    style.corner(fig, "↖ better")
    return fig


def _bars(mean: float, low: float, high: float, color: str) -> dict[str, object]:
    up, down = (value if np.isfinite(value) else 0.0 for value in (high - mean, mean - low))
    return {
        "type": "data", "symmetric": False, "array": [max(up, 0.0)], "arrayminus": [max(down, 0.0)], "thickness": 2,
        "width": 0, "color": theme.faded(color, 0.55),
    }  # fmt: skip


def _round(edge: float) -> bool:
    """Whether an edge is 1, 2 or 5 times a power of ten."""
    return f"{edge:e}"[0] in "125" and f"{edge:e}"[2] == "0"


def _ms(value: float) -> str:
    return with_unit(value, "ms") if value >= 1 else f"{number(value)} ms"
