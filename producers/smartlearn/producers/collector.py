"""MetricsCollector: what a program holds to record its metrics, and to look at the newest of them.

What is added is kept in three bounded lists and sent. There need not be a broker: then events wait on disk, which is
said once.
"""

from __future__ import annotations

import threading
import weakref
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias, overload

from smartlearn.core.batch import Kind
from smartlearn.core.pseudonyms import Pseudonymizer
from smartlearn.core.settings import Settings, load_settings
from smartlearn.producers.client import EventProducer
from smartlearn.producers.events import (
    InvalidEvent,
    PerformanceMetrics,
    TrainingMetrics,
    UserMetrics,
    interaction_fields,
    label,
    performance_fields,
    training_fields,
    with_metrics,
)
from smartlearn.producers.events import number as checked_number
from smartlearn.producers.learners import learner_pseudonyms
from smartlearn.producers.moments import moment_us, now_local
from smartlearn.producers.names import new_run
from smartlearn.producers.sources.machine import Machine

RunEventType: TypeAlias = Literal["start", "settings", "checkpoint", "end"]

# The first sample of a machine needs a moment of CPU time to be about.
_FIRST_SAMPLE_S: Final = 1.0

_JOIN_S: Final = 1.0


class MetricsCollector:
    """Records performance, training and user metrics of this process; may be used from several threads.

    A switch that is off in the settings (`collection.performance`, `.training`, `.user`) makes the metrics of its kind
    be ignored: neither kept nor sent.

    Attributes:
        performance_metrics: the newest samples, oldest first, as they were added.
        training_metrics: the newest steps.
        user_metrics: the newest interactions, with the ids as they were given; they stay in this process.
        max_history: how many of each are kept.
        node: the machine's name.
        run: the training run that steps belong to; a new one per process start unless it was given.
        is_collecting: whether the machine is being sampled.
    """

    def __init__(
        self,
        max_history: int | None = None,
        *,
        settings: Settings | None = None,
        node: str | None = None,
        run: str | None = None,
        producer: EventProducer | None = None,
    ) -> None:
        """Prepare; nothing is sampled, and no connection made, before there is something to send.

        Args:
            max_history: how many metrics of each kind are kept; default `collection.max_history` of the settings.
            settings: default: smartlearn.toml and the environment.
            node: default: `node` of the settings, which is the host's name.
            run: the id of the training run; default: a new one.
            producer: what sends; default: one of this process, shared by its collectors.

        Raises:
            SettingsError: a setting is not allowed.
            InvalidEvent: the node or the run is no name.
        """
        self.settings = settings or load_settings()
        self.max_history = self.settings.collection.max_history if max_history is None else max_history
        self.node = label("node", node or self.settings.node)
        self.run = label("run", run or new_run(self.node))
        self.performance_metrics: list[PerformanceMetrics] = []
        self.training_metrics: list[TrainingMetrics] = []
        self.user_metrics: list[UserMetrics] = []
        self.is_collecting = False
        self.collection_thread: threading.Thread | None = None
        self._producer = producer or shared_producer(self.settings)
        self._pseudonyms: Pseudonymizer | None = None
        self._stop = threading.Event()

    def start_collection(self) -> None:
        """Sample this machine every `collection.interval_s` seconds, until `stop_collection`."""
        if self.is_collecting:
            return
        self.is_collecting = True
        self._stop = threading.Event()
        self.collection_thread = threading.Thread(
            target=self._collect, args=(self._stop,), name="smartlearn-collector", daemon=True
        )
        self.collection_thread.start()

    def stop_collection(self) -> None:
        """Stop sampling; what was recorded stays, and is sent."""
        self.is_collecting = False
        self._stop.set()
        if self.collection_thread is not None:
            self.collection_thread.join(_JOIN_S)

    def add_performance_metrics(self, metrics: PerformanceMetrics) -> None:
        """Record a sample of a machine.

        Raises:
            InvalidEvent: a value cannot be, such as a usage of 120 %; nothing is recorded then.
        """
        if self.settings.collection.performance:
            fields = performance_fields(metrics, self.node)
            self._record(Kind.PERFORMANCE, fields, metrics.timestamp, self.performance_metrics, metrics)

    def add_training_metrics(self, metrics: TrainingMetrics) -> None:
        """Record a step of a training; one without a time is of now.

        Raises:
            InvalidEvent: a value cannot be; NaN and infinite losses can.
        """
        if self.settings.collection.training:
            fields = training_fields(metrics, self.run, self.node)
            if metrics.timestamp is None:
                metrics.timestamp = now_local()
            self._record(Kind.TRAINING, fields, metrics.timestamp, self.training_metrics, metrics)

    def add_user_metrics(self, metrics: UserMetrics) -> None:
        """Record an interaction of a learner, whose id leaves this process as a keyed pseudonym only.

        Raises:
            InvalidEvent: a value cannot be.
            SettingsError: there is no pseudonym key, and a server is set whose nodes share one.
        """
        if self.settings.collection.user:
            fields = interaction_fields(metrics)
            fields["learner"] = self._pseudonym(metrics.user_id)
            self._record(Kind.INTERACTION, fields, metrics.timestamp, self.user_metrics, metrics)

    def add_run_event(self, type: RunEventType, payload: dict[str, Any] | None = None) -> None:  # noqa: A002
        """Record a moment in the life of the training run.

        Args:
            type: start, settings, checkpoint or end.
            payload: any JSON object; `total_steps` in the settings makes progress known, `status` or `error` at the
                end says how it ended.

        Raises:
            InvalidEvent: the type is none of the four.
        """
        if type not in {"start", "settings", "checkpoint", "end"}:
            raise InvalidEvent("type must be start, settings, checkpoint or end", field="type")
        if self.settings.collection.training:
            fields = {"run": self.run, "node": self.node, "type": type, "payload": payload or {}}
            self._producer.emit(Kind.RUN, fields)

    def add_model_answer(
        self,
        response_time: float,
        model_version: str | None = None,
        *,
        failed: bool = False,
        accuracy: float | None = None,
        metrics: dict[str, float] | None = None,
    ) -> None:
        """Record how long a model took for an answer; it is sent, but not kept, since it is no sample of a machine.

        Args:
            response_time: ms.
            model_version: which model.
            failed: whether it raised; the mean of `model_errors` is the share that did.
            accuracy: of the answer, 0 to 1, if known.
            metrics: further metrics by name.

        Raises:
            InvalidEvent: a value cannot be.
        """
        if not self.settings.collection.performance:
            return
        fields: dict[str, Any] = {
            "node": self.node,
            "response_time": checked_number(Kind.PERFORMANCE, "response_time", response_time),
            "model_errors": 1.0 if failed else 0.0,
        }
        if model_version is not None:
            fields["model_version"] = label("model_version", model_version)
        if accuracy is not None:
            fields["model_accuracy"] = checked_number(Kind.PERFORMANCE, "model_accuracy", accuracy)
        self._producer.emit(Kind.PERFORMANCE, with_metrics(fields, metrics))

    @overload
    def get_latest_metrics(self, metric_type: Literal["performance"] = ...) -> PerformanceMetrics | None: ...
    @overload
    def get_latest_metrics(self, metric_type: Literal["training"]) -> TrainingMetrics | None: ...
    @overload
    def get_latest_metrics(self, metric_type: Literal["user"]) -> UserMetrics | None: ...
    @overload
    def get_latest_metrics(self, metric_type: str) -> Any: ...
    def get_latest_metrics(self, metric_type: str = "performance") -> Any:
        """The newest metrics of a type (performance, training or user); None without any, or of another type."""
        kept = self._kept(metric_type)
        return kept[-1] if kept else None

    @overload
    def get_metrics_history(
        self, metric_type: Literal["performance"] = ..., hours: float = ...
    ) -> list[PerformanceMetrics]: ...
    @overload
    def get_metrics_history(self, metric_type: Literal["training"], hours: float = ...) -> list[TrainingMetrics]: ...
    @overload
    def get_metrics_history(self, metric_type: Literal["user"], hours: float = ...) -> list[UserMetrics]: ...
    @overload
    def get_metrics_history(self, metric_type: str, hours: float = ...) -> list[Any]: ...
    def get_metrics_history(self, metric_type: str = "performance", hours: float = 24) -> list[Any]:
        """The kept metrics of a type whose time lies in the last hours; times without a zone are local ones."""
        oldest = now_local().astimezone() - timedelta(hours=hours)
        return [metrics for metrics in self._kept(metric_type) if metrics.timestamp.astimezone() > oldest]

    def counts(self) -> dict[str, dict[str, int]]:
        """Topic → produced, delivered, spooled, dropped and refused events of this process so far."""
        return self._producer.counts()

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until what was recorded is delivered, `producer.flush_s` seconds by default; return whether it is."""
        return self._producer.flush(timeout)

    def _kept(self, metric_type: str) -> list[Any]:
        kept: dict[str, list[Any]] = {
            "performance": self.performance_metrics,
            "training": self.training_metrics,
            "user": self.user_metrics,
        }
        return kept.get(metric_type, [])

    def _record(self, kind: Kind, fields: dict[str, Any], timestamp: datetime, kept: list[Any], metrics: Any) -> None:
        try:
            time_us = moment_us(timestamp)
        except (AttributeError, TypeError, ValueError, OverflowError):
            raise InvalidEvent(f"timestamp must be a datetime, not {timestamp!r:.60}", field="timestamp") from None
        kept.append(metrics)
        if len(kept) > self.max_history:
            del kept[: len(kept) - self.max_history]
        self._producer.emit(kind, fields, time_us)

    def _pseudonym(self, user_id: str) -> str:
        if self._pseudonyms is None:
            self._pseudonyms = learner_pseudonyms(self.settings)
        return self._pseudonyms.of(user_id)

    def _collect(self, stop: threading.Event) -> None:
        if not self.settings.collection.performance:
            return
        machine = Machine(self.node)
        interval = self.settings.collection.interval_s
        wait = min(_FIRST_SAMPLE_S, interval)
        while not stop.wait(wait):
            wait = interval
            sample = machine.sample()
            now = now_local()
            self.performance_metrics.append(
                PerformanceMetrics(
                    now,
                    sample.cpu_usage,
                    sample.memory_usage,
                    gpu_memory_used=sample.gpu_memory_used,
                    gpu_memory_total=sample.gpu_memory_total,
                )
            )
            del self.performance_metrics[: -self.max_history]
            for fields in sample.events:
                self._producer.emit(Kind.PERFORMANCE, fields, moment_us(now))


_producers: weakref.WeakValueDictionary[tuple[object, ...], EventProducer] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def shared_producer(settings: Settings) -> EventProducer:
    """The producer of this process for an installation."""
    key = (settings.data_dir.absolute(), settings.node, settings.kafka.bootstrap_servers)
    with _lock:
        producer = _producers.get(key)
        if producer is None:
            producer = _producers[key] = EventProducer(settings)
        return producer
