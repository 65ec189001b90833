from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartlearn.core.aggregates import summarize, tier_columns
from smartlearn.core.batch import Batch, Kind
from smartlearn.core.errors import InvalidQuery
from smartlearn.core.identity import stored_time
from smartlearn.core.settings import RetentionSettings
from smartlearn.core.stores.base import Points, SeriesQuery
from smartlearn.core.stores.sqlite import SqliteStore
from smartlearn.ops.reading import Request, blocks, read, rows
from smartlearn.ops.timespan import Span

SECOND = 10**9
START_US = 1_755_000_000_000_000
"""2025-08-12T12:00:00Z."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "metrics.db", RetentionSettings())
    yield opened
    opened.close()


def shown(store: SqliteStore, request: Request) -> list[tuple[int, dict[str, Any]]]:
    return [row for block in read(store, request) for row in rows(block)]


def write_raw(store: SqliteStore, node: str, times_us: list[int], values: list[float]) -> None:
    """Raw performance events of a node, stored under the identity that the workers give them."""
    batch = Batch(
        Kind.PERFORMANCE,
        "agent",
        node,
        np.array(times_us, dtype=np.int64),
        {"cpu_usage": np.array(values)},
        {"node": node},
        boot="boot",
        seq=0,
    )
    time, at = stored_time(batch)
    store.write([Points("performance", time, {"node": node, "source": "agent"}, {"cpu_usage": values, "at": at})])


def test_events_of_one_second_come_with_their_exact_time_and_none_is_missing(store: SqliteStore) -> None:
    write_raw(store, "a", [START_US] * 500 + [START_US + 1_000_000], [float(i % 100) for i in range(501)])
    found = shown(store, Request("performance"))
    assert [time for time, _ in found] == [START_US] * 500 + [START_US + 1_000_000]
    assert sorted(row["cpu_usage"] for _, row in found[:500]) == sorted(float(i % 100) for i in range(500))
    assert found[-1][1] == {"node": "a", "source": "agent", "cpu_usage": 0.0}


def test_rows_of_mixed_clocks_come_in_the_order_of_their_exact_times(store: SqliteStore) -> None:
    coarse = [START_US + i * 1_000_000 for i in range(20)]
    fine = [START_US + i * 333_333 + 1 for i in range(60)]
    write_raw(store, "coarse", coarse, [1.0] * 20)
    write_raw(store, "fine", fine, [2.0] * 60)
    assert [time for time, _ in shown(store, Request("performance"))] == sorted(coarse + fine)


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_blocks_hold_every_row_once_and_follow_one_another(store: SqliteStore, size: int) -> None:
    rng = np.random.default_rng(size)
    written: list[tuple[str, int]] = []
    for node in ("a", "b", "c"):
        seconds = np.sort(rng.integers(0, 40, 3000))
        times = START_US * 1000 + seconds * SECOND + np.arange(3000)
        store.write([Points("performance", times, {"node": node}, {"cpu_usage": np.arange(3000.0)})])
        written += [(node, int(time)) for time in times]
    found: list[tuple[str, int]] = []
    edge = 0
    for block in blocks(store, SeriesQuery("performance"), rows=size):
        stored = [int(time) for series in block for time in series.time]
        assert min(stored) >= edge
        edge = max(stored)
        found += [(series.tags["node"], int(time)) for series in block for time in series.time]
    assert sorted(found) == sorted(written)


def test_a_span_cuts_off_what_is_outside(store: SqliteStore) -> None:
    write_raw(store, "a", [START_US + i * 1_000_000 for i in range(10)], [float(i) for i in range(10)])
    span = Span((START_US + 3_000_000) * 1000, (START_US + 5_000_000) * 1000)
    assert [row["cpu_usage"] for _, row in shown(store, Request("performance", span))] == [3.0, 4.0]


def test_what_was_not_finite_is_said_by_name(store: SqliteStore) -> None:
    time = np.array([1, 2, 3, 4], dtype=np.int64) * SECOND
    fields: dict[str, Any] = {
        "training_loss": [0.5, None, None, None],
        "training_loss_nonfinite": [None, "NaN", "-Infinity", None],
        "step": [1.0, 2.0, 3.0, 4.0],
    }
    store.write([Points("training", time, {"run": "r"}, fields)])
    everything = shown(store, Request("training"))
    assert [row.get("training_loss") for _, row in everything] == [0.5, "NaN", "-Infinity", None]
    only = shown(store, Request("training", fields=("training_loss",)))
    assert [row for _, row in only] == [
        {"run": "r", "training_loss": 0.5},
        {"run": "r", "training_loss": "NaN"},
        {"run": "r", "training_loss": "-Infinity"},
    ]


def test_the_shards_of_a_rollup_are_merged_unless_one_is_asked_for(store: SqliteStore) -> None:
    values = {0: [1.0, 3.0], 1: [8.0], 7: [100.0, 200.0, 300.0]}
    for shard, numbers in values.items():
        (summary,) = summarize(np.zeros(len(numbers), np.int64), 1, {"cpu_usage": np.array(numbers)})
        time = np.array([60 * SECOND], dtype=np.int64)
        store.write([Points("performance_fleet_1m", time, {"shard": str(shard)}, tier_columns([summary]))])
    wanted = ("cpu_usage_mean", "cpu_usage_count", "cpu_usage_max", "cpu_usage_p50")
    ((time_us, row),) = shown(store, Request("performance_fleet_1m", fields=wanted))
    assert time_us == 60_000_000
    assert list(row) == list(wanted)
    assert row["cpu_usage_count"] == 6
    assert row["cpu_usage_mean"] == pytest.approx(612 / 6)
    assert row["cpu_usage_max"] == 300.0
    assert row["cpu_usage_p50"] == pytest.approx(8.0, rel=0.01) or row["cpu_usage_p50"] == pytest.approx(100, rel=0.01)
    ((_, alone),) = shown(store, Request("performance_fleet_1m", where={"shard": "1"}))
    assert alone["shard"] == "1"
    assert alone["cpu_usage_mean"] == 8.0
    ((_, everything),) = shown(store, Request("performance_fleet_1m"))
    assert not [name for name in everything if "sketch" in name]


def test_windows_over_merged_shards_keep_names_and_skip_empty_ones(store: SqliteStore) -> None:
    for shard, numbers in (("0", [1.0, 2.0, 3.0]), ("1", [10.0, 20.0, 30.0])):
        summaries = [summarize(np.zeros(1, np.int64), 1, {"cpu_usage": np.array([n])})[0] for n in numbers]
        time = np.array([0, 60, 3600], dtype=np.int64) * SECOND
        store.write([Points("performance_fleet_1m", time, {"shard": shard}, tier_columns(summaries))])
    request = Request("performance_fleet_1m", fields=("cpu_usage_max",), every=120 * SECOND, agg="mean")
    assert shown(store, request) == [(0, {"cpu_usage_max": 15.0}), (3_600_000_000, {"cpu_usage_max": 30.0})]


@pytest.mark.parametrize(
    ("agg", "expected"), [("mean", 2.0), ("min", 1.0), ("max", 3.0), ("count", 3.0), ("sum", 6.0), ("last", 3.0)]
)
def test_interactions_of_several_shards_window_as_one_series(store: SqliteStore, agg: Any, expected: float) -> None:
    tags = {"subject": "physics", "difficulty": "easy", "action": "quiz", "source": "app", "shard": ["1", "2", "1"]}
    time = np.array([1, 2, 3], dtype=np.int64) * SECOND
    store.write([Points("interactions", time, tags, {"engagement_score": [1.0, 2.0, 3.0]})])
    request = Request("interactions", fields=("engagement_score",), every=10 * SECOND, agg=agg)
    ((time_us, row),) = shown(store, request)
    assert time_us == 0
    assert row == {
        "action": "quiz", "difficulty": "easy", "engagement_score": expected, "source": "app", "subject": "physics",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("request_", "sentence"),
    [
        (Request("performnce"), "no measurement 'performnce'; did you mean performance"),
        (Request("zzz"), "no measurement 'zzz'; there are alerts, annotations"),
        (Request("performance", fields=("cpu_usge",)), "no field of performance 'cpu_usge'; did you mean cpu_usage"),
        (Request("performance", where={"host": "a"}), "no tag of performance 'host'; there are node"),
        (Request("performance", every=SECOND // 2, agg="mean"), "--every must be at least 1s"),
    ],
)
def test_a_name_that_does_not_exist_is_named_with_what_does(
    store: SqliteStore, request_: Request, sentence: str
) -> None:
    write_raw(store, "a", [START_US], [1.0])
    with pytest.raises(InvalidQuery, match=sentence):
        shown(store, request_)


def test_a_measurement_of_the_contract_without_points_is_empty(store: SqliteStore) -> None:
    assert shown(store, Request("performance_rolling", fields=("cpu_usage_mean",), where={"window": "1m"})) == []
