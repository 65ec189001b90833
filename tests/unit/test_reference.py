"""The reference itself, on cases small enough to check by hand."""

from __future__ import annotations

import hashlib
import math

import pytest
from tests.comparison import differences, stored_rows
from tests.reference import (
    RULES,
    Events,
    Key,
    Rule,
    aggregate,
    alerts_of,
    demo_export,
    health_component,
    health_rows,
    interaction_rows,
    load_export,
    micros,
    numbers_of,
    performance_rows,
    quantile,
    rows_of,
    shard_of,
    step_rows,
)

NODE = (("node", "a"),)


def test_a_time_without_a_zone_is_utc() -> None:
    assert micros("1970-01-01T00:00:01.5") == 1_500_000
    assert micros("1970-01-01T01:00:01.000250+01:00") == 1_000_250
    assert micros(7) == 7


def test_a_quantile_is_the_nearest_rank() -> None:
    assert [quantile([1.0, 2.0], percent) for percent in (50, 95, 99)] == [1.0, 2.0, 2.0]
    assert quantile([float(value) for value in range(1, 21)], 95) == 19.0
    assert quantile([float(value) for value in range(1, 101)], 99) == 99.0


def test_an_aggregate_of_two_values_is_what_a_pencil_gives() -> None:
    assert aggregate([3.0, 1.0]) == {
        "count": 2.0, "sum": 4.0, "sumsq": 10.0, "min": 1.0, "max": 3.0, "mean": 2.0,
        "p50": 1.0, "p95": 3.0, "p99": 3.0,
    }  # fmt: skip


def test_gpu_memory_is_percent_of_the_total_and_absent_without_one() -> None:
    assert numbers_of({"gpu_memory_used": 3, "gpu_memory_total": 12})["gpu_memory"] == 25.0
    assert "gpu_memory" not in numbers_of({"gpu_memory_used": 3})
    assert "gpu_memory" not in numbers_of({"gpu_memory_used": 3, "gpu_memory_total": 0})


def test_values_that_are_not_finite_numbers_are_skipped() -> None:
    event = {"node": "a", "cpu_usage": math.nan, "response_time": "Infinity", "metrics": {"fan": 3, "none": None}}
    assert numbers_of(event) == {"fan": 3.0}


@pytest.mark.parametrize(
    ("key", "value"), [("21", -973932308), ("foobar", -790332482), ("a-little-bit-long-string", -985981536)]
)
def test_shards_follow_kafkas_hash(key: str, value: int) -> None:
    # The hashes are the ones that Kafka's own tests of its Java client expect.
    assert shard_of(key) == (value & 0x7FFFFFFF) % 48


def test_panes_tiers_and_rolling_windows_of_four_samples() -> None:
    events = [
        {"timestamp": seconds * 1_000_000, "node": "a", "cpu_usage": value}
        for seconds, value in ((1, 10.0), (9.999999, 20.0), (10, 60.0), (71, 80.0))
    ]
    events = [{**event, "timestamp": int(event["timestamp"])} for event in events]
    rows = performance_rows(events)
    means = {(key.measurement, key.tags[-1], key.time // 1_000_000): row["cpu_usage_mean"] for key, row in rows.items()}
    node, shard = ("node", "a"), ("shard", str(shard_of("a")))
    tiers = {
        ("10s", 0): 15.0, ("10s", 10): 60.0, ("10s", 70): 80.0, ("1m", 0): 30.0, ("1m", 60): 80.0, ("1h", 0): 42.5,
    }  # fmt: skip
    rolling = {
        ("1m", 10): 15.0, ("1m", 20): 30.0, ("1m", 80): 80.0,
        ("5m", 10): 15.0, ("5m", 20): 30.0, ("5m", 80): 42.5,
        ("15m", 10): 15.0, ("15m", 20): 30.0, ("15m", 80): 42.5,
    }  # fmt: skip
    assert means == {
        **{(f"performance_{tier}", node, at): mean for (tier, at), mean in tiers.items()},
        **{(f"performance_fleet_{tier}", shard, at): mean for (tier, at), mean in tiers.items()},
        **{("performance_rolling", ("window", name), at): mean for (name, at), mean in rolling.items()},
    }


def test_the_oldest_pane_leaves_a_rolling_window_when_its_end_is_a_window_ago() -> None:
    events = [{"timestamp": seconds * 1_000_000, "node": "a", "cpu_usage": seconds} for seconds in (0, 50, 60)]
    rows = performance_rows(events)
    counts = {
        key.time // 1_000_000: row["cpu_usage_count"] for key, row in rows.items() if ("window", "1m") in key.tags
    }
    assert counts == {10: 1, 60: 2, 70: 2}


def test_interactions_are_kept_four_ways_with_their_learners() -> None:
    events = [
        {
            "timestamp": 1, "learner": learner, "key": "import", "subject": subject, "difficulty": "easy",
            "response_time": 100.0, "accuracy": 1.0, "engagement_score": 5.0,
        }
        for learner, subject in (("x", "maths"), ("x", "maths"), ("y", "physics"))
    ]  # fmt: skip
    panes = {
        key.tags: (row["learners"], row["accuracy_count"])
        for key, row in interaction_rows(events, shards=False).items()
        if key.measurement == "interactions_10s"
    }
    easy, maths, physics = ("difficulty", "easy"), ("subject", "maths"), ("subject", "physics")
    assert panes == {
        (("by", "all"),): (2, 3),
        (("by", "difficulty"), easy): (2, 3),
        (("by", "subject"), maths): (1, 2),
        (("by", "subject"), physics): (1, 1),
        (("by", "subject_difficulty"), easy, maths): (1, 2),
        (("by", "subject_difficulty"), easy, physics): (1, 1),
    }


def test_step_buckets_take_first_and_last_by_step_and_are_stamped_by_the_anchor() -> None:
    events = [
        {"timestamp": time, "run": "r", "step": step, "training_loss": loss}
        for time, step, loss in ((5, 70, 1.0), (9, 63, 2.0), (7, 0, 4.0))
    ]
    rows = step_rows(events)
    finest = {key.time: row for key, row in rows.items() if ("level", "64") in key.tags}
    assert finest == {
        5: {"step_start": 0, "anchor": 5, "training_loss_first": 4, "training_loss_last": 2, "training_loss_count": 2,
            "training_loss_mean": 3, "training_loss_min": 2, "training_loss_max": 4},
        6: {"step_start": 64, "anchor": 5, "training_loss_first": 1, "training_loss_last": 1, "training_loss_count": 1,
            "training_loss_mean": 1, "training_loss_min": 1, "training_loss_max": 1},
    }  # fmt: skip
    assert rows[Key("training_steps", (("level", "1024"), ("run", "r")), 5)]["training_loss_last"] == 1


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, 100), (52.5, 100), (61.25, 87.5), (70, 75), (80, 50), (90, 25), (95, 12.5), (100, 0), (120, 0)],
)
def test_a_health_component_falls_in_straight_lines(value: float, expected: float) -> None:
    assert health_component(value, RULES[0]) == expected


