"""The metrics that user code hands over, and their checks at the door.

A value that the contract forbids raises at once, in the line that is wrong. NaN and infinity are facts about a run and
pass; None is absent. Numbers may be of any type that `float()` takes, a numpy scalar or a one-element tensor say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from smartlearn.core.batch import Kind
from smartlearn.core.errors import InvalidMessage
from smartlearn.core.schemas import MAX_METRICS, NUMERIC_FIELDS, WHOLE_FIELDS, metric_fault
from smartlearn.core.text_columns import label_fault


class InvalidEvent(InvalidMessage, ValueError):
    """A metric that cannot be, handed over by user code; names the field."""


@dataclass
class PerformanceMetrics:
    """One sample of a machine and of the model that it serves.

    Attributes:
        timestamp: when; without a zone it is local time, as `datetime.now()` gives it.
        cpu_usage: %.
        memory_usage: %.
        gpu_memory_used: GB.
        gpu_memory_total: GB.
        response_time: ms.
        model_accuracy: 0 to 1.
        user_engagement: 1 to 10.
        model_version: which model answered.
        metrics: further metrics by name (a-z, 0-9 and _).
    """

    timestamp: datetime
    cpu_usage: float
    memory_usage: float
    gpu_memory_used: float | None = None
    gpu_memory_total: float | None = None
    response_time: float | None = None
    model_accuracy: float | None = None
    user_engagement: float | None = None
    model_version: str | None = None
    metrics: Mapping[str, float] | None = None


@dataclass
class TrainingMetrics:
    """One step of a training.

    Attributes:
        epoch: its number.
        step: its number in the run.
        training_loss: the loss.
        learning_rate: the learning rate.
        validation_loss: where the step was validated.
        accuracy: 0 to 1.
        timestamp: when; set to now when it is added without one.
        metrics: further metrics by name (a-z, 0-9 and _).
    """

    epoch: int
    step: int
    training_loss: float
    learning_rate: float
    validation_loss: float | None = None
    accuracy: float | None = None
    timestamp: datetime | None = None
    metrics: Mapping[str, float] | None = None


@dataclass
class UserMetrics:
    """One interaction of a learner.

    Attributes:
        timestamp: when; without a zone it is local time.
        user_id: the learner; only a keyed pseudonym of it leaves the process.
        action: quiz, question, ….
        subject: what about.
        difficulty: how hard.
        response_time: ms.
        accuracy: 0 to 1.
        engagement_score: 1 to 10.
    """

    timestamp: datetime
    user_id: str
    action: str
    subject: str
    difficulty: str
    response_time: float
    accuracy: float
    engagement_score: float


def performance_fields(metrics: PerformanceMetrics, node: str) -> dict[str, Any]:
    """The fields of a performance event.

    Raises:
        InvalidEvent: a value cannot be.
    """
    fields = {
        "node": node,
        "cpu_usage": number(Kind.PERFORMANCE, "cpu_usage", metrics.cpu_usage),
        "memory_usage": number(Kind.PERFORMANCE, "memory_usage", metrics.memory_usage),
    }
    for name in _OPTIONAL_PERFORMANCE:
        value = getattr(metrics, name)
        if value is not None:
            fields[name] = number(Kind.PERFORMANCE, name, value)
    if metrics.model_version is not None:
        fields["model_version"] = label("model_version", metrics.model_version)
    return with_metrics(fields, metrics.metrics)


def training_fields(metrics: TrainingMetrics, run: str, node: str) -> dict[str, Any]:
    """The fields of a training event.

    Raises:
        InvalidEvent: a value cannot be.
    """
    fields = {
        "run": run,
        "node": node,
        "epoch": number(Kind.TRAINING, "epoch", metrics.epoch),
        "step": number(Kind.TRAINING, "step", metrics.step),
        "training_loss": number(Kind.TRAINING, "training_loss", metrics.training_loss),
        "learning_rate": number(Kind.TRAINING, "learning_rate", metrics.learning_rate),
    }
    if metrics.validation_loss is not None:
        fields["validation_loss"] = number(Kind.TRAINING, "validation_loss", metrics.validation_loss)
    if metrics.accuracy is not None:
        fields["accuracy"] = number(Kind.TRAINING, "accuracy", metrics.accuracy)
    return with_metrics(fields, metrics.metrics)


def interaction_fields(metrics: UserMetrics) -> dict[str, Any]:
    """The fields of an interaction, all but the learner.

    Raises:
        InvalidEvent: a value cannot be.
    """
    if not isinstance(metrics.user_id, str) or not metrics.user_id:
        raise InvalidEvent("user_id must be a text that is not empty", field="user_id")
    return {
        "action": label("action", metrics.action),
        "subject": label("subject", metrics.subject),
        "difficulty": label("difficulty", metrics.difficulty),
        "response_time": number(Kind.INTERACTION, "response_time", metrics.response_time),
        "accuracy": number(Kind.INTERACTION, "accuracy", metrics.accuracy),
        "engagement_score": number(Kind.INTERACTION, "engagement_score", metrics.engagement_score),
    }


_OPTIONAL_PERFORMANCE: Final = (
    "gpu_memory_used", "gpu_memory_total", "response_time", "model_accuracy", "user_engagement",
)  # fmt: skip


def number(kind: Kind, name: str, value: Any) -> float:
    """A numeric field as a float.

    Raises:
        InvalidEvent: it is no number, or out of the contract's bounds.
    """
    if type(value) is not float:
        value = _as_float(name, value)
    low, high = NUMERIC_FIELDS[kind][name]
    # NaN fails both comparisons, and is a fact like the infinities.
    if (value < low or value > high) and abs(value) != _INFINITY:
        raise InvalidEvent(f"{name} is {value:g} and must be {_span(low, high)}", field=name)
    if name in WHOLE_FIELDS and not value.is_integer():
        raise InvalidEvent(f"{name} is {value:g} and must be a whole number", field=name)
    return float(value)


_INFINITY: Final = float("inf")


def _as_float(name: str, value: Any) -> float:
    if isinstance(value, str | bytes | bool) or value is None:
        raise InvalidEvent(f"{name} must be a number, not {type(value).__name__}", field=name)
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError) as error:
        # RuntimeError is what a tensor of several elements raises.
        raise InvalidEvent(f"{name} must be a number, not {type(value).__name__}", field=name) from error


def _span(low: float, high: float) -> str:
    return f"at least {low:g}" if high > 1e15 else f"between {low:g} and {high:g}"


def label(name: str, value: Any) -> str:
    """A text field.

    Raises:
        InvalidEvent: it is no text of 1 to 200 characters in one line.
    """
    reason = label_fault(value)
    if reason is not None:
        raise InvalidEvent(f"{name} {reason}", field=name)
    return str(value)


def with_metrics(fields: dict[str, Any], metrics: Mapping[str, float] | None) -> dict[str, Any]:
    """The fields with further metrics among them.

    Raises:
        InvalidEvent: a metric may not be called so, or is no number, or there are too many.
    """
    if not metrics:
        return fields
    if len(metrics) > MAX_METRICS:
        raise InvalidEvent(f"there may be {MAX_METRICS} metrics, not {len(metrics)}", field="metrics")
    for name, value in metrics.items():
        reason = metric_fault(name) if isinstance(name, str) else "must be named by a text"
        if reason is not None:
            raise InvalidEvent(f"the metric {str(name)[:70]!r} {reason}", field="metrics")
        fields[name] = value if type(value) is float else _as_float(name, value)
    return fields
