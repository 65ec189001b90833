"""Training runs: what each is, how far it is, how fast it goes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.dashboard.queries.columns import joined, texts, times
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.window import SECOND, Window

RunState: TypeAlias = Literal["running", "stopped", "finished", "failed"]

_RECENT_ROWS: Final = 200
_RUNNING_WITHIN_S: Final = 300.0
_TOTAL_NAMES: Final = ("total_steps", "max_steps", "steps")


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
        rate: steps per second over the newest 200 rows; NaN where that cannot be told.
        settings: what the run said about itself.
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


def run_names(store: History) -> list[str]:
    """Every run that has steps, sorted."""
    return sorted({*store.tag_values("training_steps", "run"), *store.tag_values("training", "run")})


def runs(store: History, now: int, window: Window | None = None, node: Sequence[str] = ()) -> list[Run]:
    """The runs, those with the newest step first.

    Args:
        store: where to read.
        now: ns; decides whether a run without an end still runs.
        window: only runs with a step in it.
        node: only runs on these nodes.
    """
    found = [one for name in run_names(store) if (one := run(store, name, now)) is not None]
    if window is not None:
        found = [one for one in found if one.updated >= window.start and one.started < window.stop]
    if node:
        found = [one for one in found if one.node in node]
    return sorted(found, key=lambda one: (-one.updated, one.run))


def run(store: History, name: str, now: int) -> Run | None:
    """One run as it stands, or None where it has no step."""
    rows = recent(store, name)
    if rows is None:
        return None
    time, columns, node = rows
    first = store.query(SeriesQuery("training", fields=("step",), where={"run": name}, limit=1))
    started = min((int(one.time[0]) for one in first), default=int(time[0]))
    said = _said(store, name)
    total = next((said.settings[key] for key in _TOTAL_NAMES if isinstance(said.settings.get(key), int)), None)
    updated = int(time[-1])
    state: RunState = said.end or ("running" if now - updated <= _RUNNING_WITHIN_S * SECOND else "stopped")
    return Run(
        name, node, state, started, updated,
        epoch=int(_last(columns, "epoch", 0)),
        step=int(np.nanmax(columns["step"])),
        total_steps=total,
        training_loss=_last(columns, "training_loss"),
        validation_loss=_last(columns, "validation_loss"),
        accuracy=_last(columns, "accuracy"),
        learning_rate=_last(columns, "learning_rate"),
        rate=_rate(time, columns["step"]),
        settings=said.settings,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Said:
    settings: dict[str, Any]
    end: Literal["finished", "failed"] | None


def _said(store: History, name: str) -> _Said:
    """What a run's own events say: its settings, and how it ended after its last start."""
    events: list[tuple[int, str, dict[str, Any]]] = []
    for series in store.query(SeriesQuery("runs", where={"run": name})):
        for time, text in zip(series.time.tolist(), texts(series, "payload"), strict=True):
            events.append((time, series.tags.get("type", ""), json.loads(text) if text else {}))
    settings: dict[str, Any] = {}
    end: Literal["finished", "failed"] | None = None
    for _, kind, payload in sorted(events, key=lambda event: event[0]):
        if kind in {"start", "settings"}:
            settings |= payload
        if kind == "start":
            end = None
        elif kind == "end":
            failed = payload.get("error") or payload.get("status") in {"failed", "error"}
            end = "failed" if failed else "finished"
    return _Said(settings, end)


def recent(store: History, name: str) -> tuple[Int64Array, dict[str, FloatArray], str] | None:
    """The newest rows of a run in time order: times, columns, node; None where it has no step."""
    metrics = ("epoch", "step", "training_loss", "validation_loss", "accuracy", "learning_rate")
    query = SeriesQuery("training", fields=metrics, where={"run": name}, limit=_RECENT_ROWS, newest_first=True)
    series = store.query(query)
    if not series:
        return None
    time = times(series)
    order = np.argsort(time, kind="stable")
    columns = {metric: joined(series, metric)[order] for metric in metrics}
    return time[order], columns, max(series, key=lambda one: int(one.time.max())).tags.get("node", "")


def _rate(time: Int64Array, step: FloatArray) -> float:
    """Steps per second: the steps gained from the first to the last of the rows, over the time between."""
    seconds = float(time[-1] - time[0]) / SECOND
    gained = float(step[-1] - step[0])
    return gained / seconds if seconds > 0 and gained > 0 else float("nan")


def _last(columns: Mapping[str, FloatArray], name: str, default: float = float("nan")) -> float:
    values = columns[name][~np.isnan(columns[name])]
    return float(values[-1]) if len(values) else default
