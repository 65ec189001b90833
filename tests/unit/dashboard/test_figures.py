from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from tests.reference import demo_export
from tests.unit.dashboard import histories
from tests.unit.dashboard.histories import at, history, window

from smartlearn.core.settings import Settings
from smartlearn.core.stores.sqlite import SqliteStore
from smartlearn.dashboard import queries
from smartlearn.dashboard.figures import VisualizationEngine, health, heat, learners, style, training, trends
from smartlearn.dashboard.sources.records import Records, points_of

VIEWS = (
    "create_system_dashboard",
    "create_training_analytics",
    "create_user_analytics",
    "create_ai_performance_dashboard",
)
SETTINGS = Settings(node="tutor-1")


class Collector:
    def __init__(self, document: dict[str, Any] | None = None) -> None:
        given = document or {}
        self.performance_metrics: list[Any] = given.get("performance_metrics", [])
        self.training_metrics: list[Any] = given.get("training_metrics", [])
        self.user_metrics: list[Any] = given.get("user_metrics", [])


def trace(figure: go.Figure, name: str) -> Any:
    """The only trace of a name."""
    (found,) = [one for one in figure.data if one.name == name]
    return found


def words(figure: go.Figure) -> str:
    """All annotations, one after the other."""
    return " | ".join(str(one.text) for one in figure.layout.annotations)


@pytest.mark.parametrize("view", VIEWS)
def test_the_same_figure_comes_from_an_export_a_collector_and_a_store(view: str, tmp_path: Path) -> None:
    document = json.loads(demo_export().read_text())
    store = SqliteStore(tmp_path / "metrics.db")
    lists = (document["performance_metrics"], document["training_metrics"], document["user_metrics"])
    store.write(points_of(Records(*lists, "tutor-1", "smartlearn_demo_export"), SETTINGS.rules))
    figures = [
        getattr(VisualizationEngine(source, SETTINGS), view)() for source in (demo_export(), Collector(document), store)
    ]
    kinds = [[(one.type, one.xaxis, one.yaxis) for one in figure.data] for figure in figures]
    assert all(isinstance(figure, go.Figure) for figure in figures)
    assert kinds[0] == kinds[1]
    assert kinds[0][0] == kinds[2][0]
    for figure in figures:
        json.loads(figure.to_json())
    store.close()


@pytest.mark.parametrize("view", VIEWS)
def test_nothing_to_show_is_said_with_what_to_run(view: str) -> None:
    figure = getattr(VisualizationEngine(Collector(), SETTINGS), view)()
    assert not figure.data
    assert "smartlearn demo" in words(figure)


def test_a_collector_is_read_anew_for_each_figure() -> None:
    collector = Collector()
    engine = VisualizationEngine(collector, SETTINGS)
    assert not engine.create_system_dashboard().data
    collector.performance_metrics.append({"timestamp": at(0), "cpu_usage": 50.0, "memory_usage": 40.0})
    assert engine.create_system_dashboard().data


