from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.unit.producers.brokers import FakeBroker, until

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.errors import InvalidMessage, SettingsError
from smartlearn.core.pseudonyms import Pseudonymizer
from smartlearn.core.settings import CollectionSettings, KafkaSettings, Settings
from smartlearn.producers.client import EventProducer
from smartlearn.producers.collector import MetricsCollector, shared_producer
from smartlearn.producers.events import InvalidEvent, PerformanceMetrics, TrainingMetrics, UserMetrics
from smartlearn.producers.moments import now_local

Make = Callable[..., MetricsCollector]


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker()


@pytest.fixture
def make(tmp_path: Path, broker: FakeBroker) -> Iterator[Make]:
    made: list[EventProducer] = []

    def collector(max_history: int | None = None, run: str | None = None, **collection: Any) -> MetricsCollector:
        settings = Settings(data_dir=tmp_path, node="n1", collection=CollectionSettings(**collection))
        sending = settings.model_copy(update={"kafka": KafkaSettings(bootstrap_servers="127.0.0.1:1")})
        made.append(EventProducer(sending, connect=broker.connect))
        return MetricsCollector(max_history, settings=settings, run=run, producer=made[-1])

    yield collector
    for producer in made:
        producer.close(0)


def performance(timestamp: datetime | None = None, **fields: Any) -> PerformanceMetrics:
    return PerformanceMetrics(
        **{"timestamp": timestamp or now_local(), "cpu_usage": 1.0, "memory_usage": 2.0, **fields}
    )


def training(**fields: Any) -> TrainingMetrics:
    return TrainingMetrics(**{"epoch": 1, "step": 2, "training_loss": 0.5, "learning_rate": 1e-4, **fields})


def user(**fields: Any) -> UserMetrics:
    given: dict[str, Any] = {
        "timestamp": now_local(),
        "user_id": "user_1", "action": "quiz", "subject": "mathematics", "difficulty": "advanced",
        "response_time": 1500.0, "accuracy": 0.9, "engagement_score": 8.5,
    }  # fmt: skip
    return UserMetrics(**{**given, **fields})


def delivered(collector: MetricsCollector, broker: FakeBroker, kind: Kind) -> list[Batch]:
    assert collector.flush(10)
    return [batch for batch in broker.batches() if batch.kind is kind]


def test_a_sample_is_kept_and_sent_with_its_node(make: Make, broker: FakeBroker) -> None:
    collector = make()
    one = performance(gpu_memory_used=3.0, response_time=120, model_version="v2", metrics={"queue_length": 4.0})
    collector.add_performance_metrics(one)
    assert collector.performance_metrics == [one]
    assert collector.get_latest_metrics() is one
    (batch,) = delivered(collector, broker, Kind.PERFORMANCE)
    assert {name: column.tolist() for name, column in batch.numbers.items()} == {
        "cpu_usage": [1.0], "memory_usage": [2.0], "gpu_memory_used": [3.0], "response_time": [120.0],
        "queue_length": [4.0],
    }  # fmt: skip
    assert batch.texts == {"node": "n1", "model_version": "v2"}


def test_a_step_belongs_to_the_run_and_gets_the_present_time(make: Make, broker: FakeBroker) -> None:
    collector = make(run="my-run")
    before = now_local()
    collector.add_training_metrics(training(validation_loss=0.6))
    stamped = collector.training_metrics[0].timestamp
    assert stamped is not None
    assert before <= stamped <= now_local()
    (batch,) = delivered(collector, broker, Kind.TRAINING)
    assert (batch.key, batch.texts) == ("my-run", {"run": "my-run", "node": "n1"})
    assert batch.timestamp.tolist() == [round(stamped.timestamp() * 1e6)]
    assert "accuracy" not in batch.numbers


def test_two_collectors_never_share_a_run(make: Make) -> None:
    assert make().run != make().run


