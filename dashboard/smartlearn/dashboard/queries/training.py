"""Training runs: what each is, how far it is, how fast it goes; hundreds of them with a handful of reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.stores.base import Series, SeriesQuery
from smartlearn.dashboard.queries.columns import joined, times
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.lives import Life, lives
from smartlearn.dashboard.queries.window import SECOND, Window

RunState: TypeAlias = Literal["running", "stopped", "finished", "failed"]

METRICS: Final = ("epoch", "step", "training_loss", "validation_loss", "accuracy", "learning_rate")
_RECENT_ROWS: Final = 200
_RUNNING_WITHIN_S: Final = 300.0
_TOTAL_NAMES: Final = ("total_steps", "max_steps", "steps")
_GPU_NAMES: Final = ("gpus", "gpu_count", "num_gpus", "n_gpus", "world_size")


@dataclass(frozen=True, slots=True)
class Run:
    """One training run as it stands.

    Attributes:
        run: its name.
        node: where it runs.
        state: finished and failed are told by its end event; without one it runs while steps arrive, and is
            stopped when none came for five minutes.
        started: time of the first step, ns.
        updated: time of the newest step, ns.
        epoch: the newest step's.
        step: the highest step seen.
        total_steps: how many were planned; None where the run did not say.
        training_loss: the newest.
        validation_loss: the newest; NaN without validation.
        accuracy: the newest; NaN without.
        learning_rate: the newest.
        rate: steps per second over the newest 200 rows, of a run that is over from its first to its last; NaN where
            that cannot be told.
        settings: what the run said about itself.
        error: what its end named as the error; "" for none.
    """

    run: str
    node: str
    state: RunState
    started: int
    updated: int
    epoch: int
    step: int
    total_steps: int | None
    training_loss: float
    validation_loss: float
    accuracy: float
    learning_rate: float
    rate: float
    settings: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def progress(self) -> float:
        """The share of the planned steps that is done, 0–1; NaN where the plan is not known."""
        if not self.total_steps:
            return float("nan")
        return min((self.step + 1) / self.total_steps, 1.0) if self.state != "finished" else 1.0

    @property
    def left_s(self) -> float:
        """Seconds left at the present rate; NaN where that cannot be told."""
        if self.state != "running" or not self.total_steps or not self.rate > 0:
            return float("nan")
        return max(self.total_steps - 1 - self.step, 0) / self.rate

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the newest step."""
        return (self.updated - self.started) / SECOND

    @property
    def gpus(self) -> int:
        """How many GPUs it said that it uses (`gpus`, `gpu_count`, `num_gpus`, `n_gpus` or `world_size`); else one."""
        said = (self.settings.get(name) for name in _GPU_NAMES)
        return next((int(one) for one in said if isinstance(one, int | float) and one >= 1), 1)

    @property
    def gpu_hours(self) -> float:
        """Hours from the first to the newest step, times the GPUs."""
        return self.duration_s / 3600 * self.gpus


@dataclass(frozen=True, slots=True)
class Heard:
    """When a run was heard of.

    Attributes:
        run: its name.
        node: where it runs.
        started: time of the first row, ns.
        updated: time of the newest row, ns.
    """

    run: str
    node: str
    started: int
    updated: int


def run_names(store: History) -> list[str]:
    """Every run that has steps, sorted."""
    return sorted({*store.tag_values("training_steps", "run"), *store.tag_values("training", "run")})


def heard(store: History, window: Window | None = None, node: Sequence[str] = ()) -> list[Heard]:
    """Which runs there are, those with the newest step first: two reads, however many they are.

    Args:
        store: where to read.
        window: only runs with a step in it.
        node: only runs on these nodes.
    """
    where = {"node": tuple(node)} if node else {}
    newest = store.query(SeriesQuery("training", None, None, ("step",), where, limit=1, newest_first=True))
    first = store.query(SeriesQuery("training", None, None, ("step",), where, limit=1))
    found: dict[str, Heard] = {}
    for series in (*first, *newest):
        name, time = series.tags.get("run", ""), int(series.time[0])
        before = found.get(name)
        last_on = series.tags.get("node", "") if before is None or time >= before.updated else before.node
        found[name] = Heard(
            name,
            last_on,
            time if before is None else min(before.started, time),
            time if before is None else max(before.updated, time),
        )
    runs = [one for one in found.values() if one.run]
    if window is not None:
        runs = [one for one in runs if one.updated >= window.start and one.started < window.stop]
    return sorted(runs, key=lambda one: (-one.updated, one.run))


def runs(store: History, now: int, window: Window | None = None, node: Sequence[str] = ()) -> list[Run]:
    """The runs, those with the newest step first.

    Args:
        store: where to read.
        now: ns; decides whether a run without an end still runs.
        window: only runs with a step in it.
        node: only runs on these nodes.
    """
    return states(store, heard(store, window, node), now)


