"""Training runs: curves over their own steps, what they say, and how far they are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np
import plotly.graph_objects as go

from smartlearn.core.settings import Settings
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.figures.metrics import Metric, metric
from smartlearn.dashboard.format import number, span
from smartlearn.dashboard.queries import Best, Curve, Run

LOSSES: Final = ("training_loss", "validation_loss")
_LOG_FROM = 50.0
_DIRECT = 5
_BAR = 12
_MOST = 5
_AROUND = 44


def loss(
    curves: Mapping[str, Mapping[str, Curve]], bests: Sequence[Best], settings: Settings, height: int = style.HEIGHT
) -> go.Figure:
    """Training loss (thin) and validation loss (strong, with its own steps), the best step of each run marked.

    Args:
        curves: run → metric → curve.
        bests: the best validation step of the runs that have one.
        settings: colours.
        height: px.
    """
    drawn = [metrics[name] for metrics in curves.values() for name in LOSSES if len(metrics.get(name, ()))]
    if not drawn:
        return style.nothing("training run", height)
    fig = style.figure(height)
    colors = run_colors(curves)
    single = len(curves) == 1
    names = style.labels(list(curves))
    labels: list[style.Label] = []
    for run, metrics in curves.items():
        for name, width, opacity in (("training_loss", 1.3, 0.55), ("validation_loss", 2.0, 1.0)):
            curve = metrics.get(name)
            if curve is None or not len(curve):
                continue
            color = theme.metric_color(name, settings) if single else colors[run]
            word = metric(name).title
            _draw(fig, curve, word if single else f"{run} · {word.lower()}", color, width, 1.0 if single else opacity)
            if single or name == "validation_loss" or not len(metrics.get("validation_loss", ())):
                text = word.removesuffix(" loss") if single else names[run]
                labels.append(style.Label(text, float(curve.value[-1]), color))
    low, high = _loss_axis(fig, drawn)
    for best in bests:
        color = theme.metric_color("validation_loss", settings) if single else colors[best.run]
        mark_best(fig, best, color, with_text=single)
    if fig.layout.yaxis.type == "log":
        labels = [replace(label, value=float(np.log10(label.value))) for label in labels]
    if len(labels) <= _DIRECT:
        style.gutter(fig, labels, low, high)
    else:
        style.legend(fig)
    _step_axis(fig)
    return fig


def over_steps(curves: Mapping[str, Curve], settings: Settings, height: int = style.HEIGHT, *, name: str) -> go.Figure:
    """One metric of several runs over their own steps."""
    what = metric(name)
    drawn = {run: curve for run, curve in curves.items() if len(curve)}
    if not drawn:
        word = f"{what.title.lower()} in these runs" if curves else "training run in this time range"
        return style.empty(f"No {word}.", height)
    fig = style.figure(height)
    colors = run_colors(curves)
    if len(curves) == 1:
        colors = dict.fromkeys(curves, theme.metric_color(name, settings))
    for run, curve in drawn.items():
        smooth = smoothed(curve) if name == "overfitting_gap" else curve
        if smooth is not curve:
            _draw(fig, curve, f"{run}, each step", colors[run], 1.0, 0.25)
        _draw(fig, smooth, run, colors[run], 1.8, 1.0)
    low, high = _axis(fig, what, list(drawn.values()))
    if len(drawn) > _DIRECT:
        style.legend(fig)
    elif len(curves) > 1:
        names = style.labels(list(drawn))
        labels = [style.Label(names[run], float(curve.value[-1]), colors[run]) for run, curve in drawn.items()]
        style.gutter(fig, labels, low, high)
    if name == "overfitting_gap":
        fig.update_yaxes(zeroline=True, zerolinecolor=theme.GREY, zerolinewidth=1)
    _step_axis(fig)
    return fig


def progress(runs: Sequence[Run], settings: Settings, height: int = style.HEIGHT) -> go.Figure:
    """How far each run is: its name, a bar of its planned steps, its rate and the time that is left."""
    if not runs:
        return style.nothing("training run", height)
    shown = list(runs[:_MOST])
    fig = style.figure(height, margin={**style.MARGIN, "r": 24})
    rows = list(range(len(shown)))
    color = theme.metric_color("training_loss", settings)
    row = (height - _AROUND) / len(shown)
    bar = min(_BAR, 0.25 * row)
    track = {"orientation": "h", "y": rows, "offsetgroup": "progress"}
    planned = [1.0 if run.total_steps else 0.0 for run in shown]
    share = [run.progress if run.total_steps else 0.0 for run in shown]
    fig.add_bar(x=planned, marker={"color": theme.faded(color, 0.15)}, hoverinfo="skip", **track)
    fig.add_bar(
        x=share,
        marker={"color": color, "cornerradius": 3},
        customdata=[run.run for run in shown],
        text=[progress_words(run) for run in shown],
        textposition="none",
        hovertemplate="<b>%{customdata}</b><br>%{text}<extra></extra>",
        **track,
    )
    for place, run in zip(rows, shown, strict=True):
        above = {"text": style.shorten(run.run, 40), "yshift": bar / 2 + 9, "font": {"size": 12}}
        below = {"text": progress_words(run), "yshift": -bar / 2 - 9, "font": {"size": 11, "color": theme.GREY}}
        for line in (above, below):
            fig.add_annotation(xref="x domain", x=0, xanchor="left", yref="y", y=place, showarrow=False, **line)
    fig.update_layout(barmode="overlay", hovermode="closest", bargap=1 - bar / row)
    fig.update_xaxes(range=[0, 1], tickformat=".0%", dtick=0.25)
    fig.update_yaxes(range=[len(shown) - 0.5, -0.5], visible=False)
    if len(runs) > len(shown):
        style.corner(fig, f"the {len(shown)} newest of {len(runs)} runs")
    return fig


def progress_words(run: Run) -> str:
    """Where a run stands, in a line."""
    words = [f"step {run.step:,} of {run.total_steps:,}" if run.total_steps else f"step {run.step:,}, no plan known"]
    if np.isfinite(run.rate):
        words.append(f"{rate(run.rate)}")
    if run.state == "running" and np.isfinite(run.left_s):
        words.append(f"{span(run.left_s)} left")
    elif run.state != "running":
        words.append(run.state)
    return " · ".join(words)


def rate(per_second: float) -> str:
    """Steps per second; slow ones per minute or hour, so that the number is not tiny."""
    if not np.isfinite(per_second):
        return "–"
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{number(per_second * seconds)} steps/{unit}"
    return f"{number(per_second * 3600)} steps/h"


def mark_best(fig: go.Figure, best: Best, color: str, *, with_text: bool) -> None:
    """A star on a run's best step."""
    fig.add_scatter(
        x=[best.step],
        y=[best.value],
        mode="markers",
        name="best",
        marker={"symbol": "star", "size": 12, "color": color, "line": {"color": "white", "width": 1}},
        cliponaxis=False,
        hovertemplate=f"best {number(best.value)} at step {best.step:,}<extra>{best.run}</extra>",
        showlegend=False,
    )
    if with_text:
        logarithmic = fig.layout.yaxis.type == "log"
        fig.add_annotation(
            text=f"best {number(best.value)} at step {best.step:,}", xref="x", x=best.step, yref="y",
            y=float(np.log10(best.value)) if logarithmic else best.value, showarrow=True, arrowhead=0, arrowwidth=1,
            arrowcolor=color, ax=24, ay=-52, font={"size": 11, "color": color}, standoff=6,
        )  # fmt: skip


