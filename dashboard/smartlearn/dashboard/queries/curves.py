"""Training curves over steps, as fast for a million steps as for ten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from smartlearn.core.batch import FloatArray
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.dashboard.queries.clocks import Clock
from smartlearn.dashboard.queries.columns import joined, joined_texts, times
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.smoothing import Smoothing
from smartlearn.dashboard.queries.window import MAX_POINTS, SECOND, thin

LEVELS: Final = (64, 1024, 16384)
_RAW_STEPS: Final = 4 * MAX_POINTS
_MOST_BUCKETS: Final = 16 * MAX_POINTS

Span = tuple[float, float]
"""A range of steps [low, high)."""


def _nothing() -> FloatArray:
    return np.empty(0)


@dataclass(frozen=True, slots=True)
class Curve:
    """One metric of a run over its own steps.

    Attributes:
        run: the run.
        metric: the metric's name.
        step: ascending, shape (n,): where the metric was reported (of buckets: their first step).
        value: the values, or the buckets' means, shape (n,).
        low: the smallest value of each bucket; equal to `value` where rows are single steps.
        high: the largest.
        bucket: steps a row; 1 where rows are single steps.
        nonfinite: steps at which the value was NaN or infinite.
        count: how many values each row stands for, shape (n,).
        smooth: the smoothed values at the same rows, shape (n,); empty where none was asked for.
        time: ns of each row, shape (n,); empty where it is not known.
        epoch: of each row, shape (n,); empty where it is not known.
    """

    run: str
    metric: str
    step: FloatArray
    value: FloatArray
    low: FloatArray
    high: FloatArray
    bucket: int = 1
    nonfinite: FloatArray = field(default_factory=_nothing)
    count: FloatArray = field(default_factory=_nothing)
    smooth: FloatArray = field(default_factory=_nothing)
    time: FloatArray = field(default_factory=_nothing)
    epoch: FloatArray = field(default_factory=_nothing)

    def __len__(self) -> int:
        return len(self.step)

    @property
    def middle(self) -> FloatArray:
        """The step in the middle of each row."""
        return self.step + (self.bucket - 1) / 2

    @property
    def shown(self) -> FloatArray:
        """The smoothed values, or the values where none were asked for."""
        return self.smooth if len(self.smooth) else self.value


@dataclass(frozen=True, slots=True)
class Best:
    """The step with the lowest (or highest) value of a metric."""

    run: str
    metric: str
    step: int
    value: float


def curves(
    store: History,
    name: str,
    metrics: Sequence[str],
    points: int = MAX_POINTS,
    *,
    span: Span | None = None,
    smoothing: Smoothing | None = None,
    clock: Clock | None = None,
) -> dict[str, Curve]:
    """The metrics of a run over its steps, at most about `points` rows each; absent ones give empty curves.

    A short run, or a short part of a long one, is read step by step; else the finest step buckets that are not too
    many. What is smoothed is smoothed over all of these rows, and over those before the span that still matter, and
    thinned afterwards.

    Args:
        store: where to read.
        name: the run.
        metrics: their names.
        points: the most rows of a curve.
        span: only these steps.
        smoothing: fills `Curve.smooth`.
        clock: the run's; fills the time and epoch of buckets, and makes reading a part of a long run fast.
    """
    low, high = span or (0.0, _highest_step(store, name) + 1.0)
    if high - low <= _RAW_STEPS:
        reach = smoothing.reach if smoothing and span else 0
        wide = (max(low - min(reach, _RAW_STEPS), 0.0), high) if span else None
        found = _raw_curves(store, name, metrics, steps=wide, clock=clock)
    else:
        most = points if smoothing is None else _MOST_BUCKETS
        level = next((level for level in LEVELS if (high - low) / level <= most), LEVELS[-1])
        found = _bucket_curves(store, name, metrics, level, span, clock)
    return {metric: _fitted(curve, points, span, smoothing) for metric, curve in found.items()}


def best(store: History, curve: Curve, *, highest: bool = False, clock: Clock | None = None) -> Best | None:
    """The exact step of a curve's best value, also where the curve shows buckets; None for an empty curve."""
    extremes = curve.high if highest else curve.low
    if not len(curve):
        return None
    at = int(np.argmax(extremes) if highest else np.argmin(extremes))
    low = curve.step[at]
    if curve.bucket > 1:
        raw = _raw_curves(store, curve.run, [curve.metric], steps=(low, low + curve.bucket), clock=clock)[curve.metric]
        if len(raw):
            return best(store, raw, highest=highest)
    return Best(curve.run, curve.metric, int(low), float(extremes[at]))


def gap(training: Curve, validation: Curve) -> Curve:
    """Validation − training loss at the validation's own steps: above 0 and growing is overfitting."""
    return replace(difference(validation, training), metric="overfitting_gap")


def difference(curve: Curve, other: Curve) -> Curve:
    """A curve minus another one, at its own steps, where the other one has begun and not ended.

    The other one between its steps is on the straight line between its neighbours.
    """
    if not len(curve) or not len(other):
        return Curve(curve.run, curve.metric, _nothing(), _nothing(), _nothing(), _nothing(), curve.bucket)
    inside = (curve.middle >= other.middle[0]) & (curve.middle <= other.middle[-1])
    cut = _rows(curve, np.flatnonzero(inside))
    value = cut.value - np.interp(cut.middle, other.middle, other.value)
    smooth = cut.shown - np.interp(cut.middle, other.middle, other.shown)
    if not len(curve.smooth) and not len(other.smooth):
        smooth = _nothing()
    return replace(cut, value=value, low=value, high=value, smooth=smooth, nonfinite=_nothing())


