from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smartlearn.core.errors import SettingsError, StoreError
from smartlearn.core.export_reading import read_export
from smartlearn.core.settings import KafkaSettings, Settings
from smartlearn.core.stack import StackRecord
from smartlearn.producers import shared
from smartlearn.producers.collector import MetricsCollector
from smartlearn.producers.events import PerformanceMetrics, TrainingMetrics, UserMetrics
from smartlearn.producers.learners import learner_pseudonyms
from smartlearn.producers.moments import from_us, moment_us, now_local


@pytest.fixture
def in_new_york(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def collector(tmp_path: Path) -> MetricsCollector:
    return MetricsCollector(settings=Settings(data_dir=tmp_path / "data", node="n1"))


@pytest.mark.usefixtures("in_new_york")
@pytest.mark.parametrize(
    ("local", "utc"),
    [
        (datetime(2026, 1, 15, 12, 0, 0, 1), datetime(2026, 1, 15, 17, 0, 0, 1, tzinfo=UTC)),  # noqa: DTZ001
        (datetime(2026, 7, 15, 12), datetime(2026, 7, 15, 16, tzinfo=UTC)),  # noqa: DTZ001
        (datetime(2026, 11, 1, 1, 30), datetime(2026, 11, 1, 5, 30, tzinfo=UTC)),  # noqa: DTZ001
        (datetime(2026, 11, 1, 1, 30, fold=1), datetime(2026, 11, 1, 6, 30, tzinfo=UTC)),  # noqa: DTZ001
    ],
)
def test_a_time_without_a_zone_is_local(local: datetime, utc: datetime) -> None:
    assert from_us(moment_us(local)) == utc
    assert moment_us(utc) == moment_us(local)


@pytest.mark.usefixtures("in_new_york")
def test_an_export_holds_utc_and_pseudonyms_and_can_be_read(collector: MetricsCollector, tmp_path: Path) -> None:
    noon = datetime(2026, 1, 15, 12)  # noqa: DTZ001
    collector.add_performance_metrics(PerformanceMetrics(noon, 1.0, 2.0, metrics={"queue_length": 3.0}))
    collector.add_training_metrics(TrainingMetrics(1, 2, float("inf"), 0.1, timestamp=noon))
    collector.add_user_metrics(UserMetrics(noon, "Ada", "quiz", "s", "d", 1.0, 0.5, 5.0))
    path = shared.export_metrics_data(collector, tmp_path / "out.json")
    content = json.loads(path.read_bytes())
    assert [content[name][0]["timestamp"] for name in ("performance_metrics", "training_metrics", "user_metrics")] == [
        "2026-01-15T17:00:00"
    ] * 3
    assert content["demo_info"]["total_training_metrics"] == 1
    assert content["training_metrics"][0]["training_loss"] == "Infinity"
    assert content["user_metrics"][0]["user_id"] == learner_pseudonyms(collector.settings).of("Ada")
    assert "metrics" not in content["performance_metrics"][0]
    assert [len(table) for table in read_export(path).values()] == [1, 1, 1]


def test_an_export_gets_a_name_of_its_own_in_the_working_directory(
    collector: MetricsCollector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = shared.export_metrics_data(collector)
    assert path.exists()
    assert path.name.startswith("smartlearn_metrics_")


def test_an_export_that_cannot_be_written_is_said_and_leaves_nothing(
    collector: MetricsCollector, tmp_path: Path
) -> None:
    with pytest.raises(StoreError, match="cannot be written"):
        shared.export_metrics_data(collector, tmp_path / "missing" / "out.json")
    assert list(tmp_path.glob("**/*.tmp")) == []


def test_the_helpers_add_to_the_one_collector_of_the_process(
    collector: MetricsCollector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "_collector", collector)
    shared.add_training_metrics(1, 100, 0.5, 0.6, 1e-4, 0.85)
    shared.add_training_metrics(epoch=1, step=101, training_loss=0.4)
    shared.add_user_interaction("u", "quiz", "mathematics", "advanced", 1500, 0.9, 8.5)
    first, second = collector.training_metrics
    assert (first.validation_loss, first.learning_rate, first.accuracy) == (0.6, 1e-4, 0.85)
    assert (second.validation_loss, second.learning_rate, second.accuracy) == (None, 1e-4, None)
    assert collector.user_metrics[0].timestamp <= now_local()
    assert shared.get_metrics_collector() is collector


def test_a_key_is_made_for_the_stack_of_the_data_directory_only(tmp_path: Path) -> None:
    local = Settings(data_dir=tmp_path, kafka=KafkaSettings(bootstrap_servers="127.0.0.1:5"))
    with pytest.raises(SettingsError, match="pseudonym key"):
        learner_pseudonyms(local)
    StackRecord(
        pid=1, mode="embedded", kafka="127.0.0.1:5", kafka_epoch="e", dashboard="", workers=1, components=[]
    ).write(tmp_path)  # fmt: skip
    assert learner_pseudonyms(local).of("Ada") == learner_pseudonyms(Settings(data_dir=tmp_path)).of("Ada")


def test_a_key_is_not_made_for_other_servers_than_the_stacks(tmp_path: Path) -> None:
    StackRecord(
        pid=1, mode="servers", kafka="127.0.0.1:5", kafka_epoch=None, dashboard="", workers=1, components=[]
    ).write(tmp_path)  # fmt: skip
    with pytest.raises(SettingsError, match="pseudonym key"):
        learner_pseudonyms(Settings(data_dir=tmp_path, kafka=KafkaSettings(bootstrap_servers="kafka.example:9092")))
