"""AI Performance, Training Analytics and User Analytics: what their figures, charts and tables say."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest
from tests.unit.dashboard import histories
from tests.unit.dashboard.histories import after, at, history, window

from smartlearn.core.settings import Settings
from smartlearn.dashboard.pages import ai, training, users
from smartlearn.dashboard.pages.ai_advice import advice
from smartlearn.dashboard.panels import Chart, Context, Insights, Page, Stat, Table
from smartlearn.dashboard.queries import HOUR, SECOND, Window
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.view import View, parse_view

PAGES = (ai.PAGE, training.PAGE, users.PAGE)


def context(store: History, now: int) -> Context:
    return Context(Settings(), store, lambda: now)


def export_view(**values: str) -> View:
    """The export's whole range."""
    source = histories.export()
    range_ = source.window
    start, stop = (
        np.datetime64(time, "ns").astype("datetime64[s]").astype(str) for time in (range_.start, range_.stop + SECOND)
    )
    return parse_view({"start": start, "stop": stop, **values}, source.now)


def by_label(stats: list[Stat]) -> dict[str, Stat]:
    return {stat.label: stat for stat in stats}


WAITING = {
    "ai-errors": ["No answer says whether it failed.<br>Time models with <b>time_model</b> to see errors here."],
    "ai-gpu-runs": ["No GPU sample names its training run.<br>Send performance events with their <b>run</b>."],
    "training-against": ["Tick two runs or more in the table:<br>each is compared with the first one."],
    "training-settings": [
        (
            "Three runs or more that differ in a setting show here which settings do well.<br>"
            "Tell them with <b>track_training(settings={…})</b>."
        )
    ],
    "training-others": ["These runs report no metrics of their own."],
}
"""What panels say that have nothing to show of one run of a file that names neither settings nor metrics."""


def words(figure: go.Figure) -> str:
    return " | ".join(str(one.text) for one in figure.layout.annotations)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_every_panel_of_an_empty_store_says_what_to_do(page: Page) -> None:
    now = after(0)
    nothing, view = context(history(), now), parse_view({}, now)
    assert len(page.stats(nothing, view)) == page.places
    for panel in page.panels:
        match panel:
            case Chart():
                figure = panel.draw(nothing, view)
                assert not figure.data, panel.id
                assert words(figure).startswith("No "), panel.id
            case Table():
                assert panel.rows(nothing, view) == []
                assert "smartlearn demo" in panel.empty
            case Insights():
                assert panel.items(nothing, view) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_every_panel_holds_data_of_the_export(page: Page) -> None:
    source = histories.export()
    full, view = context(source.history, source.now), export_view()
    assert all(stat.value != "–" for stat in page.stats(full, view))
    for panel in page.panels:
        match panel:
            case Chart():
                figure = panel.draw(full, view)
                assert figure.data or words(figure) in WAITING.get(panel.id, ()), panel.id
            case Table():
                rows = panel.rows(full, view)
                assert rows
                assert {column.field for column in panel.columns} <= set(rows[0]), panel.id
            case Insights():
                assert panel.items(full, view)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_ids_are_unique_and_rows_of_cards_are_full(page: Page) -> None:
    assert len({panel.id for panel in page.panels}) == len(page.panels)
    filled = 0
    for panel in page.panels:
        filled += panel.span
        assert filled <= 12, panel.id
        filled %= 12
    assert filled == 0


def test_the_first_row_of_ai_performance_is_that_of_pandas() -> None:
    source = histories.export()
    stats = by_label(ai.stats(context(source.history, source.now), export_view()))
    frame = histories.frames()["performance"]
    p95 = histories.exact_quantile(frame["response_time"], 0.95)
    assert float(stats["Response time, p95"].value) == pytest.approx(p95 / 1000, rel=0.02)
    assert stats["Response time, p95"].status == "warning"
    assert float(stats["Model accuracy"].value) == pytest.approx(100 * frame["model_accuracy"].mean(), rel=0.01)
    assert float(stats["GPU memory"].value) == pytest.approx(frame["gpu_memory"].mean(), rel=0.01)
    efficiency = frame["memory_usage"].mean() / frame["memory_usage"].max()
    assert float(stats["Memory efficiency"].value) == pytest.approx(100 * efficiency, rel=0.01)


def test_the_versions_of_the_export_are_one_row_of_all_its_answers() -> None:
    source = histories.export()
    (row,) = ai.version_rows(context(source.history, source.now), export_view())
    frame = histories.frames()["performance"]
    assert row["answers"] == len(frame)
    assert row["accuracy"] == pytest.approx(frame["model_accuracy"].mean())
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert row[name] == pytest.approx(histories.exact_quantile(frame["response_time"], q), rel=0.01)


