"""Training curves over steps, epochs or time: what was reported, what is smoothed, what it says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias

import numpy as np
import plotly.graph_objects as go

from smartlearn.core.batch import FloatArray
from smartlearn.core.settings import Settings
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.figures.axes import STEPS, Axis
from smartlearn.dashboard.figures.metrics import Metric, metric
from smartlearn.dashboard.figures.progress import progress, progress_words, rate
from smartlearn.dashboard.format import number
from smartlearn.dashboard.queries import Best, Curve
from smartlearn.dashboard.theme import Status

__all__ = ["LOSSES", "Mark", "Scale", "loss", "mark_best", "over_steps", "progress", "progress_words", "rate",
           "run_colors", "smoothed"]  # fmt: skip

LOSSES: Final = ("training_loss", "validation_loss")

Scale: TypeAlias = Literal["auto", "linear", "log"]

_LOG_FROM = 50.0
_DIRECT = 5
_BANDS = 2
_SYMBOLS: Final[dict[Status, str]] = {
    "ok": "diamond",
    "warning": "triangle-up",
    "critical": "x",
    "unknown": "line-ns-open",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of a run on its loss curve.

    Attributes:
        run: whose.
        metric: on which of its curves.
        step: where.
        status: what kind; "unknown" is a neutral one, such as a checkpoint, on the axis.
        text: what it says on hover.
        label: what it says beside it where only this run is drawn; "" says nothing.
    """

    run: str
    metric: str
    step: float
    status: Status
    text: str
    label: str = ""


def loss(
    curves: Mapping[str, Mapping[str, Curve]],
    bests: Sequence[Best],
    settings: Settings,
    height: int = style.HEIGHT,
    *,
    axis: Axis = STEPS,
    scale: Scale = "auto",
    marks: Sequence[Mark] = (),
) -> go.Figure:
    """Training loss (thin) and validation loss (strong, with its own steps), the best step of each run marked.

    Args:
        curves: run → metric → curve.
        bests: the best validation step of the runs that have one.
        settings: colours.
        height: px.
        axis: along what.
        scale: "auto" is logarithmic where the loss spans a factor of fifty.
        marks: what else is marked.
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
            title = word if single else f"{run} · {word.lower()}"
            line = _Line(title, color, width, 1.0 if single else opacity, len(curves) <= _BANDS)
            _draw(fig, curve, line, axis)
            if single or name == "validation_loss" or not len(metrics.get("validation_loss", ())):
                text = word.removesuffix(" loss") if single else names[run]
                labels.append(style.Label(text, float(curve.shown[-1]), color))
    low, high = _loss_axis(fig, drawn, scale)
    for best in bests:
        color = theme.metric_color("validation_loss", settings) if single else colors[best.run]
        mark_best(fig, best, color, with_text=single, x=axis.at(curves[best.run]["validation_loss"], best.step))
    for mark in marks:
        _mark(fig, mark, curves, axis, with_text=single)
    if fig.layout.yaxis.type == "log":
        labels = [replace(label, value=float(np.log10(label.value))) for label in labels]
    if len(labels) <= _DIRECT:
        style.gutter(fig, labels, low, high)
    else:
        style.legend(fig)
    axis.dress(fig)
    return fig


def over_steps(
    curves: Mapping[str, Curve],
    settings: Settings,
    height: int = style.HEIGHT,
    *,
    name: str,
    axis: Axis = STEPS,
    colors: Mapping[str, str] | None = None,
    zero: bool = False,
) -> go.Figure:
    """One metric of several runs.

    Args:
        curves: run → curve.
        settings: colours.
        height: px.
        name: the metric.
        axis: along what.
        colors: run → colour, where other runs are on the page too.
        zero: draw the line at zero, and everything around it.
    """
    what = metric(name)
    drawn = {run: curve for run, curve in curves.items() if len(curve)}
    if not drawn:
        word = f"{what.title.lower()} in these runs" if curves else "training run in this time range"
        return style.empty(f"No {word}.", height)
    fig = style.figure(height)
    if colors is None:
        single = dict.fromkeys(curves, theme.metric_color(name, settings))
        colors = single if len(curves) == 1 else run_colors(curves)
    for run, curve in drawn.items():
        smooth = smoothed(curve) if name == "overfitting_gap" and not len(curve.smooth) else curve
        if smooth is not curve:
            _draw(fig, curve, _Line(f"{run}, each step", colors[run], 1.0, 0.25), axis)
        _draw(fig, smooth, _Line(run, colors[run], 1.8, 1.0, len(drawn) <= _BANDS), axis)
    low, high = _axis(fig, replace(what, ratio=False, unit="") if zero else what, list(drawn.values()))
    if len(drawn) > _DIRECT:
        style.legend(fig)
    elif len(curves) > 1:
        names = style.labels(list(drawn))
        labels = [style.Label(names[run], float(curve.shown[-1]), colors[run]) for run, curve in drawn.items()]
        style.gutter(fig, labels, low, high)
    if zero or name == "overfitting_gap":
        fig.update_yaxes(zeroline=True, zerolinecolor=theme.GREY, zerolinewidth=1)
    axis.dress(fig)
    return fig


def mark_best(fig: go.Figure, best: Best, color: str, *, with_text: bool, x: object = None) -> None:
    """A star on a run's best step, at `x` where that is not the step."""
    x = best.step if x is None else x
    fig.add_scatter(
        x=[x],
        y=[best.value],
        mode="markers",
        name="best",
        marker={"symbol": "star", "size": 12, "color": color, "line": {"color": "white", "width": 1}},
        cliponaxis=False,
        hovertemplate=f"best {number(best.value)} at step {best.step:,}<extra>{best.run}</extra>",
        showlegend=False,
    )
    if with_text:
        words = f"best {number(best.value)} at step {best.step:,}"
        _beside(fig, x, best.value, words, color, up=-52)


