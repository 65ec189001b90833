"""The run table of Training Analytics, and what its settings say."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go
import plotly.io as pio

from smartlearn.dashboard import queries
from smartlearn.dashboard.figures import parallel as drawing
from smartlearn.dashboard.figures import style, training
from smartlearn.dashboard.pages.training.sight import shown_runs
from smartlearn.dashboard.panels import Column, Context
from smartlearn.dashboard.queries.window import SECOND
from smartlearn.dashboard.theme import Status
from smartlearn.dashboard.view import View

COLUMNS: Final = (
    Column("shown", "", "shown", 44),
    Column("run", "Run", "link", 210),
    Column("state", "State", "text", 84),
    Column("spark", "Loss", "spark", 110),
    Column("best", "Best validation loss", "number", 100),
    Column("best_step", "at step", "integer", 90),
    Column("training_loss", "Training loss", "number", 90),
    Column("accuracy", "Best accuracy", "percent", 92),
    Column("step", "Steps", "integer", 90),
    Column("progress", "Progress (%)", "bar", 110),
    Column("rate", "Steps/s", "number", 80),
    Column("left", "Time left", "duration", 100),
    Column("duration", "Duration", "duration", 104),
    Column("gpu_hours", "GPU hours", "number", 84),
    Column("node", "Node", "text", 110),
    Column("age", "Newest step ago", "duration", 110),
)

_STATE: Final[dict[queries.RunState, Status]] = {
    "running": "ok",
    "finished": "ok",
    "stopped": "unknown",
    "failed": "critical",
}
_MOST_SETTINGS: Final = 20
_PREFIX: Final = "set_"


def run_rows(context: Context, view: View) -> list[dict[str, Any]]:
    """A row for every run of the time range and every one chosen: those drawn first, then the best ones."""
    drawn = [run.run for run in shown_runs(context, view)]
    colors = training.run_colors(drawn)
    runs = _all(context, view)
    found = queries.summaries(context.history, runs)
    rows = [_row(run, found.get(run.run, queries.Summary(run.run)), drawn, colors, view.now) for run in runs]
    return sorted(
        rows, key=lambda row: (row["place"] is None, row["place"] or 0, row["best"] is None, row["best"] or 0.0)
    )


def setting_columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """A column for each setting that a run told, the most frequent ones."""
    counts: dict[str, int] = {}
    numeric: dict[str, bool] = {}
    for row in rows:
        for name, value in row.items():
            if name.startswith(_PREFIX) and value is not None:
                counts[name] = counts.get(name, 0) + 1
                numeric[name] = numeric.get(name, True) and isinstance(value, int | float)
    names = sorted(counts, key=lambda name: -counts[name])[:_MOST_SETTINGS]
    return [
        Column(name, style.readable(name.removeprefix(_PREFIX)), "number" if numeric[name] else "text", 105)
        for name in names
    ]


def settings_chart(context: Context, view: View) -> go.Figure:
    """The settings of all runs against their best loss."""
    colors = training.run_colors([run.run for run in shown_runs(context, view)])
    runs = _all(context, view)
    if not runs:
        return style.nothing("training run")
    found = queries.summaries(context.history, runs)
    validated = sum(found[run.run].validated for run in runs if run.run in found) * 2 >= len(runs)
    setups = [
        drawing.Setup(run.run, _plain(run), found[run.run].best, colors.get(run.run))
        for run in runs
        if run.run in found and found[run.run].validated == validated
    ]
    surface = pio.templates[view.template].layout.hoverlabel.bgcolor
    return drawing.parallel(setups, "validation loss" if validated else "training loss", surface=surface)


def _all(context: Context, view: View) -> list[queries.Run]:
    """The runs of the time range, and those chosen that lie outside of it."""
    known = queries.heard(context.history, view.window, view.nodes)
    inside = queries.states(context.history, known, view.now)
    names = {run.run for run in inside}
    outside = [queries.run(context.history, name, view.now) for name in view.runs if name not in names]
    return [*inside, *(run for run in outside if run is not None)]


def _plain(run: queries.Run) -> dict[str, Any]:
    """The settings that are a number, a word or yes and no; but for the plan, which has a column of its own."""
    return {
        name: str(value) if isinstance(value, bool) else value
        for name, value in run.settings.items()
        if isinstance(value, int | float | str) and name not in {"total_steps", "max_steps", "steps"}
    }


def _row(
    run: queries.Run, summary: queries.Summary, drawn: Sequence[str], colors: Mapping[str, str], now: int
) -> dict[str, Any]:
    return {
        "shown": colors.get(run.run),
        "place": drawn.index(run.run) if run.run in colors else None,
        "run": run.run,
        "node": run.node,
        "status": _STATE[run.state],
        "state": run.state,
        "spark": [float(f"{value:.4g}") for value in summary.spark.tolist()],
        "progress": None if math.isnan(run.progress) else 100 * run.progress,
        "step": run.step,
        "training_loss": _known(run.training_loss),
        "best": _known(summary.best) if summary.validated else None,
        "best_step": _known(summary.best_step) if summary.validated else None,
        "accuracy": _known(summary.best_accuracy),
        "rate": _known(run.rate),
        "left": _known(run.left_s),
        "duration": run.duration_s,
        "gpu_hours": run.gpu_hours,
        "age": max(now - run.updated, 0) / SECOND,
        **{f"{_PREFIX}{name}": value for name, value in _plain(run).items()},
    }


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