def smoothed(curve: Curve) -> Curve:
    """A noisy curve as its moving mean over a twentieth of its points; a short one as it is."""
    width = len(curve) // 20
    if width < 2:
        return curve
    ones = np.ones(2 * width + 1)
    value = np.convolve(curve.value, ones, "same") / np.convolve(np.ones(len(curve)), ones, "same")
    return replace(curve, value=value, low=value, high=value)


def run_colors(runs: Iterable[str]) -> dict[str, str]:
    """A colour a run, the same on every panel."""
    return {run: color for run, (color, _) in theme.series_style(runs).items()}


def _draw(fig: go.Figure, curve: Curve, name: str, color: str, width: float, opacity: float) -> None:
    if curve.bucket > 1:
        style.band(fig, curve.step, curve.low, curve.high, theme.faded(color, 0.12))
    what = metric(curve.metric)
    shown = "%{y:.1%}" if what.ratio else "%{y:.4~r}"
    fig.add_scatter(
        x=curve.step, y=curve.value, name=name, mode="lines+markers" if len(curve) <= 40 else "lines",
        line={"color": color, "width": width}, marker={"size": 4}, opacity=opacity,
        hovertemplate=f"{shown}<extra>%{{fullData.name}}</extra>",
    )  # fmt: skip
    if len(curve.nonfinite):
        fig.add_scatter(
            x=curve.nonfinite, y=np.full(len(curve.nonfinite), float(np.max(curve.high)) if len(curve) else 1.0),
            mode="markers", name=f"{name} not finite", marker={"symbol": "x", "size": 8, "color": color},
            hovertemplate="NaN or infinite at step %{x}<extra>%{fullData.name}</extra>", showlegend=False,
        )  # fmt: skip


def _loss_axis(fig: go.Figure, curves: Sequence[Curve]) -> tuple[float, float]:
    low, high = style.bounds([column for curve in curves for column in (curve.low, curve.high)])
    if low > 0 and high / low >= _LOG_FROM:
        fig.update_yaxes(type="log", dtick="D1", minorloglabels="none")
        ends = float(np.log10(low)) - 0.05, float(np.log10(high)) + 0.1
    else:
        room = 0.08 * (high - low or 1.0)
        ends = low - room, high + room
    fig.update_yaxes(range=list(ends))
    return ends


def _axis(fig: go.Figure, what: Metric, curves: Sequence[Curve]) -> tuple[float, float]:
    if what.percent:
        style.percent_axis(fig, ratio=what.ratio)
        return 0.0, 1.0
    low, high = style.bounds([column for curve in curves for column in (curve.low, curve.high)])
    room = 0.08 * (high - low or abs(high) or 1.0)
    fig.update_yaxes(range=[low - room, high + room], exponentformat="power" if high < 1e-2 else "SI")
    return low - room, high + room


def _step_axis(fig: go.Figure) -> None:
    fig.update_xaxes(title={"text": "step", "standoff": 4, "font": {"size": 11}}, tickformat="~s", hoverformat=",d")
    fig.update_xaxes(unifiedhovertitle={"text": "step %{x}"})
