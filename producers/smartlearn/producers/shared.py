"""The helpers of the façade: one collector per process, that they add to and export from."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from smartlearn.core.batch import Kind
from smartlearn.core.errors import StoreError
from smartlearn.core.export_format import format_export_time, write_export
from smartlearn.producers.collector import MetricsCollector
from smartlearn.producers.events import TrainingMetrics, UserMetrics
from smartlearn.producers.learners import learner_pseudonyms
from smartlearn.producers.moments import moment_us, now_local

_lock = threading.Lock()
_collector: MetricsCollector | None = None


def get_metrics_collector() -> MetricsCollector:
    """The collector of this process, which the helpers add to.

    Raises:
        SettingsError: smartlearn.toml or the environment holds a value that is not allowed.
    """
    global _collector  # noqa: PLW0603  one collector per process is the point
    if _collector is None:
        with _lock:
            _collector = _collector or MetricsCollector()
    return _collector


def add_training_metrics(
    epoch: int,
    step: int,
    training_loss: float,
    validation_loss: float | None = None,
    learning_rate: float = 1e-4,
    accuracy: float | None = None,
    metrics: Mapping[str, float] | None = None,
) -> None:
    """Record a step of this process' training.

    Args:
        epoch: its number.
        step: its number in the run.
        training_loss: the loss; NaN and infinity are recorded as such.
        validation_loss: where the step was validated.
        learning_rate: the learning rate.
        accuracy: 0 to 1.
        metrics: further metrics by name.

    Raises:
        InvalidEvent: a value cannot be.
    """
    get_metrics_collector().add_training_metrics(
        TrainingMetrics(
            epoch=epoch,
            step=step,
            training_loss=training_loss,
            learning_rate=learning_rate,
            validation_loss=validation_loss,
            accuracy=accuracy,
            metrics=metrics,
        )
    )


def add_user_interaction(
    user_id: str,
    action: str,
    subject: str,
    difficulty: str,
    response_time: float,
    accuracy: float,
    engagement_score: float,
) -> None:
    """Record an interaction of a learner, now.

    Args:
        user_id: the learner; only a keyed pseudonym of it leaves the process.
        action: quiz, question, ….
        subject: what about.
        difficulty: how hard.
        response_time: ms.
        accuracy: 0 to 1.
        engagement_score: 1 to 10.

    Raises:
        InvalidEvent: a value cannot be.
        SettingsError: there is no pseudonym key, and a server is set whose nodes share one.
    """
    get_metrics_collector().add_user_metrics(
        UserMetrics(
            timestamp=now_local(),
            user_id=user_id,
            action=action,
            subject=subject,
            difficulty=difficulty,
            response_time=response_time,
            accuracy=accuracy,
            engagement_score=engagement_score,
        )
    )


def export_metrics_data(collector: MetricsCollector, path: str | os.PathLike[str] | None = None) -> Path:
    """Write what a collector keeps to a JSON file that `smartlearn import` reads; user ids become pseudonyms.

    Args:
        collector: whose metrics.
        path: where to; default: smartlearn_metrics_<local time>.json in the working directory.

    Returns:
        The file.

    Raises:
        StoreError: the file cannot be written.
        SettingsError: there is no pseudonym key, and a server is set whose nodes share one.
    """
    target = Path(path) if path is not None else Path(f"smartlearn_metrics_{now_local():%Y%m%d_%H%M%S}.json")
    users = list(collector.user_metrics)
    pseudonyms = learner_pseudonyms(collector.settings) if users else None
    records: dict[Kind, list[Mapping[str, Any]]] = {
        Kind.PERFORMANCE: [_record(one) for one in list(collector.performance_metrics)],
        Kind.TRAINING: [_record(one) for one in list(collector.training_metrics)],
        Kind.INTERACTION: [
            _record(one) | {"user_id": pseudonyms.of(one.user_id)} for one in users if pseudonyms is not None
        ],
    }
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            write_export(file, {kind: [rows] for kind, rows in records.items()}, now=datetime.now(UTC))
        temporary.replace(target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise StoreError(f"the export {target} cannot be written: {error.strerror}") from error
    return target


def _record(metrics: Any) -> dict[str, Any]:
    """A record of the format; its time in UTC."""
    fields: dict[str, Any] = vars(metrics)
    return fields | {"timestamp": format_export_time(moment_us(metrics.timestamp))}
