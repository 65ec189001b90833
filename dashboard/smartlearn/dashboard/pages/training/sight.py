"""What Training Analytics is asked to show: runs, their colours, the axis, the smoothing, the part zoomed into."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final, cast

import numpy as np

from smartlearn.dashboard import queries
from smartlearn.dashboard.figures import axes, training
from smartlearn.dashboard.figures.axes import UNITS_S, Axis, AxisKind
from smartlearn.dashboard.panels import Choice, Context, Entry
from smartlearn.dashboard.queries.window import SECOND
from smartlearn.dashboard.view import View

OVERLAID: Final = 5
"""So many runs are drawn where none is chosen."""

AXIS: Final = Choice(
    "x", "X axis", {"step": "By step", "epoch": "By epoch", "relative": "By time since start", "time": "By time of day"}
)
SMOOTHING: Final = Choice(
    "smooth",
    "Smoothing",
    {
        "auto": "Smoothing: auto",
        "none": "No smoothing",
        "ema-0.6": "EMA 0.6",
        "ema-0.9": "EMA 0.9",
        "ema-0.97": "EMA 0.97",
        "ema-0.99": "EMA 0.99",
        "ema-0.999": "EMA 0.999",
        "gauss-5": "Gaussian, σ 5 steps",
        "gauss-50": "Gaussian, σ 50 steps",
        "gauss-500": "Gaussian, σ 500 steps",
    },
)
SCALE: Final = Choice("scale", "Scale", {"auto": "Scale: auto", "linear": "Linear", "log": "Logarithmic"})
ZOOM: Final = Entry(
    "zoom",
    "Part of the x axis",
    "All steps",
    r"(?:(?:step|epoch|days|hours|minutes|seconds|time):)?[-+:.TZ\d]{1,32}?\.\.[-+:.TZ\d]{1,32}",
    "from..to, such as 1000..2000; drag over a chart to fill it, empty it to see all",
)

_ZOOM: Final = re.compile(r"(?:([a-z]+):)?(.+?)\.\.(.+)")
_POINTS: Final = 6000
_LONG: Final = 8000
_AUTO: Final = 100


@dataclass(frozen=True, slots=True)
class Sight:
    """What the page shows.

    Attributes:
        runs: those that are drawn, in the order of their colours.
        axis: along what.
        clocks: run → its clock, of those that need one.
        smoothing: the choice.
    """

    runs: Sequence[queries.Run]
    axis: Axis
    clocks: dict[str, queries.Clock]
    smoothing: str

    @property
    def names(self) -> list[str]:
        """The runs' names."""
        return [run.run for run in self.runs]

    @property
    def colors(self) -> dict[str, str]:
        """Run → its colour on every panel."""
        return training.run_colors(self.names)

    @property
    def whole(self) -> Sight:
        """The same without the zoom."""
        return replace(self, axis=replace(self.axis, shown=None))

    def span(self, run: queries.Run) -> tuple[float, float] | None:
        """The steps of a run that the zoom shows; None is all."""
        if self.axis.shown is None:
            return None
        low, high = self.axis.shown
        if self.axis.kind == "step":
            return max(math.floor(low), 0.0), max(math.ceil(high), 0.0) + 1.0
        clock = self.clocks[run.run]
        if self.axis.kind == "epoch":
            places = np.interp([low, high], clock.epoch, clock.step)
        elif self.axis.kind == "time":
            places = clock.step_at(np.array([low, high]) * 1e6)
        else:
            places = clock.step_at(run.started + np.array([low, high]) * UNITS_S[self.axis.unit] * SECOND)
        return float(np.floor(places[0])), float(np.ceil(places[1])) + 1.0

    def smoother(self, run: queries.Run) -> queries.Smoothing | None:
        """How the curves of a run are smoothed: "auto" is a Gaussian of a hundredth of the steps shown."""
        if self.smoothing != "auto":
            return queries.Smoothing.of(self.smoothing)
        span = self.span(run)
        steps = span[1] - span[0] if span else run.step + 1
        return queries.Smoothing("gauss", steps / _AUTO) if steps >= 2 * _AUTO else None


def shown_runs(context: Context, view: View) -> list[queries.Run]:
    """The runs chosen; else the newest ones with a step in the time range."""
    if view.runs:
        found = [queries.run(context.history, name, view.now) for name in view.runs]
        return [one for one in found if one is not None]
    known = queries.heard(context.history, view.window, view.nodes)[:OVERLAID]
    return queries.states(context.history, known, view.now)


def sight(context: Context, view: View) -> Sight:
    """What a view shows."""
    runs = shown_runs(context, view)
    kind = cast("AxisKind", AXIS.of(view))
    unit = axes.unit_for(max((run.duration_s for run in runs), default=0.0))
    axis = Axis(kind, {run.run: run.started for run in runs}, unit)
    axis = replace(axis, shown=_part(ZOOM.of(view), axis))
    clocks = {
        run.run: queries.clock(context.history, run.run, run.started, run.updated)
        for run in runs
        if kind != "step" or run.step > _LONG
    }
    return Sight(runs, axis, clocks, SMOOTHING.of(view))


def curves(
    context: Context, seen: Sight, metrics: Sequence[str], *, smooth: Sequence[str] = ()
) -> dict[str, dict[str, queries.Curve]]:
    """Run → metric → curve, of the part that is shown; `smooth` are the metrics that are smoothed as chosen."""
    points = max(300, min(queries.MAX_POINTS, _POINTS // max(len(seen.runs), 1)))
    found: dict[str, dict[str, queries.Curve]] = {}
    for run in seen.runs:
        of_run: dict[str, queries.Curve] = {}
        smoothing = seen.smoother(run)
        for names, how in (
            ([name for name in metrics if name in smooth], smoothing),
            ([name for name in metrics if name not in smooth], None),
        ):
            if names:
                of_run |= queries.curves(
                    context.history, run.run, names, points,
                    span=seen.span(run), smoothing=how, clock=seen.clocks.get(run.run),
                )  # fmt: skip
        found[run.run] = of_run
    return found


def _part(text: str, axis: Axis) -> tuple[float, float] | None:
    """The part of the axis that a zoom names; None where it names none, or one of another axis."""
    match = _ZOOM.fullmatch(text)
    if match is None or (match[1] or axis.name) != axis.name:
        return None
    try:
        low, high = (_moment(end) if axis.kind == "time" else float(end) for end in (match[2], match[3]))
    except (ValueError, OverflowError):
        return None
    return (low, high) if math.isfinite(low) and math.isfinite(high) and low < high else None


def _moment(text: str) -> float:
    """Ms since the epoch of an ISO time."""
    moment = datetime.fromisoformat(text)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000