def test_the_system_view_draws_the_means_of_the_export() -> None:
    figure = VisualizationEngine(demo_export(), SETTINGS).create_system_dashboard()
    source = histories.export()
    line = queries.trends(source.history, ["cpu_usage"], source.window)["cpu_usage"].lines[0]
    expected = histories.buckets(histories.frames()["performance"], "cpu_usage", line.width // queries.SECOND)["mean"]
    drawn = next(one for one in figure.data if one.name == "tutor-1" and one.yaxis == "y")
    assert np.asarray(drawn.y) == pytest.approx(expected.to_numpy())


def test_the_training_view_draws_validation_at_its_own_steps_and_marks_the_best() -> None:
    figure = VisualizationEngine(demo_export(), SETTINGS).create_training_analytics()
    frame = histories.frames()["training"].sort_values("step")
    validation = next(one for one in figure.data if one.name == "Validation loss")
    assert list(validation.x) == frame["step"].tolist()
    assert list(validation.y) == frame["validation_loss"].tolist()
    star = trace(figure, "best")
    best = frame.sort_values("validation_loss").iloc[0]
    assert (star.x[0], star.y[0]) == (best["step"], best["validation_loss"])
    assert "1,000" not in words(figure)


def test_the_user_view_draws_the_accuracies_of_pandas() -> None:
    figure = VisualizationEngine(demo_export(), SETTINGS).create_user_analytics()
    expected = histories.frames()["user"].groupby("subject")["accuracy"].mean().sort_values()
    dots = next(one for one in figure.data if one.mode == "markers" and one.xaxis == "x2")
    assert [name.replace(" ", "_") for name in dots.y] == expected.index.tolist()
    assert list(dots.x) == pytest.approx(expected.tolist())
    bars = next(one for one in figure.data if one.type == "bar" and one.orientation == "h")
    counts = histories.frames()["user"]["subject"].value_counts()
    assert list(bars.x) == counts.tolist()


def test_percent_axes_reach_from_zero_to_a_hundred() -> None:
    source = histories.export()
    for metric, top in (("cpu_usage", 100), ("model_accuracy", 1)):
        found = queries.trends(source.history, [metric], source.window)[metric]
        axis = trends.lines(found, SETTINGS, source.window).layout.yaxis
        assert axis.range[0] == 0
        assert axis.range[1] == pytest.approx(top, rel=0.03)


def test_levels_are_those_of_the_settings() -> None:
    rules = [rule.model_dump() for rule in SETTINGS.rules]
    rules[0] |= {"warning": 33.0, "critical": 44.0}
    settings = Settings.model_validate({"rules": rules})
    source = histories.export()
    found = queries.trends(source.history, ["cpu_usage"], source.window)["cpu_usage"]
    figure = trends.lines(found, settings, source.window)
    assert [shape.y0 for shape in figure.layout.shapes] == [33.0, 44.0]
    assert "33 %" in words(figure)


def test_a_level_far_above_the_data_does_not_flatten_it() -> None:
    rows = [{"timestamp": at(10 * number), "node": "a", "response_time": 20.0 + number} for number in range(20)]
    found = queries.quantiles(history(rows), "response_time", window(300))
    figure = trends.quantiles(found, SETTINGS, window(300))
    assert not figure.layout.shapes
    assert figure.layout.yaxis.range[1] < 50


def test_missing_data_is_a_gap_in_line_and_band() -> None:
    rows = [
        {"timestamp": at(second), "node": "a", "cpu_usage": float(second % 7)}
        for second in [*range(0, 600, 5), *range(1200, 1800, 5)]
    ]
    found = queries.trends(history(rows), ["cpu_usage"], window(1800))["cpu_usage"]
    figure = trends.lines(found, SETTINGS, window(1800))
    line = trace(figure, "a")
    assert np.isnan(np.asarray(line.y, dtype=float)).sum() == 1
    band = next(one for one in figure.data if one.fill == "toself")
    assert list(band.y).count(None) == 2


def test_up_to_five_lines_are_named_at_their_ends_and_more_in_a_legend() -> None:
    def draw(nodes: int) -> go.Figure:
        rows = [
            {"timestamp": at(10 * i), "node": f"node-{n}", "cpu_usage": 10.0 * n}
            for n in range(nodes)
            for i in range(3)
        ]
        found = queries.trends(history(rows), ["cpu_usage"], window(60))["cpu_usage"]
        return trends.lines(found, SETTINGS, window(60))

    few, many, most = draw(3), draw(8), draw(14)
    assert not few.layout.showlegend
    assert "node-2" in words(few)
    assert many.layout.showlegend
    assert "the 10 highest of 14 nodes" in words(most)


def test_a_node_keeps_its_look_where_others_are_left_out() -> None:
    rows = [{"timestamp": at(0), "node": name, "cpu_usage": 10.0} for name in ("a", "b", "c")]
    looks = {"a": ("#111111", "solid"), "b": ("#222222", "dot"), "c": ("#333333", "dash")}
    found = queries.trends(history(rows), ["cpu_usage"], window(60), ["b", "c"])["cpu_usage"]
    figure = trends.lines(found, SETTINGS, window(60), styles=looks)
    assert (trace(figure, "b").line.color, trace(figure, "b").line.dash) == ("#222222", "dot")


def test_labels_are_pushed_apart_in_their_order() -> None:
    assert style.spread([10, 10.5, 50], 5, 0, 100) == [10, 15, 50]
    assert style.spread([99, 98, 100], 10, 0, 100) == [90, 80, 100]
    assert style.spread([], 5, 0, 100) == []


def test_a_long_name_loses_its_middle() -> None:
    assert style.shorten("demo-edge-a-very-long-name") == "demo-e…ng-name"
    assert style.shorten("node-1") == "node-1"


def test_names_lose_the_words_that_all_begin_with_and_stay_different() -> None:
    assert style.labels(["demo-tutor-lora-20261125", "demo-essay-grader-20261124"]) == {
        "demo-tutor-lora-20261125": "tutor-lora-20…",
        "demo-essay-grader-20261124": "essay-grader-…",
    }
    assert list(style.labels(["run-of-2026-11-24-a", "run-of-2026-11-24-b"]).values()) == ["a", "b"]
    assert list(style.labels(["vm", "demo-a"]).values()) == ["vm", "demo-a"]
    alike = style.labels(["experiment_number_one_a", "another_number_one_ab"], 8)
    assert len(set(alike.values())) == 2


def test_an_accuracy_of_zero_is_drawn() -> None:
    rows = [
        {"timestamp": at(i), "epoch": 1, "step": i, "training_loss": 1.0, "learning_rate": 0.1, "accuracy": 0.0}
        for i in range(3)
    ]
    curve = queries.curves(history(training=rows), "run-1", ["accuracy"])["accuracy"]
    figure = training.over_steps({"run-1": curve}, SETTINGS, name="accuracy")
    assert list(trace(figure, "run-1").y) == [0.0, 0.0, 0.0]


def test_a_loss_over_two_decades_is_drawn_on_a_log_axis_with_its_labels_in_place() -> None:
    rows = [
        {"timestamp": at(i), "epoch": 1, "step": i, "training_loss": 10.0 ** (1 - i / 10), "learning_rate": 0.1}
        for i in range(40)
    ]
    found = queries.curves(history(training=rows), "run-1", training.LOSSES)
    figure = training.loss({"run-1": found}, [], SETTINGS)
    assert figure.layout.yaxis.type == "log"
    (label,) = figure.layout.annotations
    assert label.y == pytest.approx(np.log10(rows[-1]["training_loss"]))


def test_a_noisy_gap_is_smoothed_over_what_it_was() -> None:
    steps = np.arange(200.0)
    noise = np.where(steps % 2, 1.0, -1.0)
    gap = queries.Curve("r", "overfitting_gap", steps, noise, noise, noise)
    figure = training.over_steps({"r": gap}, SETTINGS, name="overfitting_gap")
    assert list(trace(figure, "r, each step").y) == noise.tolist()
    assert np.abs(np.asarray(trace(figure, "r").y)).max() < 0.1


def test_steps_that_were_not_finite_are_marked() -> None:
    column = np.array([0.0, 2.0])
    curve = queries.Curve("r", "training_loss", column, column, column, column, nonfinite=np.array([1.0]))
    figure = training.over_steps({"r": curve}, SETTINGS, name="training_loss")
    assert list(trace(figure, "r not finite").x) == [1.0]


@pytest.mark.parametrize(
    ("state", "total", "rate", "expected"),
    [
        ("running", 1000, 0.5, "step 249 of 1,000 · 30 steps/min · 25 min left"),
        ("running", None, 2.0, "step 249, no plan known · 2 steps/s"),
        ("failed", 1000, float("nan"), "step 249 of 1,000 · failed"),
        ("stopped", None, 0.001, "step 249, no plan known · 3.6 steps/h · stopped"),
    ],
)
def test_progress_is_said_in_a_line(state: Any, total: int | None, rate: float, expected: str) -> None:
    run = queries.Run("r", "n", state, 0, 0, 1, 249, total, 1.0, 1.0, 1.0, 1.0, rate)
    assert training.progress_words(run) == expected


def test_a_run_without_a_plan_has_no_bar() -> None:
    run = queries.Run("r", "n", "running", 0, 0, 1, 249, None, 1.0, 1.0, 1.0, 1.0, 1.0)
    figure = training.progress([run], SETTINGS)
    assert [list(bar.x) for bar in figure.data] == [[0.0], [0.0]]


def test_hidden_groups_are_said_and_not_drawn() -> None:
    users = [
        {
            "timestamp": at(number),
            "user_id": f"{subject}-{number % learners_of}",
            "subject": subject,
            "difficulty": "beginner",
            "response_time": 100.0,
            "accuracy": 0.5,
            "engagement_score": 5.0,
        }
        for subject, learners_of in (("physics", 9), ("history", 3), ("art", 3))
        for number in range(9)
    ]
    found = queries.groups(history(users=users), window(60), "subject", 5)
    for figure in (learners.by_group(found, "subject", SETTINGS), learners.most_accessed(found, SETTINGS)):
        assert "2 groups under 5 learners not shown" in words(figure)
        assert "history" not in figure.to_json()


def test_difficulties_are_in_order_of_difficulty() -> None:
    assert heat.in_order({"advanced", "zen", "beginner", "intermediate"}) == [
        "beginner",
        "intermediate",
        "advanced",
        "zen",
    ]


def test_the_health_matrix_holds_scores_and_components() -> None:
    source = histories.export()
    found = queries.health(source.history, SETTINGS, source.now)
    (matrix,) = health.components(found, SETTINGS).data
    assert matrix.z[0].tolist() == [found[0].score, *(found[0].components[rule.name] for rule in SETTINGS.rules)]
    assert "○" in matrix.text[0][0]


def test_no_figure_uses_a_chart_that_needs_more_than_the_strict_bundle() -> None:
    engine = VisualizationEngine(demo_export(), SETTINGS)
    kinds = {one.type for view in VIEWS for one in getattr(engine, view)().data}
    assert kinds <= {"scatter", "bar", "heatmap"}
