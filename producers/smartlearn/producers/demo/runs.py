"""The demo's trainings: a new one every six hours, so that one is always going on.

The four of a day behave differently: one is healthy, one overfits, one becomes unstable, one learns no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.producers.demo.noise import Noise

STEPS: Final = 1000
SLOT_US: Final = 6 * 3_600 * 1_000_000
STEP_US: Final = SLOT_US // STEPS
STEPS_PER_EPOCH: Final = 100
_VALIDATE_EVERY: Final = 10
_CHECKPOINT_EVERY: Final = 250

Curves = tuple[FloatArray, FloatArray, FloatArray]
"""Training loss, validation loss and accuracy over the steps."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training is and how it goes.

    Attributes:
        name: the run's name, without its day.
        rate: the highest learning rate.
        settings: what it says about itself.
        curves: how it goes, by step.
    """

    name: str
    rate: float
    settings: dict[str, Any]
    curves: Callable[[FloatArray], Curves]


def _healthy(step: FloatArray) -> Curves:
    loss = 0.42 + 1.75 * np.exp(-step / 190.0)
    return loss, loss * 1.06 + 0.02, 0.93 - 0.52 * np.exp(-step / 230.0)


def _overfits(step: FloatArray) -> Curves:
    loss = 0.11 + 2.0 * np.exp(-step / 210.0)
    beyond = np.maximum(step - 430.0, 0.0)
    return loss, loss * 1.12 + 0.00105 * beyond, 0.88 - 0.5 * np.exp(-step / 200.0) - 0.00008 * beyond


def _unstable(step: FloatArray) -> Curves:
    beyond = np.maximum(step - 690.0, 0.0)
    loss = 0.55 + 1.6 * np.exp(-step / 150.0) + 0.0000042 * beyond**2
    return loss, loss * 1.1 + 0.05, 0.84 - 0.45 * np.exp(-step / 170.0) - 0.00035 * beyond


def _plateau(step: FloatArray) -> Curves:
    loss = 0.98 + 0.9 * np.exp(-step / 90.0)
    return loss, loss * 1.04 + 0.03, 0.71 - 0.35 * np.exp(-step / 110.0)


RECIPES: Final = (
    Recipe("demo-tutor-lora", 2e-4, {"model": "tutor-7b", "method": "LoRA r=16", "batch_size": 16}, _overfits),
    Recipe("demo-quiz-writer", 1e-4, {"model": "quiz-1b", "method": "full", "batch_size": 64}, _healthy),
    Recipe("demo-hint-ranker", 8e-4, {"model": "hint-350m", "method": "full", "batch_size": 128}, _unstable),
    Recipe("demo-essay-grader", 5e-5, {"model": "grader-3b", "method": "LoRA r=8", "batch_size": 32}, _plateau),
)
"""The trainings of a day, in the order of their slots."""


@dataclass(frozen=True, slots=True)
class Run:
    """One training.

    Attributes:
        name: the run's name.
        start_us: when its first step is, µs since the epoch.
        recipe: how it goes.
    """

    name: str
    start_us: int
    recipe: Recipe

    def steps(self, seed: int, first: int, stop: int) -> tuple[Int64Array, dict[str, FloatArray]]:
        """The times (µs) and values of the steps [first, stop); NaN where a step was not validated."""
        step = np.arange(first, stop, dtype=np.int64)
        at = step.astype(np.float64)
        noise = Noise(seed, self.name)
        loss, validation, accuracy = self.recipe.curves(at)
        loss = loss * np.exp(0.05 * noise.normal(step * 8))
        validation = validation * np.exp(0.015 * noise.normal(step * 8 + 1))
        accuracy = np.clip(accuracy + 0.008 * noise.normal(step * 8 + 2), 0.0, 1.0)
        skipped = step % _VALIDATE_EVERY != _VALIDATE_EVERY - 1
        warm = np.minimum((at + 1.0) / 50.0, 1.0)
        rate = self.recipe.rate * warm * (0.05 + 0.95 * 0.5 * (1.0 + np.cos(np.pi * at / STEPS)))
        values = {
            "epoch": (step // STEPS_PER_EPOCH + 1).astype(np.float64),
            "step": at,
            "training_loss": loss,
            "learning_rate": rate,
            "validation_loss": np.where(skipped, np.nan, validation),
            "accuracy": np.where(skipped, np.nan, accuracy),
            "gradient_norm": np.exp(-at / 600.0 + 0.25 * noise.normal(step * 8 + 3)) * (1.0 + loss),
            "samples_per_s": 46.0 + 2.0 * noise.normal(step * 8 + 4),
        }
        return self.start_us + step * STEP_US, values

    def events(self) -> Iterator[tuple[int, str, dict[str, Any]]]:
        """The moments of its life: time (µs), type and payload."""
        yield self.start_us, "start", {}
        yield (
            self.start_us,
            "settings",
            {"total_steps": STEPS, "learning_rate": self.recipe.rate, **self.recipe.settings},
        )
        for step in range(_CHECKPOINT_EVERY, STEPS, _CHECKPOINT_EVERY):
            yield self.start_us + step * STEP_US, "checkpoint", {"step": step}
        yield self.start_us + STEPS * STEP_US, "end", {"status": "finished"}


def runs_between(start_us: int, stop_us: int) -> list[Run]:
    """The trainings of which some part lies in (start, stop], oldest first."""
    first = start_us // SLOT_US
    return [run_of(slot) for slot in range(first, stop_us // SLOT_US + 1)]


def run_of(slot: int) -> Run:
    """The training of a six-hour slot, counted from the epoch."""
    start_us = slot * SLOT_US
    day = datetime.fromtimestamp(start_us / 1e6, UTC)
    recipe = RECIPES[slot % len(RECIPES)]
    return Run(f"{recipe.name}-{day:%Y%m%d}", start_us, recipe)
