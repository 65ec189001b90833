"""GPUs: what each has to do, and what each training run uses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from smartlearn.core.batch import FloatArray
from smartlearn.core.stores.base import Series, SeriesQuery
from smartlearn.dashboard.queries.columns import joined, numbers
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.performance import of_nodes
from smartlearn.dashboard.queries.rollups import Trend, Where, fold
from smartlearn.dashboard.queries.window import DAY, HOUR, WIDTH, Tier, Window, bucket_width, tier_for

GPU_METRICS: Final = ("gpu_memory", "gpu_utilization", "gpu_memory_used", "gpu_memory_total", "gpu_temperature")
MOST_RUNS: Final = 12
_MOST_GPUS: Final = 200
_LONGEST: Final = 7 * DAY
_BY_HOUR: Final = 10 * HOUR


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU in a window; NaN where it does not say.

    Attributes:
        node: its machine.
        gpu: which of the machine; "" where the machine has one.
        memory: % of its memory in use, mean.
        peak: % of its memory in use, at most.
        used: GB in use, mean.
        total: GB that it has.
        utilization: % of the time that it computed, mean.
        temperature: °C, at most.
    """

    node: str
    gpu: str
    memory: float
    peak: float
    used: float
    total: float
    utilization: float
    temperature: float

    @property
    def name(self) -> str:
        """Node and GPU."""
        return f"{self.node} · {self.gpu}" if self.gpu else self.node


@dataclass(frozen=True, slots=True)
class RunGpu:
    """What a training run used of its GPUs.

    Attributes:
        run: its name.
        memory: % of the GPUs' memory over time.
        utilization: % of the time that they computed, over time; empty where nobody says.
    """

    run: str
    memory: Trend
    utilization: Trend


def gpus(store: History, window: Window, chosen: Sequence[str] = ()) -> list[Gpu]:
    """The GPUs of the chosen nodes or of all, the least used first; at most 200."""
    where = of_nodes(chosen)
    stats = tuple(f"{metric}_{stat}" for metric in GPU_METRICS for stat in ("count", "sum"))
    sums = _whole(store, window, stats, where, "sum")
    highs = _whole(store, window, tuple(f"{metric}_max" for metric in GPU_METRICS), where, "max")
    found = []
    for (node, gpu), one in sums.items():
        mean = {
            metric: one[f"{metric}_sum"] / one[f"{metric}_count"] if one[f"{metric}_count"] else math.nan
            for metric in GPU_METRICS
        }
        if math.isnan(mean["gpu_memory"]) and math.isnan(mean["gpu_utilization"]):
            continue
        high = highs.get((node, gpu), {})
        found.append(
            Gpu(
                node, gpu, mean["gpu_memory"], high.get("gpu_memory_max", math.nan), mean["gpu_memory_used"],
                mean["gpu_memory_total"], mean["gpu_utilization"], high.get("gpu_temperature_max", math.nan),
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: (101.0 if math.isnan(one.utilization) else one.utilization, one.name))[
        :_MOST_GPUS
    ]


def _whole(
    store: History, window: Window, fields: tuple[str, ...], where: Where, agg: Literal["sum", "max"]
) -> dict[tuple[str, str], dict[str, float]]:
    """Node and GPU → field → its sum or its highest value in the window; NaN (of sums, 0) where it has none."""
    tier: Tier = "1h" if window.span >= _BY_HOUR else tier_for(window, store)
    every = max(window.span, WIDTH[tier])
    query = SeriesQuery(f"performance_{tier}", window.start, window.stop, fields, where, every=every, agg=agg)
    parts: dict[tuple[str, str], list[Series]] = {}
    for one in store.query(query):
        parts.setdefault((one.tags.get("node", ""), one.tags.get("gpu", "")), []).append(one)
    return {key: {name: _reduced(joined(series, name), agg) for name in fields} for key, series in parts.items()}


def _reduced(values: FloatArray, agg: Literal["sum", "max"]) -> float:
    known = values[~np.isnan(values)]
    if agg == "sum":
        return float(known.sum())
    return float(known.max()) if len(known) else math.nan


def gpus_by_run(store: History, window: Window, chosen: Sequence[str] = (), rows: int = 160) -> list[RunGpu]:
    """GPU memory and utilisation by training run, the newest run first; of the newest 12, in the last seven days.

    Stored panes do not say the run: these come from the raw samples, which the store averages.
    """
    start = max(window.start, window.stop - _LONGEST)
    cut = Window(start, window.stop)
    width = bucket_width(cut, rows)
    where = {**of_nodes(chosen), "run": tuple(store.tag_values("performance", "run"))}
    if not where["run"]:
        return []
    names = ("gpu_memory_used", "gpu_memory_total", "gpu_utilization")
    series = store.query(SeriesQuery("performance", cut.start, cut.stop, names, where, every=width, agg="mean"))
    groups: dict[str, list[Series]] = {}
    for one in series:
        groups.setdefault(one.tags["run"], []).append(_percent(one))
    found = [
        RunGpu(run, fold(parts, "gpu_memory", run, width), fold(parts, "gpu_utilization", run, width))
        for run, parts in groups.items()
    ]
    found = [one for one in found if len(one.memory) or len(one.utilization)]
    newest = sorted(found, key=lambda one: (-max(_last(one.memory), _last(one.utilization)), one.run))
    return newest[:MOST_RUNS]


def _percent(series: Series) -> Series:
    """The means of windows as rows that fold: each counts once."""
    used, total, busy = (numbers(series, name) for name in ("gpu_memory_used", "gpu_memory_total", "gpu_utilization"))
    with np.errstate(divide="ignore", invalid="ignore"):
        memory = np.where(total > 0, 100.0 * used / total, np.nan)
    fields = {}
    for name, values in (("gpu_memory", memory), ("gpu_utilization", busy)):
        fields[f"{name}_count"] = np.where(np.isfinite(values), 1.0, np.nan)
        fields |= {f"{name}_{stat}": values for stat in ("sum", "min", "max")}
    return Series(series.measurement, series.tags, series.time, fields)


def _last(line: Trend) -> int:
    return int(line.time[-1]) if len(line) else 0
