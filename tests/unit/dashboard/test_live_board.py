"""The board: newest values, rates, workers, what stands."""

from __future__ import annotations

from typing import Any

import pytest

from smartlearn.dashboard.live.board import METRICS, MOST_NODES, SECOND_US, TOP, Board, Standing

NOW = 1_800_000_000 * SECOND_US
TOPIC = "smartlearn.performance"


def message(worker: str = "worker-1", read: int = 0, lag: int = 0, **nodes: dict[str, Any]) -> dict[str, Any]:
    """A live message with the newest sample of some nodes."""
    columns = sorted({name for sample in nodes.values() for name in sample})
    table = {"node": list(nodes), **{name: [sample.get(name) for sample in nodes.values()] for name in columns}}
    return {
        "worker": worker,
        "pid": 42,
        "assigned": {TOPIC: [0, 1]},
        "counts": {TOPIC: {"in": read, "stored": read, "late": 1}},
        "lag": {TOPIC: lag},
        "performance": table if nodes else {},
    }


def transition(state: str, at: str, revision: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "rule": "cpu_usage", "node": "a", "state": state, "value": 91.0, "threshold": 90.0,
        "action": "Optimize processes", "at": at, "revision": revision, **more,
    }  # fmt: skip


def standing(state: str, at: int, node: str = "a") -> Standing:
    return Standing("cpu_usage", node, state, 91.0, 90.0, "Optimize processes", at)


def test_an_update_has_the_newest_value_of_each_node_that_moved() -> None:
    board = Board()
    board.take_live(message(a={"timestamp": NOW - 5, "cpu_usage": 10.0}, b={"timestamp": NOW, "cpu_usage": 20.0}), NOW)
    board.take_live(message(a={"timestamp": NOW, "cpu_usage": 30.0}), NOW)
    nodes = board.update(NOW)["nodes"]
    assert nodes["node"] == ["a", "b"]
    assert nodes["cpu_usage"] == [30.0, 20.0]
    board.settle(NOW)
    board.take_live(message(b={"timestamp": NOW + 1, "cpu_usage": 21.0}), NOW)
    assert board.update(NOW)["nodes"]["node"] == ["b"]


def test_samples_without_a_worker_are_taken_and_prove_no_worker() -> None:
    board = Board()
    board.take_live({"performance": {"node": ["a"], "timestamp": [NOW], "cpu_usage": [5.0]}}, NOW)
    assert board.update(NOW)["nodes"]["cpu_usage"] == [5.0]
    assert board.workers(NOW) == {}


def test_an_older_value_does_not_replace_a_newer_one() -> None:
    board = Board()
    board.take_live(message(a={"timestamp": NOW, "cpu_usage": 30.0}), NOW)
    board.take_live(message(a={"timestamp": NOW - 1, "cpu_usage": 1.0}), NOW)
    assert board.update(NOW)["nodes"]["cpu_usage"] == [30.0]


def test_values_of_several_sources_of_a_node_are_joined() -> None:
    board = Board()
    board.take_live(message(a={"timestamp": NOW, "cpu_usage": 30.0}), NOW)
    board.take_live(message(a={"timestamp": NOW + 1, "response_time": 800.0}), NOW)
    nodes = board.update(NOW)["nodes"]
    assert (nodes["cpu_usage"], nodes["response_time"]) == ([30.0], [800.0])


@pytest.mark.parametrize(("total", "share"), [(24.0, 25.0), (0.0, None), (None, None)])
def test_gpu_memory_is_a_share_of_the_total(total: float | None, share: float | None) -> None:
    board = Board()
    board.take_live(message(a={"timestamp": NOW, "gpu_memory_used": 6.0, "gpu_memory_total": total}), NOW)
    assert board.update(NOW)["nodes"]["gpu_memory"] == [share]


def test_a_value_that_is_no_number_is_passed_over() -> None:
    board = Board()
    board.take_live(message(a={"timestamp": NOW, "cpu_usage": "NaN"}), NOW)
    assert board.update(NOW)["nodes"]["cpu_usage"] == [None]


def test_the_fleet_is_a_mean_and_the_highest_node() -> None:
    board = Board()
    board.take_live(message(a={"timestamp": NOW, "cpu_usage": 10.0}, b={"timestamp": NOW, "cpu_usage": 40.0}), NOW)
    fleet = board.update(NOW)["fleet"]
    assert fleet["nodes"] == 2
    assert fleet["cpu_usage"] == {"mean": 25.0, "high": 40.0, "node": "b", "nodes": 2}
    assert "gpu_memory" not in fleet


def test_a_node_that_was_silent_for_a_minute_does_not_report() -> None:
    board = Board()
    board.take_live(message(a={"timestamp": NOW, "cpu_usage": 10.0}), NOW)
    assert board.update(NOW + 61 * SECOND_US)["fleet"]["nodes"] == 0
    assert board.update(NOW + 61 * SECOND_US)["newest"] == NOW


def test_a_client_that_watches_some_nodes_gets_those() -> None:
    board = Board()
    board.take_live(message(a={"timestamp": NOW, "cpu_usage": 10.0}, b={"timestamp": NOW, "cpu_usage": 40.0}), NOW)
    board.replace_standing([standing("critical", NOW, "a"), standing("critical", NOW, "b")])
    update = board.update(NOW, frozenset({"a", "ghost"}))
    assert update["nodes"]["node"] == ["a"]
    assert update["fleet"]["nodes"] == 1
    assert [one["node"] for one in update["alerts"]] == ["a"]


