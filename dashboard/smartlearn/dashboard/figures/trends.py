"""Lines over time: one with its range, or several with their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import plotly.graph_objects as go

from smartlearn.core.batch import FloatArray
from smartlearn.core.settings import Settings
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.figures.metrics import Metric, metric, rule_of
from smartlearn.dashboard.queries import Lines, Note, Quantiles, Trend, Window, with_gaps

Styles: TypeAlias = Mapping[str, tuple[str, str]]

_DIRECT = 5


def lines(
    found: Lines,
    settings: Settings,
    window: Window | None = None,
    *,
    styles: Styles | None = None,
    height: int = style.HEIGHT,
) -> go.Figure:
    """One metric of several nodes: a line each, with its thresholds.

    A single node is drawn in the metric's colour with the range of its values; up to five are named at their ends;
    more are named in the legend.

    Args:
        found: the lines.
        settings: colours and levels.
        window: the range of the time axis; None fits the data.
        styles: name → (colour, dash) where a page has more names than these lines (`theme.series_style`).
        height: px.
    """
    what = metric(found.metric)
    drawn = found.lines
    if not drawn:
        return style.nothing(what.title, height)
    if len(drawn) == 1:
        return band(drawn[0], settings, window, height=height)
    fig = style.figure(height)
    style.time_axis(fig, *_span(window))
    looks = styles or theme.series_style(line.name for line in drawn)
    few = len(drawn) <= _DIRECT
    for line in drawn:
        color, dash = looks[line.name]
        if few:
            _range(fig, line, theme.faded(color, 0.12))
        _draw(fig, line, what, color, dash)
    low, high = _value_axis(fig, what, drawn, with_range=few)
    labels = style.levels(fig, rule_of(found.metric, settings), high)
    if few:
        words = style.labels([line.name for line in drawn])
        labels += [style.Label(words[line.name], float(line.mean[-1]), looks[line.name][0]) for line in drawn]
    else:
        style.legend(fig)
    style.gutter(fig, labels, low, high)
    if found.others:
        style.corner(fig, f"the {len(drawn)} highest of {len(drawn) + found.others} nodes")
    return fig


def band(line: Trend, settings: Settings, window: Window | None = None, *, height: int = style.HEIGHT) -> go.Figure:
    """One line in its metric's colour over the range between its lowest and highest values."""
    what = metric(line.metric)
    if not len(line):
        return style.nothing(what.title, height)
    color = theme.metric_color(line.metric, settings)
    fig = style.figure(height)
    style.time_axis(fig, *_span(window))
    _range(fig, line, theme.faded(color, 0.2))
    _draw(fig, line, what, color, "solid")
    low, high = _value_axis(fig, what, [line], with_range=True)
    style.gutter(fig, style.levels(fig, rule_of(line.metric, settings), high), low, high)
    return fig


def quantiles(
    found: Quantiles, settings: Settings, window: Window | None = None, *, height: int = style.HEIGHT
) -> go.Figure:
    """p50, p95 and p99 of a metric: one hue, the rarer the lighter."""
    what = metric(found.metric)
    if not len(found):
        return style.nothing(what.title, height)
    color = theme.metric_color(found.metric, settings)
    fig = style.figure(height)
    style.time_axis(fig, *_span(window))
    shown = (("p99", found.p99, 0.45, "dot"), ("p95", found.p95, 0.7, "solid"), ("p50", found.p50, 1.0, "solid"))
    for name, column, opacity, dash in shown:
        time, (values,) = with_gaps(found.time, found.width, [column])
        fig.add_scatter(
            x=style.moments(time), y=values, name=name, mode=_mode(column), connectgaps=False, opacity=opacity,
            line={"color": color, "width": 2 if name == "p50" else 1.4, "dash": dash}, marker={"size": 5},
            hovertemplate=_hover(what),
        )  # fmt: skip
    low, high = 0.0, style.bounds([found.p99])[1] * 1.06
    fig.update_yaxes(range=[low, high])
    labels = style.levels(fig, rule_of(found.metric, settings), high)
    labels += [style.Label(name, float(column[-1]), color) for name, column, _, _ in reversed(shown)]
    style.gutter(fig, labels, low, high)
    return fig


def named(
    drawn: Sequence[Trend],
    settings: Settings,
    window: Window | None = None,
    *,
    styles: Styles | None = None,
    height: int = style.HEIGHT,
) -> go.Figure:
    """Lines of one metric that are no nodes: model versions, say. At most ten; the others are said in the corner."""
    first = drawn[0].metric if drawn else "model_accuracy"
    return lines(
        Lines(first, list(drawn[:10]), max(len(drawn) - 10, 0)), settings, window, styles=styles, height=height
    )


def add_notes(fig: go.Figure, notes: Sequence[Note]) -> None:
    """Annotations as thin vertical lines with their text on hover."""
    for note in notes:
        x = str(style.moments(np.array([note.time], dtype=np.int64))[0])
        fig.add_shape(
            type="line", xref="x", x0=x, x1=x, yref="y domain", y0=0, y1=1, layer="below",
            line={"color": theme.GREY, "width": 1},
        )  # fmt: skip
        fig.add_annotation(
            text="▾", hovertext=f"{note.text}<br>{note.scope} {note.author}".rstrip(), xref="x", x=x,
            yref="y domain", y=1, yanchor="bottom", showarrow=False, font={"size": 12, "color": theme.GREY},
        )  # fmt: skip


def _draw(fig: go.Figure, line: Trend, what: Metric, color: str, dash: str) -> None:
    time, (mean,) = with_gaps(line.time, line.width, [line.mean])
    fig.add_scatter(
        x=style.moments(time), y=mean, name=line.name, mode=_mode(line.mean), connectgaps=False,
        line={"color": color, "width": 1.8, "dash": dash}, marker={"size": 5}, hovertemplate=_hover(what),
    )  # fmt: skip


def _mode(values: FloatArray) -> str:
    """A line of one or two points is not seen without markers."""
    return "lines+markers" if len(values) <= 2 else "lines"


def _hover(what: Metric) -> str:
    if what.ratio:
        return "%{y:.1%}<extra>%{fullData.name}</extra>"
    joint = what.unit if what.unit == "%" else f" {what.unit}".rstrip()
    return f"%{{y:.3~r}}{joint}<extra>%{{fullData.name}}</extra>"


def _span(window: Window | None) -> tuple[int | None, int | None]:
    return (window.start, window.stop) if window else (None, None)


def _range(fig: go.Figure, line: Trend, color: str) -> None:
    """The range between the lowest and highest values of each row, where rows hold several."""
    if np.any(line.high > line.low):
        time, (low, high) = with_gaps(line.time, line.width, [line.low, line.high])
        style.band(fig, style.moments(time), low, high, color)


def _value_axis(fig: go.Figure, what: Metric, drawn: Sequence[Trend], *, with_range: bool) -> tuple[float, float]:
    """Set the y axis for a metric; returns its range."""
    if what.percent:
        style.percent_axis(fig, ratio=what.ratio)
        return (0.0, 1.0) if what.ratio else (0.0, 100.0)
    columns = [column for line in drawn for column in ((line.low, line.high) if with_range else (line.mean,))]
    low, high = style.bounds(columns)
    low = what.low if what.low is not None else low
    high = what.high if what.high is not None else high + 0.06 * (high - low or 1.0)
    fig.update_yaxes(range=[low, high])
    return low, high
