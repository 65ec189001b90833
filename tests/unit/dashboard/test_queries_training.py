from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from tests.unit.dashboard import histories
from tests.unit.dashboard.histories import after, at, history, window

from smartlearn.core.stores.base import Points
from smartlearn.dashboard import queries
from smartlearn.dashboard.queries import SECOND
from smartlearn.dashboard.sources.memory import MemoryHistory
from smartlearn.dashboard.sources.records import Records, points_of

RUN = "smartlearn_demo_export"
LOSSES = ("training_loss", "validation_loss")


def steps(count: int, *, every: int = 1, **more: Any) -> list[dict[str, Any]]:
    """A step a second with a falling loss."""
    return [
        {"timestamp": at(step), "epoch": 1, "step": step, "training_loss": 10.0 - step * 0.01, "learning_rate": 1e-4}
        | {name: value(step) for name, value in more.items()}
        for step in range(0, count, every)
    ]


def with_events(rows: Sequence[dict[str, Any]], *events: tuple[float, str, dict[str, Any]]) -> MemoryHistory:
    """A run with what it said about itself."""
    points = list(points_of(Records([], rows, [], "node-1", "run-1"), ()))
    for second, kind, payload in events:
        time = np.array([after(second)], dtype=np.int64)
        points.append(Points("runs", time, {"run": "run-1", "type": kind}, {"payload": json.dumps(payload)}))
    return MemoryHistory(points)


@pytest.mark.parametrize("metric", ["training_loss", "validation_loss", "accuracy", "learning_rate"])
def test_a_curve_of_the_export_is_its_rows_by_step(metric: str) -> None:
    curve = queries.curves(histories.export().history, RUN, [metric])[metric]
    frame = histories.frames()["training"].sort_values("step")
    assert curve.step.tolist() == frame["step"].tolist()
    assert curve.value.tolist() == frame[metric].tolist()
    assert curve.bucket == 1


def test_the_best_step_of_the_export_is_the_lowest_validation_loss() -> None:
    source = histories.export()
    curve = queries.curves(source.history, RUN, LOSSES)["validation_loss"]
    best = queries.best(source.history, curve)
    row = histories.frames()["training"].sort_values("validation_loss").iloc[0]
    assert best == queries.Best(RUN, "validation_loss", int(row["step"]), row["validation_loss"])


def test_the_gap_of_the_export_is_validation_minus_training() -> None:
    found = queries.curves(histories.export().history, RUN, LOSSES)
    frame = histories.frames()["training"].sort_values("step")
    gap = queries.gap(found["training_loss"], found["validation_loss"])
    assert gap.value == pytest.approx((frame["validation_loss"] - frame["training_loss"]).to_numpy())


def test_validation_stands_at_its_own_steps() -> None:
    rows = steps(100)
    for row in rows[24::25]:
        row["validation_loss"] = float(row["step"])
    found = queries.curves(history(training=rows), "run-1", LOSSES)
    assert found["validation_loss"].step.tolist() == [24.0, 49.0, 74.0, 99.0]
    assert found["validation_loss"].value.tolist() == [24.0, 49.0, 74.0, 99.0]
    assert len(found["training_loss"]) == 100


def test_validation_between_training_steps_is_compared_with_the_line_between_them() -> None:
    rows = [
        {"timestamp": at(0), "epoch": 1, "step": 0, "training_loss": 4.0, "learning_rate": 1e-4},
        {"timestamp": at(5), "epoch": 1, "step": 5, "validation_loss": 3.5},
        {"timestamp": at(10), "epoch": 1, "step": 10, "training_loss": 2.0, "learning_rate": 1e-4},
        {"timestamp": at(12), "epoch": 1, "step": 12, "validation_loss": 3.0},
    ]
    found = queries.curves(history(training=rows), "run-1", LOSSES)
    gap = queries.gap(found["training_loss"], found["validation_loss"])
    assert (gap.step.tolist(), gap.value.tolist()) == ([5.0], [0.5])


def test_an_accuracy_of_zero_is_a_value() -> None:
    rows = steps(4, accuracy=lambda step: 0.0 if step < 2 else 0.5)
    curve = queries.curves(history(training=rows), "run-1", ["accuracy"])["accuracy"]
    assert curve.value.tolist() == [0.0, 0.0, 0.5, 0.5]
    (run,) = queries.runs(history(training=rows[:2]), after(10))
    assert run.accuracy == 0.0


def test_steps_that_were_not_finite_are_kept_apart() -> None:
    table = Points(
        "training",
        np.array([after(0), after(1), after(2)], dtype=np.int64),
        {"run": "run-1", "node": "n"},
        {
            "step": [0.0, 1.0, 2.0],
            "training_loss": [1.0, None, 0.5],
            "training_loss_nonfinite": [None, "NaN", None],
        },
    )
    curve = queries.curves(MemoryHistory([table]), "run-1", ["training_loss"])["training_loss"]
    assert (curve.step.tolist(), curve.nonfinite.tolist()) == ([0.0, 2.0], [1.0])