@pytest.mark.parametrize("loss", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_is_a_fact(make: Make, broker: FakeBroker, loss: float) -> None:
    collector = make()
    collector.add_training_metrics(training(training_loss=loss))
    (batch,) = delivered(collector, broker, Kind.TRAINING)
    assert batch.nonfinite["training_loss"][0] > 0


def test_only_a_pseudonym_of_the_user_leaves_the_process(make: Make, broker: FakeBroker, tmp_path: Path) -> None:
    collector = make()
    collector.add_user_metrics(user(user_id="Ada Lovelace"))
    assert collector.user_metrics[0].user_id == "Ada Lovelace"
    (batch,) = delivered(collector, broker, Kind.INTERACTION)
    assert batch.texts["learner"] == Pseudonymizer((tmp_path / "pseudonym.key").read_bytes()).of("Ada Lovelace")
    assert b"Ada" not in b"".join(message.value for message in broker.log)


def test_a_user_who_is_a_pseudonym_already_keeps_it(make: Make, broker: FakeBroker) -> None:
    pseudonym = "p1_01234567_" + "ab" * 16
    collector = make()
    collector.add_user_metrics(user(user_id=pseudonym))
    assert delivered(collector, broker, Kind.INTERACTION)[0].texts["learner"] == pseudonym


def test_with_a_server_set_a_missing_key_is_said_and_nothing_is_recorded(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, kafka=KafkaSettings(bootstrap_servers="kafka.example:9092"))
    collector = MetricsCollector(settings=settings)
    with pytest.raises(SettingsError, match="pseudonym key"):
        collector.add_user_metrics(user())
    assert collector.user_metrics == []


@pytest.mark.parametrize(
    ("add", "metrics", "field"),
    [
        ("add_performance_metrics", performance(cpu_usage=120.0), "cpu_usage"),
        ("add_performance_metrics", performance(cpu_usage=-0.1), "cpu_usage"),
        ("add_performance_metrics", performance(memory_usage=None), "memory_usage"),
        ("add_performance_metrics", performance(memory_usage="full"), "memory_usage"),
        ("add_performance_metrics", performance(memory_usage=True), "memory_usage"),
        ("add_performance_metrics", performance(model_accuracy=80), "model_accuracy"),
        ("add_performance_metrics", performance(user_engagement=0.5), "user_engagement"),
        ("add_performance_metrics", performance(model_version=""), "model_version"),
        ("add_performance_metrics", performance(metrics={"Bad Name": 1.0}), "metric"),
        ("add_performance_metrics", performance(metrics={"cpu_usage": 1.0}), "metric"),
        ("add_performance_metrics", performance(metrics={"fan": "fast"}), "fan"),
        ("add_performance_metrics", performance(metrics={f"m{n}": 1.0 for n in range(201)}), "metrics"),
        ("add_performance_metrics", performance(timestamp="2026-01-01"), "timestamp"),  # type: ignore[arg-type]
        ("add_training_metrics", training(step=-1), "step"),
        ("add_training_metrics", training(step=1.5), "step"),
        ("add_training_metrics", training(epoch=math.nan), "epoch"),
        ("add_training_metrics", training(training_loss="low"), "training_loss"),
        ("add_training_metrics", training(training_loss=[1.0, 2.0]), "training_loss"),
        ("add_training_metrics", training(accuracy=1.01), "accuracy"),
        ("add_user_metrics", user(user_id=""), "user_id"),
        ("add_user_metrics", user(user_id=5), "user_id"),
        ("add_user_metrics", user(subject="x" * 201), "subject"),
        ("add_user_metrics", user(action=None), "action"),
        ("add_user_metrics", user(accuracy=2), "accuracy"),
        ("add_user_metrics", user(engagement_score=11), "engagement_score"),
        ("add_user_metrics", user(response_time=-1), "response_time"),
    ],
)
def test_a_value_that_cannot_be_raises_one_sentence_and_records_nothing(
    make: Make, broker: FakeBroker, add: str, metrics: object, field: str
) -> None:
    collector = make()
    with pytest.raises(InvalidEvent, match=field) as caught:
        getattr(collector, add)(metrics)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, InvalidMessage)
    assert "\n" not in str(caught.value)
    assert collector.performance_metrics + collector.training_metrics + collector.user_metrics == []
    assert collector.flush(10)
    assert broker.log == []


def test_numbers_of_numpy_pass(make: Make, broker: FakeBroker) -> None:
    collector = make()
    collector.add_training_metrics(training(step=np.int64(7), training_loss=np.float32(0.5), epoch=np.float64(2.0)))
    (batch,) = delivered(collector, broker, Kind.TRAINING)
    assert (batch.numbers["step"][0], batch.numbers["epoch"][0]) == (7.0, 2.0)


