"""When something will be full, and what is known about one node."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.dashboard.histories import after, history, ns
from tests.unit.dashboard.histories import at as moment

from smartlearn.core.batch import FloatArray
from smartlearn.core.settings import Settings
from smartlearn.dashboard.figures import capacity
from smartlearn.dashboard.queries import DAY, HOUR
from smartlearn.dashboard.queries.catalog import metric_names
from smartlearn.dashboard.queries.details import cores, everything, node_lines
from smartlearn.dashboard.queries.forecast import Forecast, forecast, forecasts
from smartlearn.dashboard.queries.rollups import Trend
from smartlearn.dashboard.queries.window import Window

HOUR_S = 3600.0


def line(values: FloatArray, width: int = HOUR) -> Trend:
    time = ns(moment(0)) + np.arange(len(values), dtype=np.int64) * width
    return Trend("disk_usage", "a", time, width, values, values, values, np.ones(len(values)))


def noisy(n: int, slope: float, start: float, deviation: float = 1.0) -> FloatArray:
    """A line with independent noise."""
    return start + slope * np.arange(n) + np.random.default_rng(7).normal(0, deviation, n)


def test_the_line_and_its_interval_are_those_of_the_textbook_where_values_are_independent() -> None:
    values = noisy(200, 0.1, 40.0)
    x = np.arange(200.0)
    slope, intercept = np.polyfit(x, values, 1)
    s = np.sqrt(((values - intercept - slope * x) ** 2).sum() / 198)
    future = x[-1] + (x[-1] - x[0])
    half = 1.972 * s * np.sqrt(1 + 1 / 200 + (future - x.mean()) ** 2 / ((x - x.mean()) ** 2).sum())
    found = forecast(line(values))
    assert found.slope == pytest.approx(24 * slope)
    assert found.mean[-1] == pytest.approx(intercept + slope * future)
    # Chance neighbours look a little alike: the interval may only be wider, and not by much.
    assert half * 0.99 <= found.high[-1] - found.mean[-1] <= half * 1.25
    assert found.mean - found.low == pytest.approx(found.high - found.mean)
    assert found.sure


def test_the_interval_holds_what_comes_in_nineteen_of_twenty_cases() -> None:
    rng = np.random.default_rng(20261125)
    inside = []
    for _ in range(300):
        noise = np.zeros(300)
        for i in range(1, 300):
            noise[i] = 0.6 * noise[i - 1] + rng.normal()
        values = 30 + 0.05 * np.arange(300) + noise
        found = forecast(line(values[:200]))
        when = line(values).time[250] + HOUR // 2
        low, high = (np.interp(when, found.time, bound) for bound in (found.low, found.high))
        inside.append(bool(low <= values[250] <= high))
    assert 0.90 <= np.mean(inside) <= 0.99


def test_full_is_where_the_line_reaches_a_hundred() -> None:
    found = forecast(line(np.linspace(50.0, 90.0, 100)))
    per_hour = 40 / 99
    assert found.full is not None
    assert (found.full - found.time[0]) / HOUR == pytest.approx(10 / per_hour, rel=1e-3)
    assert found.earliest is not None
    assert found.earliest <= found.full


def test_what_is_further_ahead_than_there_is_history_is_not_told() -> None:
    found = forecast(line(noisy(100, 0.01, 20.0, 0.1)))
    assert found.full is None
    assert found.time[-1] - found.time[0] == 99 * HOUR
    assert "not full within" in capacity.sentence(found)


@pytest.mark.parametrize("values", [np.array([50.0, 60.0]), np.repeat([10.0, 50.0, 10.0], 8)], ids=["few", "alike"])
def test_too_little_is_said_to_be_too_little(values: FloatArray) -> None:
    found = forecast(line(values))
    assert not found.tells
    assert found.full is None
    assert "too little to tell" in capacity.sentence(found)
    assert len(capacity.forecast(found, "disk_usage", Settings()).data) == 1


def test_what_only_goes_up_and_down_does_not_fill_up() -> None:
    found = forecast(line(noisy(300, 0.0, 50.0, 5.0)))
    assert not found.sure
    assert capacity.sentence(found) == "a: does not fill up"


def test_the_node_that_is_full_soonest_comes_first() -> None:
    hours = np.arange(48)
    records = [
        {"timestamp": moment(hour * HOUR_S), "node": node, "memory_usage": start + slope * hour}
        for node, start, slope in (("slow", 80.0, 0.2), ("soon", 40.0, 1.1), ("flat", 90.0, 0.0))
        for hour in hours.tolist()
    ]
    found = forecasts(history(performance=records), "memory_usage", after(48 * HOUR_S))
    assert [one.node for one in found] == ["soon", "flat", "slow"]
    assert isinstance(found[0], Forecast)
    assert found[0].full is not None
    assert [
        one.node for one in forecasts(history(performance=records), "memory_usage", after(48 * HOUR_S), ["flat"])
    ] == ["flat"]


def test_from_twelve_days_on_days_are_looked_at() -> None:
    records = [
        {"timestamp": moment(hour * HOUR_S), "node": "a", "memory_usage": 50 + 20 * np.sin(hour * np.pi / 12)}
        for hour in range(24 * 14)
    ]
    (found,) = forecasts(history(performance=records), "memory_usage", after(14 * DAY / 1e9))
    assert found.past.width == DAY
    assert found.tells
    assert not found.sure


def test_a_node_tells_whatever_its_sources_send() -> None:
    records = [
        {
            "timestamp": moment(10 * step), "node": "a", "cpu_usage": 5.0,
            "metrics": {"cpu_core_00": 1.0 * step, "cpu_core_01": 2.0 * step, "disk_free_gb": 7.0},
        }
        for step in range(4)
    ]  # fmt: skip
    store = history(performance=records)
    window = Window(after(0), after(60))
    assert metric_names(store) == ["cpu_core_00", "cpu_core_01", "cpu_usage", "disk_free_gb"]
    assert [one.metric for one in everything(store, "a", window)] == metric_names(store)
    assert [one.metric for one in node_lines(store, "a", ["disk_free_gb", "swap_usage"], window)] == ["disk_free_gb"]
    found = cores(store, "a", window)
    assert found.names == ["cpu_core_00", "cpu_core_01"]
    assert found.values[:, :4].tolist() == [[0.0, 1.0, 2.0, 3.0], [0.0, 2.0, 4.0, 6.0]]
    assert np.isnan(found.values[:, 4:]).all()