def run(store: History, name: str, now: int) -> Run | None:
    """One run as it stands, or None where it has no step."""
    first = store.query(SeriesQuery("training", fields=("step",), where={"run": name}, limit=1))
    if not first:
        return None
    newest = store.latest("training", ("step",), {"run": name})
    last = max(newest, key=lambda one: int(one.time[-1]))
    known = Heard(name, last.tags.get("node", ""), min(int(one.time[0]) for one in first), int(last.time[-1]))
    return states(store, [known], now)[0]


def states(store: History, known: Sequence[Heard], now: int) -> list[Run]:
    """How runs stand, in the order given: a read for what they said, one for their newest rows, one for those that run.

    Args:
        store: where to read.
        known: the runs.
        now: ns.
    """
    if not known:
        return []
    names = [one.run for one in known]
    said = lives(store, names)
    ran = [one.run for one in known if _state(one, said.get(one.run, Life()), now) == "running"]
    rows = {name: table for names_, limit in ((names, 1), (ran, _RECENT_ROWS)) if names_
            for name, table in _newest(store, names_, limit).items()}  # fmt: skip
    sparse = _last_values(store, [name for name, table in rows.items() if table.incomplete])
    return [
        _run(one, said.get(one.run, Life()), rows[one.run], sparse.get(one.run, {}), now)
        for one in known
        if one.run in rows
    ]


@dataclass(frozen=True, slots=True)
class _Rows:
    """Newest rows of a run, in time order."""

    time: Int64Array
    columns: Mapping[str, FloatArray]

    @property
    def incomplete(self) -> bool:
        """Whether a metric has no value in these rows."""
        return any(np.isnan(self.columns[name]).all() for name in ("validation_loss", "accuracy"))


def _newest(store: History, names: Sequence[str], limit: int) -> dict[str, _Rows]:
    query = SeriesQuery("training", None, None, METRICS, {"run": tuple(names)}, limit=limit, newest_first=True)
    grouped: dict[str, list[Series]] = {}
    for series in store.query(query):
        grouped.setdefault(series.tags.get("run", ""), []).append(series)
    found = {}
    for name, members in grouped.items():
        time = times(members)
        order = np.argsort(time, kind="stable")[-limit:]
        found[name] = _Rows(time[order], {metric: joined(members, metric)[order] for metric in METRICS})
    return found


def _last_values(store: History, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """The newest value of metrics that few rows have, from the coarsest step buckets."""
    if not names:
        return {}
    metrics = ("validation_loss", "accuracy")
    fields = ("step_start", *(f"{metric}_last" for metric in metrics))
    where: dict[str, str | tuple[str, ...] | None] = {"run": tuple(names), "level": "16384"}
    found: dict[str, dict[str, float]] = {}
    for series in store.query(SeriesQuery("training_steps", fields=fields, where=where)):
        order = np.argsort(joined([series], "step_start"), kind="stable")
        values = {metric: joined([series], f"{metric}_last")[order] for metric in metrics}
        found[series.tags.get("run", "")] = {metric: _last(column) for metric, column in values.items()}
    return found


def _state(one: Heard, life: Life, now: int) -> RunState:
    return life.end or ("running" if now - one.updated <= _RUNNING_WITHIN_S * SECOND else "stopped")


def _run(one: Heard, life: Life, rows: _Rows, sparse: Mapping[str, float], now: int) -> Run:
    total = next((life.settings[key] for key in _TOTAL_NAMES if isinstance(life.settings.get(key), int)), None)
    state = _state(one, life, now)
    columns = rows.columns
    values = {
        name: value if not np.isnan(value := _last(columns[name])) else sparse.get(name, float("nan"))
        for name in ("training_loss", "validation_loss", "accuracy", "learning_rate")
    }
    step = float(np.nanmax(columns["step"]))
    return Run(
        one.run, one.node, state, one.started, one.updated,
        epoch=int(_last(columns["epoch"], 0)), step=int(step), total_steps=total,
        **values,
        rate=_rate(rows.time, columns["step"]) if state == "running" else _overall(one, step),
        settings=life.settings, error=life.error,
    )  # fmt: skip


def _rate(time: Int64Array, step: FloatArray) -> float:
    """Steps per second: the steps gained from the first to the last of the rows, over the time between."""
    seconds = float(time[-1] - time[0]) / SECOND
    gained = float(step[-1] - step[0])
    return gained / seconds if seconds > 0 and gained > 0 else float("nan")


def _overall(one: Heard, step: float) -> float:
    seconds = (one.updated - one.started) / SECOND
    return step / seconds if seconds > 0 and step > 0 else float("nan")


def _last(values: FloatArray, default: float = float("nan")) -> float:
    there = values[~np.isnan(values)]
    return float(there[-1]) if len(there) else default