def test_of_many_nodes_the_highest_of_each_metric_are_sent() -> None:
    board = Board()
    count = 4 * MOST_NODES
    samples: dict[str, Any] = {f"n{row:04}": {"timestamp": NOW, "cpu_usage": row / count * 100} for row in range(count)}
    board.take_live(message(**samples), NOW)
    names = board.update(NOW)["nodes"]["node"]
    assert names == [f"n{number:04}" for number in range(count - TOP, count)]
    assert board.update(NOW)["fleet"]["nodes"] == count
    assert board.update(NOW, frozenset({"n0000"}))["nodes"]["node"] == ["n0000"]


def test_rates_are_events_a_second_over_all_workers() -> None:
    board = Board()
    for second in range(6):
        now = NOW + second * SECOND_US
        board.take_live(message("worker-1", read=100 * second), now)
        board.take_live(message("worker-2", read=50 * second), now)
    assert board.rates(NOW + 5 * SECOND_US)[TOPIC] == pytest.approx(150, rel=0.1)


def test_a_topic_that_starts_anew_has_no_negative_rate() -> None:
    board = Board()
    board.take_live(message(read=1000), NOW)
    board.take_live(message(read=3), NOW + SECOND_US)
    assert board.rates(NOW + SECOND_US)[TOPIC] == 0


def test_counts_and_lag_are_summed_over_the_workers_that_answer() -> None:
    board = Board()
    board.take_live(message("worker-1", read=7, lag=2), NOW)
    board.take_live(message("worker-2", read=5, lag=1), NOW)
    assert board.counts(NOW)[TOPIC] == {"in": 12, "stored": 12, "late": 2}
    assert board.lag(NOW) == {TOPIC: 3}
    later = NOW + 6 * SECOND_US
    board.take_live(message("worker-2", read=5, lag=1), later)
    assert board.lag(later) == {TOPIC: 1}
    assert list(board.workers(later)) == ["worker-1", "worker-2"]
    assert list(board.answering(later)) == ["worker-2"]


def test_a_worker_that_is_gone_for_a_minute_is_forgotten() -> None:
    board = Board()
    board.take_live(message("old"), NOW)
    assert board.workers(NOW + 61 * SECOND_US) == {}


def test_a_transition_raises_and_clears_an_alert() -> None:
    board = Board()
    assert board.take_alert(transition("critical", "2026-03-02T08:00:10Z"))
    assert [one.state for one in board.open_alerts()] == ["critical"]
    assert board.take_alert(transition("ok", "2026-03-02T08:00:20Z"))
    assert board.open_alerts() == []


def test_an_older_transition_does_not_undo_a_newer_one() -> None:
    board = Board()
    board.take_alert(transition("ok", "2026-03-02T08:00:20Z"))
    board.take_alert(transition("critical", "2026-03-02T08:00:10Z"))
    assert board.open_alerts() == []


def test_a_retraction_asks_for_the_store() -> None:
    assert not Board().take_alert(transition("critical", "2026-03-02T08:00:10Z", revision=1))


def test_what_the_store_says_replaces_what_is_not_newer() -> None:
    board = Board()
    board.replace_standing([standing("critical", NOW, "a"), standing("warning", NOW, "b")])
    board.replace_standing([standing("warning", NOW - 1, "a")])
    assert [(one.node, one.state) for one in board.open_alerts()] == [("a", "critical")]


def test_alerts_are_worst_first() -> None:
    board = Board()
    board.replace_standing([standing("warning", NOW, "a"), standing("critical", NOW, "b"), standing("ok", NOW, "c")])
    assert [one.node for one in board.open_alerts()] == ["b", "a"]


def test_the_state_says_which_workers_answer_and_what_is_open() -> None:
    board = Board()
    board.take_live(message("worker-1"), NOW)
    board.take_live(message("worker-2"), NOW + 4 * SECOND_US)
    board.replace_standing([standing("warning", NOW, "a"), standing("critical", NOW, "b"), standing("ok", NOW, "c")])
    state = board.state(NOW + 6 * SECOND_US)
    assert state["workers"] == {"worker-1": False, "worker-2": True}
    assert state["open"] == {"critical": 1, "warning": 1}


def test_every_metric_of_an_update_has_a_value_a_node() -> None:
    board = Board()
    board.take_live(message(a={"timestamp": NOW, "cpu_usage": 1.0}), NOW)
    nodes = board.update(NOW)["nodes"]
    assert {len(column) for column in nodes.values()} == {1}
    assert set(METRICS) <= set(nodes)


@pytest.mark.parametrize("part", ["pid", "assigned", "counts", "lag"])
def test_a_message_without_a_part_is_refused(part: str) -> None:
    broken = message()
    del broken[part]
    with pytest.raises(KeyError):
        Board().take_live(broken, NOW)


def test_what_was_heard_lately_is_kept_sample_by_sample() -> None:
    board = Board()
    board.take_live(
        message(a={"timestamp": NOW - 3, "cpu_usage": 10.0}, b={"timestamp": NOW - 2, "cpu_usage": 5.0}), NOW
    )
    board.take_live(message(a={"timestamp": NOW, "response_time": 90.0}), NOW)
    board.take_live(message(a={"timestamp": NOW - 5, "cpu_usage": 11.0}), NOW)
    board.update(NOW)
    board.settle(NOW)
    assert [(one.timestamp, one.values) for one in board.recent(NOW, frozenset({"a"}))] == [
        (NOW - 5, {"cpu_usage": 11.0}), (NOW - 3, {"cpu_usage": 10.0}), (NOW, {"response_time": 90.0}),
    ]  # fmt: skip
    assert [one.node for one in board.recent(NOW)] == ["a", "a", "b", "a"]
    assert board.recent(NOW + 121 * SECOND_US) == []
