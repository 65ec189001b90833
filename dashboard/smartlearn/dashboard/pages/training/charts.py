"""The charts of Training Analytics."""

from __future__ import annotations

from typing import Final, cast

import numpy as np
import plotly.graph_objects as go

from smartlearn.dashboard import queries
from smartlearn.dashboard.figures import multiples, style, training
from smartlearn.dashboard.figures.training import Mark
from smartlearn.dashboard.format import number
from smartlearn.dashboard.pages.training.sight import SCALE, Sight, curves, sight
from smartlearn.dashboard.pages.training.signs import sign_marks
from smartlearn.dashboard.pages.training.stats import best_checkpoint
from smartlearn.dashboard.panels import Context
from smartlearn.dashboard.view import View

_FEW: Final = 2
_MOST_TICKS: Final = 60


def loss(context: Context, view: View) -> go.Figure:
    """Both losses of each run, smoothed before what was reported; what they show is marked."""
    seen = sight(context, view)
    found = curves(context, seen, training.LOSSES, smooth=("training_loss",))
    whole = found if seen.axis.shown is None else curves(context, seen.whole, training.LOSSES)
    bests = [best for name in seen.names if (best := _best(context, seen, whole[name]["validation_loss"])) is not None]
    marks = [
        mark
        for name in seen.names
        for mark in sign_marks(queries.findings(whole[name]["training_loss"], whole[name]["validation_loss"]))
    ]
    if len(seen.runs) <= _FEW:
        marks += [mark for name in seen.names for mark in _checkpoints(context, name, whole[name])]
    bests = [best for best in bests if _holds(found[best.run]["validation_loss"], best.step)]
    marks = [mark for mark in marks if _holds(found[mark.run][mark.metric], mark.step)]
    scale = cast("training.Scale", SCALE.of(view))
    return training.loss(found, bests, context.settings, axis=seen.axis, scale=scale, marks=marks)


def overfitting(context: Context, view: View) -> go.Figure:
    """Validation loss minus training loss."""
    seen = sight(context, view)
    found = curves(context, seen, training.LOSSES)
    gaps = {name: queries.gap(one["training_loss"], one["validation_loss"]) for name, one in found.items()}
    return _drawn(context, seen, gaps, "overfitting_gap")


def against(context: Context, view: View) -> go.Figure:
    """The loss of each run minus that of the first one: below zero is better."""
    seen = sight(context, view)
    if not seen.runs:
        return style.nothing("training run")
    if len(seen.runs) < _FEW:
        return style.empty("Tick two runs or more in the table:<br>each is compared with the first one.")
    found = curves(context, seen, training.LOSSES, smooth=("training_loss",))
    metric = "validation_loss" if all(len(one["validation_loss"]) for one in found.values()) else "training_loss"
    first, *others = seen.names
    differences = {name: queries.difference(found[name][metric], found[first][metric]) for name in others}
    if not any(len(one) for one in differences.values()):
        return style.empty("These runs have no steps in common.")
    figure = _drawn(context, seen, differences, metric, zero=True)
    words = "validation" if metric == "validation_loss" else "training"
    style.corner(figure, f"{words} loss minus that of {style.shorten(first, 30)}")
    return figure


def accuracy(context: Context, view: View) -> go.Figure:
    """Accuracy."""
    return _one(context, view, "accuracy")


def learning_rate(context: Context, view: View) -> go.Figure:
    """Learning rate."""
    return _one(context, view, "learning_rate")


def speed(context: Context, view: View) -> go.Figure:
    """Steps per second between moments of each run."""
    seen = sight(context, view)
    found = {}
    for run in seen.runs:
        clock = seen.clocks.get(run.run) or queries.clock(context.history, run.run, run.started, run.updated)
        found[run.run] = queries.speed(clock, run.run)
    return _drawn(context, seen, found, "steps_per_second")


def progress(context: Context, view: View) -> go.Figure:
    """How far the runs are, how fast, how long still."""
    return training.progress(sight(context, view).runs, context.settings)


def others(context: Context, view: View) -> go.Figure:
    """Every metric that the runs report beside those that have a chart of their own, as small multiples."""
    seen = sight(context, view)
    if not seen.runs:
        return style.nothing("training run")
    names = multiples.own_metrics(context.history.fields("training"))
    if not names:
        return style.empty("These runs report no metrics of their own.")
    found = curves(context, seen, names, smooth=names)
    by_metric = {name: {run: one[name] for run, one in found.items() if len(one[name])} for name in names}
    drawn = {name: of_runs for name, of_runs in by_metric.items() if of_runs}
    return multiples.multiples(drawn, seen.colors, seen.axis)


def _one(context: Context, view: View, name: str) -> go.Figure:
    seen = sight(context, view)
    found = curves(context, seen, (name,))
    return _drawn(context, seen, {run: one[name] for run, one in found.items()}, name)


def _drawn(
    context: Context, seen: Sight, found: dict[str, queries.Curve], name: str, *, zero: bool = False
) -> go.Figure:
    colors = seen.colors if len(seen.runs) > 1 else None
    return training.over_steps(found, context.settings, name=name, axis=seen.axis, colors=colors, zero=zero)


def _best(context: Context, seen: Sight, curve: queries.Curve) -> queries.Best | None:
    return queries.best(context.history, curve, clock=seen.clocks.get(curve.run))


def _holds(curve: queries.Curve, step: float) -> bool:
    """Whether a step lies on a curve."""
    return len(curve) > 0 and bool(curve.step[0] <= step < curve.step[-1] + curve.bucket)


def _checkpoints(context: Context, run: str, found: dict[str, queries.Curve]) -> list[Mark]:
    """The checkpoints of a run as ticks on the axis, of very many the newest; the best one on the curve."""
    validation = found["validation_loss"]
    known = queries.checkpoints(context.history, run)
    metric = "training_loss" if not len(validation) else "validation_loss"
    marks = []
    for one in known[-_MOST_TICKS:]:
        if one.step is None or not len(found[metric]):
            continue
        value = float(np.interp(one.step, found[metric].middle, found[metric].value))
        text = f"checkpoint at step {one.step:,}, {metric.replace('_', ' ')} {number(value)}"
        marks.append(Mark(run, metric, float(one.step), "unknown", text + (f"<br>{one.path}" if one.path else "")))
    best = best_checkpoint(known, validation)
    if best is not None and best[0].step is not None and len(marks) > 1:
        label = f"best checkpoint, step {best[0].step:,}"
        text = f"{label}, validation loss {number(best[1])}"
        marks.append(Mark(run, "validation_loss", float(best[0].step), "ok", text, label))
    return marks
