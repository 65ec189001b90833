from __future__ import annotations

import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tests.unit.producers.brokers import FakeBroker

from smartlearn.core.settings import KafkaSettings, Settings
from smartlearn.producers.callbacks import huggingface_callback, lightning_callback
from smartlearn.producers.client import EventProducer
from smartlearn.producers.collector import MetricsCollector
from smartlearn.producers.events import InvalidEvent
from smartlearn.producers.training import TrainingRun, track_training


class Recorder(MetricsCollector):
    """A collector that sends nothing and notes the run events."""

    def __init__(self, folder: Path) -> None:
        settings = Settings(data_dir=folder, node="n1", kafka=KafkaSettings(bootstrap_servers="127.0.0.1:1"))
        producer = EventProducer(settings, connect=FakeBroker().connect)
        super().__init__(settings=settings, run="r1", producer=producer)
        self.events: list[tuple[str, dict[str, Any]]] = []

    def add_run_event(self, type: Any, payload: dict[str, Any] | None = None) -> None:  # noqa: A002
        self.events.append((type, payload or {}))

    @property
    def steps(self) -> list[tuple[int, int, float, float | None]]:
        return [(one.epoch, one.step, one.training_loss, one.validation_loss) for one in self.training_metrics]


class Tensor:
    """What a hook sees of a tensor: it has a graph to be detached from, and reading it waits."""

    def __init__(self, value: float, graph: bool = True) -> None:
        self.value, self.graph, self.reads = value, graph, 0

    def detach(self) -> Tensor:
        self.detached = Tensor(self.value, graph=False)
        return self.detached

    def __float__(self) -> float:
        assert not self.graph
        self.reads += 1
        return self.value


@pytest.fixture
def recorder(tmp_path: Path) -> Recorder:
    return Recorder(tmp_path)


def test_a_block_records_its_life_and_its_steps(recorder: Recorder) -> None:
    optimizer = SimpleNamespace(param_groups=[{"lr": 0.25}])
    with track_training(total_steps=2, settings={"model": "m"}, collector=recorder) as run:
        run.step(2.0, optimizer=optimizer)
        run.step(1.0, learning_rate=0.1, epoch=2, validation_loss=1.5, accuracy=0.5, metrics={"norm": 3.0})
        run.checkpoint("model.pt")
    assert recorder.steps == [(1, 0, 2.0, None), (2, 1, 1.0, 1.5)]
    assert [one.learning_rate for one in recorder.training_metrics] == [0.25, 0.1]
    assert recorder.events == [
        ("start", {}),
        ("settings", {"model": "m", "total_steps": 2}),
        ("checkpoint", {"step": 1, "path": "model.pt"}),
        ("end", {"status": "finished"}),
    ]


def test_a_block_that_raises_ends_as_failed(recorder: Recorder) -> None:
    with pytest.raises(MemoryError), track_training(collector=recorder):
        raise MemoryError
    assert recorder.events[-1] == ("end", {"status": "failed", "error": "MemoryError"})


def test_a_tensor_is_read_one_step_later_and_once(recorder: Recorder) -> None:
    run = TrainingRun(collector=recorder)
    first, second = Tensor(2.0), Tensor(1.0)
    run.step(first)
    assert (recorder.steps, first.detached.reads) == ([], 0)
    run.step(second)
    assert (recorder.steps, first.detached.reads) == ([(1, 0, 2.0, None)], 1)
    run.end()
    assert recorder.steps == [(1, 0, 2.0, None), (1, 1, 1.0, None)]


def test_every_few_steps_only_those_and_the_validated_are_recorded(recorder: Recorder) -> None:
    run = TrainingRun(every=10, collector=recorder)
    for step in range(25):
        run.step(float(step), validation_loss=9.0 if step == 13 else None)
    assert [step for _, step, _, _ in recorder.steps] == [0, 10, 13, 20]


def test_a_run_of_its_own_name_does_not_change_the_collectors(recorder: Recorder) -> None:
    run = TrainingRun(run="other", collector=recorder)
    assert (run.run, recorder.run) == ("other", "r1")


def test_a_value_that_cannot_be_raises_in_the_step(recorder: Recorder) -> None:
    run = TrainingRun(collector=recorder)
    with pytest.raises(InvalidEvent, match="accuracy"):
        run.step(1.0, accuracy=5.0)


