"""Training curves over steps, as fast for a million steps as for ten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from smartlearn.core.batch import FloatArray
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.dashboard.queries.columns import joined, joined_texts, times
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.training import recent
from smartlearn.dashboard.queries.window import MAX_POINTS, thin

LEVELS: Final = (64, 1024, 16384)
_RAW_STEPS: Final = 4 * MAX_POINTS


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
    """

    run: str
    metric: str
    step: FloatArray
    value: FloatArray
    low: FloatArray
    high: FloatArray
    bucket: int = 1
    nonfinite: FloatArray = field(default_factory=lambda: np.empty(0))

    def __len__(self) -> int:
        return len(self.step)


@dataclass(frozen=True, slots=True)
class Best:
    """The step with the lowest (or highest) value of a metric."""

    run: str
    metric: str
    step: int
    value: float


def curves(store: History, name: str, metrics: Sequence[str], points: int = MAX_POINTS) -> dict[str, Curve]:
    """The metrics of a run over its steps, at most about `points` rows each; absent ones give empty curves.

    A short run is read step by step; a longer one from the finest step buckets that fit.
    """
    steps = _highest_step(store, name)
    if steps <= _RAW_STEPS:
        return _raw_curves(store, name, metrics, points)
    level = next((level for level in LEVELS if steps / level <= points), LEVELS[-1])
    return _bucket_curves(store, name, metrics, level)


def best(store: History, curve: Curve, *, highest: bool = False) -> Best | None:
    """The exact step of a curve's best value, also where the curve shows buckets; None for an empty curve."""
    extremes = curve.high if highest else curve.low
    if not len(curve):
        return None
    at = int(np.argmax(extremes) if highest else np.argmin(extremes))
    low = curve.step[at]
    if curve.bucket > 1:
        raw = _raw_curves(store, curve.run, [curve.metric], MAX_POINTS, steps=(low, low + curve.bucket))[curve.metric]
        if len(raw):
            return best(store, raw, highest=highest)
    return Best(curve.run, curve.metric, int(low), float(extremes[at]))


def gap(training: Curve, validation: Curve) -> Curve:
    """Validation − training loss at the validation's own steps: above 0 and growing is overfitting.

    The training loss between its steps is on the straight line between its neighbours.
    """
    if not len(training) or not len(validation):
        nothing = np.empty(0)
        return Curve(validation.run, "overfitting_gap", nothing, nothing, nothing, nothing, validation.bucket)
    inside = (validation.step >= training.step[0]) & (validation.step <= training.step[-1])
    step = validation.step[inside]
    value = validation.value[inside] - np.interp(step, training.step, training.value)
    return Curve(validation.run, "overfitting_gap", step, value, value, value, validation.bucket)


def _highest_step(store: History, name: str) -> float:
    query = SeriesQuery("training_steps", fields=("step_start",), where={"run": name, "level": str(LEVELS[-1])})
    highest = max((float(np.nanmax(one.fields["step_start"])) for one in store.query(query)), default=0.0)
    rows = recent(store, name)
    return max(highest, float(np.nanmax(rows[1]["step"])) if rows is not None else 0.0)


def _raw_curves(
    store: History, name: str, metrics: Sequence[str], points: int, *,
    steps: tuple[float, float] | None = None,
) -> dict[str, Curve]:  # fmt: skip
    fields = ("step", *metrics, *(f"{metric}_nonfinite" for metric in metrics))
    between = {"step": steps} if steps else {}
    series = store.query(SeriesQuery("training", fields=fields, where={"run": name}, between=between))
    time, step = times(series), joined(series, "step")
    found: dict[str, Curve] = {}
    for metric in metrics:
        value = joined(series, metric)
        broken = np.array([bool(code) for code in joined_texts(series, f"{metric}_nonfinite")], np.bool_)
        has = ~np.isnan(value) & ~np.isnan(step)
        order = np.lexsort((time[has], step[has]))
        x, y = step[has][order], value[has][order]
        newest = np.r_[x[1:] != x[:-1], True] if len(x) else np.empty(0, np.bool_)
        x, y = x[newest], y[newest]
        rows = thin(y, points)
        x, y = x[rows], y[rows]
        found[metric] = Curve(name, metric, x, y, y, y, 1, np.sort(step[broken]))
    return found


def _bucket_curves(store: History, name: str, metrics: Sequence[str], level: int) -> dict[str, Curve]:
    stats = ("mean", "min", "max")
    fields = ("step_start", *(f"{metric}_{stat}" for metric in metrics for stat in stats))
    query = SeriesQuery("training_steps", fields=fields, where={"run": name, "level": str(level)})
    series = store.query(query)
    step = joined(series, "step_start")
    found: dict[str, Curve] = {}
    for metric in metrics:
        mean, low, high = (joined(series, f"{metric}_{stat}") for stat in stats)
        has = ~np.isnan(mean)
        order = np.argsort(step[has], kind="stable")
        found[metric] = Curve(
            name, metric, step[has][order], mean[has][order], low[has][order], high[has][order], level
        )
    return found
