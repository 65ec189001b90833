"""Callbacks for Lightning and Hugging Face. Neither is imported before its callback is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final

from smartlearn.core.schemas import metric_fault
from smartlearn.producers.collector import MetricsCollector
from smartlearn.producers.training import TrainingRun

_LOSS_NAMES: Final = ("train_loss", "training_loss", "loss", "train_loss_step")
_VALIDATION_NAMES: Final = ("val_loss", "validation_loss", "valid_loss", "eval_loss")
_ACCURACY_NAMES: Final = ("accuracy", "val_acc", "val_accuracy", "eval_accuracy", "train_acc", "acc")
_RATE_NAMES: Final = ("learning_rate", "lr")


def lightning_callback(*, every: int = 1, run: str | None = None, collector: MetricsCollector | None = None) -> Any:
    """A callback for Lightning's Trainer: `Trainer(callbacks=[lightning_callback()])`.

    Raises:
        ImportError: Lightning is not installed.
    """
    try:
        base: Any = import_module("lightning.pytorch").Callback
    except ImportError:
        # The same under the name that it had before.
        base = import_module("pytorch_lightning").Callback

    class SmartLearnCallback(base):  # type: ignore[misc]
        """Records a Lightning training."""

        tracked: TrainingRun | None = None

        def on_train_start(self, trainer: Any, pl_module: Any) -> None:
            """Begin the run."""
            planned = getattr(trainer, "estimated_stepping_batches", None)
            self.tracked = TrainingRun(
                total_steps=int(planned) if planned not in {None, float("inf")} else None,
                settings={"model": type(pl_module).__name__, "max_epochs": getattr(trainer, "max_epochs", None)},
                every=every,
                run=run,
                collector=collector,
            )

        def on_train_batch_end(
            self,
            trainer: Any,
            pl_module: Any,
            outputs: Any,
            batch: Any,
            batch_idx: int,
        ) -> None:
            """Record the step."""
            loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
            if self.tracked is None or loss is None:
                return
            optimizers = getattr(trainer, "optimizers", None) or [None]
            self.tracked.step(
                loss,
                step=trainer.global_step,
                epoch=trainer.current_epoch + 1,
                optimizer=optimizers[0],
                accuracy=_first(trainer.callback_metrics, _ACCURACY_NAMES),
            )

        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            """Record the validation at the step that it followed."""
            found = _first(trainer.callback_metrics, _VALIDATION_NAMES)
            loss = _first(trainer.callback_metrics, _LOSS_NAMES)
            if self.tracked is None or found is None or loss is None or getattr(trainer, "sanity_checking", False):
                return
            self.tracked.step(
                loss,
                step=trainer.global_step,
                epoch=trainer.current_epoch + 1,
                optimizer=(getattr(trainer, "optimizers", None) or [None])[0],
                validation_loss=found,
                accuracy=_first(trainer.callback_metrics, _ACCURACY_NAMES),
            )

        def on_train_end(self, trainer: Any, pl_module: Any) -> None:
            """End the run."""
            if self.tracked is not None:
                self.tracked.end()

        def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
            """End the run as failed."""
            if self.tracked is not None:
                self.tracked.end(exception)

    return SmartLearnCallback()


def huggingface_callback(*, run: str | None = None, collector: MetricsCollector | None = None) -> Any:
    """A callback for Hugging Face's Trainer: `trainer.add_callback(huggingface_callback())`.

    It records what the trainer logs, as often as `logging_steps` and `eval_steps` say.

    Raises:
        ImportError: transformers is not installed.
    """
    base: Any = import_module("transformers").TrainerCallback

    class SmartLearnCallback(base):  # type: ignore[misc]
        """Records a Hugging Face training."""

        tracked: TrainingRun | None = None
        loss: float = float("nan")
        rate: float = 0.0

        def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Begin the run."""
            if state.is_world_process_zero:
                self.tracked = TrainingRun(
                    total_steps=state.max_steps or None,
                    settings={
                        "epochs": getattr(args, "num_train_epochs", None),
                        "batch_size": getattr(args, "per_device_train_batch_size", None),
                        "learning_rate": getattr(args, "learning_rate", None),
                    },
                    run=run,
                    collector=collector,
                )

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:
            """Record what was logged: a step, a validation."""
            values = dict(logs or {})
            loss, validation = _first(values, ("loss",)), _first(values, _VALIDATION_NAMES)
            if self.tracked is None or (loss is None and validation is None):
                return
            self.loss = self.loss if loss is None else loss
            rate = _first(values, _RATE_NAMES)
            self.rate = self.rate if rate is None else rate
            self.tracked.step(
                self.loss,
                step=state.global_step,
                epoch=int(state.epoch or 0) + 1,
                learning_rate=self.rate,
                validation_loss=validation,
                accuracy=_first(values, _ACCURACY_NAMES),
                metrics=_others(values),
            )

        def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """Record the checkpoint."""
            if self.tracked is not None:
                self.tracked.checkpoint(step=state.global_step)

        def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            """End the run."""
            if self.tracked is not None:
                self.tracked.end()

    return SmartLearnCallback()


def _first(values: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    return next((values[name] for name in names if values.get(name) is not None), None)


def _others(values: Mapping[str, Any]) -> dict[str, float]:
    """The numbers among the logged values that have no field of their own and may be metrics."""
    known = {*_LOSS_NAMES, *_VALIDATION_NAMES, *_ACCURACY_NAMES, *_RATE_NAMES, "epoch", "step"}
    return {
        name: float(value)
        for name, value in values.items()
        if name not in known and isinstance(value, int | float) and metric_fault(name) is None
    }
