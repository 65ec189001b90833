from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.comparison import close, differences, stored_rows
from tests.reference import bucket, demo_export, load_export, micros, step_rows

from smartlearn.core.stores.base import Points, Series
from smartlearn.stream_processors.domain.steps import (
    LEVELS,
    StepBuckets,
    anchor_of,
    bucket_steps,
    buckets_of,
    coarsen,
    merge_buckets,
    step_points,
)

NAN = math.nan
Row = tuple[int, int, float, float]

losses = st.one_of(st.floats(-1e3, 1e3, allow_subnormal=False), st.sampled_from([NAN, math.inf, -math.inf]))
histories = st.lists(
    st.tuples(st.integers(0, 3000), st.integers(0, 5), losses, losses), max_size=40, unique_by=lambda row: row[:2]
)


def bucketed(rows: list[Row], level: int = 64) -> StepBuckets:
    steps, times, loss, accuracy = (
        (np.array(column) for column in zip(*rows, strict=True)) if rows else [np.zeros(0)] * 4
    )
    columns = {"training_loss": loss.astype(np.float64), "accuracy": accuracy.astype(np.float64)}
    return bucket_steps(steps.astype(np.int64), times.astype(np.int64), columns, level)


def offline(rows: list[Row], level: int) -> dict[int, dict[str, float]]:
    """Bucket start → fields, in plain Python."""
    found = {}
    for number in {step // level for step, *_ in rows}:
        events = [
            {"timestamp": time, "step": step, "training_loss": loss, "accuracy": accuracy}
            for step, time, loss, accuracy in rows
            if step // level == number
        ]
        if fields := bucket(events):
            found[number * level] = fields
    return found


def stored(points: Points) -> Series:
    """What a store gives back for the points of one run and level."""
    assert isinstance(points.tags["run"], str)
    assert isinstance(points.tags["level"], str)
    fields: dict[str, Any] = {
        name: np.broadcast_to(np.asarray(column, np.float64), len(points)) for name, column in points.fields.items()
    }
    return Series(points.measurement, {"run": points.tags["run"], "level": points.tags["level"]}, points.time, fields)


def by_start(buckets: StepBuckets) -> dict[int, dict[str, float]]:
    rows = stored_rows([stored(step_points("r", 0, buckets))])
    return {int(row.pop("step_start")): row for row in rows.values() if row.pop("anchor") == 0}


def agree(found: dict[int, dict[str, float]], expected: dict[int, dict[str, float]]) -> bool:
    assert found.keys() == expected.keys()
    for start, fields in expected.items():
        assert found[start].keys() == fields.keys()
        assert all(close(name, found[start][name], value) for name, value in fields.items())
    return True


def test_a_bucket_has_first_and_last_by_step_then_time_then_row() -> None:
    rows = [
        (5, 1, 3.0, 0.3),
        (63, 2, 9.0, NAN),
        (0, 8, 1.0, 0.1),
        (0, 7, 2.0, NAN),
        (63, 2, 8.0, 0.8),
        (64, 3, 5.0, 0.5),
    ]
    found = by_start(bucketed(rows))
    assert found == {
        0: {"training_loss_count": 5, "training_loss_mean": 4.6, "training_loss_min": 1, "training_loss_max": 9,
            "training_loss_first": 2, "training_loss_last": 8, "accuracy_count": 3, "accuracy_mean": 0.4,
            "accuracy_min": 0.1, "accuracy_max": 0.8, "accuracy_first": 0.1, "accuracy_last": 0.8},
        64: {"training_loss_count": 1, "training_loss_mean": 5, "training_loss_min": 5, "training_loss_max": 5,
             "training_loss_first": 5, "training_loss_last": 5, "accuracy_count": 1, "accuracy_mean": 0.5,
             "accuracy_min": 0.5, "accuracy_max": 0.5, "accuracy_first": 0.5, "accuracy_last": 0.5},
    }  # fmt: skip


@pytest.mark.parametrize("rows", [[], [(1, 1, NAN, math.inf)]])
def test_rows_without_finite_values_make_no_bucket(rows: list[Row]) -> None:
    buckets = bucketed(rows)
    assert buckets.numbers.tolist() == []
    assert len(step_points("r", 0, buckets)) == 0
    assert merge_buckets([buckets, buckets]).numbers.tolist() == []
    assert coarsen(buckets, 1024).numbers.tolist() == []


def test_without_metrics_there_are_no_buckets() -> None:
    buckets = bucket_steps(np.array([1]), np.array([1]), {})
    assert len(step_points("r", 0, buckets)) == 0
    assert buckets_of(stored(step_points("r", 0, buckets))).numbers.tolist() == []


@settings(deadline=None)
@given(histories, st.sampled_from(LEVELS))
def test_buckets_are_what_plain_python_gives(rows: list[Row], level: int) -> None:
    assert agree(by_start(bucketed(rows, level)), offline(rows, level))


@settings(deadline=None)
@given(histories, st.randoms(use_true_random=False), st.integers(0, 40))
def test_any_order_and_any_partition_of_the_rows_gives_the_same(rows: list[Row], random: Random, cut: int) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    merged = merge_buckets([bucketed(shuffled[:cut]), bucketed(shuffled[cut:])])
    assert agree(by_start(merged), offline(rows, 64))


@settings(deadline=None)
@given(histories)
def test_coarser_levels_are_merges_of_the_finer_ones(rows: list[Row]) -> None:
    middle = coarsen(bucketed(rows), 1024)
    assert agree(by_start(middle), offline(rows, 1024))
    assert agree(by_start(coarsen(middle, 16384)), offline(rows, 16384))


@settings(deadline=None)
@given(histories)
def test_stored_buckets_give_coarser_ones_too(rows: list[Row]) -> None:
    rebuilt = buckets_of(stored(step_points("r", 0, bucketed(rows))))
    assert agree(by_start(rebuilt), offline(rows, 64))
    assert agree(by_start(coarsen(rebuilt, 1024)), offline(rows, 1024))


def test_a_stored_bucket_counts_as_the_earlier_part() -> None:
    rebuilt = buckets_of(stored(step_points("r", 0, bucketed([(3, 3, 3.0, 0.3), (9, 9, 9.0, 0.9)]))))
    found = by_start(merge_buckets([bucketed([(12, 12, 12.0, NAN)]), rebuilt]))[0]
    assert (found["training_loss_first"], found["training_loss_last"]) == (3.0, 12.0)
    assert (found["accuracy_first"], found["accuracy_last"]) == (0.3, 0.9)


def test_parts_with_other_metrics_merge() -> None:
    steps = np.array([1, 2])
    one = bucket_steps(steps, steps, {"b": np.array([1.0, 2.0])})
    two = bucket_steps(steps, steps, {"a": np.array([3.0, 5.0]), "c": np.array([NAN, 7.0])})
    found = by_start(merge_buckets([one, two]))[0]
    assert {name: found[f"{name}_mean"] for name in "abc"} == {"a": 4.0, "b": 1.5, "c": 7.0}


def test_only_buckets_of_one_level_merge() -> None:
    with pytest.raises(ValueError, match="only buckets of one level merge"):
        merge_buckets([bucketed([(1, 1, 1.0, 1.0)]), bucketed([(1, 1, 1.0, 1.0)], 1024)])
    with pytest.raises(ValueError, match="only buckets of one level merge"):
        merge_buckets([])


@pytest.mark.parametrize("level", [32, 100])
def test_buckets_do_not_make_a_level_that_is_no_multiple(level: int) -> None:
    with pytest.raises(ValueError, match="buckets of 64 steps do not make buckets of"):
        coarsen(bucketed([(1, 1, 1.0, 1.0)]), level)


def test_points_are_stamped_with_the_anchor_and_the_bucket_number() -> None:
    points = step_points("r", 1_700_000_000_000_001, bucketed([(1, 1, 1.0, NAN), (200, 2, 2.0, NAN)]))
    assert points.measurement == "training_steps"
    assert points.tags == {"run": "r", "level": "64"}
    assert points.time.tolist() == [1_700_000_000_000_001_000, 1_700_000_000_000_004_000]
    assert points.fields["anchor"] == 1_700_000_000_000_001.0
    assert np.asarray(points.fields["step_start"]).tolist() == [0.0, 192.0]


def test_an_anchor_stays_what_the_first_write_made_it() -> None:
    first = stored(step_points("r", 500, bucketed([(1, 1, 1.0, 1.0)])))
    nothing = Series("training_steps", {"run": "r", "level": "64"}, np.zeros(0, np.int64), {"anchor": np.zeros(0)})
    assert anchor_of([], np.array([30, 20])) == 20
    assert anchor_of([nothing], np.array([30])) == 30
    assert anchor_of([nothing, first], np.array([30])) == 500


def test_the_exports_buckets_equal_the_offline_ones() -> None:
    events = load_export(demo_export(), node="n", run="r").training
    steps = np.array([event["step"] for event in events])
    times = np.array([micros(event["timestamp"]) for event in events])
    names = ("training_loss", "validation_loss", "learning_rate", "accuracy")
    columns = {name: np.array([float(event[name]) for event in events]) for name in names}
    finest = bucket_steps(steps, times, columns)
    levels = [finest, coarsen(finest, 1024), coarsen(finest, 16384)]
    anchor = anchor_of([], times)
    rows = stored_rows(stored(step_points("r", anchor, buckets)) for buckets in levels)
    assert differences(rows, step_rows(events)) == []
    assert len(rows) == 16 + 1 + 1
