"""What each metric is called and measured in."""

from __future__ import annotations

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
    "overfitting_gap": Metric("Overfitting gap", low=None),
    "score": Metric("Health", "", low=0.0, high=100.0),
}


def metric(name: str) -> Metric:
    """How to speak about a metric; one that a source added is called by its name."""
    return METRICS.get(name) or Metric(name.replace("_", " ").capitalize(), low=None)


def rule_of(name: str, settings: Settings) -> RuleSettings | None:
    """The rule that watches a metric, if one does."""
    return next((rule for rule in settings.rules if rule.metric == name), None)
