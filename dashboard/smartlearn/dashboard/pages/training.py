"""Training Analytics: which run learns best, whether it still learns, and when it will be done."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from smartlearn.dashboard import queries, theme
from smartlearn.dashboard.figures import training
from smartlearn.dashboard.format import NOTHING, ago, number, span, split_unit, with_unit
from smartlearn.dashboard.panels import Chart, Column, Context, Page, Stat, Table
from smartlearn.dashboard.theme import Status
from smartlearn.dashboard.view import View

_OVERLAID: Final = 5
_STATE: Final[dict[queries.RunState, Status]] = {
    "running": "ok",
    "finished": "ok",
    "stopped": "unknown",
    "failed": "critical",
}


def shown_runs(context: Context, view: View) -> list[queries.Run]:
    """The runs chosen; else the newest ones with a step in the time range."""
    if view.runs:
        found = [queries.run(context.history, name, view.now) for name in view.runs]
        return [one for one in found if one is not None]
    return queries.runs(context.history, view.now, view.window, view.nodes)[:_OVERLAID]


def stats(context: Context, view: View) -> list[Stat]:
    """The newest run: loss, best validation, gap, accuracy, speed."""
    runs = shown_runs(context, view)
    if not runs:
        labels = ("Runs", "Training loss", "Best validation loss", "Accuracy", "Speed")
        return [Stat(label, NOTHING) for label in labels]
    newest = runs[0]
    found = queries.curves(context.history, newest.run, ("training_loss", "validation_loss", "accuracy"))
    return [
        _runs(runs),
        _loss(context, newest, found["training_loss"]),
        _best(context, found),
        _accuracy(context, found["accuracy"]),
        _speed(newest),
    ]


def loss(context: Context, view: View) -> go.Figure:
    """Both losses of each run on their own steps."""
    curves = {run.run: queries.curves(context.history, run.run, training.LOSSES) for run in shown_runs(context, view)}
    bests = [
        best
        for found in curves.values()
        if (best := queries.best(context.history, found["validation_loss"])) is not None
    ]
    return training.loss(curves, bests, context.settings)


def overfitting(context: Context, view: View) -> go.Figure:
    """Validation loss minus training loss."""
    gaps = {}
    for run in shown_runs(context, view):
        found = queries.curves(context.history, run.run, training.LOSSES)
        gaps[run.run] = queries.gap(found["training_loss"], found["validation_loss"])
    return training.over_steps(gaps, context.settings, name="overfitting_gap")


def accuracy(context: Context, view: View) -> go.Figure:
    """Accuracy over steps."""
    return _one(context, view, "accuracy")


def learning_rate(context: Context, view: View) -> go.Figure:
    """Learning rate over steps."""
    return _one(context, view, "learning_rate")


def progress(context: Context, view: View) -> go.Figure:
    """How far the runs are, how fast, how long still."""
    return training.progress(shown_runs(context, view), context.settings)


def run_rows(context: Context, view: View) -> list[dict[str, Any]]:
    """A row a run, the newest first."""
    rows = []
    runs = shown_runs(context, view) if view.runs else queries.runs(context.history, view.now, view.window, view.nodes)
    for run in runs:
        curve = queries.curves(context.history, run.run, ("validation_loss",))["validation_loss"]
        best = queries.best(context.history, curve)
        rows.append(
            {
                "run": run.run,
                "node": run.node,
                "status": _STATE[run.state],
                "state": run.state,
                "progress": None if math.isnan(run.progress) else 100 * run.progress,
                "step": f"{run.step:,}",
                "training_loss": _known(run.training_loss),
                "best": best.value if best else None,
                "best_step": f"{best.step:,}" if best else None,
                "accuracy": _known(run.accuracy),
                "rate": training.rate(run.rate),
                "left": span(run.left_s),
                "age": ago((view.now - run.updated) / queries.SECOND),
            }
        )
    return rows


def _one(context: Context, view: View, name: str) -> go.Figure:
    runs = shown_runs(context, view)
    curves = {run.run: queries.curves(context.history, run.run, (name,))[name] for run in runs}
    return training.over_steps(curves, context.settings, name=name)


def _runs(runs: list[queries.Run]) -> Stat:
    running = sum(run.state == "running" for run in runs)
    failed = sum(run.state == "failed" for run in runs)
    status: Status | None = "critical" if failed else None
    return Stat(
        "Runs shown",
        f"{len(runs)}",
        status=status,
        note=f"{running} running" + (f", {failed} failed" if failed else ""),
        hint=", ".join(run.run for run in runs),
    )


def _loss(context: Context, run: queries.Run, curve: queries.Curve) -> Stat:
    value = number(run.training_loss)
    start = float(curve.value[0]) if len(curve) else math.nan
    return Stat(
        "Training loss",
        value,
        note=f"step {run.step:,}" + (f", from {number(start)}" if math.isfinite(start) else ""),
        spark=_spark(curve),
        color=theme.metric_color("training_loss", context.settings),
        hint=f"{run.run}, newest step",
    )


def _best(context: Context, found: dict[str, queries.Curve]) -> Stat:
    best = queries.best(context.history, found["validation_loss"])
    if best is None:
        return Stat("Best validation loss", NOTHING, note="no validation reported")
    gap = queries.gap(found["training_loss"], found["validation_loss"])
    now = f", gap now {number(float(gap.value[-1]))}" if len(gap) else ""
    return Stat(
        "Best validation loss",
        number(best.value),
        note=f"at step {best.step:,}{now}",
        spark=_spark(found["validation_loss"]),
        color=theme.metric_color("validation_loss", context.settings),
        hint=best.run,
    )


def _accuracy(context: Context, curve: queries.Curve) -> Stat:
    if not len(curve):
        return Stat("Accuracy", NOTHING, note="not reported")
    value, unit = split_unit(float(curve.value[-1]), "fraction")
    return Stat(
        "Accuracy",
        value,
        unit,
        note=f"best {with_unit(float(curve.high.max()), 'fraction')}",
        spark=_spark(curve),
        color=theme.metric_color("accuracy", context.settings),
        hint=f"{curve.run}, newest step",
    )


def _speed(run: queries.Run) -> Stat:
    words = training.rate(run.rate).split(" ", 1)
    left = f"{span(run.left_s)} left" if math.isfinite(run.left_s) else run.state
    return Stat(
        "Speed",
        words[0],
        words[1] if len(words) > 1 else "",
        note=left,
        hint=f"{run.run}, over its newest steps",
    )


def _spark(curve: queries.Curve) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """At most 60 points of a curve."""
    if len(curve) < 2:
        return None
    return np.asarray(curve.value[np.linspace(0, len(curve) - 1, min(60, len(curve))).astype(int)], dtype=np.float64)


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


PAGE: Final = Page(
    path="/training",
    name="Training Analytics",
    question="Which run learns best, does it still learn, and when is it done?",
    stats=stats,
    panels=(
        Chart(
            "training-loss",
            "Training and validation loss",
            loss,
            span=8,
            height=340,
            help="Validation on its own steps; the star is the best one.",
        ),
        Chart("training-progress", "Progress", progress, unit="of planned steps", span=4, height=340),
        Chart(
            "training-gap",
            "Overfitting gap",
            overfitting,
            unit="validation − training loss",
            span=4,
            help="Above zero and growing: the run learns its examples by heart.",
        ),
        Chart("training-accuracy", "Accuracy", accuracy, unit="%", span=4),
        Chart("training-rate", "Learning rate", learning_rate, span=4),
        Table(
            "training-runs",
            "Runs",
            (
                Column("run", "Run", "link", 205),
                Column("node", "Node", "text", 120),
                Column("state", "State", "text", 80),
                Column("progress", "Progress (%)", "bar", 110),
                Column("step", "Step", "text", 70),
                Column("training_loss", "Training loss", "number", 90),
                Column("best", "Best validation", "number", 95),
                Column("best_step", "at step", "text", 70),
                Column("accuracy", "Accuracy", "percent", 85),
                Column("rate", "Speed", "text", 130),
                Column("left", "Time left", "text", 105),
                Column("age", "Newest step", "text", 105),
            ),
            run_rows,
            empty="No training run in this time range. Choose a longer one, or run smartlearn demo.",
        ),
    ),
    pickers=("node", "run"),
    icon="training",
    measurement="training",
)
