"""Trainings for tests and benchmarks: many and long ones, stored as the workers store them, in seconds.

The curves have known features (where the best step is, where a run begins to overfit or to diverge), so that what a
page says about them can be held against a computation of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.stores.base import MetricStore, Points
from smartlearn.stream_processors.domain.steps import LEVELS, bucket_steps, coarsen, step_points

SECOND: Final = 1_000_000_000

Way: TypeAlias = Literal["learns", "overfits", "diverges", "stalls"]
WAYS: Final[tuple[Way, ...]] = ("learns", "overfits", "diverges", "stalls")

_OPTIMIZERS: Final = ("adamw", "lion", "sgd")


@dataclass(frozen=True)
class Training:
    """One training.

    Attributes:
        name: the run.
        start: time of its first step, ns.
        steps: how many it made.
        way: how it goes.
        planned: how many were planned; the same where None.
        apart: ns from step to step.
        settings: what it says about itself.
        end: what its end says; None where it still runs.
        node: where it runs.
    """

    name: str
    start: int
    steps: int
    way: Way = "learns"
    planned: int | None = None
    apart: int = SECOND // 20
    settings: dict[str, Any] = field(default_factory=dict)
    end: dict[str, Any] | None = field(default_factory=lambda: {"status": "finished"})
    node: str = "node-trainer"

    @property
    def times(self) -> Int64Array:
        """When its steps were, ns, shape (steps,)."""
        return self.start + np.arange(self.steps, dtype=np.int64) * self.apart

    def columns(self, seed: int = 0) -> dict[str, FloatArray]:
        """Its values by step, shape (steps,); NaN where a step was not validated (all but every 50th)."""
        rng = np.random.default_rng([seed, *self.name.encode()])
        step = np.arange(self.steps, dtype=np.float64)
        done = step / self.steps
        floor = 0.3 + 0.4 * rng.random()
        loss = floor + 2.0 * np.exp(-done * 6)
        validation = 1.05 * loss + 0.02
        if self.way == "overfits":
            loss = loss - 0.25 * done
            validation = validation + 0.9 * np.maximum(done - 0.4, 0.0)
        elif self.way == "diverges":
            grown = 4.0 * np.maximum(done - 0.7, 0.0) ** 2 * 9
            loss, validation = loss + grown, validation + 1.1 * grown
        elif self.way == "stalls":
            loss = floor + 0.9 * np.exp(-done * 40)
            validation = 1.04 * loss + 0.02
        skipped = np.arange(self.steps) % 50 != 49
        loss = loss * np.exp(0.06 * rng.standard_normal(self.steps))
        validation = validation * np.exp(0.01 * rng.standard_normal(self.steps))
        accuracy = np.clip(1.0 - 0.35 * validation + 0.004 * rng.standard_normal(self.steps), 0.0, 1.0)
        return {
            "step": step,
            "epoch": np.floor(10 * done) + 1,
            "training_loss": loss,
            "learning_rate": float(self.settings.get("learning_rate", 1e-4)) * (0.05 + 0.95 * np.cos(np.pi * done / 2)),
            "validation_loss": np.where(skipped, np.nan, validation),
            "accuracy": np.where(skipped, np.nan, accuracy),
            "gradient_norm": (1.0 + loss) * np.exp(0.2 * rng.standard_normal(self.steps)),
        }

    def points(self, seed: int = 0, *, checkpoints: int = 10) -> Iterator[Points]:
        """What the store holds of it: raw rows, step buckets, the moments of its life."""
        columns = self.columns(seed)
        tags = {"run": self.name, "node": self.node, "source": "seeded"}
        yield Points("training", self.times, tags, columns)
        measured = {name: column for name, column in columns.items() if name not in {"step", "epoch"}}
        level = bucket_steps(columns["step"].astype(np.int64), self.times, measured)
        anchor = self.start // 1000
        yield step_points(self.name, anchor, level)
        for coarser in LEVELS[1:]:
            level = coarsen(level, coarser)
            yield step_points(self.name, anchor, level)
        yield from self._life(checkpoints)

    def _life(self, checkpoints: int) -> Iterator[Points]:
        said = {"total_steps": self.planned or self.steps} | self.settings
        moments: list[tuple[int, str, dict[str, Any]]] = [(self.start, "start", {}), (self.start, "settings", said)]
        for number in range(1, checkpoints):
            step = self.steps * number // checkpoints
            moments.append((self.start + step * self.apart, "checkpoint", {"step": step, "path": f"step-{step}.pt"}))
        if self.end is not None:
            moments.append((self.start + self.steps * self.apart, "end", self.end))
        for time, kind, payload in moments:
            yield Points(
                "runs",
                np.array([time], dtype=np.int64),
                {"run": self.name, "node": self.node, "type": kind, "source": "seeded"},
                {"payload": json.dumps(payload)},
            )


def sweep(count: int, steps: int, stop: int) -> list[Training]:
    """Runs over a grid of settings, which overlap in time; the last ones to start still run at `stop` (ns)."""
    trainings = []
    for number in range(count):
        rng = np.random.default_rng(number)
        way = WAYS[int(rng.choice(len(WAYS), p=(0.6, 0.2, 0.1, 0.1)))]
        settings = {
            "learning_rate": float(np.round(10 ** rng.uniform(-5, -3), 7)),
            "batch_size": int(2 ** rng.integers(3, 8)),
            "optimizer": _OPTIMIZERS[int(rng.integers(len(_OPTIMIZERS)))],
            "layers": int(rng.integers(4, 33)),
            "dropout": float(np.round(rng.uniform(0, 0.4), 2)),
            "gpus": int(rng.choice([1, 4, 8])),
        }
        apart = int(rng.uniform(0.2, 0.6) * SECOND)
        running = number >= count - 3
        start = stop - steps * apart - int(rng.uniform(0, 3) * 86_400) * SECOND * (not running)
        trainings.append(
            Training(
                f"sweep-{number:03d}", start, steps, way,
                planned=steps + steps // 3 if running else steps,
                apart=apart, settings=settings, node=f"node-{number % 8}",
                end=None if running else _ending(way),
            )
        )  # fmt: skip
    return trainings


def _ending(way: Way) -> dict[str, Any]:
    return {"status": "failed", "error": "RuntimeError"} if way == "diverges" else {"status": "finished"}


def seed_store(store: MetricStore, trainings: list[Training]) -> None:
    """Store the trainings: raw rows, step buckets and events."""
    for training in trainings:
        store.write(training.points())
