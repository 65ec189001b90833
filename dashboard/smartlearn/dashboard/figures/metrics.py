"""What each metric is called and measured in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from smartlearn.core.settings import RuleSettings, Settings


@dataclass(frozen=True, slots=True)
class Metric:
    """How to speak about a metric.

    Attributes:
        title: its name for people.
        unit: "%", "ms", "GB" or "".
        ratio: whether values are 0–1 and shown as a percentage.
        low: the bottom of its axis; None fits the data.
        high: the top; None fits the data.
    """

    title: str
    unit: str = ""
    ratio: bool = False
    low: float | None = 0.0
    high: float | None = None

    @property
    def percent(self) -> bool:
        """Whether its axis is 0–100 %."""
        return self.ratio or self.unit == "%"


METRICS: Final[dict[str, Metric]] = {
    "cpu_usage": Metric("CPU", "%"),
    "memory_usage": Metric("Memory", "%"),
    "gpu_memory": Metric("GPU memory", "%"),
    "gpu_memory_used": Metric("GPU memory in use", "GB"),
    "gpu_memory_total": Metric("GPU memory installed", "GB"),
    "response_time": Metric("Response time", "ms"),
    "model_accuracy": Metric("Model accuracy", ratio=True),
    "user_engagement": Metric("Engagement", "", low=1.0, high=10.0),
    "engagement_score": Metric("Engagement", "", low=1.0, high=10.0),
    "accuracy": Metric("Accuracy", ratio=True),
    "training_loss": Metric("Training loss", low=None),
    "validation_loss": Metric("Validation loss", low=None),
    "learning_rate": Metric("Learning rate", low=None),
    "steps_per_second": Metric("Speed", "steps/s"),
    "overfitting_gap": Metric("Overfitting gap", low=None),
    "score": Metric("Health", "", low=0.0, high=100.0),
    "cpu_user": Metric("CPU for programs", "%"),
    "cpu_nice": Metric("CPU for programs that yield", "%"),
    "cpu_irq": Metric("CPU for hardware interrupts", "%"),
    "cpu_softirq": Metric("CPU for software interrupts", "%"),
    "cpu_system": Metric("CPU for the system", "%"),
    "cpu_iowait": Metric("CPU waiting for disks", "%"),
    "cpu_steal": Metric("CPU taken by other machines", "%"),
    "load_1m": Metric("Load, 1 min"),
    "load_5m": Metric("Load, 5 min"),
    "load_15m": Metric("Load, 15 min"),
    "swap_usage": Metric("Swap", "%"),
    "memory_available_gb": Metric("Memory available", "GB"),
    "disk_usage": Metric("Disk", "%"),
    "disk_free_gb": Metric("Disk free", "GB"),
    "disk_read_mb_s": Metric("Disk read", "MB/s"),
    "disk_write_mb_s": Metric("Disk write", "MB/s"),
    "disk_reads_s": Metric("Disk reads", "/s"),
    "disk_writes_s": Metric("Disk writes", "/s"),
    "network_in_mb_s": Metric("Network in", "MB/s"),
    "network_out_mb_s": Metric("Network out", "MB/s"),
    "network_errors_s": Metric("Network errors", "/s"),
    "processes": Metric("Processes"),
    "process_memory_mb": Metric("Largest process, memory", "MB"),
    "process_cpu": Metric("Busiest process, of a core", "% of a core"),
    "gpu_utilization": Metric("GPU utilisation", "%"),
    "gpu_temperature": Metric("GPU temperature", "°C"),
    "gpu_power_w": Metric("GPU power", "W"),
    "gpu_processes": Metric("GPU processes"),
}

_CORE: Final = re.compile(r"cpu_core_(\w+)")
_UNITS: Final = (
    ("_mb_s", "MB/s"), ("_bytes_s", "B/s"), ("_gb", "GB"), ("_mb", "MB"), ("_ms", "ms"), ("_percent", "%"),
    ("_usage", "%"), ("_s", "/s"), ("_w", "W"),
)  # fmt: skip


def metric(name: str) -> Metric:
    """How to speak about a metric; one that a source added is called by its name, its unit is told by its ending."""
    known = METRICS.get(name)
    if known is not None:
        return known
    core = _CORE.fullmatch(name)
    if core is not None:
        return Metric(f"Core {core[1].lstrip('0') or '0'}", "%")
    for ending, unit in _UNITS:
        if name.endswith(ending) and len(name) > len(ending):
            return Metric(name.removesuffix(ending).replace("_", " ").capitalize(), unit, low=None)
    return Metric(name.replace("_", " ").capitalize(), low=None)


def rule_of(name: str, settings: Settings) -> RuleSettings | None:
    """The rule that watches a metric, if one does."""
    return next((rule for rule in settings.rules if rule.metric == name), None)
