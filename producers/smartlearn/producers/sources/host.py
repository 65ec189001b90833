"""The host's own metrics, by psutil."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psutil

_MB: Final = 1_000_000.0
_MOST_CORES: Final = 64
"""Cores that are shown each; of a larger machine the busiest and the idlest are."""


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
        self._clock = clock
        self._at = clock()
        psutil.cpu_percent(percpu=True)
        self._counters = _counters()

    def sample(self) -> HostSample:
        """Take a sample."""
        cores = psutil.cpu_percent(percpu=True)
        memory = psutil.virtual_memory()
        metrics = {"processes": float(len(psutil.pids()))}
        metrics |= _cores(cores) | _load() | _swap() | _disk() | self._rates()
        usage = sum(cores) / len(cores) if cores else psutil.cpu_percent()
        return HostSample(min(max(usage, 0.0), 100.0), memory.percent, metrics)

    def _rates(self) -> dict[str, float]:
        """MB/s of disk and network."""
        at, counters = self._clock(), _counters()
        seconds, before = at - self._at, self._counters
        self._at, self._counters = at, counters
        if seconds <= 0:
            return {}
        return {
            f"{name}_mb_s": max(value - before[name], 0.0) / _MB / seconds
            for name, value in counters.items()
            if name in before
        }


def _cores(cores: list[float]) -> dict[str, float]:
    if len(cores) <= 1:
        return {}
    if len(cores) > _MOST_CORES:
        return {"cpu_core_highest": max(cores), "cpu_core_lowest": min(cores)}
    return {f"cpu_core_{number}": value for number, value in enumerate(cores)}


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
        return {"disk_usage": psutil.disk_usage(os.path.abspath(os.sep)).percent}  # noqa: PTH100
    except OSError:
        return {}


def _counters() -> dict[str, float]:
    """Bytes since the start of the machine."""
    found: dict[str, float] = {}
    try:
        disk = psutil.disk_io_counters()
    except (OSError, RuntimeError):
        disk = None
    if disk is not None:
        found |= {"disk_read": float(disk.read_bytes), "disk_write": float(disk.write_bytes)}
    try:
        network = psutil.net_io_counters()
    except OSError:
        return found
    if network is not None:
        found |= {"network_in": float(network.bytes_recv), "network_out": float(network.bytes_sent)}
    return found
