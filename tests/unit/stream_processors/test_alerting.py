"""What is valid on the alert topic equals the decision over the final panes, and each transition is told once."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.pipeline import Published
from tests.reference import alerts_of, health_rows
from tests.unit.stream_processors.making import SECOND, START, Faulty, Refusing

from smartlearn.core.aggregates import summarize
from smartlearn.core.errors import BrokerUnavailable, StoreUnavailable
from smartlearn.core.settings import DEFAULT_RULES
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.core.stores.sqlite import SqliteStore
from smartlearn.core.topics import ALERTS, HEALTH
from smartlearn.stream_processors.alerting import Alerting
from smartlearn.stream_processors.domain import grouping
from smartlearn.stream_processors.domain.derive import Row
from smartlearn.stream_processors.domain.panes import PaneValue
from smartlearn.stream_processors.pane_deriver import Emission
from smartlearn.stream_processors.pane_store import PaneStore

PANE = 10 * SECOND
YEAR = 365 * 8640
"""Panes in a year."""


class World:
    """Panes in a store, and the alerting that follows them."""

    def __init__(self, folder: Path) -> None:
        self.store: Any = SqliteStore(folder / "metrics.db")
        self.published = Published()
        self.publisher: Any = self.published
        self.values: dict[tuple[str, int], dict[str, float]] = {}
        self.start()

    def start(self) -> None:
        """As a new worker does: nothing in memory."""
        self.panes = PaneStore(self.store, "performance", "performance", "node", grouping.performance, PANE, False)
        self.alerting = Alerting(self.store, self.publisher, DEFAULT_RULES, PANE)

    def write(self, node: str, panes: dict[int, dict[str, float]]) -> list[Emission]:
        """Store panes (number → metric → its one value), as they are now."""
        emissions = []
        rows = []
        for number, metrics in sorted(panes.items()):
            columns = {name: np.array([value]) for name, value in metrics.items()}
            value: PaneValue = {(("node", node),): summarize(np.zeros(1, np.int64), 1, columns)[0]}
            start = START + number * PANE
            in_order = not any(n == node and known >= number for n, known in self.values if known not in panes)
            in_order &= (node, number) not in self.values
            emissions.append(Emission(node, start, value, in_order))
            rows.append(Row("10s", False, (("node", node),), start, list(value.values())))
        all_in_order = all(each.in_order for each in emissions)
        for number, metrics in panes.items():
            self.values[node, number] = metrics
        self.store.write(self.panes.points(rows))
        return [Emission(each.owner, each.start, each.value, all_in_order) for each in emissions]

    def emit(self, node: str, panes: dict[int, float] | dict[int, dict[str, float]]) -> None:
        """Store panes and decide them."""
        metrics = {n: v if isinstance(v, dict) else {"cpu_usage": v} for n, v in panes.items()}
        self.alerting.follow(self.write(node, metrics))

    def messages(self, topic: str = ALERTS) -> list[dict[str, Any]]:
        return [json.loads(message.value) for message in self.published.on(topic)]

    def valid(self) -> dict[str, dict[str, Any]]:
        """What a consumer that keeps the highest revision of each id believes."""
        newest: dict[str, dict[str, Any]] = {}
        for message in self.messages():
            if message["revision"] >= newest.get(message["id"], message)["revision"]:
                newest[message["id"]] = message
        return {name: each for name, each in newest.items() if each["revision"] % 2 == 0}

    def stored(self) -> dict[str, tuple[float, float]]:
        """id → value and revision of the stored transitions."""
        return {
            name: (value, revision)
            for series in self.store.query(SeriesQuery("alerts"))
            for name, value, revision in zip(
                series.fields["id"], series.fields["value"], series.fields["revision"], strict=True
            )
        }

    def events(self) -> list[dict[str, Any]]:
        return [
            {"timestamp": START + number * PANE, "node": node, **metrics}
            for (node, number), metrics in self.values.items()
        ]


def assert_right(world: World) -> None:
    expected = {alert.id: alert for alert in alerts_of(world.events())}
    valid = world.valid()
    assert valid.keys() == expected.keys()
    for name, alert in expected.items():
        told = valid[name]
        for field in ("fingerprint", "rule", "node", "state", "previous", "value", "threshold", "action"):
            assert told[field] == getattr(alert, field)
    for name, (value, revision) in world.stored().items():
        assert (revision % 2 == 0) == (name in expected)
        if name in expected:
            assert value == expected[name].value


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_rise_and_a_fall_are_four_messages_and_four_points(world: World) -> None:
    for number, value in enumerate([50.0, 75.0, 80.0, 95.0, 75.0, 10.0]):
        world.emit("node-a", {number: value})
    assert [(m["previous"], m["state"], m["value"], m["threshold"]) for m in world.messages()] == [
        ("ok", "warning", 75.0, 70.0),
        ("warning", "critical", 95.0, 90.0),
        ("critical", "warning", 75.0, 90.0),
        ("warning", "ok", 10.0, 70.0),
    ]
    assert len(world.stored()) == 4
    assert_right(world)


def test_a_level_is_crossed_above_it_and_not_at_it(world: World) -> None:
    world.emit("node-a", {0: 70.0})
    assert world.messages() == []
    world.emit("node-a", {1: 70.000000001})
    assert [m["state"] for m in world.messages()] == ["warning"]


def test_a_pane_without_the_metric_decides_nothing(world: World) -> None:
    world.emit("node-a", {0: {"cpu_usage": 95.0, "memory_usage": 80.0}})
    world.emit("node-a", {1: {"response_time": 6000.0}})
    world.emit("node-a", {2: {"cpu_usage": 95.0}})
    assert [(m["rule"], m["state"]) for m in world.messages()] == [
        ("cpu_usage", "critical"),
        ("memory_usage", "warning"),
        ("response_time", "critical"),
    ]
    assert_right(world)


def test_a_new_worker_goes_on_from_the_stored_state(world: World) -> None:
    world.emit("node-a", {0: 95.0})
    world.start()
    world.emit("node-a", {1: 96.0})
    world.emit("node-a", {2: 5.0})
    assert [m["state"] for m in world.messages()] == ["critical", "ok"]
    assert_right(world)


def test_a_changed_pane_retracts_what_no_longer_holds_and_tells_what_does(world: World) -> None:
    for number, value in enumerate([10.0, 95.0, 10.0, 10.0]):
        world.emit("node-a", {number: value})
    world.emit("node-a", {1: 20.0})
    assert world.valid() == {}
    assert sorted(m["revision"] for m in world.messages()) == [0, 0, 1, 1]
    assert_right(world)
    world.emit("node-a", {1: 96.0})
    assert {m["revision"] for m in world.valid().values()} == {2}
    assert_right(world)


def test_a_change_behind_the_newest_pane_reaches_the_panes_after_it(world: World) -> None:
    world.emit("node-a", {0: 10.0})
    world.emit("node-a", {5: 95.0})
    world.emit("node-a", {3: 95.0})
    assert_right(world)
    world.emit("node-a", {4: 75.0})
    assert_right(world)
    world.emit("node-a", {6: 75.0})
    assert_right(world)


def test_far_apart_changes_do_not_read_what_lies_between(world: World) -> None:
    world.emit("node-a", {-YEAR + number: float(number % 100) for number in range(0, 4000, 7)})
    world.emit("node-a", {0: 10.0})
    read: list[int] = []
    real = world.store

    class Watching(Faulty):
        def query(self, query: SeriesQuery) -> Any:
            found = real.query(query)
            if query.measurement == "performance_10s":
                read.append(sum(len(series) for series in found))
            return found

    world.store = Watching(real)
    world.start()
    world.emit("node-a", {-YEAR: 99.0, 1: 99.0})
    assert_right(world)
    assert sum(read) < 20, read


def test_changes_with_nothing_between_them_are_decided_together(world: World) -> None:
    world.emit("node-a", {5000: 10.0})
    world.emit("node-a", {0: 95.0, 4000: 95.0})
    assert_right(world)
    world.emit("node-a", {1: 10.0, 3999: 75.0})
    assert_right(world)


def test_nodes_do_not_share_states(world: World) -> None:
    for number in range(2):
        emissions = [
            each
            for node in ("node-a", "node-b")
            for each in world.write(node, {number: {"cpu_usage": 95.0 if node == "node-a" else 10.0}})
        ]
        world.alerting.follow(emissions)
    assert [m["node"] for m in world.messages()] == ["node-a"]


def test_panes_that_are_not_in_the_store_decide_nothing(world: World) -> None:
    emissions = world.write("node-a", {0: {"cpu_usage": 95.0}})
    world.store.delete("performance_10s")
    world.alerting.follow([Emission(each.owner, each.start, each.value, in_order=False) for each in emissions])
    assert world.messages() == []


def test_the_health_of_every_pane_is_a_point_and_the_newest_a_message(world: World) -> None:
    world.emit("node-a", {0: {"cpu_usage": 75.0, "memory_usage": 60.0}, 1: {"cpu_usage": 95.0}})
    world.emit("node-a", {3: {"fan": 1.0}})
    expected = {key.time: fields for key, fields in health_rows(world.events()).items()}
    (series,) = world.store.query(SeriesQuery("health"))
    assert [time // 1000 for time in series.time.tolist()] == sorted(expected)
    for index, time in enumerate(sorted(expected)):
        assert series.fields["score"][index] == pytest.approx(expected[time]["score"], rel=1e-11)
    (message,) = world.messages(HEALTH)
    assert message["node"] == "node-a"
    assert message["score"] == series.fields["score"][1]
    assert message["components"].keys() == {"cpu_usage"}


def test_an_old_pane_tells_no_health_and_a_newer_one_beside_it_does(world: World) -> None:
    world.emit("node-a", {0: 10.0})
    world.emit("node-a", {-YEAR: 99.0})
    assert len(world.messages(HEALTH)) == 1
    old, new = world.write("node-a", {-YEAR - 1: {"cpu_usage": 99.0}}), world.write("node-a", {1: {"cpu_usage": 5.0}})
    world.alerting.follow([*old, *new])
    assert [message["score"] for message in world.messages(HEALTH)] == [100.0, 100.0]
    assert_right(world)


@pytest.mark.parametrize("after_sending", [False, True])
def test_a_broker_that_fails_is_told_again_with_the_same_ids(world: World, after_sending: bool) -> None:
    world.publisher = Refusing(world.published, failures=1, after_sending=after_sending)
    world.start()
    with pytest.raises(BrokerUnavailable):
        world.emit("node-a", {0: 95.0})
    world.alerting.forget()
    world.alerting.follow(
        [
            Emission(each.owner, each.start, each.value, in_order=False)
            for each in world.write("node-a", {0: {"cpu_usage": 95.0}})
        ]
    )
    assert {(m["id"], m["revision"]) for m in world.messages()} == {(next(iter(world.stored())), 0)}
    assert_right(world)


def test_a_store_that_fails_after_a_retraction_was_told_tells_the_same_one_again(world: World) -> None:
    world.emit("node-a", {0: 95.0})
    world.emit("node-a", {1: 95.0})
    store = Faulty(world.store)
    world.store = store
    world.start()
    store.fail("write", 1)
    with pytest.raises(StoreUnavailable):
        world.emit("node-a", {0: 5.0})
    world.alerting.forget()
    world.emit("node-a", {0: 5.0})
    retracted = [m for m in world.messages() if m["revision"] == 1]
    assert len(retracted) == 2
    assert retracted[0] == retracted[1]
    assert_right(world)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_whatever_changes_when_the_valid_transitions_are_the_offline_ones(
    tmp_path_factory: pytest.TempPathFactory, number: int
) -> None:
    rng = random.Random(number)
    world = World(tmp_path_factory.mktemp("alerts"))
    for _ in range(rng.randrange(1, 12)):
        first = rng.choice([0, 0, 5, 2000])
        numbers = {first + rng.randrange(12) for _ in range(rng.randrange(1, 5))}
        world.emit("node-a", {n: {"cpu_usage": rng.choice([10.0, 75.0, 95.0])} for n in numbers})
        if rng.random() < 0.3:
            world.start()
        assert_right(world)
    world.store.close()
