"""Histories that dashboard tests read: the demo export, and small ones made by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from tests.reference import demo_export

from smartlearn.core.settings import Settings
from smartlearn.dashboard.queries import SECOND, Window
from smartlearn.dashboard.sources import Source, open_source
from smartlearn.dashboard.sources.memory import MemoryHistory
from smartlearn.dashboard.sources.records import Records, points_of

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
"""A Monday."""


@cache
def export() -> Source:
    """The demo export, opened."""
    return open_source(demo_export(), Settings(node="tutor-1"))


@cache
def frames() -> dict[str, pd.DataFrame]:
    """The demo export as pandas reads it, times in UTC; without any code of ours."""
    document = json.loads(demo_export().read_text())
    found = {name: pd.DataFrame(document[f"{name}_metrics"]) for name in ("performance", "training", "user")}
    for frame in found.values():
        frame["timestamp"] = pd.to_datetime(frame["timestamp"], utc=True)
    performance = found["performance"]
    performance["gpu_memory"] = 100 * performance["gpu_memory_used"] / performance["gpu_memory_total"]
    return found


def ns(moment: datetime | pd.Timestamp) -> int:
    """ns since the epoch."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


def at(seconds: float) -> datetime:
    """So long after the start."""
    return START + timedelta(seconds=seconds)


def after(seconds: float) -> int:
    """The same in ns."""
    return ns(START) + int(seconds * SECOND)


def window(seconds: float) -> Window:
    """From the start on."""
    return Window(ns(START), after(seconds))


def history(
    performance: Sequence[Mapping[str, Any]] = (),
    training: Sequence[Mapping[str, Any]] = (),
    users: Sequence[Mapping[str, Any]] = (),
) -> MemoryHistory:
    """A history of hand-made records."""
    return MemoryHistory(points_of(Records(performance, training, users, "node-1", "run-1"), Settings().rules))


def buckets(frame: pd.DataFrame, column: str, width_s: int) -> pd.DataFrame:
    """mean, min, max and count of a column in windows aligned to the epoch; the index is their start in ns."""
    start = frame["timestamp"].map(ns) // (width_s * SECOND) * (width_s * SECOND)
    return frame[column].groupby(start.to_numpy()).agg(["mean", "min", "max", "count"])


def exact_quantile(values: pd.Series, q: float) -> float:
    """The nearest rank."""
    ordered = np.sort(values.to_numpy())
    return float(ordered[max(int(np.ceil(np.round(q * len(ordered), 6))), 1) - 1])
