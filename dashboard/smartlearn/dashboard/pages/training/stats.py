"""The first row of Training Analytics: the newest run that is drawn, and the best of them."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from smartlearn.core.batch import FloatArray
from smartlearn.dashboard import queries, theme
from smartlearn.dashboard.figures import training
from smartlearn.dashboard.format import NOTHING, number, span, split_unit, with_unit
from smartlearn.dashboard.pages.training.sight import shown_runs
from smartlearn.dashboard.panels import Context, Stat
from smartlearn.dashboard.queries.window import SECOND
from smartlearn.dashboard.theme import Status
from smartlearn.dashboard.view import View

LABELS: Final = ("Runs shown", "Training loss", "Best validation loss", "Accuracy", "Speed", "GPU time since best")


def stats(context: Context, view: View) -> list[Stat]:
    """Loss, best validation, accuracy, speed and what was spent since the best checkpoint, of the newest run drawn."""
    runs = shown_runs(context, view)
    if not runs:
        return [Stat(label, NOTHING) for label in LABELS]
    newest = max(runs, key=lambda run: run.updated)
    found = queries.curves(context.history, newest.run, ("training_loss", "validation_loss", "accuracy"))
    clock = queries.clock(context.history, newest.run, newest.started, newest.updated)
    best = queries.best(context.history, found["validation_loss"], clock=clock)
    return [
        _runs(runs),
        _loss(context, newest, found["training_loss"]),
        _best(context, found, best),
        _accuracy(context, found["accuracy"]),
        _speed(newest),
        _spent(context, newest, found["validation_loss"], best, clock),
    ]


def best_checkpoint(
    checkpoints: list[queries.Checkpoint], validation: queries.Curve
) -> tuple[queries.Checkpoint, float] | None:
    """The checkpoint with the lowest validation loss, and that loss: of the row that it lies in, or the newest before.

    None where there is no checkpoint with a step, or no validation before any.
    """
    found = []
    for one in checkpoints:
        if one.step is None:
            continue
        row = int(np.searchsorted(validation.step, one.step, side="right")) - 1
        if row >= 0:
            found.append((one, float(validation.value[row])))
    return min(found, key=lambda pair: pair[1], default=None)


def _runs(runs: list[queries.Run]) -> Stat:
    running = sum(run.state == "running" for run in runs)
    failed = sum(run.state == "failed" for run in runs)
    status: Status | None = "critical" if failed else None
    hours = sum(run.gpu_hours for run in runs)
    note = f"{running} running" + (f", {failed} failed" if failed else "")
    return Stat(
        LABELS[0], f"{len(runs)}", status=status, note=f"{note} · {number(hours)} GPU h",
        hint=", ".join(run.run for run in runs),
    )  # fmt: skip


def _loss(context: Context, run: queries.Run, curve: queries.Curve) -> Stat:
    start = float(curve.value[0]) if len(curve) else math.nan
    return Stat(
        LABELS[1],
        number(run.training_loss),
        note=f"step {run.step:,}" + (f", from {number(start)}" if math.isfinite(start) else ""),
        spark=_spark(curve),
        color=theme.metric_color("training_loss", context.settings),
        hint=f"{run.run}, newest step",
    )


def _best(context: Context, found: dict[str, queries.Curve], best: queries.Best | None) -> Stat:
    if best is None:
        return Stat(LABELS[2], NOTHING, note="no validation reported")
    gap = queries.gap(found["training_loss"], found["validation_loss"])
    now = f", gap now {number(float(gap.value[-1]))}" if len(gap) else ""
    return Stat(
        LABELS[2],
        number(best.value),
        note=f"at step {best.step:,}{now}",
        spark=_spark(found["validation_loss"]),
        color=theme.metric_color("validation_loss", context.settings),
        hint=best.run,
    )


def _accuracy(context: Context, curve: queries.Curve) -> Stat:
    if not len(curve):
        return Stat(LABELS[3], NOTHING, note="not reported")
    value, unit = split_unit(float(curve.value[-1]), "fraction")
    return Stat(
        LABELS[3],
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
    over = "its newest steps" if run.state == "running" else "the whole run"
    return Stat(LABELS[4], words[0], words[1] if len(words) > 1 else "", note=left, hint=f"{run.run}, over {over}")


def _spent(
    context: Context, run: queries.Run, validation: queries.Curve, best: queries.Best | None, clock: queries.Clock
) -> Stat:
    """GPU-hours from the best checkpoint to the newest step: what is lost if the run goes back to it.

    Of a run that told no checkpoint, from its best step.
    """
    kept = best_checkpoint(queries.checkpoints(context.history, run.run), validation)
    if kept is not None:
        since, value, note = kept[0].time, kept[1], f"checkpoint of step {kept[0].step:,}"
    elif best is not None:
        since = int(clock.at(np.array([float(best.step)]))[0])
        value, note = best.value, f"step {best.step:,}; no checkpoint told"
    else:
        return Stat(LABELS[5], NOTHING, note="no validation reported", hint=run.run)
    hours = max(run.updated - since, 0) / SECOND / 3600 * run.gpus
    shown, unit = (number(hours), "GPU h") if hours >= 1 else (number(60 * hours), "GPU min")
    return Stat(
        LABELS[5], shown, unit, note=note,
        hint=f"{run.run}: validation loss {number(value)} there; {run.gpus} GPU{'s' if run.gpus > 1 else ''}",
    )  # fmt: skip


def _spark(curve: queries.Curve) -> FloatArray | None:
    """At most 60 points of a curve."""
    if len(curve) < 2:
        return None
    return np.asarray(curve.value[np.linspace(0, len(curve) - 1, min(60, len(curve))).astype(int)], dtype=np.float64)