def test_a_score_is_a_hundred_less_six_tenths_of_what_components_lost() -> None:
    events = [{"timestamp": 1, "node": "a", "cpu_usage": 90.0, "memory_usage": 75.0}]
    assert health_rows(events) == {
        Key("health", NODE, 10_000_000): {"score": 40.0, "cpu_usage": 25.0, "memory_usage": 75.0}
    }


def test_alerts_follow_the_pane_means_of_the_node_over_its_gpus() -> None:
    samples = [(1, "0", 60.0), (2, "1", 90.0), (11, "0", 95.0), (21, "0", None), (31, "0", 10.0)]
    events = [
        {"timestamp": second * 1_000_000, "node": "a", "gpu": gpu, "cpu_usage": value} for second, gpu, value in samples
    ]
    rule = Rule("hot", 70, 90, 100, "Cool down", metric="cpu_usage")
    alerts = alerts_of(events, [rule])
    assert [(alert.at, alert.previous, alert.state, alert.value, alert.threshold) for alert in alerts] == [
        (10_000_000, "ok", "warning", 75.0, 70),
        (20_000_000, "warning", "critical", 95.0, 90),
        (40_000_000, "critical", "ok", 10.0, 90),
    ]
    assert alerts[0].id == hashlib.sha256(b"hot:a|10000000|warning").hexdigest()[:32]
    assert alerts[0].fingerprint == "hot:a"


def test_the_export_has_a_row_for_everything() -> None:
    events = load_export(demo_export(), node="a", run="r")
    rows = rows_of(events)
    measured = [key.measurement for key in rows]
    assert measured.count("performance_10s") == measured.count("health") == 288
    assert measured.count("performance_rolling") == 3 * 288
    assert measured.count("performance_1h") == 25
    hours = [row for key, row in rows.items() if key.measurement == "interactions_1h" and ("by", "all") in key.tags]
    assert sum(row["accuracy_count"] for row in hours) == 200
    assert len(alerts_of(events.performance)) > 0


def test_differences_name_each_row_and_field_that_differs() -> None:
    class Stored:
        measurement = "performance_10s"
        tags = {"node": "a"}  # noqa: RUF012
        time = (0, 10_000_000_000)
        fields = {"x_count": [1.0, 2.0], "x_p50": [1.009, math.nan], "x_sketch": ["a", "b"]}  # noqa: RUF012

    first, second, third = (Key("performance_10s", NODE, at) for at in (0, 10_000_000, 20_000_000))
    actual = stored_rows([Stored()])
    assert differences(actual, {first: {"x_count": 1.0, "x_p50": 1.0}, second: {"x_count": 2.0}}) == []
    assert differences(actual, {second: {"x_count": 3.0, "x_p50": 1.0}, third: {}}) == [
        f"missing: {third}",
        f"unexpected: {first}",
        f"{second} lacks x_p50",
        f"{second} x_count: 2.0, expected 3.0",
    ]


def test_without_events_there_are_no_rows() -> None:
    assert rows_of(Events()) == {}