def test_a_step_that_was_sent_twice_shows_its_newest_value() -> None:
    rows = [*steps(2), {"timestamp": at(9), "epoch": 1, "step": 1, "training_loss": 7.0, "learning_rate": 1e-4}]
    assert queries.curves(history(training=rows), "run-1", ["training_loss"])["training_loss"].value.tolist() == [
        10.0,
        7.0,
    ]


def test_a_run_of_a_hundred_thousand_steps_is_read_in_buckets_and_its_best_step_exactly() -> None:
    count = 100_000
    step = np.arange(count, dtype=np.float64)
    loss = 5.0 - step / count + np.random.default_rng(2).uniform(0, 0.2, count)
    loss[61_803] = 0.5
    time = after(0) + (step * SECOND).astype(np.int64)
    points = [Points("training", time, {"run": "big", "node": "n"}, {"step": step, "validation_loss": loss})]
    for level in (64, 1024, 16384):
        starts = np.arange(0, count, level)
        counts = np.diff(np.append(starts, count))
        points.append(
            Points(
                "training_steps",
                after(0) + np.arange(len(starts), dtype=np.int64) * 1000,
                {"run": "big", "level": str(level)},
                {
                    "step_start": starts.astype(np.float64),
                    "validation_loss_mean": np.add.reduceat(loss, starts) / counts,
                    "validation_loss_min": np.minimum.reduceat(loss, starts),
                    "validation_loss_max": np.maximum.reduceat(loss, starts),
                },
            )
        )
    store = MemoryHistory(points)
    curve = queries.curves(store, "big", ["validation_loss"])["validation_loss"]
    assert curve.bucket == 64
    assert len(curve) == 1563
    assert curve.low.min() == 0.5
    assert queries.best(store, curve) == queries.Best("big", "validation_loss", 61_803, 0.5)


def test_the_state_of_the_export_is_its_last_row() -> None:
    source = histories.export()
    (run,) = queries.runs(source.history, source.now)
    last = histories.frames()["training"].sort_values("step").iloc[-1]
    assert (run.run, run.node, run.step, run.epoch) == (RUN, "tutor-1", last["step"], last["epoch"])
    assert (run.training_loss, run.validation_loss) == (last["training_loss"], last["validation_loss"])
    assert run.total_steps is None
    assert np.isnan(run.progress)
    times = histories.frames()["training"]["timestamp"]
    seconds = (times.iloc[-1] - times.iloc[0]).total_seconds()
    assert run.rate == pytest.approx(995 / seconds)


def test_progress_and_time_left_follow_the_plan_of_the_run() -> None:
    store = with_events(steps(250), (0, "start", {}), (0, "settings", {"total_steps": 1000}))
    (run,) = queries.runs(store, after(250))
    assert run.state == "running"
    assert run.progress == 0.25
    assert run.rate == 1.0
    assert run.left_s == 750.0


def test_a_run_that_said_its_end_is_finished_or_failed() -> None:
    done = with_events(steps(10), (0, "start", {"total_steps": 11}), (20, "end", {"status": "finished"}))
    broken = with_events(steps(10), (0, "start", {}), (20, "end", {"error": "out of memory"}))
    assert [run.state for run in queries.runs(done, after(21))] == ["finished"]
    assert queries.runs(done, after(21))[0].progress == 1.0
    assert [run.state for run in queries.runs(broken, after(21))] == ["failed"]


def test_a_run_that_started_again_after_its_end_runs() -> None:
    store = with_events(steps(40), (0, "start", {}), (10, "end", {}), (20, "start", {}))
    assert queries.runs(store, after(41))[0].state == "running"


def test_a_silent_run_is_stopped_after_five_minutes() -> None:
    store = history(training=steps(10))
    assert queries.runs(store, after(9 + 300))[0].state == "running"
    assert queries.runs(store, after(9 + 301))[0].state == "stopped"
    assert np.isnan(queries.runs(store, after(9 + 301))[0].left_s)


def test_runs_are_picked_by_range_and_node_and_the_newest_comes_first() -> None:
    rows = [
        row | {"run": name, "timestamp": at(offset + row["step"]), "node": name[0]}
        for name, offset in (("a-1", 0.0), ("b-1", 1000.0))
        for row in steps(5)
    ]
    store = history(training=rows)
    assert queries.run_names(store) == ["a-1", "b-1"]
    assert [run.run for run in queries.runs(store, after(2000))] == ["b-1", "a-1"]
    assert [run.run for run in queries.runs(store, after(2000), window(100))] == ["a-1"]
    assert [run.run for run in queries.runs(store, after(2000), node=["b"])] == ["b-1"]
    assert queries.run(store, "c-1", after(0)) is None


def test_absent_metrics_give_empty_curves() -> None:
    found = queries.curves(history(training=steps(3)), "run-1", LOSSES)
    assert len(found["validation_loss"]) == 0
    assert queries.best(history(), found["validation_loss"]) is None
    assert len(queries.gap(found["training_loss"], found["validation_loss"])) == 0
