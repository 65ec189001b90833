"""Real-time Metrics before its first push: the newest history."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
from tests.unit.dashboard.histories import after, at, history

from smartlearn.core.settings import Settings
from smartlearn.core.stores.base import Points
from smartlearn.dashboard.live.board import METRICS, Sample
from smartlearn.dashboard.pages import realtime
from smartlearn.dashboard.panels import Context
from smartlearn.dashboard.queries import SECOND
from smartlearn.dashboard.sources.memory import MemoryHistory
from smartlearn.dashboard.view import parse_view

NOW = after(3600)


def raw(**nodes: dict[str, list[float]]) -> MemoryHistory:
    """Raw samples every 2 s up to now."""
    return MemoryHistory(
        Points(
            "performance",
            np.array(
                [
                    NOW - (len(next(iter(columns.values()))) - row) * 2 * SECOND
                    for row in range(len(next(iter(columns.values()))))
                ]
            ),
            {"node": node, "source": node},
            {name: np.array(values) for name, values in columns.items()},
        )
        for node, columns in nodes.items()
    )


def context(store: MemoryHistory) -> Context:
    return Context(Settings(), store, lambda: NOW)


def test_the_newest_raw_samples_come_first_hand() -> None:
    (found,) = realtime.backfill(raw(a={"cpu_usage": [1.0, 2.0, 3.0]}), NOW)
    assert found.node == "a"
    assert found.values["cpu_usage"].tolist() == [1.0, 2.0, 3.0]
    assert np.isnan(found.values["response_time"]).all()


def test_gpu_memory_is_a_share_of_its_total() -> None:
    store = raw(a={"gpu_memory_used": [6.0, 12.0], "gpu_memory_total": [24.0, 24.0]})
    assert realtime.backfill(store, NOW)[0].values["gpu_memory"].tolist() == [25.0, 50.0]


def test_what_is_older_than_the_strips_is_left_out() -> None:
    store = history(performance=[{"timestamp": at(0), "cpu_usage": 5.0}])
    assert realtime.backfill(store, NOW) == []


def test_panes_stand_in_where_raw_is_not_kept() -> None:
    moment = at(3600) - timedelta(seconds=60)
    (found,) = realtime.backfill(history(performance=[{"timestamp": moment, "cpu_usage": 7.0}]), NOW)
    assert found.values["cpu_usage"].tolist() == [7.0]


def test_of_many_nodes_the_busiest_are_drawn_by_name() -> None:
    store = raw(**{f"n{number:02}": {"cpu_usage": [float(number)]} for number in range(30)})
    assert [one.node for one in realtime.backfill(store, NOW)] == [f"n{number:02}" for number in range(22, 30)]


def test_chosen_nodes_are_drawn_alone() -> None:
    store = raw(a={"cpu_usage": [1.0]}, b={"cpu_usage": [2.0]})
    assert [one.node for one in realtime.backfill(store, NOW, ["b"])] == ["b"]


def test_a_strip_has_a_line_a_node_and_the_last_minutes_as_its_axis() -> None:
    recent = realtime.backfill(raw(a={"cpu_usage": [1.0, 2.0]}, b={"cpu_usage": [3.0, 4.0]}), NOW)
    figure = realtime.strip("cpu_usage", recent, context(raw()), parse_view({}, NOW))
    assert [trace.name for trace in figure.data] == ["a", "b"]
    start, stop = (np.datetime64(moment) for moment in figure.layout.xaxis.range)
    assert stop - start == np.timedelta64(realtime.BACKFILL_S, "s")
    assert tuple(figure.layout.yaxis.range) == (0, 102)


def test_the_page_has_its_strips_and_what_the_painting_needs() -> None:
    page: Any = realtime.page_layout(context(raw(a={"cpu_usage": [1.0]})), {})
    text = json.dumps(page, default=lambda part: part.to_plotly_json())
    for name in METRICS:
        assert f'"card-live-{name}"' in text
    assert '"levels": {"cpu_usage": [70.0, 90.0]' in text


def test_an_unknown_node_is_said() -> None:
    page: Any = realtime.page_layout(
        context(history(performance=[{"timestamp": at(0), "cpu_usage": 1.0}])), {"node": "x"}
    )
    text = json.dumps(page, default=lambda part: part.to_plotly_json(), ensure_ascii=False)
    assert "There is no node “x”" in text


def test_what_a_page_missed_has_the_form_of_a_push() -> None:
    store = raw(a={"cpu_usage": [1.0, 2.0]}, b={"response_time": [30.0]})
    rows = realtime.recent_rows(context(store), [])
    assert rows["node"] == ["a", "a", "b"]
    assert rows["cpu_usage"] == [1.0, 2.0, None]
    assert rows["response_time"] == [None, None, 30.0]
    assert rows["timestamp"][1] == (NOW - 2 * SECOND) // 1000
    assert realtime.recent_rows(context(store), ["b"])["node"] == ["b"]
    assert realtime.recent_rows(context(raw()), [])["node"] == []


def test_what_was_heard_stands_in_place_of_what_is_stored_since() -> None:
    store = raw(a={"cpu_usage": [1.0, 2.0]}, b={"cpu_usage": [3.0, 4.0]})
    exact = (NOW - 2 * SECOND) // 1000
    rows = realtime.recent_rows(context(store), [], [Sample(exact - 7, "a", {"cpu_usage": 2.5})])
    found = list(zip(rows["node"], rows["timestamp"], rows["cpu_usage"], strict=True))
    assert [one for one in found if one[0] == "a"] == [
        ("a", (NOW - 4 * SECOND) // 1000, 1.0), ("a", exact - 7, 2.5),
    ]  # fmt: skip
    assert [value for node, _, value in found if node == "b"] == [3.0, 4.0]
    assert rows["response_time"] == [None] * 4
