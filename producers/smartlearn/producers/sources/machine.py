"""This machine as a node: its host and its GPUs, as performance events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from smartlearn.producers.sources.gpu import GpuSample, GpuSource
from smartlearn.producers.sources.host import HostSource


@dataclass(frozen=True, slots=True)
class MachineSample:
    """One look at the machine.

    Attributes:
        cpu_usage: %.
        memory_usage: %.
        gpu_memory_used: GB, over all GPUs; None without any.
        gpu_memory_total: GB, likewise.
        events: the fields of one event of the host, and of one for each GPU where it has several.
    """

    cpu_usage: float
    memory_usage: float
    gpu_memory_used: float | None
    gpu_memory_total: float | None
    events: list[dict[str, Any]]


class Machine:
    """Samples the host and its GPUs."""

    def __init__(self, node: str) -> None:
        """Remember the node's name, and where the counters stand."""
        self._node = node
        self._host = HostSource()
        self._gpus = GpuSource()

    def sample(self) -> MachineSample:
        """Take a sample."""
        host, gpus = self._host.sample(), self._gpus.sample()
        event: dict[str, Any] = {
            "node": self._node,
            "cpu_usage": host.cpu_usage,
            "memory_usage": host.memory_usage,
            **host.metrics,
        }
        events = [event]
        if len(gpus) == 1:
            event |= _fields(gpus[0])
        else:
            events += [{"node": self._node, "gpu": gpu.name, **_fields(gpu)} for gpu in gpus]
        return MachineSample(
            host.cpu_usage,
            host.memory_usage,
            sum(gpu.used for gpu in gpus) if gpus else None,
            sum(gpu.total for gpu in gpus) if gpus else None,
            events,
        )


def _fields(gpu: GpuSample) -> dict[str, Any]:
    return {"gpu_memory_used": gpu.used, "gpu_memory_total": gpu.total, **gpu.metrics}
