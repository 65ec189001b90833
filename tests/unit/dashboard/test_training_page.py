"""Training Analytics over stored trainings: what tables, curves and figures say, against their own columns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.training_runs import SECOND, Training, seed_store

from smartlearn.core.batch import FloatArray
from smartlearn.core.settings import Settings
from smartlearn.core.stores import open_store
from smartlearn.core.stores.base import MetricStore
from smartlearn.dashboard import queries
from smartlearn.dashboard.components import column_defs
from smartlearn.dashboard.figures.parallel import Setup, parallel, varying
from smartlearn.dashboard.pages import training
from smartlearn.dashboard.pages.training.sight import curves, sight
from smartlearn.dashboard.pages.training.stats import best_checkpoint
from smartlearn.dashboard.panels import Context, Table
from smartlearn.dashboard.view import View, parse_view

NOW = 1_790_000_000 * SECOND
LONG = Training("long", NOW - 30_000 * SECOND, 40_000, "overfits", apart=SECOND // 2, settings={"gpus": 4, "lr": 1e-3})
SHORT = Training("short", NOW - 900 * SECOND, 800, apart=SECOND, planned=1600, settings={"lr": 1e-4}, end=None)
BROKEN = Training(
    "broken", NOW - 40_000 * SECOND, 3000, "diverges", settings={"lr": 1e-2}, end={"error": "OutOfMemory"}
)
LOSSES = ("training_loss", "validation_loss")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MetricStore]:
    opened = open_store(Settings(data_dir=tmp_path_factory.mktemp("trainings")))
    seed_store(opened, [LONG, SHORT, BROKEN])
    yield opened
    opened.close()


@pytest.fixture
def context(store: MetricStore) -> Context:
    return Context(Settings(), store, lambda: NOW)


def view(**values: str) -> View:
    found = parse_view({"range": "7d"} | values, NOW, choices=training.PAGE.all_options)
    assert found.problems == ()
    return found


def test_a_row_of_the_table_says_what_the_steps_say(context: Context) -> None:
    rows = {row["run"]: row for row in training.run_rows(context, view())}
    for run in (LONG, SHORT, BROKEN):
        columns, row = run.columns(), rows[run.name]
        assert row["step"] == run.steps - 1
        assert row["best"] == pytest.approx(np.nanmin(columns["validation_loss"]))
        assert row["accuracy"] == pytest.approx(np.nanmax(columns["accuracy"]))
        assert row["training_loss"] == pytest.approx(columns["training_loss"][-1])
        assert row["best_step"] == pytest.approx(np.nanargmin(columns["validation_loss"]), abs=1024)
        assert row["duration"] == pytest.approx((run.steps - 1) * run.apart / SECOND)
        assert row["rate"] == pytest.approx(SECOND / run.apart, rel=0.01)
        assert row["set_lr"] == run.settings["lr"]
    assert rows["long"]["gpu_hours"] == pytest.approx(4 * rows["long"]["duration"] / 3600)
    assert [rows[name]["state"] for name in ("long", "short", "broken")] == ["finished", "running", "failed"]
    assert rows["short"]["left"] == pytest.approx(800, abs=2)
    assert rows["short"]["progress"] == pytest.approx(50)


def test_runs_that_are_drawn_are_ticked_in_their_colours(context: Context) -> None:
    rows = {row["run"]: row for row in training.run_rows(context, view(run="broken,long"))}
    figure = training.charts.learning_rate(context, view(run="broken,long"))
    drawn = {trace.name: trace.line.color for trace in figure.data if trace.name in rows}
    assert drawn == {"broken": rows["broken"]["shown"], "long": rows["long"]["shown"]}
    assert rows["short"]["shown"] is None
    more = {row["run"]: row for row in training.run_rows(context, view(run="broken,long,short"))}
    assert more["broken"]["shown"] == rows["broken"]["shown"]


def test_settings_become_columns(context: Context) -> None:
    rows = training.run_rows(context, view())
    (table,) = [panel for panel in training.PAGE.panels if panel.id == "training-runs"]
    assert {"set_lr", "set_gpus"} <= {column.field for column in table.columns_of(rows)}  # type: ignore[union-attr]


def test_a_long_run_is_read_in_buckets_and_a_zoom_loads_its_steps(context: Context) -> None:
    shown = view(run="long", smooth="none")
    whole = curves(context, sight(context, shown), LOSSES)["long"]["training_loss"]
    assert whole.bucket >= 64
    assert len(whole) <= queries.MAX_POINTS
    seen = sight(context, view(run="long", smooth="none", zoom="step:20000..20400"))
    part = curves(context, seen, LOSSES)["long"]["training_loss"]
    assert part.bucket == 1
    assert part.step.tolist() == list(range(20_000, 20_401))
    assert part.value == pytest.approx(LONG.columns()["training_loss"][20_000:20_401])


def test_smoothing_does_not_start_anew_at_a_zoom(context: Context) -> None:
    seen = sight(context, view(run="long", smooth="ema-0.97", zoom="step:20000..20400"))
    part = curves(context, seen, LOSSES, smooth=LOSSES)["long"]["training_loss"]
    value, keep = LONG.columns()["training_loss"], 0.97
    weights = keep ** np.arange(2000)[::-1]
    for place in (0, 200):
        until = 20_000 + place
        expected = float(np.average(value[until - 1999 : until + 1], weights=weights))
        assert part.smooth[place] == pytest.approx(expected, rel=0.002)


@pytest.mark.parametrize("axis", ["epoch", "relative", "time"])
def test_curves_stand_where_the_steps_were(context: Context, axis: str) -> None:
    seen = sight(context, view(run="long", x=axis))
    curve = curves(context, seen, LOSSES)["long"]["training_loss"]
    columns = LONG.columns()
    steps = curve.middle.astype(int)
    expected = {
        "epoch": columns["epoch"][steps],
        "relative": (LONG.times[steps] - LONG.start) / SECOND / 3600,
        "time": LONG.times[steps] / 1e6,
    }[axis]
    tolerance = {"epoch": 1.3, "relative": 0.03, "time": 120_000}[axis]
    assert seen.axis.numbers(curve) == pytest.approx(expected, rel=0, abs=tolerance)


def test_a_zoom_along_time_finds_its_steps(context: Context) -> None:
    seen = sight(context, view(run="long", x="relative", zoom="hours:1..1.2"))
    (run,) = seen.runs
    assert seen.span(run) == pytest.approx((7200, 8641), abs=20)
    other = sight(context, view(run="long", x="epoch", zoom="hours:1..1.2"))
    assert other.span(run) is None


def test_a_zoom_changes_nothing_of_what_the_curves_say(context: Context) -> None:
    part = view(run="long", zoom="step:30000..31000")
    assert training.advice(context, part) == training.advice(context, view(run="long"))
    figure = training.charts.loss(context, part)
    assert not [trace for trace in figure.data if trace.name == "best" or "overfits" in (trace.name or "")]
    beginning = training.charts.loss(context, view(run="long", zoom="step:0..39999"))
    assert [trace.x[0] for trace in beginning.data if trace.name == "best"] == [
        int(np.nanargmin(LONG.columns()["validation_loss"]))
    ]


@pytest.mark.parametrize("text", ["5", "a..b", "step:5", "step:1..2;drop"])
def test_a_zoom_that_is_none_is_said(text: str) -> None:
    found = parse_view({"zoom": text}, NOW, choices=training.PAGE.all_options)
    assert "zoom" not in found.choices
    assert len(found.problems) == 1


def test_what_the_curves_say_is_said(context: Context) -> None:
    lines = training.advice(context, view(run="long,short,broken"))
    said = " | ".join(f"{line.status} {line.title}" for line in lines)
    assert "critical broken diverges from step" in said
    assert "critical broken failed" in said
    assert "warning long overfits from step" in said
    order = ["critical", "warning", "unknown", "ok"]
    assert [order.index(line.status) for line in lines] == sorted(order.index(line.status) for line in lines)
    (overfits,) = [line for line in lines if "overfits" in line.title]
    assert "while training loss fell" in overfits.text
    assert "Keep the checkpoint of step 16,000." in overfits.text


def test_the_difference_is_to_the_first_run(context: Context) -> None:
    figure = training.charts.against(context, view(run="short,broken", smooth="none"))
    (line,) = [trace for trace in figure.data if trace.name == "broken"]
    own, first = BROKEN.columns()["validation_loss"], SHORT.columns()["validation_loss"]
    steps = np.arange(49, 800, 50)
    assert line.x.tolist() == steps.tolist()
    assert line.y == pytest.approx(own[steps] - first[steps])


def around(validation: FloatArray, step: int) -> float:
    """The mean of the bucket of 64 steps that a step lies in, or of the newest one before with a value."""
    for number in range(step // 64, -1, -1):
        values = validation[64 * number : 64 * (number + 1)]
        if not np.isnan(values).all():
            return float(np.nanmean(values))
    raise AssertionError("no validation")


def test_gpu_time_counts_from_the_best_checkpoint(context: Context) -> None:
    stat = training.stats(context, view(run="long"))[-1]
    validation = LONG.columns()["validation_loss"]
    reported = {step: around(validation, step) for step in range(4000, 40_000, 4000)}
    best = min(reported, key=reported.__getitem__)
    hours = 4 * (LONG.steps - 1 - best) * LONG.apart / SECOND / 3600
    assert float(stat.value) == pytest.approx(hours, rel=0.01)
    assert stat.note == f"checkpoint of step {best:,}"


def test_a_run_without_checkpoints_has_no_best_one(store: MetricStore) -> None:
    curve = queries.curves(store, "short", LOSSES)["validation_loss"]
    assert best_checkpoint([], curve) is None
    assert best_checkpoint([queries.Checkpoint(NOW, 10)], curve) is None
    assert best_checkpoint([queries.Checkpoint(NOW, None)], curve) is None


def test_a_clock_knows_a_pause(tmp_path: Path) -> None:
    first = Training("paused", NOW, 5000, apart=SECOND)
    opened = open_store(Settings(data_dir=tmp_path))
    for points in first.points():
        late = points.time + np.where(points.time > NOW + 3000 * SECOND, 50_000 * SECOND, 0)
        opened.write([type(points)(points.measurement, late, points.tags, points.fields)])
    clock = queries.clock(opened, "paused", NOW, NOW + 54_999 * SECOND)
    steps = np.array([500.0, 2500.0, 3500.0, 4800.0])
    expected = NOW + (steps + np.where(steps > 3000, 50_000, 0)) * SECOND
    assert clock.at(steps) == pytest.approx(expected, rel=0, abs=0.01 * 55_000 * SECOND)
    opened.close()


def test_speed_is_that_of_the_steps(store: MetricStore) -> None:
    run = queries.run(store, "long", NOW)
    assert run is not None
    clock = queries.clock(store, "long", run.started, run.updated)
    assert queries.speed(clock, "long").value == pytest.approx(2.0, rel=0.01)


def test_settings_that_do_not_differ_have_no_axis() -> None:
    setups = [Setup(f"r{n}", {"lr": 10.0**-n, "same": 1, "name": "ab"[n % 2]}, float(n)) for n in range(4)]
    assert varying(setups) == ["lr", "name"]
    figure = parallel(setups, "loss")
    titles = [one.text for one in figure.layout.annotations if "<b>" in one.text]
    assert titles == ["<b>lr</b>", "<b>name</b>", "<b>loss</b>"]
    assert not parallel(setups[:2], "loss").data


def test_numbers_of_the_table_sort_and_filter_as_numbers(context: Context) -> None:
    rows = training.run_rows(context, view())
    (table,) = [panel for panel in training.PAGE.panels if isinstance(panel, Table)]
    columns = {column["field"]: column for column in column_defs(table, rows)}
    for name in ("step", "best_step", "duration", "left", "age", "gpu_hours", "set_lr"):
        assert columns[name]["filter"] == "agNumberColumnFilter"
        assert all(row.get(name) is None or isinstance(row[name], int | float) for row in rows)
    assert columns["run"]["filter"] == "agTextColumnFilter"
    assert "filter" not in columns["shown"]
