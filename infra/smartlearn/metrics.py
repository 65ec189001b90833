"""SmartLearn metrics for your own program.

    from smartlearn.metrics import add_training_metrics, add_user_interaction, get_metrics_collector

    get_metrics_collector().start_collection()          # this machine, every 5 seconds
    add_training_metrics(epoch=1, step=100, training_loss=0.5, learning_rate=1e-4, accuracy=0.85)

Events go to the broker of the settings, or of the stack that runs in the data directory; without one they wait on disk.
Names are imported when they are first used: a program that only sends loads no Dash, no plotly, no Faust and no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from smartlearn.dashboard.app import MetricsDashboard
    from smartlearn.dashboard.figures import VisualizationEngine
    from smartlearn.producers.callbacks import huggingface_callback, lightning_callback
    from smartlearn.producers.collector import MetricsCollector
    from smartlearn.producers.events import InvalidEvent, PerformanceMetrics, TrainingMetrics, UserMetrics
    from smartlearn.producers.shared import (
        add_training_metrics,
        add_user_interaction,
        export_metrics_data,
        get_metrics_collector,
    )
    from smartlearn.producers.timing import time_model
    from smartlearn.producers.training import TrainingRun, track_training

__all__ = [
    "InvalidEvent",
    "MetricsCollector",
    "MetricsDashboard",
    "PerformanceMetrics",
    "TrainingMetrics",
    "TrainingRun",
    "UserMetrics",
    "VisualizationEngine",
    "add_training_metrics",
    "add_user_interaction",
    "create_metrics_dashboard",
    "export_metrics_data",
    "get_metrics_collector",
    "huggingface_callback",
    "lightning_callback",
    "time_model",
    "track_training",
]

_HOME = {
    "InvalidEvent": "smartlearn.producers.events",
    "MetricsCollector": "smartlearn.producers.collector",
    "MetricsDashboard": "smartlearn.dashboard.app",
    "PerformanceMetrics": "smartlearn.producers.events",
    "TrainingMetrics": "smartlearn.producers.events",
    "TrainingRun": "smartlearn.producers.training",
    "UserMetrics": "smartlearn.producers.events",
    "VisualizationEngine": "smartlearn.dashboard.figures",
    "add_training_metrics": "smartlearn.producers.shared",
    "add_user_interaction": "smartlearn.producers.shared",
    "export_metrics_data": "smartlearn.producers.shared",
    "get_metrics_collector": "smartlearn.producers.shared",
    "huggingface_callback": "smartlearn.producers.callbacks",
    "lightning_callback": "smartlearn.producers.callbacks",
    "time_model": "smartlearn.producers.timing",
    "track_training": "smartlearn.producers.training",
}


def create_metrics_dashboard() -> MetricsDashboard:
    """The dashboard of this process' collector; `render_dashboard()` shows it.

    Raises:
        ImportError: the dashboard is not installed; says what to install.
    """
    from smartlearn.producers.shared import get_metrics_collector

    dashboard = __getattr__("MetricsDashboard")
    return cast("MetricsDashboard", dashboard(get_metrics_collector()))


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        value = getattr(import_module(home), name)
    except ModuleNotFoundError as error:
        if not home.startswith("smartlearn.dashboard") or (error.name or "").startswith("smartlearn"):
            raise
        raise ImportError(
            f"{name} needs {error.name}, which is not installed: pip install 'smartlearn-metrics[dashboard]'"
        ) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
