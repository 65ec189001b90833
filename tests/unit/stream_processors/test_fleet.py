"""The fleet's rows are the merge of the nodes of each shard, whatever is in memory."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.comparison import differences, stored_rows
from tests.reference import performance_rows
from tests.unit.stream_processors.making import SECOND, START, Faulty

from smartlearn.core.aggregates import summarize
from smartlearn.core.errors import StoreUnavailable
from smartlearn.core.partitioning import shard_of
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.core.stores.sqlite import SqliteStore
from smartlearn.stream_processors.domain import grouping
from smartlearn.stream_processors.domain.derive import Row
from smartlearn.stream_processors.domain.panes import PaneValue, SeriesKey
from smartlearn.stream_processors.fleet import Fleet
from smartlearn.stream_processors.pane_deriver import Emission
from smartlearn.stream_processors.pane_store import PaneStore

PANE = 10 * SECOND


def twins(count: int) -> list[str]:
    """Nodes of one shard."""
    wanted = shard_of("node-0")
    return [name for n in range(5000) if shard_of(name := f"node-{n}") == wanted][:count]


class World:
    """Nodes' panes in a store, and the fleet that follows them."""

    def __init__(self, folder: Path) -> None:
        self.store: Any = SqliteStore(folder / "metrics.db")
        self.values: dict[tuple[str, str | None, int], list[float]] = {}
        self.start()

    def start(self) -> None:
        """As a new worker does."""
        self.nodes = PaneStore(self.store, "performance", "performance", "node", grouping.performance, PANE, False)
        panes = PaneStore(self.store, "", "performance_fleet", "shard", grouping.performance, PANE, True)
        self.fleet = Fleet(self.nodes, panes)

    def write(self, node: str, number: int, *values: float, gpu: str | None = None) -> Emission:
        """Store a node's pane: what it had, and these values of one GPU."""
        self.values.setdefault((node, gpu, number), []).extend(values)
        value: PaneValue = {}
        for (name, label, pane), listed in self.values.items():
            if (name, pane) == (node, number):
                tags: dict[str, str] = {"node": node} | ({"gpu": label} if label else {})
                key: SeriesKey = tuple(sorted(tags.items()))
                columns = {"cpu_usage": np.array(listed)}
                value[key] = summarize(np.zeros(len(listed), np.int64), 1, columns)[0]
        start = START + number * PANE
        self.store.write(self.nodes.points(Row("10s", False, key, start, [part]) for key, part in value.items()))
        return Emission(node, start, value, in_order=True)

    def differences(self) -> list[str]:
        """What the fleet's rows have otherwise than the offline answer."""
        events = [
            {"timestamp": START + number * PANE, "node": node, "gpu": gpu, "cpu_usage": value}
            for (node, gpu, number), listed in self.values.items()
            for value in listed
        ]
        expected = {k: row for k, row in performance_rows(events).items() if k.measurement.startswith("performance_f")}
        found: dict[Any, Any] = {}
        for name in ("10s", "1m", "1h"):
            found |= stored_rows(self.store.query(SeriesQuery(f"performance_fleet_{name}")))
        return differences(found, expected)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_the_nodes_of_a_shard_are_one_row_and_those_of_another_another(world: World) -> None:
    one, two = twins(2)
    other = next(f"x{n}" for n in range(100) if shard_of(f"x{n}") != shard_of(one))
    world.fleet.follow([world.write(one, 0, 1.0), world.write(two, 0, 2.0), world.write(other, 0, 3.0)])
    assert len(world.store.query(SeriesQuery("performance_fleet_10s"))) == 2
    assert world.differences() == []


def test_a_node_with_several_gpus_counts_with_all_of_them(world: World) -> None:
    world.write("node-0", 0, 1.0, gpu="0")
    world.fleet.follow([world.write("node-0", 0, 2.0, gpu="1")])
    assert world.differences() == []


def test_a_pane_that_changes_replaces_what_it_was(world: World) -> None:
    one, two = twins(2)
    world.fleet.follow([world.write(one, 0, 1.0), world.write(two, 0, 2.0)])
    world.fleet.follow([world.write(one, 0, 5.0)])
    assert world.differences() == []


def test_a_new_worker_finds_the_other_nodes_of_the_pane_and_the_panes_of_the_hour(world: World) -> None:
    one, two = twins(2)
    world.fleet.follow([world.write(one, 0, 1.0), world.write(one, 7, 2.0)])
    world.start()
    world.fleet.follow([world.write(two, 0, 3.0), world.write(two, 300, 4.0)])
    assert world.differences() == []


def test_what_another_worker_wrote_in_between_counts_once_memory_is_dropped(world: World) -> None:
    one, two = twins(2)
    world.fleet.follow([world.write(one, 0, 1.0)])
    mine = world.fleet
    world.start()
    world.fleet.follow([world.write(two, 5, 2.0)])
    mine.forget()
    mine.follow([world.write(one, 5, 3.0)])
    assert world.differences() == []


def test_memory_holds_the_newest_panes_and_hours_only(world: World) -> None:
    for number in range(0, 5 * 360, 90):
        world.fleet.follow([world.write("node-0", number, 1.0)])
    assert len(world.fleet._panes) == 12
    assert len(world.fleet._hours) == 2
    assert world.differences() == []


def test_a_write_that_failed_is_right_after_memory_is_dropped(world: World) -> None:
    one, two = twins(2)
    world.fleet.follow([world.write(one, 0, 1.0)])
    store = Faulty(world.store)
    world.store = store
    world.start()
    emission = world.write(two, 0, 2.0)
    store.fail("write", 0)
    with pytest.raises(StoreUnavailable):
        world.fleet.follow([emission])
    world.fleet.forget()
    world.fleet.follow([emission])
    assert world.differences() == []


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=12, deadline=None)
def test_whatever_the_order_the_rows_are_those_of_all_events(
    tmp_path_factory: pytest.TempPathFactory, number: int
) -> None:
    rng = random.Random(number)
    world = World(tmp_path_factory.mktemp("fleet"))
    names = [*twins(2), "other"]
    for _ in range(rng.randrange(1, 10)):
        first = rng.choice([0, 3, 355, 5000])
        changes = [
            world.write(rng.choice(names), first + rng.randrange(8), rng.uniform(0, 9))
            for _ in range(rng.randrange(1, 6))
        ]
        newest = {(emission.owner, emission.start): emission for emission in changes}
        world.fleet.follow(list(newest.values()))
        if rng.random() < 0.3:
            world.start()
    assert world.differences() == []
    world.store.close()
