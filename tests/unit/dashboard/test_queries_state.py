"""Health, alerts and notes as they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from tests.unit.dashboard import histories
from tests.unit.dashboard.histories import after, at, history, window

from smartlearn.core.settings import Settings
from smartlearn.core.stores.base import Points
from smartlearn.dashboard import queries
from smartlearn.dashboard.queries import SECOND, Window
from smartlearn.dashboard.sources.memory import MemoryHistory


def alert_points(rows: Sequence[Mapping[str, object]]) -> MemoryHistory:
    """Alerts of one rule and node from (second, state, revision)."""
    return MemoryHistory(
        [
            Points(
                "alerts",
                np.array([after(float(str(row["second"])))], dtype=np.int64),
                {"rule": "cpu_usage", "scope": str(row.get("node", "a")), "state": str(row["state"])},
                {
                    "id": f"{row['second']}-{row['state']}",
                    "fingerprint": "cpu_usage:a",
                    "revision": float(str(row.get("revision", 0))),
                    "previous": "ok",
                    "value": 95.0,
                    "threshold": 90.0,
                    "action": "Optimize processes",
                },
            )
            for row in rows
        ]
    )


def test_the_newest_health_of_the_export_is_that_of_its_last_sample() -> None:
    source = histories.export()
    (found,) = queries.health(source.history, source.settings, source.now)
    last = histories.frames()["performance"].iloc[-1]
    lost = 0.0
    for rule in Settings().rules:
        levels = [0.75 * rule.warning, rule.warning, rule.critical, rule.ceiling]
        expected = float(np.interp(last[rule.metric], levels, [100, 75, 25, 0]))
        assert found.components[rule.name] == pytest.approx(expected)
        lost += 100 - expected
    assert found.score == pytest.approx(max(0.0, 100 - 0.6 * lost))
    assert list(found.components.values()) == sorted(found.components.values())


def test_health_is_unknown_when_the_newest_pane_is_older_than_a_minute() -> None:
    store = history([{"timestamp": at(0), "node": "a", "cpu_usage": 10.0}])
    end = after(10)
    assert queries.health(store, Settings(), end + 60 * SECOND)[0].status == "ok"
    assert queries.health(store, Settings(), end + 61 * SECOND)[0].status == "unknown"


def test_health_stays_known_for_three_intervals_of_a_slow_node() -> None:
    store = history([{"timestamp": at(0), "node": "a", "cpu_usage": 10.0}])
    settings = Settings.model_validate({"collection": {"interval_s": 300}})
    assert queries.health(store, settings, after(10) + 900 * SECOND)[0].status == "ok"
    assert queries.health(store, settings, after(10) + 901 * SECOND)[0].status == "unknown"


def test_the_worst_node_comes_first() -> None:
    rows = [("fine", 20.0, 0), ("bad", 100.0, 0), ("gone", 20.0, -3600), ("poor", 78.0, 0)]
    store = history([{"timestamp": at(second), "node": node, "cpu_usage": cpu} for node, cpu, second in rows])
    found = queries.health(store, Settings(), after(20))
    assert [(one.node, one.status) for one in found] == [
        ("bad", "critical"),
        ("poor", "warning"),
        ("gone", "unknown"),
        ("fine", "ok"),
    ]
    assert [one.node for one in queries.health(store, Settings(), after(20), ["poor"])] == ["poor"]


def test_scores_over_time_are_means_with_their_extremes() -> None:
    rows = [{"timestamp": at(10 * i), "node": "a", "cpu_usage": 100.0 if i == 3 else 10.0} for i in range(6)]
    (line,) = queries.scores(history(rows), window(70), points=1)
    assert (line.low.tolist(), line.high.tolist(), line.count.sum()) == ([40.0], [100.0], 6)


def test_retracted_transitions_are_left_out() -> None:
    store = alert_points(
        [
            {"second": 10, "state": "warning"},
            {"second": 20, "state": "critical", "revision": 1},
            {"second": 30, "state": "ok", "revision": 2},
        ]
    )
    assert [(one.state, one.revision) for one in queries.alerts(store)] == [("ok", 2), ("warning", 0)]
    assert queries.open_alerts(store) == []


def test_a_retracted_newest_transition_leaves_the_one_before_standing() -> None:
    store = alert_points(
        [
            {"second": 5, "state": "critical"},
            {"second": 10, "state": "warning"},
            {"second": 20, "state": "ok", "revision": 1},
        ]
    )
    (standing,) = queries.open_alerts(store)
    assert (standing.state, standing.at, standing.action) == ("warning", after(10), "Optimize processes")


def test_a_scope_whose_transitions_were_all_retracted_stands_nowhere() -> None:
    store = alert_points([{"second": 10, "state": "critical", "revision": 1}])
    assert queries.standing(store) == []


def test_what_stands_is_sorted_from_the_worst_on() -> None:
    store = alert_points(
        [
            {"second": 10, "state": "warning", "node": "a"},
            {"second": 5, "state": "critical", "node": "b"},
            {"second": 30, "state": "ok", "node": "c"},
        ]
    )
    assert [one.node for one in queries.standing(store)] == ["b", "a", "c"]
    assert [one.node for one in queries.open_alerts(store)] == ["b", "a"]
    assert [one.node for one in queries.open_alerts(store, ["a"])] == ["a"]


def test_transitions_of_a_window_are_the_newest_first() -> None:
    store = alert_points([{"second": second, "state": "warning"} for second in (10, 20, 30, 40)])
    found = queries.alerts(store, Window(after(20), after(40)))
    assert [one.at for one in found] == [after(30), after(20)]


def test_notes_are_read_in_time_order() -> None:
    times = np.array([after(20), after(10), after(500)], dtype=np.int64)
    texts: dict[str, list[float | str | None]] = {
        "text": ["Deploy v2", "Restart", "Later"],
        "author": ["ada", None, "bob"],
    }
    store = MemoryHistory([Points("annotations", times, {"scope": ["a", "b", "a"]}, texts)])
    assert queries.notes(store, window(60)) == [
        queries.Note(after(10), "Restart", "b", ""),
        queries.Note(after(20), "Deploy v2", "a", "ada"),
    ]