def _mark(
    fig: go.Figure, mark: Mark, curves: Mapping[str, Mapping[str, Curve]], axis: Axis, *, with_text: bool
) -> None:
    curve = curves.get(mark.run, {}).get(mark.metric)
    if curve is None or not len(curve):
        return
    neutral = mark.status == "unknown"
    color = theme.STATUS_COLORS[mark.status]
    y = float(np.interp(mark.step, curve.middle, curve.shown))
    x = axis.at(curve, mark.step)
    shape = {"symbol": _SYMBOLS[mark.status], "size": 10, "color": color, "line": {"color": color, "width": 1.5}}
    if neutral:
        fig.add_scatter(
            x=[x], y=[0.0], yaxis="y2", mode="markers", marker=shape, cliponaxis=False, showlegend=False,
            hovertemplate=f"{mark.text}<extra>{mark.run}</extra>", name="checkpoint",
        )  # fmt: skip
        fig.update_layout(yaxis2={"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True})
        return
    fig.add_scatter(
        x=[x], y=[y], mode="markers", marker=shape, cliponaxis=False, showlegend=False, name=mark.label or mark.text,
        hovertemplate=f"{mark.text}<extra>{mark.run}</extra>",
    )  # fmt: skip
    if with_text and mark.label:
        up = 36 if mark.status == "ok" else -30
        _beside(fig, x, y, f"{theme.STATUS_ICONS[mark.status]} {mark.label}", color, up=up)


def _beside(fig: go.Figure, x: object, y: float, text: str, color: str, *, up: int) -> None:
    """Words beside a point, with a thin line to it."""
    fig.add_annotation(
        text=text, xref="x", x=x, yref="y", y=float(np.log10(y)) if fig.layout.yaxis.type == "log" else y,
        showarrow=True, arrowhead=0, arrowwidth=1, arrowcolor=color, ax=24, ay=up,
        font={"size": 11, "color": color}, standoff=6,
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
    """A colour a run, in the order given: one more run changes none of the others."""
    return {run: theme.SERIES[place % len(theme.SERIES)] for place, run in enumerate(dict.fromkeys(runs))}


@dataclass(frozen=True, slots=True)
class _Line:
    name: str
    color: str
    width: float
    opacity: float
    band: bool = True


def _draw(fig: go.Figure, curve: Curve, line: _Line, axis: Axis) -> None:
    """A curve; where it is smoothed, what it was stands behind it, faint."""
    x = axis.of(curve)
    if curve.bucket > 1 and line.band:
        style.band(fig, x, curve.low, curve.high, theme.faded(line.color, 0.12))
    if len(curve.smooth):
        fig.add_scatter(
            x=x, y=curve.value, name=f"{line.name}, as reported", mode="lines", hoverinfo="skip",
            line={"color": line.color, "width": 1.0}, opacity=0.22, showlegend=False,
        )  # fmt: skip
    what = metric(curve.metric)
    shown = "%{y:.1%}" if what.ratio else "%{y:.4~r}"
    fig.add_scatter(
        x=x, y=curve.shown, name=line.name, mode="lines+markers" if len(curve) <= 40 else "lines",
        line={"color": line.color, "width": line.width}, marker={"size": 4}, opacity=line.opacity,
        hovertemplate=f"{shown}<extra>%{{fullData.name}}</extra>",
    )  # fmt: skip
    if len(curve.nonfinite):
        fig.add_scatter(
            x=[axis.at(curve, step) for step in curve.nonfinite.tolist()],
            y=np.full(len(curve.nonfinite), float(np.max(curve.high)) if len(curve) else 1.0),
            mode="markers", name=f"{line.name} not finite", marker={"symbol": "x", "size": 8, "color": line.color},
            hovertemplate="NaN or infinite at step %{x}<extra>%{fullData.name}</extra>", showlegend=False,
        )  # fmt: skip


def _loss_axis(fig: go.Figure, curves: Sequence[Curve], scale: Scale) -> tuple[float, float]:
    low, high = style.bounds([column for curve in curves for column in _extent(curve)])
    logarithmic = low > 0 and (scale == "log" or (scale == "auto" and high / low >= _LOG_FROM))
    if logarithmic:
        wide = high / low >= 10
        fig.update_yaxes(type="log", dtick="D1" if wide else None, minorloglabels="none" if wide else None)
        ends = float(np.log10(low)) - 0.05, float(np.log10(high)) + 0.1
    else:
        room = 0.08 * (high - low or 1.0)
        ends = low - room, high + room
    fig.update_yaxes(range=list(ends))
    return ends


def _extent(curve: Curve) -> tuple[FloatArray, ...]:
    """What the y axis has to hold: where it is smoothed, all but the outermost thousandth of what was reported."""
    if not len(curve.smooth) or len(curve) < 100:
        return curve.low, curve.high
    return curve.smooth, np.quantile(curve.value, [0.002, 0.998])


def _axis(fig: go.Figure, what: Metric, curves: Sequence[Curve]) -> tuple[float, float]:
    if what.percent:
        style.percent_axis(fig, ratio=what.ratio)
        return 0.0, 1.0
    low, high = style.bounds([column for curve in curves for column in _extent(curve)])
    low = min(low, 0.0) if what.low == 0.0 else low
    room = 0.08 * (high - low or abs(high) or 1.0)
    fig.update_yaxes(range=[low - room, high + room], exponentformat="power" if high < 1e-2 else "SI")
    return low - room, high + room
