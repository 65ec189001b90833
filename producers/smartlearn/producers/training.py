"""A training loop of your own records itself; callbacks.py does the same for Lightning and Hugging Face.

    with track_training(total_steps=1000, settings={"model": "tutor-7b"}) as run:
        for batch in batches:
            loss = train(batch)
            run.step(loss, optimizer=optimizer)

A loss that is a tensor is read one step later, so that the hook does not make the program wait for its GPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from smartlearn.producers.collector import MetricsCollector
from smartlearn.producers.events import TrainingMetrics
from smartlearn.producers.moments import now_local
from smartlearn.producers.shared import get_metrics_collector


class TrainingRun:
    """Records the steps of one training. For one thread.

    Attributes:
        collector: what records.
        epoch: the present epoch; set it, or give it to `step`.
        next_step: the number of the step that `step` records when it is not told.
    """

    def __init__(
        self,
        *,
        total_steps: int | None = None,
        settings: Mapping[str, Any] | None = None,
        every: int = 1,
        run: str | None = None,
        collector: MetricsCollector | None = None,
    ) -> None:
        """Begin a run.

        Args:
            total_steps: how many steps are planned; makes progress and the time left known.
            settings: what the run is: any JSON object.
            every: record every so many steps only.
            run: the run's id; default: the collector's, which is new per process start.
            collector: what records; default: the collector of the process.
        """
        if run is not None:
            base = collector or get_metrics_collector()
            collector = MetricsCollector(base.max_history, settings=base.settings, node=base.node, run=run)
        self.collector = collector or get_metrics_collector()
        self.epoch = 1
        self.next_step = 0
        self._every = max(every, 1)
        self._held: TrainingMetrics | None = None
        self._ended = False
        self.collector.add_run_event("start")
        said = dict(settings or {}) | ({} if total_steps is None else {"total_steps": total_steps})
        if said:
            self.collector.add_run_event("settings", said)

    @property
    def run(self) -> str:
        """The run's id."""
        return self.collector.run

    def step(
        self,
        loss: Any,
        *,
        step: int | None = None,
        epoch: int | None = None,
        learning_rate: float | None = None,
        optimizer: Any = None,
        validation_loss: Any = None,
        accuracy: Any = None,
        metrics: Mapping[str, Any] | None = None,
    ) -> None:
        """Record a step.

        Args:
            loss: a number or a tensor of one element.
            step: its number; default: one more than the last.
            epoch: its epoch; default: the last one given.
            learning_rate: default: that of the optimizer's first group, else 0.
            optimizer: what a PyTorch loop has; only its learning rate is read.
            validation_loss: where the step was validated.
            accuracy: 0 to 1.
            metrics: further metrics by name.

        Raises:
            InvalidEvent: a value cannot be; of a tensor, at the next step.
        """
        number = self.next_step if step is None else step
        self.next_step = number + 1
        if epoch is not None:
            self.epoch = epoch
        if number % self._every and validation_loss is None:
            return
        if learning_rate is None:
            learning_rate = 0.0 if optimizer is None else optimizer.param_groups[0]["lr"]
        recorded = TrainingMetrics(
            epoch=self.epoch,
            step=number,
            training_loss=_detached(loss),
            learning_rate=learning_rate,
            validation_loss=_detached(validation_loss),
            accuracy=_detached(accuracy),
            timestamp=now_local(),
            metrics=metrics,
        )
        self._release()
        if _waits(recorded):
            self._held = recorded
        else:
            self.collector.add_training_metrics(recorded)

    def checkpoint(self, path: Any = None, **payload: Any) -> None:
        """Record that a checkpoint was written."""
        said = {"step": max(self.next_step - 1, 0)} | ({} if path is None else {"path": str(path)})
        self.collector.add_run_event("checkpoint", said | payload)

    def end(self, error: BaseException | None = None, **payload: Any) -> None:
        """Record that the run is over; once."""
        if self._ended:
            return
        self._ended = True
        self._release()
        said = {"status": "finished"} if error is None else {"status": "failed", "error": type(error).__name__}
        self.collector.add_run_event("end", said | payload)

    def _release(self) -> None:
        held, self._held = self._held, None
        if held is None:
            return
        held.training_loss = _read(held.training_loss)
        held.validation_loss = _read(held.validation_loss)
        held.accuracy = _read(held.accuracy)
        self.collector.add_training_metrics(held)


@contextmanager
def track_training(
    *,
    total_steps: int | None = None,
    settings: Mapping[str, Any] | None = None,
    every: int = 1,
    run: str | None = None,
    collector: MetricsCollector | None = None,
) -> Iterator[TrainingRun]:
    """A `TrainingRun` for a block: its end is recorded, and how it ended. The arguments are those of `TrainingRun`."""
    tracked = TrainingRun(total_steps=total_steps, settings=settings, every=every, run=run, collector=collector)
    try:
        yield tracked
    except BaseException as error:
        tracked.end(error)
        raise
    tracked.end()


def _detached(value: Any) -> Any:
    """A tensor without its graph, which would otherwise live until it is read."""
    return value.detach() if hasattr(value, "detach") else value


def _waits(metrics: TrainingMetrics) -> bool:
    """Whether reading the values may have to wait for a GPU."""
    return any(hasattr(v, "detach") for v in (metrics.training_loss, metrics.validation_loss, metrics.accuracy))


def _read(value: Any) -> Any:
    return float(value) if hasattr(value, "detach") else value