def test_advice_names_the_level_the_node_and_the_action() -> None:
    rows = [
        {"timestamp": at(60 * minute), "node": "a", "cpu_usage": 95.0 if minute < 6 else 20.0} for minute in range(60)
    ]
    now = after(3600)
    (line,) = advice(context(history(rows), now), View(window(3600), now))
    assert line.status == "critical"
    assert line.title == "CPU above 90 % on a: optimize processes"
    assert line.text == "10 % of the time, peak 95 % (02 Mar 08:00), now 20 %."
    assert line.when == "55 min ago"


def test_a_level_crossed_for_a_moment_is_a_warning() -> None:
    rows = [{"timestamp": at(10 * row), "node": "a", "cpu_usage": 95.0 if row == 5 else 20.0} for row in range(200)]
    now = after(2000)
    (line,) = advice(context(history(rows), now), View(window(2000), now))
    assert line.status == "warning"
    assert line.text.startswith("Under 1 % of the time")


def test_the_first_row_of_training_is_that_of_the_newest_run() -> None:
    source = histories.export()
    stats = by_label(training.stats(context(source.history, source.now), export_view()))
    frame = histories.frames()["training"].sort_values("step")
    assert float(stats["Training loss"].value) == pytest.approx(frame["training_loss"].iloc[-1], rel=0.01)
    assert float(stats["Best validation loss"].value) == pytest.approx(frame["validation_loss"].min(), rel=0.01)
    assert stats["Best validation loss"].note.startswith("at step 515")
    assert float(stats["Accuracy"].value) == pytest.approx(100 * frame["accuracy"].iloc[-1], rel=0.01)
    assert stats["Speed"].unit == "steps/min"


def test_chosen_runs_are_overlaid_whatever_the_range() -> None:
    rows = [
        {"timestamp": at(step), "run": run, "epoch": 1, "step": step, "training_loss": 1.0, "learning_rate": 0.1}
        for run in ("one", "two", "three")
        for step in range(5)
    ]
    now = after(9 * HOUR / SECOND)
    shown = View(window(60), now, runs=("three", "one"))
    late = View(window(60), now, runs=("two",))
    store = context(history(training=rows), now)
    assert [run.run for run in training.shown_runs(store, shown)] == ["three", "one"]
    assert {one.name for one in training.charts.learning_rate(store, shown).data} == {"one", "three"}
    assert [row["run"] for row in training.run_rows(store, late) if row["shown"]] == ["two"]


def test_the_first_row_of_users_is_that_of_pandas() -> None:
    source = histories.export()
    stats = by_label(users.stats(context(source.history, source.now), export_view()))
    frame = histories.frames()["user"]
    assert stats["Interactions"].value == "200"
    assert stats["Learners"].value == str(frame["user_id"].nunique())
    assert float(stats["Accuracy"].value) == pytest.approx(100 * frame["accuracy"].mean(), rel=0.01)
    assert float(stats["Response time"].value) == pytest.approx(frame["response_time"].mean() / 1000, rel=0.01)
    assert float(stats["Engagement"].value) == pytest.approx(frame["engagement_score"].mean(), rel=0.01)


def test_the_subjects_table_is_that_of_pandas_the_weakest_first() -> None:
    source = histories.export()
    rows = users.subject_rows(context(source.history, source.now), export_view())
    expected = histories.frames()["user"].groupby("subject")["accuracy"].agg(["mean", "count"]).sort_values("mean")
    assert [row["subject"].replace(" ", "_") for row in rows] == expected.index.tolist()
    assert [row["accuracy"] for row in rows] == pytest.approx(expected["mean"].tolist())
    assert [row["count"] for row in rows] == expected["count"].tolist()


def answers(count: int, accuracy: float, start: float) -> list[dict[str, Any]]:
    return [
        {
            "timestamp": at(start + number),
            "user_id": f"user-{number % 20}",
            "subject": "physics",
            "difficulty": "beginner",
            "response_time": 1000.0,
            "accuracy": accuracy + (0.01 if number % 2 else -0.01),
            "engagement_score": 5.0 + (2.0 if number % 2 else -2.0),
        }
        for number in range(count)
    ]


def test_a_change_is_news_only_where_chance_does_not_explain_it() -> None:
    rows = [*answers(100, 0.5, 0), *answers(101, 0.8, 3600)]
    now = after(7200)
    later = View(Window(after(3600), after(7200)), now)
    stats = by_label(users.stats(context(history(users=rows), now), later))
    assert stats["Accuracy"].change.startswith("+30")
    assert stats["Accuracy"].verdict == "good"
    assert stats["Engagement"].verdict is None


def test_too_few_learners_show_no_figure() -> None:
    rows = [row | {"user_id": f"user-{number % 3}"} for number, row in enumerate(answers(50, 0.5, 0))]
    now = after(3600)
    few, view = context(history(users=rows), now), View(window(3600), now)
    for stat in users.stats(few, view):
        assert (stat.value, stat.note) == ("–", "fewer than 5 learners")
    for panel in users.PAGE.panels:
        if isinstance(panel, Chart):
            assert not panel.draw(few, view).data, panel.id
    assert users.subject_rows(few, view) == []