def test_the_lists_hold_the_newest_only(make: Make) -> None:
    collector = make(max_history=3)
    for step in range(10):
        collector.add_training_metrics(training(step=step))
    assert [one.step for one in collector.training_metrics] == [7, 8, 9]
    assert make().max_history == 1000


def test_history_is_cut_by_hours_for_local_and_for_zoned_times(make: Make) -> None:
    collector = make()
    local, zoned = now_local(), datetime.now(UTC)
    for hours in (30, 3, 1):
        collector.add_performance_metrics(performance(local - timedelta(hours=hours), cpu_usage=float(hours)))
        collector.add_performance_metrics(performance(zoned - timedelta(hours=hours), cpu_usage=float(hours)))
    assert [one.cpu_usage for one in collector.get_metrics_history("performance", hours=2)] == [1.0, 1.0]
    assert [one.cpu_usage for one in collector.get_metrics_history()] == [3.0, 3.0, 1.0, 1.0]


def test_nothing_recorded_and_unknown_types_have_no_metrics(make: Make) -> None:
    collector = make()
    for metric_type in ("performance", "training", "user", "weather"):
        assert collector.get_latest_metrics(metric_type) is None
        assert collector.get_metrics_history(metric_type) == []


@pytest.mark.parametrize("switch", ["performance", "training", "user"])
def test_a_switch_that_is_off_keeps_and_sends_nothing_of_its_kind(make: Make, broker: FakeBroker, switch: str) -> None:
    collector = make(**{switch: False})
    collector.add_performance_metrics(performance())
    collector.add_training_metrics(training())
    collector.add_user_metrics(user())
    collector.add_model_answer(5.0)
    collector.add_run_event("start")
    kept = {
        "performance": collector.performance_metrics,
        "training": collector.training_metrics,
        "user": collector.user_metrics,
    }
    assert {name for name, metrics in kept.items() if metrics} == set(kept) - {switch}
    assert collector.flush(10)
    sent = {batch.kind for batch in broker.batches()}
    kinds = {
        "performance": {Kind.PERFORMANCE}, "training": {Kind.TRAINING, Kind.RUN}, "user": {Kind.INTERACTION},
    }  # fmt: skip
    assert sent == set().union(*kinds.values()) - kinds[switch]


def test_collection_samples_this_machine_until_it_is_stopped(make: Make, broker: FakeBroker) -> None:
    collector = make(interval_s=0.05)
    collector.start_collection()
    thread = collector.collection_thread
    collector.start_collection()
    assert collector.collection_thread is thread
    until(lambda: len(collector.performance_metrics) >= 3)
    collector.stop_collection()
    assert not collector.is_collecting
    assert thread is not None
    assert not thread.is_alive()
    newest = collector.get_latest_metrics()
    assert newest is not None
    assert 0 <= newest.cpu_usage <= 100
    assert 0 < newest.memory_usage <= 100
    batches = delivered(collector, broker, Kind.PERFORMANCE)
    assert sum(map(len, batches)) >= 3
    assert {"cpu_usage", "memory_usage", "processes"} <= batches[0].numbers.keys()


def test_collection_can_be_started_again(make: Make) -> None:
    collector = make(interval_s=0.05)
    collector.start_collection()
    collector.stop_collection()
    collector.start_collection()
    until(lambda: len(collector.performance_metrics) >= 1)
    collector.stop_collection()


def test_a_run_event_of_another_type_is_refused(make: Make) -> None:
    with pytest.raises(InvalidEvent, match="checkpoint"):
        make().add_run_event("pause")  # type: ignore[arg-type]


def test_collectors_of_one_installation_share_a_producer(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path)
    assert shared_producer(settings) is shared_producer(settings.model_copy())
    other = settings.model_copy(update={"data_dir": tmp_path / "other"})
    kept = shared_producer(settings)
    assert shared_producer(other) is not kept


def test_many_threads_may_add_at_once(make: Make, broker: FakeBroker) -> None:
    collector = make()

    def work() -> None:
        for step in range(200):
            collector.add_training_metrics(training(step=step))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(collector.training_metrics) == 800
    assert sum(map(len, delivered(collector, broker, Kind.TRAINING))) == 800
