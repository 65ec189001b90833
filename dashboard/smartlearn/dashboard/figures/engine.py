"""The four analytic views as single figures, from any source, without a server."""

from __future__ import annotations

from typing import Final

import plotly.graph_objects as go

from smartlearn.core.settings import Settings
from smartlearn.dashboard import queries
from smartlearn.dashboard.figures import health, heat, learners, training, trends
from smartlearn.dashboard.figures.compose import compose
from smartlearn.dashboard.figures.style import empty
from smartlearn.dashboard.sources import Source, open_source

_WITHOUT: Final = 360
_MOST_RUNS: Final = 8


class VisualizationEngine:
    """Draws the dashboards' panels as figures.

    Args:
        source: a metric store, a metrics collector (an object with the lists `performance_metrics`,
            `training_metrics` and `user_metrics`) or the path of an export file.
        settings: levels, colours and the smallest group shown; read from the environment where not given.

    A collector is read anew for every figure. Figures raise what a store raises (`StoreError`); a broken export raises
    `InvalidExport`.
    """

    def __init__(self, source: object, settings: Settings | None = None) -> None:
        self._source = source
        self._settings = settings
        self._opened = None if hasattr(source, "performance_metrics") else open_source(source, settings)

    def create_system_dashboard(self) -> go.Figure:
        """CPU, memory, GPU memory, performance, the node × time heatmap and health."""
        source = self._open()
        history, window, settings = source.history, source.window, source.settings
        names = queries.nodes(history)
        if not names:
            return _nothing("No performance data yet")
        metrics = ("cpu_usage", "memory_usage", "gpu_memory", "model_accuracy")
        lines = queries.trends(history, metrics, window)
        found_health = queries.health(history, settings, source.now)
        panels = [
            ("CPU (%)", trends.lines(lines["cpu_usage"], settings, window)),
            ("Memory (%)", trends.lines(lines["memory_usage"], settings, window)),
            ("GPU memory (%)", trends.lines(lines["gpu_memory"], settings, window)),
            ("Response time (ms)", self._response_time(source)),
            ("CPU by node and time (%)", heat.resource_heatmap(queries.matrix(history, "cpu_usage", window), settings)),
            ("Health (0–100) and its components", health.components(found_health, settings)),
        ]
        return compose("System overview", panels)

    def create_training_analytics(self) -> go.Figure:
        """Losses on their own steps with the best step, the overfitting gap, accuracy, learning rate, progress."""
        source = self._open()
        history, settings = source.history, source.settings
        runs = queries.runs(history, source.now)
        if not runs:
            return _nothing("No training data yet")
        metrics = ("training_loss", "validation_loss", "accuracy", "learning_rate")
        curves = {run.run: queries.curves(history, run.run, metrics) for run in runs[:_MOST_RUNS]}
        bests = [
            best for found in curves.values() if (best := queries.best(history, found["validation_loss"])) is not None
        ]
        gaps = {run: queries.gap(found["training_loss"], found["validation_loss"]) for run, found in curves.items()}
        panels = [("Training and validation loss", training.loss(curves, bests, settings))]
        panels += [("Overfitting gap (validation − training loss)", _steps(gaps, settings, "overfitting_gap"))]
        for title, name in (("Accuracy (%)", "accuracy"), ("Learning rate", "learning_rate")):
            panels.append((title, _steps({run: found[name] for run, found in curves.items()}, settings, name)))
        panels.append(("Progress", training.progress(runs, settings)))
        return compose("Training analytics", panels)

    def create_user_analytics(self) -> go.Figure:
        """Engagement, accuracy by subject and difficulty, response times, most accessed subjects, activity."""
        source = self._open()
        history, window, settings = source.history, source.window, source.settings
        minimum = settings.privacy.minimum_group
        by_subject = queries.groups(history, window, "subject", minimum)
        if not by_subject.shown and not by_subject.hidden:
            return _nothing("No user interactions yet")
        by_difficulty = queries.groups(history, window, "difficulty", minimum)
        by_both = queries.groups(history, window, "subject_difficulty", minimum)
        engagement = queries.over_time(history, window, minimum)
        spread = queries.distribution(history, window, minimum)
        activity = queries.activity(history, window, minimum)
        panels = [
            ("Engagement over time (1–10)", learners.over_time(engagement, settings, window)),
            ("Accuracy by subject (95 % interval)", learners.by_group(by_subject, "subject", settings)),
            ("Accuracy by difficulty (95 % interval)", learners.by_group(by_difficulty, "difficulty", settings)),
            ("Accuracy by subject and difficulty", heat.subject_difficulty(by_both, minimum)),
            ("Response time (ms)", learners.spread(spread, "response_time", settings)),
            ("Most accessed subjects (interactions)", learners.most_accessed(by_subject, settings)),
            ("Activity by weekday and hour, UTC (interactions an hour)", heat.activity_heatmap(activity, minimum)),
        ]
        return compose("User analytics", panels)

    def create_ai_performance_dashboard(self) -> go.Figure:
        """Response time, model accuracy by version, memory efficiency, GPU, training status and health."""
        source = self._open()
        history, window, settings = source.history, source.window, source.settings
        runs = queries.runs(history, source.now)
        if not queries.nodes(history) and not runs:
            return _nothing("No performance or training data yet")
        gpu = queries.trends(history, ["gpu_memory"], window)["gpu_memory"]
        accuracy = queries.by_version(history, "model_accuracy", window)
        efficiency = queries.memory_efficiency(history, window)
        found_health = queries.health(history, settings, source.now)
        panels = [
            ("Response time (ms)", self._response_time(source)),
            ("Memory efficiency (mean of peak, %)", health.memory_efficiency(efficiency, settings)),
            ("GPU memory (%)", trends.lines(gpu, settings, window)),
            ("Training progress", training.progress(runs, settings)),
            ("Model accuracy by version (%)", trends.named(accuracy, settings, window)),
            ("Health (0–100) and its components", health.components(found_health, settings)),
        ]
        return compose("AI performance", panels)

    def _open(self) -> Source:
        return self._opened or open_source(self._source, self._settings)

    @staticmethod
    def _response_time(source: Source) -> go.Figure:
        found = queries.quantiles(source.history, "response_time", source.window)
        return trends.quantiles(found, source.settings, source.window)


def _steps(curves: dict[str, queries.Curve], settings: Settings, name: str) -> go.Figure:
    return training.over_steps(curves, settings, name=name)


def _nothing(what: str) -> go.Figure:
    return empty(f"{what}. Start with <b>smartlearn demo</b>, or send your own events.", _WITHOUT)
