"""The dashboards over a collector: what it holds, as history and live."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from smartlearn.core.errors import SettingsError
from smartlearn.core.settings import DashboardSettings, Settings
from smartlearn.core.topics import INTERACTIONS, PERFORMANCE, TRAINING
from smartlearn.dashboard import collector
from smartlearn.dashboard.app import MetricsDashboard
from smartlearn.dashboard.collector import CollectorFeed, CollectorHistory, above_levels
from smartlearn.dashboard.live.board import Board
from smartlearn.dashboard.sources import Source, open_source

START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)


@dataclass
class Sample:
    """A performance sample as user code makes it."""

    timestamp: datetime
    cpu_usage: float
    memory_usage: float = 40.0
    gpu_memory_used: float | None = None
    gpu_memory_total: float | None = None
    response_time: float | None = None


@dataclass
class Collector:
    """What a collector shows of itself."""

    performance_metrics: list[Any] = field(default_factory=list)
    training_metrics: list[Any] = field(default_factory=list)
    user_metrics: list[Any] = field(default_factory=list)
    node: str = "laptop"
    run: str = "run-1"
    is_collecting: bool = False

    def start_collection(self) -> None:
        self.is_collecting = True


def samples(count: int, cpu: float = 10.0) -> list[Sample]:
    return [Sample(START + timedelta(seconds=5 * number), cpu + number) for number in range(count)]


def feed(held: Collector) -> tuple[CollectorFeed, list[Any]]:
    told: list[Any] = []
    return CollectorFeed(held, "laptop", told.append, lambda _: None, lambda: None), told


def test_history_follows_the_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collector, "_FRESH_S", -1.0)
    held = Collector()
    history = CollectorHistory(held, Settings())
    assert history.tag_values("performance_10s", "node") == []
    held.performance_metrics += samples(3)
    assert history.tag_values("performance_10s", "node") == ["laptop"]


def test_a_page_of_panels_reads_the_collector_once(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []

    def counted(source: object, settings: Settings) -> Source:
        opened.append(source)
        return open_source(source, settings)

    monkeypatch.setattr(collector, "open_source", counted)
    history = CollectorHistory(Collector(performance_metrics=samples(3)), Settings())
    for _ in range(12):
        history.latest("performance_10s")
    assert len(opened) == 1


def test_the_feed_tells_the_newest_sample_once() -> None:
    held = Collector(performance_metrics=samples(3))
    source, _ = feed(held)
    message = source._message()
    assert message["performance"]["cpu_usage"] == [12.0]
    assert message["performance"]["timestamp"] == [round((START.timestamp() + 10) * 1e6)]
    assert source._message()["performance"] == {}
    held.performance_metrics.append(Sample(START + timedelta(seconds=15), 50.0))
    assert source._message()["performance"]["cpu_usage"] == [50.0]


def test_the_feed_counts_what_came_also_when_the_list_is_full() -> None:
    held = Collector(performance_metrics=samples(4), training_metrics=[object()])
    source, _ = feed(held)
    assert source._message()["counts"][PERFORMANCE] == {"in": 4, "stored": 4}
    held.performance_metrics = [*held.performance_metrics[2:], *samples(2)]
    counts = source._message()["counts"]
    assert [counts[topic]["in"] for topic in (PERFORMANCE, TRAINING, INTERACTIONS)] == [6, 1, 0]


def test_a_board_takes_what_the_feed_tells() -> None:
    board = Board()
    now = round(START.timestamp() * 1e6)
    source, _ = feed(Collector(performance_metrics=[Sample(START, 95.0, gpu_memory_used=6.0, gpu_memory_total=24.0)]))
    board.take_live(source._message(), now)
    nodes = board.update(now)["nodes"]
    assert (nodes["node"], nodes["cpu_usage"], nodes["gpu_memory"]) == (["laptop"], [95.0], [25.0])


def test_what_is_above_its_level_stands() -> None:
    sample = Sample(START, 95.0, memory_usage=80.0, gpu_memory_used=13.0, gpu_memory_total=24.0, response_time=2000.0)
    found = above_levels(Collector(performance_metrics=[sample]), "laptop", Settings().rules)
    assert [(one.rule, one.state, one.threshold) for one in found] == [
        ("cpu_usage", "critical", 90.0),
        ("memory_usage", "warning", 75.0),
    ]
    assert above_levels(Collector(), "laptop", Settings().rules) == []


def test_the_dashboard_serves_a_collector_and_starts_it(tmp_path: Path) -> None:
    held = Collector(performance_metrics=[Sample(datetime.now(UTC), 20.0)])
    settings = Settings(data_dir=tmp_path, dashboard=DashboardSettings(port=0))
    dashboard = MetricsDashboard(held, settings)
    address = dashboard.render_dashboard(block=False)
    try:
        assert held.is_collecting
        with httpx.Client(trust_env=False, timeout=20) as client:
            assert client.get(f"{address}/realtime").status_code == 200
        with pytest.raises(SettingsError, match="served already"):
            dashboard.render_dashboard(block=False)
    finally:
        dashboard.close()
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ConnectError):
        client.get(address)


def test_the_engine_draws_the_collector(tmp_path: Path) -> None:
    dashboard = MetricsDashboard(Collector(performance_metrics=samples(3)), Settings(data_dir=tmp_path))
    assert dashboard.metrics_collector.performance_metrics
    assert dashboard.visualization_engine is not None
    assert dashboard.visualization_engine.create_system_dashboard().data
