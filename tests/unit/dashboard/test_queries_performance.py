from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.dashboard import histories
from tests.unit.dashboard.histories import after, at, history, window

from smartlearn.core.settings import RetentionSettings, Settings
from smartlearn.core.stores.base import Points
from smartlearn.core.stores.sqlite import SqliteStore
from smartlearn.dashboard import queries
from smartlearn.dashboard.queries import DAY, HOUR, MINUTE, SECOND, Window
from smartlearn.dashboard.queries.window import bucket_width, thin, tier_for, with_gaps
from smartlearn.dashboard.sources.records import Records, points_of

METRICS = ("cpu_usage", "memory_usage", "gpu_memory", "response_time", "model_accuracy", "user_engagement")


def samples(node: str, values: list[float], step_s: float = 10.0, **more: object) -> list[dict[str, object]]:
    return [{"timestamp": at(i * step_s), "node": node, "cpu_usage": value, **more} for i, value in enumerate(values)]


@pytest.mark.parametrize("metric", METRICS)
def test_a_line_of_the_export_has_the_means_and_extremes_of_its_events(metric: str) -> None:
    source = histories.export()
    line = queries.trends(source.history, [metric], source.window)[metric].lines[0]
    expected = histories.buckets(histories.frames()["performance"], metric, line.width // SECOND)
    assert line.time.tolist() == expected.index.tolist()
    assert line.mean == pytest.approx(expected["mean"].to_numpy())
    assert line.low == pytest.approx(expected["min"].to_numpy())
    assert line.high == pytest.approx(expected["max"].to_numpy())
    assert line.count.tolist() == expected["count"].tolist()
    assert line.average == pytest.approx(histories.frames()["performance"][metric].mean())


def test_the_fleet_of_one_node_is_the_node() -> None:
    source = histories.export()
    node = queries.trends(source.history, ["cpu_usage"], source.window)["cpu_usage"].lines[0]
    fleet = queries.fleet(source.history, ["cpu_usage"], source.window)["cpu_usage"]
    assert fleet.mean == pytest.approx(node.mean)
    assert fleet.name == queries.FLEET


def test_quantiles_of_the_export_are_within_one_percent_of_the_exact_ones() -> None:
    source = histories.export()
    found = queries.quantiles(source.history, "response_time", source.window, rows=24)
    frame = histories.frames()["performance"]
    start = frame["timestamp"].map(histories.ns) // found.width * found.width
    groups = frame["response_time"].groupby(start.to_numpy())
    assert found.time.tolist() == groups.size().index.tolist()
    for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        exact = groups.apply(histories.exact_quantile, q)
        assert getattr(found, name) == pytest.approx(exact.to_numpy(), rel=0.01)


def test_the_spread_of_a_range_is_that_of_its_events() -> None:
    source = histories.export()
    frame = histories.frames()["performance"]
    cut = Window(source.window.start + 20 * MINUTE, source.window.stop - 7 * HOUR - 13 * MINUTE)
    inside = frame["timestamp"].map(lambda moment: cut.start <= histories.ns(moment) // MINUTE * MINUTE < cut.stop)
    values = frame.loc[inside, "response_time"]
    found = queries.spread(source.history, "response_time", cut)
    assert found.count == len(values)
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == (values.min(), values.max())
    assert found.p95 == pytest.approx(histories.exact_quantile(values, 0.95), rel=0.01)


def test_the_matrix_of_the_export_has_its_means_by_time() -> None:
    source = histories.export()
    found = queries.matrix(source.history, "cpu_usage", source.window)
    expected = histories.buckets(histories.frames()["performance"], "cpu_usage", found.width // SECOND)["mean"]
    assert found.names == ["tutor-1"]
    filled = ~np.isnan(found.values[0])
    assert found.time[filled].tolist() == expected.index.tolist()
    assert found.values[0][filled] == pytest.approx(expected.to_numpy())


def test_memory_efficiency_is_mean_over_peak() -> None:
    source = histories.export()
    (found,) = queries.memory_efficiency(source.history, source.window)
    memory = histories.frames()["performance"]["memory_usage"]
    assert found.efficiency == pytest.approx(memory.mean() / memory.max())


def test_a_change_compares_with_the_range_before() -> None:
    store = history(
        [*samples("a", [10.0] * 60), *[{"timestamp": at(600 + i), "node": "a", "cpu_usage": 30.0} for i in range(600)]]
    )
    change = queries.changes(store, ["cpu_usage"], Window(after(600), after(1200)))["cpu_usage"]
    assert (change.value, change.previous, change.change) == (30.0, 10.0, 20.0)
    assert change.count == 600
    assert len(change.spark) <= 60


def test_a_change_without_a_past_is_not_a_number() -> None:
    change = queries.changes(history(samples("a", [10.0])), ["cpu_usage", "gpu_memory"], window(60))
    assert np.isnan(change["cpu_usage"].change)
    assert np.isnan(change["gpu_memory"].value)


def test_the_mean_of_rows_of_unequal_size_weighs_them() -> None:
    rows = [{"timestamp": at(second), "node": "a", "cpu_usage": 0.0} for second in range(9)]
    store = history([*rows, {"timestamp": at(15), "node": "a", "cpu_usage": 100.0}])
    assert queries.fleet(store, ["cpu_usage"], window(60))["cpu_usage"].average == 10.0


def test_the_ten_highest_nodes_are_drawn_and_the_others_counted() -> None:
    store = history([row for number in range(14) for row in samples(f"node-{number:02}", [float(number)] * 3)])
    found = queries.trends(store, ["cpu_usage"], window(60))["cpu_usage"]
    assert [line.name for line in found.lines] == [f"node-{number:02}" for number in range(13, 3, -1)]
    assert found.others == 4
    assert queries.matrix(store, "cpu_usage", window(60), rows=3).others == 11


def test_chosen_nodes_are_drawn_whatever_their_rank() -> None:
    store = history([row for number in range(14) for row in samples(f"node-{number:02}", [float(number)])])
    found = queries.trends(store, ["cpu_usage"], window(60), ["node-00", "no-such"])["cpu_usage"]
    assert [line.name for line in found.lines] == ["node-00"]
    together = queries.merged(store, ["cpu_usage"], window(60), ["node-00", "node-04"])["cpu_usage"]
    assert together.mean.tolist() == [2.0]


def test_gpus_and_versions_of_a_node_are_one_line() -> None:
    rows = [*samples("a", [10.0], model_version="v1"), *samples("a", [30.0], model_version="v2")]
    assert queries.trends(history(rows), ["cpu_usage"], window(60))["cpu_usage"].lines[0].mean.tolist() == [20.0]


def test_versions_are_told_apart_and_the_newest_comes_first() -> None:
    rows = [
        {"timestamp": at(0), "node": "a", "model_version": "v1", "model_accuracy": 0.5, "response_time": 100.0},
        {"timestamp": at(100), "node": "b", "model_version": "v2", "model_accuracy": 0.0},
        {"timestamp": at(50), "node": "b", "model_accuracy": 0.9},
    ]
    store = history(rows)
    lines = queries.by_version(store, "model_accuracy", window(200))
    assert [(line.name, line.mean.tolist()) for line in lines] == [("v2", [0.0]), ("no version", [0.9]), ("v1", [0.5])]
    table = queries.versions(store, window(200))
    assert [(row.version, row.accuracy.count, row.response_time.count, row.nodes) for row in table] == [
        ("v2", 1, 0, 1),
        ("no version", 1, 0, 1),
        ("v1", 1, 1, 1),
    ]


def test_shards_of_the_fleet_are_merged_at_equal_times(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db")
    events = {"3": [1.0, 2.0, 9.0], "17": [4.0, 100.0]}
    for shard, values in events.items():
        rows = [{"timestamp": at(0), "node": "x", "response_time": value} for value in values]
        for table in points_of(Records(rows, [], [], "x", "r"), ()):
            if table.measurement.startswith("performance_fleet"):
                store.write([Points(table.measurement, table.time, {"shard": shard}, table.fields)])
    line = queries.fleet(store, ["response_time"], window(60))["response_time"]
    everything = [value for values in events.values() for value in values]
    assert line.mean.tolist() == [pytest.approx(np.mean(everything))]
    assert (line.low.tolist(), line.high.tolist(), line.count.tolist()) == ([1.0], [100.0], [5.0])
    assert queries.quantiles(store, "response_time", window(60)).p50 == pytest.approx([4.0], rel=0.01)
    store.close()


def test_the_newest_value_of_each_metric_is_its_last_pane() -> None:
    rows = [*samples("a", [1.0, 2.0, 3.0]), {"timestamp": at(5), "node": "a", "response_time": 70.0}]
    found = queries.newest(history(rows), ["cpu_usage", "response_time", "gpu_memory"])
    assert found == {
        "a": {"cpu_usage": queries.Newest(after(20), 3.0), "response_time": queries.Newest(after(0), 70.0)}
    }


def test_nodes_are_listed_once_each() -> None:
    assert queries.nodes(history([*samples("b", [1.0] * 400), *samples("a", [1.0])])) == ["a", "b"]


def test_an_empty_store_answers_with_nothing() -> None:
    store = history()
    assert queries.trends(store, ["cpu_usage"], window(60))["cpu_usage"].lines == []
    assert len(queries.quantiles(store, "response_time", window(60))) == 0
    assert queries.spread(store, "response_time", window(60)).count == 0
    assert queries.matrix(store, "cpu_usage", window(60)).names == []
    assert queries.newest(store, ["cpu_usage"]) == {}
    assert queries.versions(store, window(60)) == []


@pytest.mark.parametrize(
    ("span", "tier"),
    [(15 * MINUTE, "10s"), (2 * HOUR, "10s"), (3 * HOUR, "1m"), (2 * DAY, "1m"), (3 * DAY, "1h"), (365 * DAY, "1h")],
)
def test_the_tier_fits_the_range(span: int, tier: str) -> None:
    assert tier_for(Window(0, span)) == tier


def test_a_tier_that_is_kept_shorter_than_the_range_is_passed_over(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db", RetentionSettings(panes_days=1 / 24))
    assert tier_for(Window(0, 2 * HOUR), store) == "1m"
    assert tier_for(Window(0, HOUR), store) == "10s"
    store.close()


@pytest.mark.parametrize("span", [MINUTE, HOUR, DAY, 30 * DAY, 730 * DAY])
def test_no_line_has_more_than_two_thousand_rows(span: int) -> None:
    stop = after(0)
    store = history([{"timestamp": at(-second), "node": "a", "cpu_usage": 1.0} for second in range(0, 4000, 3)])
    line = queries.trends(store, ["cpu_usage"], Window(stop - span, stop))["cpu_usage"].lines
    assert all(len(one) <= queries.MAX_POINTS for one in line)
    assert span / bucket_width(Window(0, span), 240) <= queries.MAX_POINTS


def test_a_thinned_line_keeps_its_extremes() -> None:
    values = np.random.default_rng(5).normal(size=50_000)
    values[31_777], values[12_345] = 40.0, -40.0
    rows = thin(values, 2000)
    assert len(rows) <= 2000
    assert {31_777, 12_345} <= set(rows.tolist())
    assert np.all(np.diff(rows) > 0)


def test_missing_rows_become_a_gap_and_sparse_rows_do_not() -> None:
    minutes = np.array([0, 1, 2, 30, 31], dtype=np.int64) * MINUTE
    time, (values,) = with_gaps(minutes, MINUTE, [np.arange(5.0)])
    assert np.isnan(values).tolist() == [False, False, False, True, False, False]
    assert time[3] == 3 * MINUTE
    hourly = np.arange(5, dtype=np.int64) * HOUR
    assert len(with_gaps(hourly, MINUTE, [np.arange(5.0)])[0]) == 5


def test_insights_say_how_long_a_level_was_crossed_and_what_else_was_high() -> None:
    rows = [
        {
            "timestamp": at(60 * minute),
            "node": "a",
            "cpu_usage": 95.0 if minute < 20 else 50.0,
            "memory_usage": 80.0 if minute < 10 else 40.0,
            "response_time": 2100.0 if minute == 50 else 300.0,
        }
        for minute in range(100)
    ]
    found = queries.insights(history(rows), Settings().rules, window(6000))
    assert [(one.rule.name, one.critical, one.standing) for one in found] == [
        ("cpu_usage", True, False),
        ("memory_usage", False, False),
        ("response_time", False, False),
    ]
    cpu = found[0]
    assert (cpu.above_warning, cpu.above_critical, cpu.peak, cpu.newest) == (0.2, 0.2, 95.0, 50.0)
    assert cpu.last_at == after(19 * 60)
    assert cpu.together == {"memory_usage": 0.5}


def test_nothing_above_a_level_gives_no_insight() -> None:
    assert queries.insights(history(samples("a", [70.0] * 9)), Settings().rules, window(100)) == []
