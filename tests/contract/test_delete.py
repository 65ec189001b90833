"""Deleting by tags and range, and what is kept how long."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.contract.model import Model, plain

from smartlearn.core.settings import RetentionSettings
from smartlearn.core.stores.base import MetricStore, Points, SeriesQuery

pytestmark = pytest.mark.contract

DAY = 86_400_000_000_000
T = 1_700_000_000_000_000_000


def fill(store: MetricStore, model: Model | None = None) -> None:
    for measurement in ("performance", "training"):
        for node in ("a", "b", 'c "x" \\ y'):
            times = T + np.arange(10, dtype=np.int64)
            columns = {f"f{number}": np.arange(10.0) for number in range(40)}
            batch = Points(measurement, times, {"node": node, "run": ["r1", "r2"] * 5}, columns)
            store.write([batch])
            if model is not None:
                model.write(batch)


@pytest.mark.parametrize(
    ("where", "start", "stop"),
    [
        ({"node": "a"}, None, None),
        ({"node": 'c "x" \\ y', "run": "r2"}, None, None),
        ({"node": "nobody"}, None, None),
        ({"nosuch": "a"}, None, None),
        ({}, T + 3, T + 7),
        ({}, T + 9, None),
        ({}, None, T),
        ({"run": "r1"}, T + 2, T + 3),
        ({"run": "r1"}, T + 3, T + 3),
        ({}, T + 5, T + 2),
        ({}, None, None),
        ({}, -(2**70), 2**70),
    ],
)
def test_what_matches_is_deleted_and_nothing_else(
    store: MetricStore, where: dict[str, str], start: int | None, stop: int | None
) -> None:
    model = Model()
    fill(store, model)
    store.delete("performance", where, start, stop)
    model.delete("performance", where, start, stop)
    for measurement in ("performance", "training"):
        assert plain(store.query(SeriesQuery(measurement))) == model.query(SeriesQuery(measurement))


def test_a_measurement_without_points_is_gone(store: MetricStore) -> None:
    fill(store)
    store.delete("performance", start=T, stop=T + 10)
    assert store.measurements() == ["training"]
    store.delete("training")
    assert store.measurements() == []
    assert store.fields("training") == []


def test_points_can_be_written_again_after_a_delete(opened: Callable[..., MetricStore]) -> None:
    one, two = opened(), opened()
    fill(one)
    assert len(two.query(SeriesQuery("performance"))) == 6
    one.delete("performance")
    assert two.query(SeriesQuery("performance")) == []
    batch = Points("performance", np.array([T]), {"node": "a", "run": "r1"}, {"f0": 5.0, "new": 6.0})
    two.write([batch])
    for store in (one, two):
        assert plain(store.query(SeriesQuery("performance"))) == [
            ({"node": "a", "run": "r1"}, [(T, {"f0": 5.0, "new": 6.0})])
        ]


def test_deleting_what_never_was_is_no_error(store: MetricStore) -> None:
    store.delete("performance")
    store.delete("performance", {"node": "a"}, 0, 1)


def test_retention_is_that_of_the_measurements_tier(opened: Callable[..., MetricStore]) -> None:
    days = {"raw": 1, "training": 2, "interactions": 3, "panes": 4, "minutes": 5, "hours": 6, "history": 7}
    store = opened(retention=RetentionSettings.model_validate({f"{tier}_days": value for tier, value in days.items()}))
    expected = {
        "performance": 1, "training": 2, "interactions": 3,
        "performance_10s": 4, "performance_fleet_10s": 4, "interactions_10s": 4,
        "performance_rolling": 4, "interactions_rolling": 4,
        "performance_1m": 5, "interactions_1m": 5, "performance_fleet_1h": 6, "interactions_1h": 6,
        "training_steps": 7, "health": 7, "alerts": 7, "runs": 7, "annotations": 7,
    }  # fmt: skip
    assert {name: store.retention(name) for name in expected} == {name: n * DAY for name, n in expected.items()}


def test_without_a_setting_all_is_kept_for_ever(store: MetricStore) -> None:
    fill(store)
    assert store.retention("performance") is None
    store.expire(T + 100_000 * DAY)
    assert store.measurements() == ["performance", "training"]