def speed(clock: Clock, name: str) -> Curve:
    """Steps per second between the moments of a run's clock, at the middle of each two."""
    seconds = np.diff(clock.time) / SECOND
    rows = np.flatnonzero(seconds > 0)
    step = (clock.step[1:] + clock.step[:-1])[rows] / 2
    value = np.diff(clock.step)[rows] / seconds[rows]
    return Curve(name, "steps_per_second", step, value, value, value, time=clock.at(step), epoch=clock.epoch_of(step))


def _highest_step(store: History, name: str) -> float:
    query = SeriesQuery("training_steps", fields=("step_start",), where={"run": name, "level": str(LEVELS[-1])})
    highest = max((float(np.nanmax(one.fields["step_start"])) for one in store.query(query)), default=0.0)
    newest = store.latest("training", ("step",), {"run": name})
    return max(highest, max((float(np.nanmax(joined([one], "step"))) for one in newest), default=0.0))


def _raw_curves(
    store: History, name: str, metrics: Sequence[str], *, steps: Span | None = None, clock: Clock | None = None
) -> dict[str, Curve]:
    fields = ("step", "epoch", *metrics, *(f"{metric}_nonfinite" for metric in metrics))
    start, stop = clock.around(*steps) if steps and clock is not None else (None, None)
    between = {"step": steps} if steps else {}
    series = store.query(SeriesQuery("training", start, stop, fields, {"run": name}, between))
    time, step, epoch = times(series), joined(series, "step"), joined(series, "epoch")
    found: dict[str, Curve] = {}
    for metric in metrics:
        value = joined(series, metric)
        broken = np.array([bool(code) for code in joined_texts(series, f"{metric}_nonfinite")], np.bool_)
        has = np.flatnonzero(~np.isnan(value) & ~np.isnan(step))
        rows = has[np.lexsort((time[has], step[has]))]
        newest = np.r_[step[rows][1:] != step[rows][:-1], True] if len(rows) else np.empty(0, np.bool_)
        rows = rows[newest]
        y = value[rows]
        found[metric] = Curve(
            name, metric, step[rows], y, y, y, 1, np.sort(step[broken]), np.ones(len(y)),
            time=time[rows].astype(np.float64), epoch=epoch[rows],
        )  # fmt: skip
    return found


def _bucket_curves(
    store: History, name: str, metrics: Sequence[str], level: int, span: Span | None, clock: Clock | None
) -> dict[str, Curve]:
    stats = ("mean", "min", "max", "count")
    fields = ("step_start", *(f"{metric}_{stat}" for metric in metrics for stat in stats))
    between = {"step_start": (span[0] - level + 1, span[1])} if span else {}
    where = {"run": name, "level": str(level)}
    series = store.query(SeriesQuery("training_steps", fields=fields, where=where, between=between))
    step = joined(series, "step_start")
    found: dict[str, Curve] = {}
    for metric in metrics:
        mean, low, high, count = (joined(series, f"{metric}_{stat}") for stat in stats)
        rows = np.flatnonzero(~np.isnan(mean))
        rows = rows[np.argsort(step[rows], kind="stable")]
        curve = Curve(
            name, metric, step[rows], mean[rows], low[rows], high[rows], level,
            count=np.where(np.isnan(count[rows]), 1.0, count[rows]),
        )  # fmt: skip
        if clock is not None:
            curve = replace(curve, time=clock.at(curve.middle), epoch=clock.epoch_of(curve.middle))
        found[metric] = curve
    return found


def _fitted(curve: Curve, points: int, span: Span | None, smoothing: Smoothing | None) -> Curve:
    """A curve smoothed, cut to its span, and thinned."""
    if smoothing is not None and len(curve):
        curve = replace(curve, smooth=smoothing.apply(curve.value, curve.count))
    if span is not None and curve.bucket == 1:
        curve = _rows(curve, np.flatnonzero(curve.step >= span[0]))
    if len(curve) <= points:
        return curve
    return _rows(curve, thin(curve.value, points)) if curve.bucket == 1 else _merged(curve, points)


def _merged(curve: Curve, points: int) -> Curve:
    """Neighbouring buckets together, at most so many; the smoothed value is that of the middle one."""
    times = -(-len(curve) // points)
    first = np.arange(0, len(curve), times)
    last = np.minimum(first + times, len(curve)) - 1
    count = np.add.reduceat(curve.count, first)

    def mean(values: FloatArray) -> FloatArray:
        return np.add.reduceat(values * curve.count, first) / count if len(values) else values

    return replace(
        curve,
        step=curve.step[first],
        value=mean(curve.value),
        low=np.minimum.reduceat(curve.low, first),
        high=np.maximum.reduceat(curve.high, first),
        bucket=curve.bucket * times,
        count=count,
        smooth=curve.smooth[(first + last) // 2] if len(curve.smooth) else curve.smooth,
        time=mean(curve.time),
        epoch=mean(curve.epoch),
    )


def _rows(curve: Curve, rows: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Curve:
    """Some rows of a curve."""
    columns = {name: getattr(curve, name) for name in ("value", "low", "high", "count", "smooth", "time", "epoch")}
    return replace(
        curve, step=curve.step[rows], **{name: column[rows] for name, column in columns.items() if len(column)}
    )
