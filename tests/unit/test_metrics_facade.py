from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import smartlearn.metrics

HEAVY = ("dash", "faust", "torch", "plotly", "influxdb_client", "pandas", "pyarrow", "uvicorn", "fastapi", "aiokafka")


def modules_after(code: str, data_dir: Path) -> list[str]:
    """The modules that a fresh interpreter has loaded after some code."""
    ended = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys, json\nprint(json.dumps(sorted(sys.modules)))"],
        env={**os.environ, "SMARTLEARN_DATA_DIR": str(data_dir)},
        capture_output=True, text=True, check=True, timeout=120, cwd=data_dir,
    )  # fmt: skip
    loaded: list[str] = json.loads(ended.stdout.splitlines()[-1])
    return loaded


def test_importing_the_facade_loads_next_to_nothing(tmp_path: Path) -> None:
    bare = modules_after("import typing, importlib", tmp_path)
    loaded = set(modules_after("import smartlearn.metrics", tmp_path)) - set(bare)
    assert not loaded & {*HEAVY, "numpy", "pydantic", "confluent_kafka"}
    assert len(loaded) < 10


def test_recording_metrics_loads_no_dashboard_no_worker_and_no_torch(tmp_path: Path) -> None:
    loaded = modules_after(
        "from smartlearn.metrics import add_training_metrics, add_user_interaction, get_metrics_collector, time_model\n"
        "add_training_metrics(epoch=1, step=1, training_loss=0.5)\n"
        "add_user_interaction('u', 'quiz', 's', 'd', 1.0, 1.0, 5.0)\n"
        "with time_model('v1'): pass\n"
        "get_metrics_collector().start_collection()\n"
        "get_metrics_collector().stop_collection()\n",
        tmp_path,
    )
    assert [name for name in HEAVY if name in loaded] == []
    assert [
        name for name in loaded if name.startswith(("smartlearn.dashboard", "smartlearn.stream", "smartlearn.ops"))
    ] == []
    # 470 with numpy, pydantic and confluent-kafka; a dashboard would be thousands.
    assert len(loaded) < 700


def test_every_name_of_the_facade_is_there() -> None:
    assert set(smartlearn.metrics.__all__) <= set(dir(smartlearn.metrics))
    for name in smartlearn.metrics.__all__:
        assert getattr(smartlearn.metrics, name) is getattr(smartlearn.metrics, name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        smartlearn.metrics.no_such_name  # noqa: B018


def test_a_missing_dashboard_says_what_to_install(tmp_path: Path) -> None:
    modules_after(
        "import sys, smartlearn.metrics\n"
        "sys.modules['plotly'] = None\n"
        "try: smartlearn.metrics.VisualizationEngine\n"
        "except ImportError as error: assert 'smartlearn-metrics[dashboard]' in str(error), error\n"
        "else: raise AssertionError\n",
        tmp_path,
    )


@pytest.mark.skipif(find_spec("plotly") is None, reason="needs the dashboard extra")
def test_the_original_applications_own_checks_hold(tmp_path: Path) -> None:
    code = """
from datetime import datetime, timedelta
import plotly.graph_objects as go
from smartlearn.metrics import (
    MetricsCollector, PerformanceMetrics, TrainingMetrics, UserMetrics, VisualizationEngine,
    add_training_metrics, add_user_interaction, get_metrics_collector, export_metrics_data, create_metrics_dashboard,
)

metrics_collector = MetricsCollector(max_history=10000)
base = datetime.now() - timedelta(hours=1)
for i in range(12):
    metrics_collector.add_performance_metrics(PerformanceMetrics(
        timestamp=base + timedelta(minutes=5 * i), cpu_usage=60.0, memory_usage=70.0, gpu_memory_used=4.0,
        gpu_memory_total=10.0, response_time=800.0, model_accuracy=0.9, user_engagement=7.0))
    metrics_collector.add_training_metrics(TrainingMetrics(
        epoch=1, step=i, training_loss=2.0 - 0.1 * i, validation_loss=2.1, learning_rate=1e-4, accuracy=0.0,
        timestamp=base + timedelta(minutes=i)))
    metrics_collector.add_user_metrics(UserMetrics(
        timestamp=base + timedelta(minutes=i), user_id=f"user_{i}", action="quiz", subject="physics",
        difficulty="beginner", response_time=900.0, accuracy=0.8, engagement_score=7.5))

assert len(metrics_collector.performance_metrics) > 0
assert len(metrics_collector.training_metrics) > 0
assert len(metrics_collector.user_metrics) > 0

visualization_engine = VisualizationEngine(metrics_collector)
for make in ("create_system_dashboard", "create_training_analytics", "create_user_analytics",
             "create_ai_performance_dashboard"):
    chart = getattr(visualization_engine, make)()
    assert isinstance(chart, go.Figure), make

add_training_metrics(epoch=1, step=100, training_loss=0.5, learning_rate=1e-4, accuracy=0.85)
add_user_interaction(user_id="user_123", action="quiz", subject="mathematics", difficulty="intermediate",
                     response_time=1500, accuracy=0.9, engagement_score=8.5)
assert get_metrics_collector().get_latest_metrics("training").step == 100
assert get_metrics_collector().get_latest_metrics("user").user_id == "user_123"
assert get_metrics_collector().get_metrics_history("training", hours=24)
export_metrics_data(metrics_collector)
assert create_metrics_dashboard() is not None
"""
    subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "SMARTLEARN_DATA_DIR": str(tmp_path / "data")},
        check=True, cwd=tmp_path, timeout=120,
    )  # fmt: skip
    (exported,) = tmp_path.glob("smartlearn_metrics_*.json")
    assert [len(value) for value in json.loads(exported.read_bytes()).values() if isinstance(value, list)] == [12] * 3
