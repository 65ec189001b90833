"""GPU memory: through NVML where an NVIDIA driver is, else through a torch that the program has loaded itself.

Where there is neither, there is no GPU, and nothing is said about it. torch is never imported here: it takes seconds
and hundreds of MB, and a program that trains has it already.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

_GB: Final = 1024.0**3


@dataclass(frozen=True, slots=True)
class GpuSample:
    """One GPU.

    Attributes:
        name: which of the machine.
        used: GB in use.
        total: GB that it has.
        metrics: what else there is, by name.
    """

    name: str
    used: float
    total: float
    metrics: Mapping[str, float] = field(default_factory=dict)


class GpuSource:
    """Samples the GPUs of this machine."""

    def __init__(self) -> None:
        self._nvml: Any = None
        self._asked = False

    def sample(self) -> list[GpuSample]:
        """A sample of each GPU; none where there is none, or its driver does not answer."""
        if not self._asked:
            self._asked = True
            self._nvml = _open_nvml()
        if self._nvml is not None:
            return _by_nvml(self._nvml)
        return _by_torch(sys.modules.get("torch"))


def _open_nvml() -> Any:
    """NVML, ready to be asked; None where there is no driver or no binding."""
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


def _by_nvml(nvml: Any) -> list[GpuSample]:
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(nvml.nvmlDeviceGetCount())]
    except nvml.NVMLError:
        return []
    found = []
    for number, handle in enumerate(handles):
        try:
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        except nvml.NVMLError:
            continue
        found.append(GpuSample(str(number), memory.used / _GB, memory.total / _GB, _details(nvml, handle)))
    return found


def _details(nvml: Any, handle: Any) -> dict[str, float]:
    """What not every GPU tells."""
    questions: dict[str, Callable[[], Any]] = {
        "gpu_utilization": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        "gpu_temperature": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
        "gpu_power_w": lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1000.0,
        "gpu_processes": lambda: len(nvml.nvmlDeviceGetComputeRunningProcesses(handle)),
    }
    found = {}
    for name, ask in questions.items():
        try:
            found[name] = float(ask())
        except (nvml.NVMLError, AttributeError):  # a driver or a binding that does not tell
            continue
    return found


def _by_torch(torch: Any) -> list[GpuSample]:
    """What a loaded torch says; its CUDA is asked only where the program uses it already."""
    if torch is None:
        return []
    try:
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            found = []
            for number in range(torch.cuda.device_count()):
                free, total = torch.cuda.mem_get_info(number)
                found.append(GpuSample(str(number), (total - free) / _GB, total / _GB))
            return found
        if torch.backends.mps.is_available():
            used, total = torch.mps.driver_allocated_memory(), torch.mps.recommended_max_memory()
            return [GpuSample("0", used / _GB, total / _GB)]
    except (AttributeError, RuntimeError):
        # An old torch without these calls, one still being imported, or a GPU that is lost.
        return []
    return []