class Base:
    """What the libraries' callback classes are to ours: something to inherit from."""


@pytest.fixture
def lightning(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("lightning.pytorch")
    module.Callback = Base  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "lightning", types.ModuleType("lightning"))
    monkeypatch.setitem(sys.modules, "lightning.pytorch", module)


@pytest.fixture
def transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("transformers")
    module.TrainerCallback = Base  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "transformers", module)


@pytest.mark.usefixtures("lightning")
def test_a_lightning_training_is_recorded(recorder: Recorder) -> None:
    callback = lightning_callback(collector=recorder)
    trainer = SimpleNamespace(
        global_step=0, current_epoch=0, max_epochs=3, estimated_stepping_batches=30, sanity_checking=True,
        optimizers=[SimpleNamespace(param_groups=[{"lr": 0.5}])], callback_metrics={"val_loss": 9.0},
    )  # fmt: skip
    callback.on_validation_end(trainer, None)
    trainer.sanity_checking = False
    callback.on_train_start(trainer, Base())
    for step in (1, 2):
        trainer.global_step = step
        callback.on_train_batch_end(trainer, None, {"loss": 1.0 / step}, None, step)
    trainer.callback_metrics = {"val_loss": 0.7, "train_loss": 0.5, "val_acc": 0.8}
    callback.on_validation_end(trainer, None)
    callback.on_train_end(trainer, None)
    assert isinstance(callback, Base)
    assert recorder.steps == [(1, 1, 1.0, None), (1, 2, 0.5, None), (1, 2, 0.5, 0.7)]
    assert recorder.training_metrics[-1].accuracy == 0.8
    assert recorder.events == [
        ("start", {}),
        ("settings", {"model": "Base", "max_epochs": 3, "total_steps": 30}),
        ("end", {"status": "finished"}),
    ]


@pytest.mark.usefixtures("lightning")
def test_a_lightning_training_that_fails_ends_so(recorder: Recorder) -> None:
    callback = lightning_callback(collector=recorder)
    callback.on_train_start(SimpleNamespace(estimated_stepping_batches=float("inf")), Base())
    callback.on_exception(None, None, ValueError("x"))
    callback.on_train_end(None, None)
    assert recorder.events[-1] == ("end", {"status": "failed", "error": "ValueError"})


@pytest.mark.usefixtures("transformers")
def test_a_hugging_face_training_is_recorded_as_it_logs(recorder: Recorder) -> None:
    callback = huggingface_callback(collector=recorder)
    arguments = SimpleNamespace(num_train_epochs=3, per_device_train_batch_size=8, learning_rate=5e-5)
    state = SimpleNamespace(is_world_process_zero=True, max_steps=100, global_step=0, epoch=0.0)
    callback.on_train_begin(arguments, state, None)
    state.global_step, state.epoch = 10, 0.3
    callback.on_log(arguments, state, None, logs={"loss": 2.0, "learning_rate": 4e-5, "grad_norm": 1.5, "epoch": 0.3})
    state.global_step, state.epoch = 40, 1.2
    callback.on_log(arguments, state, None, logs={"eval_loss": 1.8, "eval_accuracy": 0.6, "eval_runtime": 3.0})
    callback.on_save(arguments, state, None)
    callback.on_log(arguments, state, None, logs={"train_runtime": 12.0})
    callback.on_train_end(arguments, state, None)
    assert recorder.steps == [(1, 10, 2.0, None), (2, 40, 2.0, 1.8)]
    first, second = recorder.training_metrics
    assert (first.learning_rate, first.metrics) == (4e-5, {"grad_norm": 1.5})
    assert (second.accuracy, second.metrics) == (0.6, {"eval_runtime": 3.0})
    assert [event for event, _ in recorder.events] == ["start", "settings", "checkpoint", "end"]
    assert recorder.events[1][1]["total_steps"] == 100


@pytest.mark.usefixtures("transformers")
def test_only_the_first_of_several_processes_records(recorder: Recorder) -> None:
    callback = huggingface_callback(collector=recorder)
    state = SimpleNamespace(is_world_process_zero=False, max_steps=1, global_step=1, epoch=1)
    callback.on_train_begin(SimpleNamespace(), state, None)
    callback.on_log(None, state, None, logs={"loss": 1.0})
    callback.on_train_end(None, state, None)
    assert (recorder.steps, recorder.events) == ([], [])
