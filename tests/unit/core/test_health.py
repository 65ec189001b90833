from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference import RULES, demo_export, health_component, health_rows, load_export, node_means

from smartlearn.core.health import (
    Cost,
    Health,
    component,
    explain,
    health_message,
    health_of,
    health_points,
)
from smartlearn.core.schemas import HealthScore
from smartlearn.core.settings import DEFAULT_RULES, RuleSettings

CPU = DEFAULT_RULES[0]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(-1, 100), (52.5, 100), (61.25, 87.5), (70, 75), (80, 50), (90, 25), (95, 12.5), (100, 0), (1000, 0)],
)
def test_a_component_falls_in_straight_lines_between_the_levels(value: float, expected: float) -> None:
    assert component(value, CPU) == expected


@given(st.integers(0, len(RULES) - 1), st.floats(0, 12_000))
def test_a_component_is_what_the_formula_says(index: int, value: float) -> None:
    expected = health_component(value, RULES[index])
    assert component(value, DEFAULT_RULES[index]) == pytest.approx(expected, rel=1e-10, abs=1e-10)


def test_levels_below_zero_still_have_a_healthy_side() -> None:
    rule = RuleSettings(name="cold", metric="t", unit="°C", warning=-20, critical=-10, ceiling=0, action="Heat")
    assert [component(value, rule) for value in (-30, -25, -20, -10, 0)] == [100, 100, 75, 25, 0]


def test_a_score_is_a_hundred_less_six_tenths_of_the_losses() -> None:
    health = health_of({"cpu_usage": 70.0, "memory_usage": 85.0, "model_accuracy": 0.9}, DEFAULT_RULES)
    assert health == Health(40.0, {"cpu_usage": 75.0, "memory_usage": 25.0})


def test_a_score_stops_at_zero() -> None:
    health = health_of({"cpu_usage": 100, "memory_usage": 100, "gpu_memory": 100}, DEFAULT_RULES)
    assert health is not None
    assert health.score == 0.0
    assert health.status == "critical"


def test_without_any_component_there_is_no_health() -> None:
    assert health_of({}, DEFAULT_RULES) is None
    assert health_of({"cpu_usage": math.nan, "model_accuracy": 1.0}, DEFAULT_RULES) is None
    assert health_of({"cpu_usage": 10.0}, []) is None


@pytest.mark.parametrize(
    ("score", "status"),
    [(100, "ok"), (80, "ok"), (79.9, "warning"), (50, "warning"), (49.9, "critical"), (0, "critical")],
)
def test_a_status_starts_at_its_lowest_score(score: float, status: str) -> None:
    assert Health(score, {}).status == status


def test_an_explanation_names_what_cost_points_most_first() -> None:
    health = health_of(
        {"cpu_usage": 70.0, "memory_usage": 85.0, "gpu_memory": 10.0, "response_time": 2000.0}, DEFAULT_RULES
    )
    assert health is not None
    assert explain(health) == [
        Cost("memory_usage", 25.0, 45.0),
        Cost("cpu_usage", 75.0, 15.0),
        Cost("response_time", 75.0, 15.0),
    ]
    assert explain(Health(100.0, {"cpu_usage": 100.0})) == []


def test_the_exports_scores_equal_the_offline_ones() -> None:
    events = load_export(demo_export(), node="n", run="r").performance
    expected = {key.time: row for key, row in health_rows(events).items()}
    assert len(expected) == 288
    for end, means in node_means(events)["n"].items():
        health = health_of(means, DEFAULT_RULES)
        assert health is not None
        assert {"score": health.score, **health.components} == pytest.approx(expected[end], rel=1e-10, abs=1e-9)


def test_a_message_follows_the_contract() -> None:
    message = health_message("node-1", 10_500_000, Health(40.0, {"cpu_usage": 75.0}))
    assert HealthScore.model_validate_json(json.dumps(message)).status == "critical"
    assert message == {
        "v": 1, "node": "node-1", "at": "1970-01-01T00:00:10.500Z", "score": 40.0, "status": "critical",
        "components": {"cpu_usage": 75.0},
    }  # fmt: skip


def test_points_have_the_score_and_the_components_that_each_pane_has() -> None:
    points = health_points(
        ["a", "b"], np.array([10, 20]), [Health(90.0, {"cpu_usage": 80.0}), Health(95.0, {"memory_usage": 90.0})]
    )
    assert points.measurement == "health"
    assert points.time.tolist() == [10_000, 20_000]
    assert points.tags == {"node": ["a", "b"]}
    columns = {name: np.asarray(column, np.float64).tolist() for name, column in points.fields.items()}
    assert columns["score"] == [90.0, 95.0]
    assert columns["cpu_usage"] == pytest.approx([80.0, math.nan], nan_ok=True)
    assert columns["memory_usage"] == pytest.approx([math.nan, 90.0], nan_ok=True)
    assert len(health_points([], np.zeros(0, np.int64), [])) == 0
