"""The host's own metrics, by psutil."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psutil

from smartlearn.producers.sources.counters import Counters
from smartlearn.producers.sources.process import ProcessSource

_GB: Final = 1e9
_MOST_CORES: Final = 64
"""Cores that are shown each; of a larger machine the busiest and the idlest are."""

_CPU_STATES: Final = ("user", "nice", "system", "iowait", "irq", "softirq", "steal")


@dataclass(frozen=True, slots=True)
class HostSample:
    """What the host says of itself.

    Attributes:
        cpu_usage: % over all cores since the last sample.
        memory_usage: %.
        metrics: what else there is, by name.
    """

    cpu_usage: float
    memory_usage: float
    metrics: dict[str, float]


class HostSource:
    """Samples this machine. Rates and CPU are over the time since the last sample, or since it was made.

    What a system does not tell (load on Windows, the disk in some containers) is absent.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._counters = Counters(clock)
        self._processes = ProcessSource(clock)
        psutil.cpu_percent(percpu=True)
        psutil.cpu_times_percent()

    def sample(self) -> HostSample:
        """Take a sample."""
        cores = psutil.cpu_percent(percpu=True)
        memory = psutil.virtual_memory()
        metrics = {"memory_available_gb": memory.available / _GB}
        metrics |= _cores(cores) | _states() | _load() | _swap() | _disk()
        metrics |= self._counters.rates() | self._processes.sample()
        usage = sum(cores) / len(cores) if cores else psutil.cpu_percent()
        return HostSample(min(max(usage, 0.0), 100.0), memory.percent, metrics)


def _cores(cores: list[float]) -> dict[str, float]:
    if len(cores) <= 1:
        return {}
    if len(cores) > _MOST_CORES:
        return {"cpu_core_highest": max(cores), "cpu_core_lowest": min(cores)}
    return {f"cpu_core_{number:02}": value for number, value in enumerate(cores)}


def _states() -> dict[str, float]:
    """What the CPU's time went to, % of all cores; a system tells some of them."""
    times = psutil.cpu_times_percent()
    return {f"cpu_{name}": float(getattr(times, name)) for name in _CPU_STATES if hasattr(times, name)}


def _load() -> dict[str, float]:
    if not hasattr(os, "getloadavg"):
        return {}
    try:
        minute, five, quarter = os.getloadavg()
    except OSError:
        return {}
    return {"load_1m": minute, "load_5m": five, "load_15m": quarter}


def _swap() -> dict[str, float]:
    try:
        return {"swap_usage": psutil.swap_memory().percent}
    except (OSError, RuntimeError):
        return {}


def _disk() -> dict[str, float]:
    try:
        disk = psutil.disk_usage(os.path.abspath(os.sep))  # noqa: PTH100
    except OSError:
        return {}
    return {"disk_usage": disk.percent, "disk_free_gb": disk.free / _GB}
