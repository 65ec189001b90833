"""The numbers on the panels of the imported demo export, each against a computation over the file with pandas.

The export goes through the importer and the workers' code into a SQLite store, and the panels read that.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from tests.imports import NODE, RUN, import_into
from tests.pipeline import Pipeline
from tests.reference import RULES, alerts_of, demo_export, health_component, health_rows, load_export
from tests.unit.dashboard import histories

from smartlearn.core.settings import Settings
from smartlearn.dashboard.format import split_unit
from smartlearn.dashboard.pages import ai, realtime, system, training, users
from smartlearn.dashboard.panels import Chart, Context, Page, Stat, Table
from smartlearn.dashboard.queries import HOUR, SECOND
from smartlearn.dashboard.view import View, parse_view

TWELVE = 1e-9
"""Means are stored with 12 digits."""

SKETCH = 0.01
"""Quantiles come from sketches of this relative error."""

RANGE = {"start": "2025-08-14T13:00:00", "stop": "2025-08-15T14:00:00"}
METRICS = ("cpu_usage", "memory_usage", "gpu_memory", "response_time", "model_accuracy", "user_engagement")


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Context]:
    """The export in a store."""
    pipeline = Pipeline(tmp_path_factory.mktemp("numbers"))
    import_into(pipeline, demo_export())
    newest = histories.ns(frame("performance")["timestamp"].max())
    yield Context(Settings(), pipeline.store, lambda: newest + 20 * SECOND)
    pipeline.store.close()


def frame(name: str) -> pd.DataFrame:
    return histories.frames()[name]


def view(context: Context, **values: str) -> View:
    found = parse_view(RANGE | values, context.clock(), choices=None)
    assert found.problems == ()
    return found


def chart(page: Page, name: str) -> Chart:
    (found,) = [panel for panel in page.panels if panel.id == name]
    assert isinstance(found, Chart)
    return found


def draw(context: Context, page: Page, name: str) -> go.Figure:
    return chart(page, name).draw(context, view(context))


def rows(context: Context, page: Page, name: str) -> list[dict[str, Any]]:
    (found,) = [panel for panel in page.panels if panel.id == name]
    assert isinstance(found, Table)
    return found.rows(context, view(context))


def by_label(context: Context, page: Page) -> dict[str, Stat]:
    return {stat.label: stat for stat in page.stats(context, view(context))}


def named(figure: go.Figure, name: str) -> Any:
    (found,) = [trace for trace in figure.data if trace.name == name]
    return found


def starts(trace: Any) -> list[int]:
    """The times of a trace in ns."""
    found: list[int] = np.array(trace.x, dtype="datetime64[ns]").astype(np.int64).tolist()
    return found


def width_of(times: list[int]) -> int:
    return int(np.diff(times).min()) // SECOND


def newest_pane() -> pd.DataFrame:
    """The rows of the newest 10 s."""
    performance = frame("performance")
    panes = performance["timestamp"].map(histories.ns) // (10 * SECOND)
    newest: pd.DataFrame = performance[panes == panes.max()]
    return newest


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("system-cpu", "cpu_usage"), ("system-memory", "memory_usage"), ("system-gpu", "gpu_memory"),
        ("system-response", "response_time"), ("system-accuracy", "model_accuracy"),
        ("system-engagement", "user_engagement"),
    ],
)  # fmt: skip
def test_a_line_of_system_overview_has_the_means_and_its_band_the_extremes(
    imported: Context, name: str, metric: str
) -> None:
    figure = draw(imported, system.PAGE, name)
    line = named(figure, NODE)
    expected = histories.buckets(frame("performance"), metric, width_of(starts(line)))
    assert starts(line) == expected.index.tolist()
    assert line.y == pytest.approx(expected["mean"].to_numpy(), rel=TWELVE)
    band = [value for value in figure.data[0].y if value is not None]
    assert max(band) == frame("performance")[metric].max()
    assert min(band) == frame("performance")[metric].min()


def test_the_figures_of_system_overview_are_those_of_all_samples(imported: Context) -> None:
    stats = by_label(imported, system.PAGE)
    for label, metric in (("CPU", "cpu_usage"), ("Memory", "memory_usage"), ("GPU memory", "gpu_memory")):
        values = frame("performance")[metric]
        assert (stats[label].value, stats[label].unit) == split_unit(float(values.mean()), "%")
        assert stats[label].note == f"peak {' '.join(split_unit(float(values.max()), '%'))}"
        assert stats[label].change == ""
    last: dict[str, str] = {}
    for alert in alerts_of(load_export(demo_export(), node=NODE, run=RUN).performance):
        last[alert.fingerprint] = alert.state
    assert stats["Open alerts"].value == str(sum(state != "ok" for state in last.values()))


def test_health_and_what_it_cost_are_those_of_the_newest_pane(imported: Context) -> None:
    events = load_export(demo_export(), node=NODE, run=RUN).performance
    scores = {key.time: fields for key, fields in health_rows(events).items()}
    newest = scores[max(scores)]
    (row,) = rows(imported, system.PAGE, "system-health")
    assert row["node"] == NODE
    assert row["score"] == round(newest["score"], 1)
    assert row["status"] == ("ok" if newest["score"] >= 80 else "warning" if newest["score"] >= 50 else "critical")
    pane = newest_pane()
    bars = draw(imported, system.PAGE, "system-score").data[0]
    costs = dict(zip(bars.x, bars.y, strict=True))
    titles = {
        "cpu_usage": "CPU",
        "memory_usage": "Memory",
        "gpu_memory": "GPU memory",
        "response_time": "Response time",
    }
    for rule in RULES:
        cost = 0.6 * (100 - health_component(float(pane[rule.name].mean()), rule))
        assert row[f"cost_{rule.name}"] == round(cost, 1)
        assert costs[titles[rule.name]] == pytest.approx(cost, rel=TWELVE, abs=1e-9)
        assert row[rule.name] == pytest.approx(pane[rule.name].mean(), rel=TWELVE)
    assert costs["Score"] == pytest.approx(newest["score"], rel=TWELVE)


def test_health_over_time_is_the_score_of_every_pane(imported: Context) -> None:
    events = load_export(demo_export(), node=NODE, run=RUN).performance
    scores = {key.time * 1000: fields["score"] for key, fields in health_rows(events).items()}
    line = named(draw(imported, system.PAGE, "system-scores"), NODE)
    width = width_of(starts(line)) * SECOND
    grouped = pd.Series(scores).groupby(lambda time: time // width * width).mean()
    drawn = dict(zip(starts(line), line.y, strict=True))
    expected = {int(str(time)): value for time, value in grouped.items()}
    assert {time for time, value in drawn.items() if value is not None and not np.isnan(value)} == expected.keys()
    assert [drawn[time] for time in expected] == pytest.approx(list(expected.values()), rel=TWELVE)


@pytest.mark.parametrize("metric", METRICS)
def test_the_heatmap_of_any_metric_holds_its_means(imported: Context, metric: str) -> None:
    shown = parse_view(RANGE | {"heat": metric}, imported.clock(), choices={"heat": METRICS})
    (trace,) = chart(system.PAGE, "system-heat").draw(imported, shown).data
    times = starts(trace)
    width = width_of(times)
    expected = histories.buckets(frame("performance"), metric, width)["mean"]
    cells = dict(zip([time - width * SECOND // 2 for time in times], np.asarray(trace.z)[0].tolist(), strict=True))
    filled = {time: value for time, value in cells.items() if not np.isnan(value)}
    assert list(filled) == expected.index.tolist()
    assert list(filled.values()) == pytest.approx(expected.to_numpy(), rel=TWELVE)


def test_what_runs_full_goes_through_the_hourly_means(imported: Context) -> None:
    figure = draw(imported, system.PAGE, "system-full")
    hourly = histories.buckets(frame("performance"), "memory_usage", 3600)["mean"]
    past, ahead = named(figure, "measured"), named(figure, "if it goes on so")
    assert past.y == pytest.approx(hourly.to_numpy(), rel=TWELVE)
    hours = (hourly.index.to_numpy() - hourly.index[-1]) / HOUR
    slope, intercept = np.polyfit(hours, hourly.to_numpy(), 1)
    later = (np.array(starts(ahead)) - hourly.index[-1] - HOUR / 2) / HOUR
    assert ahead.y == pytest.approx(intercept + slope * later, rel=1e-6)


def test_everything_a_node_sends_is_summed_up_by_its_samples(imported: Context) -> None:
    found = {row["name"]: row for row in rows(imported, system.PAGE, "system-everything")}
    assert found.keys() == {*METRICS, "gpu_memory_used", "gpu_memory_total"}
    for name, row in found.items():
        values = frame("performance")[name]
        assert row["mean"] == pytest.approx(values.mean(), rel=TWELVE)
        assert (row["low"], row["high"]) == (values.min(), values.max())


def test_response_times_of_the_models_have_their_quantiles(imported: Context) -> None:
    figure = draw(imported, ai.PAGE, "ai-response-time")
    performance = frame("performance")
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        line = named(figure, name)
        width = width_of(starts(line)) * SECOND
        groups = performance["response_time"].groupby(
            (performance["timestamp"].map(histories.ns) // width * width).to_numpy()
        )
        exact = groups.apply(histories.exact_quantile, q)
        assert starts(line) == exact.index.tolist()
        assert line.y == pytest.approx(exact.to_numpy(), rel=SKETCH)


def test_the_table_of_versions_sums_up_all_answers(imported: Context) -> None:
    (row,) = rows(imported, ai.PAGE, "ai-versions")
    performance = frame("performance")
    assert row["answers"] == len(performance)
    assert row["accuracy"] == pytest.approx(performance["model_accuracy"].mean(), rel=TWELVE)
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        assert row[name] == pytest.approx(histories.exact_quantile(performance["response_time"], q), rel=SKETCH)


def test_memory_efficiency_is_mean_over_peak(imported: Context) -> None:
    (trace,) = draw(imported, ai.PAGE, "ai-memory").data
    memory = frame("performance")["memory_usage"]
    assert list(trace.x) == pytest.approx([memory.mean(), memory.max()], rel=TWELVE)
    stat = by_label(imported, ai.PAGE)["Memory efficiency"]
    assert (stat.value, stat.unit) == split_unit(float(memory.mean() / memory.max()), "fraction")


@pytest.mark.parametrize(
    ("name", "column"), [("training-accuracy", "accuracy"), ("training-rate", "learning_rate")]
)  # fmt: skip
def test_curves_of_the_run_are_its_steps(imported: Context, name: str, column: str) -> None:
    figure = draw(imported, training.PAGE, name)
    steps = frame("training").dropna(subset=[column]).sort_values("step")
    drawn = named(figure, RUN)
    assert list(drawn.x) == steps["step"].tolist()
    assert len(drawn.y) == len(steps)


def test_losses_as_reported_are_those_of_the_file(imported: Context) -> None:
    figure = draw(imported, training.PAGE, "training-loss")
    steps = frame("training").sort_values("step")
    reported = next(trace for trace in figure.data if trace.name and trace.name.endswith("as reported"))
    assert list(reported.x) == steps["step"].tolist()
    assert reported.y == pytest.approx(steps["training_loss"].to_numpy(), rel=TWELVE)
    best = next(trace for trace in figure.data if trace.name == "best")
    validation = steps.dropna(subset=["validation_loss"]).set_index("step")["validation_loss"]
    assert list(best.y) == pytest.approx([validation.min()], rel=TWELVE)
    assert list(best.x) == [validation.idxmin()]


def accuracy_by(column: str) -> pd.Series:
    means: pd.Series = frame("user").groupby(column)["accuracy"].mean()
    return means


@pytest.mark.parametrize(("name", "column"), [("users-subject", "subject"), ("users-difficulty", "difficulty")])
def test_accuracy_by_group_is_the_mean_of_its_answers(imported: Context, name: str, column: str) -> None:
    (trace,) = draw(imported, users.PAGE, name).data
    words, values = (trace.y, trace.x) if isinstance(trace.y[0], str) else (trace.x, trace.y)
    expected = accuracy_by(column)
    drawn = {str(word).replace(" ", "_"): value for word, value in zip(words, values, strict=True)}
    assert drawn == pytest.approx(expected.to_dict(), rel=TWELVE)


def test_subject_by_difficulty_holds_the_means_of_its_answers(imported: Context) -> None:
    (trace,) = draw(imported, users.PAGE, "users-both").data
    expected = frame("user").groupby(["subject", "difficulty"])
    for row, subject in enumerate(trace.y):
        for column, difficulty in enumerate(trace.x):
            value = trace.z[row][column]
            if not np.isnan(value):
                group = expected.get_group((str(subject).replace(" ", "_"), difficulty))
                assert value == pytest.approx(group["accuracy"].mean(), rel=TWELVE)
                assert group["user_id"].nunique() >= Settings().privacy.minimum_group


def test_the_table_of_subjects_sums_up_its_answers(imported: Context) -> None:
    found = rows(imported, users.PAGE, "users-subjects")
    for row in found:
        group = frame("user")[frame("user")["subject"] == row["subject"].replace(" ", "_")]
        assert row["count"] == len(group)
        assert row["learners"] == group["user_id"].nunique()
        for name in ("accuracy", "response_time", "engagement_score"):
            assert row[name] == pytest.approx(group[name].mean(), rel=TWELVE)
    assert len(found) == frame("user")["subject"].nunique()


def test_the_figures_of_user_analytics_are_those_of_all_answers(imported: Context) -> None:
    stats = by_label(imported, users.PAGE)
    answers = frame("user")
    assert stats["Interactions"].value == str(len(answers))
    assert stats["Learners"].value == str(answers["user_id"].nunique())
    for label, name, unit in (
        ("Accuracy", "accuracy", "fraction"),
        ("Response time", "response_time", "ms"),
        ("Engagement", "engagement_score", "/10"),
    ):
        assert (stats[label].value, stats[label].unit) == split_unit(float(answers[name].mean()), unit)


def test_most_accessed_counts_the_answers_of_a_subject(imported: Context) -> None:
    (trace,) = draw(imported, users.PAGE, "users-most").data
    drawn = {str(word).replace(" ", "_"): int(count) for word, count in zip(trace.y, trace.x, strict=True)}
    assert drawn == frame("user")["subject"].value_counts().to_dict()


def test_real_time_begins_with_the_samples_of_the_last_minutes(imported: Context) -> None:
    (found,) = realtime.backfill(imported.history, imported.clock())
    performance = frame("performance")
    recent = performance[performance["timestamp"].map(histories.ns) >= imported.clock() - realtime.BACKFILL_S * SECOND]
    assert len(recent) == 2
    for name in ("cpu_usage", "memory_usage", "gpu_memory", "response_time"):
        assert found.values[name].tolist() == pytest.approx(recent[name].tolist(), rel=TWELVE)
