"""Runs in a line each: the best value and a small curve, for hundreds of them with a few reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from smartlearn.core.batch import FloatArray
from smartlearn.core.stores.base import Series, SeriesQuery
from smartlearn.dashboard.queries.columns import joined
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.training import Run

SPARK_POINTS: Final = 40
_RAW_BELOW: Final = 640
_FINE_BELOW: Final = 16_384
_LOSSES: Final = ("training_loss", "validation_loss", "accuracy")


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in a line.

    Attributes:
        run: its name.
        best: the lowest validation loss, of a run without validation the lowest training loss; NaN without either.
        best_step: where it was: of a long run the first step of its bucket; NaN without.
        best_accuracy: the highest; NaN without.
        spark: the training loss from first to last, at most `SPARK_POINTS` values.
        validated: whether `best` is of the validation.
    """

    run: str
    best: float = float("nan")
    best_step: float = float("nan")
    best_accuracy: float = float("nan")
    spark: FloatArray = field(default_factory=lambda: np.empty(0))
    validated: bool = False


def summaries(store: History, runs: Sequence[Run]) -> dict[str, Summary]:
    """Summaries by run; short runs are read by step, long ones in buckets, all of a kind together."""
    kinds: dict[str, list[str]] = {}
    for run in runs:
        kinds.setdefault(_level(run.step), []).append(run.run)
    found: dict[str, Summary] = {}
    for level, names in kinds.items():
        if level:
            found |= _of_buckets(store, names, level)
    missing = [run.run for run in runs if run.run not in found]
    return found | _of_rows(store, missing) if missing else found


def _level(steps: int) -> str:
    if steps < _RAW_BELOW:
        return ""
    if steps < _FINE_BELOW:
        return "64"
    return "1024" if steps < 1024 * 1024 else "16384"


def _of_buckets(store: History, names: Sequence[str], level: str) -> dict[str, Summary]:
    fields = (
        "step_start", "training_loss_mean", "training_loss_min", "validation_loss_min", "accuracy_max",
    )  # fmt: skip
    query = SeriesQuery("training_steps", fields=fields, where={"run": tuple(names), "level": level})
    found = {}
    for series in store.query(query):
        name = series.tags.get("run", "")
        columns = {field: joined([series], field) for field in fields}
        found[name] = _summary(
            name, columns["step_start"], columns["training_loss_mean"], columns["training_loss_min"],
            columns["validation_loss_min"], columns["accuracy_max"],
        )  # fmt: skip
    return found


def _of_rows(store: History, names: Sequence[str]) -> dict[str, Summary]:
    query = SeriesQuery("training", fields=("step", *_LOSSES), where={"run": tuple(names)})
    grouped: dict[str, list[Series]] = {}
    for series in store.query(query):
        grouped.setdefault(series.tags.get("run", ""), []).append(series)
    found = {}
    for name, members in grouped.items():
        columns: Mapping[str, FloatArray] = {metric: joined(members, metric) for metric in ("step", *_LOSSES)}
        loss, validation = columns["training_loss"], columns["validation_loss"]
        found[name] = _summary(name, columns["step"], loss, loss, validation, columns["accuracy"])
    return found


def _summary(
    name: str, step: FloatArray, loss: FloatArray, lowest: FloatArray, validation: FloatArray, accuracy: FloatArray
) -> Summary:
    order = np.argsort(step, kind="stable")
    spark = loss[order][~np.isnan(loss[order])]
    validated = not bool(np.isnan(validation).all())
    best, best_step = _lowest(step, validation if validated else lowest)
    return Summary(
        name, best, best_step, float("nan") if np.isnan(accuracy).all() else float(np.nanmax(accuracy)),
        _means(spark), validated,
    )  # fmt: skip


def _lowest(step: FloatArray, value: FloatArray) -> tuple[float, float]:
    if np.isnan(value).all():
        return float("nan"), float("nan")
    at = int(np.nanargmin(value))
    return float(value[at]), float(step[at])


def _means(value: FloatArray) -> FloatArray:
    """The means of at most `SPARK_POINTS` equal stretches."""
    if len(value) <= SPARK_POINTS:
        return value
    first = np.linspace(0, len(value), SPARK_POINTS + 1).astype(int)[:-1]
    return np.asarray(np.add.reduceat(value, first) / np.diff(np.append(first, len(value))), dtype=np.float64)
