"""The demo's machines: five, each with a character that the dashboards should find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.producers.demo.noise import Noise

DAY_S: Final = 86_400
HOUR_S: Final = 3_600
TRAINING_NODE: Final = "demo-train-1"

# How much of the GPU each of a day's four trainings keeps busy: one waits for its data.
_GPU_USE: Final = np.array([1.0, 0.36, 0.97, 0.9])

Columns = dict[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Node:
    """A machine.

    Attributes:
        name: the node's name.
        model_version: the model that it answers with, if it serves one.
        sample: its metrics at some times (s since the epoch), by the noise of the seed.
        trial: a newer version that answers a quarter of the time, if one is tried.
        gpu: its GPU, if it has one.
    """

    name: str
    model_version: str | None
    sample: Callable[[Noise, FloatArray], Columns]
    trial: str | None = None
    gpu: str | None = None

    def versions(self, noise: Noise, time_s: FloatArray) -> NDArray[np.object_] | None:
        """The model that each sample is of; None where it serves none."""
        if self.model_version is None:
            return None
        tried = _tried(noise, time_s) & (self.trial is not None)
        return np.where(tried, self.trial or "", self.model_version).astype(np.object_)


def business(time_s: FloatArray) -> FloatArray:
    """How busy the schools are: near 1 from 9 to 17 o'clock UTC, less in the evening, little at night; shape (n,)."""
    hour = time_s % DAY_S / HOUR_S
    day = _step(hour, 8.5) * (1.0 - _step(hour, 17.0))
    evening = 0.45 * _step(hour, 17.0) * (1.0 - _step(hour, 22.0))
    weekend = np.where((time_s // DAY_S + 3).astype(np.int64) % 7 >= 5, 0.5, 1.0)
    return 0.08 + 0.92 * np.maximum(day, evening) * weekend


def _step(hour: FloatArray, at: float) -> FloatArray:
    return 1.0 / (1.0 + np.exp(-(hour - at) * 3.0))


def _between(hour: FloatArray, start: float, stop: float) -> FloatArray:
    return ((hour >= start) & (hour < stop)).astype(np.float64)


def _jitter(noise: Noise, time_s: FloatArray, offset: int) -> FloatArray:
    number: Int64Array = time_s.astype(np.int64) * 16 + offset
    return noise.normal(number)


def _percent(values: FloatArray) -> FloatArray:
    return np.clip(values, 1.0, 99.5)


def _serving(noise: Noise, time_s: FloatArray, *, slow: float, cores: float) -> Columns:
    """A machine that answers learners: everything follows how many ask."""
    load = business(time_s) * (1.0 + 0.25 * noise.smooth(time_s, 1500.0))
    cpu = _percent(cores * (18.0 + 52.0 * load) + 2.5 * _jitter(noise, time_s, 0))
    memory = _percent(44.0 + 20.0 * load + 5.0 * noise.smooth(time_s, 7200.0) + 0.8 * _jitter(noise, time_s, 1))
    queue = 1.0 + 1.6 * np.maximum(load - 0.75, 0.0) ** 2
    answer = slow * (260.0 + 520.0 * load) * queue * np.exp(0.16 * _jitter(noise, time_s, 2))
    accuracy = 0.86 + 0.03 * noise.smooth(time_s, 10_800.0) - 0.02 * load + 0.012 * _jitter(noise, time_s, 3)
    engagement = 8.4 - answer / 1800.0 + 0.5 * noise.smooth(time_s, 5400.0) + 0.2 * _jitter(noise, time_s, 4)
    used = 7.0 + 4.5 * load + 0.3 * noise.smooth(time_s, 1200.0)
    failing = 0.004 + 0.03 * np.maximum(load - 0.8, 0.0)
    return {
        "cpu_usage": cpu,
        "memory_usage": memory,
        "gpu_memory_used": np.clip(used, 0.5, 23.8),
        "gpu_memory_total": np.full(len(time_s), 24.0),
        "gpu_utilization": _percent(22.0 + 48.0 * load + 4.0 * _jitter(noise, time_s, 8)),
        "response_time": answer,
        "model_accuracy": np.clip(accuracy, 0.0, 1.0),
        "user_engagement": np.clip(engagement, 1.0, 10.0),
        "answers_per_min": (40.0 / slow) * load * (1.0 + 0.06 * _jitter(noise, time_s, 9)),
        "tokens_per_s": 95.0 / slow / queue * (1.0 + 0.04 * _jitter(noise, time_s, 5)),
        "model_errors": np.clip(failing * (1.0 + 0.3 * _jitter(noise, time_s, 6)), 0.0, 1.0),
    }


def _tried(noise: Noise, time_s: FloatArray) -> NDArray[np.bool_]:
    return noise.uniform(time_s.astype(np.int64) * 16 + 7) < 0.25


def _quick(noise: Noise, time_s: FloatArray) -> Columns:
    return _serving(noise, time_s, slow=0.8, cores=0.85)


def _slow(noise: Noise, time_s: FloatArray) -> Columns:
    """The large model: fine at night, more than its users wait for at noon; its trial is faster and errs more."""
    columns = _serving(noise, time_s, slow=3.1, cores=1.05)
    tried = _tried(noise, time_s)
    columns["response_time"] = columns["response_time"] * np.where(tried, 0.7, 1.0)
    columns["model_accuracy"] = np.clip(columns["model_accuracy"] + np.where(tried, -0.04, 0.03), 0.0, 1.0)
    columns["answers_per_min"] = columns["answers_per_min"] * np.where(tried, 0.25, 0.75)
    columns["model_errors"] = np.clip(columns["model_errors"] * np.where(tried, 2.6, 1.0), 0.0, 1.0)
    return columns


def _training(noise: Noise, time_s: FloatArray) -> Columns:
    """The training machine: a GPU that is nearly full, and hotter than it should be; one training starves it."""
    into = time_s % (6 * HOUR_S)
    ramp = np.clip(into / 400.0, 0.12, 1.0)
    used = ramp * (58.0 + 9.0 * noise.smooth(time_s, 5400.0)) + 0.5 * _jitter(noise, time_s, 0)
    slot = (time_s // (6 * HOUR_S)).astype(np.int64) % len(_GPU_USE)
    busy = ramp * _GPU_USE[slot] * (90.0 + 5.0 * noise.smooth(time_s, 900.0))
    return {
        "cpu_usage": _percent(
            28.0 + 16.0 * ramp + 6.0 * noise.smooth(time_s, 1800.0) + 2.0 * _jitter(noise, time_s, 1)
        ),
        "memory_usage": _percent(58.0 + 14.0 * (into / (6 * HOUR_S)) + 0.6 * _jitter(noise, time_s, 2)),
        "gpu_memory_used": np.clip(used, 1.0, 79.0),
        "gpu_memory_total": np.full(len(time_s), 80.0),
        "gpu_utilization": _percent(busy + 2.0 * _jitter(noise, time_s, 3)),
        "gpu_temperature": 46.0 + 0.33 * busy + 0.7 * _jitter(noise, time_s, 4),
    }


def _batch(noise: Noise, time_s: FloatArray) -> Columns:
    """The nightly jobs: idle by day, at its limit between two and half past three."""
    hour = time_s % DAY_S / HOUR_S
    night = _between(hour, 2.0, 3.5)
    report = _between(hour, 12.0, 12.4)
    cpu = 16.0 + 79.0 * night + 60.0 * report + 3.0 * noise.smooth(time_s, 2400.0) + 1.5 * _jitter(noise, time_s, 0)
    memory = 38.0 + 50.0 * night + 12.0 * report + 2.0 * noise.smooth(time_s, 3600.0) + 0.6 * _jitter(noise, time_s, 1)
    return {"cpu_usage": _percent(cpu), "memory_usage": _percent(memory)}


def _campus(noise: Noise, time_s: FloatArray) -> Columns:
    """A small server at a school: follows the timetable, with memory that is rather full."""
    load = business(time_s)
    return {
        "cpu_usage": _percent(9.0 + 34.0 * load + 5.0 * noise.smooth(time_s, 900.0) + 2.0 * _jitter(noise, time_s, 0)),
        "memory_usage": _percent(
            61.0 + 11.0 * load + 4.0 * noise.smooth(time_s, 9000.0) + 0.5 * _jitter(noise, time_s, 1)
        ),
        "user_engagement": np.clip(6.8 + noise.smooth(time_s, 5400.0) + 0.2 * _jitter(noise, time_s, 2), 1.0, 10.0),
    }


NODES: Final = (
    Node("demo-tutor-1", "tutor-2.4", _quick, gpu="0"),
    Node("demo-tutor-2", "tutor-3.0-large", _slow, trial="tutor-3.1-large", gpu="0"),
    Node(TRAINING_NODE, None, _training, gpu="0"),
    Node("demo-batch-1", None, _batch),
    Node("demo-campus-1", None, _campus),
)
"""All machines of the demo."""
