from __future__ import annotations

import math
from itertools import pairwise
from random import Random
from typing import TypeAlias

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.comparison import close
from tests.reference import aggregate

from smartlearn.core.aggregates import (
    Summary,
    merge,
    merge_groups,
    merge_series,
    summaries_of,
    summarize,
    tier_columns,
    tier_fields,
)
from smartlearn.core.stores.base import Series

METRICS = ("cpu_usage", "gpu_memory", "loss")
LEARNERS = ("p1", "p2", "p3", "p4", None)

# Sums of positive values are well conditioned: the mean's first 12 digits do not depend on the order.
positive = st.floats(1e-6, 1e6, allow_subnormal=False)
signed = st.one_of(positive, positive.map(lambda value: -value), st.just(0.0))
gaps = st.sampled_from([math.nan, math.inf, -math.inf])
events = st.lists(
    st.tuples(
        st.integers(0, 3),
        st.one_of(positive, gaps),
        st.one_of(signed, gaps),
        st.one_of(signed, gaps),
        st.sampled_from(LEARNERS),
    ),
    max_size=40,
)
Rows: TypeAlias = list[tuple[int, float, float, float, str | None]]


def summarized(rows: Rows) -> list[Summary]:
    groups = np.array([row[0] for row in rows], np.int64)
    columns = {name: np.array([row[1 + index] for row in rows], np.float64) for index, name in enumerate(METRICS)}
    return summarize(groups, 4, columns, [row[4] for row in rows])


def same(one: Summary, other: Summary) -> bool:
    """Equal but for the order in which floats were added."""
    assert one.names == other.names
    assert np.array_equal(one.stats[:, [0, 3, 4]], other.stats[:, [0, 3, 4]])
    # What sums of terms of both signs may lose is measured by the terms, not by the sum.
    scale = np.sqrt(one.stats[:, 0] * one.stats[:, 2])
    assert np.all(np.abs(one.stats[:, 1] - other.stats[:, 1]) <= 1e-13 * scale)
    assert np.allclose(one.stats[:, 2], other.stats[:, 2], rtol=1e-13, atol=0)
    return bool(np.array_equal(one.cells, other.cells) and np.array_equal(one.counts, other.counts))


def same_learners(one: Summary, other: Summary) -> bool:
    """Equal sets; a summary of no rows at all counted nobody."""
    sets = [part.distinct.hashes.tolist() if part.distinct else [] for part in (one, other)]
    return bool(sets[0] == sets[1])


@settings(deadline=None)
@given(events)
def test_every_field_is_what_plain_python_gives(rows: Rows) -> None:
    for group, summary in enumerate(summarized(rows)):
        inside = [row for row in rows if row[0] == group]
        fields = tier_fields(summary)
        expected = {
            f"{name}_{suffix}": value
            for name, column in zip(METRICS, zip(*(row[1:4] for row in inside), strict=True), strict=False)
            if (values := [value for value in column if math.isfinite(value)])
            for suffix, value in aggregate(values).items()
        }
        numbers = {name: value for name, value in fields.items() if isinstance(value, float)}
        assert numbers.pop("learners", 0.0) == len({row[4] for row in inside} - {None})
        assert numbers.keys() == expected.keys()
        assert all(close(name, value, expected[name]) for name, value in numbers.items())


@settings(deadline=None)
@given(events, st.randoms(use_true_random=False), st.lists(st.integers(0, 40), max_size=4))
def test_any_order_and_any_partition_of_the_rows_gives_the_same(rows: Rows, random: Random, cuts: list[int]) -> None:
    shuffled = list(rows)
    random.shuffle(shuffled)
    edges = sorted([0, *cuts, len(rows)])
    parts = [summarized(shuffled[low:high]) for low, high in pairwise(edges)]
    for group, whole in enumerate(summarized(rows)):
        merged = merge(part[group] for part in parts)
        assert same(merged, whole)
        assert same_learners(merged, whole)
        if "cpu_usage" in whole:
            assert math.isclose(merged["cpu_usage"].mean, whole["cpu_usage"].mean, rel_tol=2e-12)


@settings(deadline=None)
@given(events, events, events)
def test_merging_is_associative_and_commutative(a: Rows, b: Rows, c: Rows) -> None:
    for one, two, three in zip(summarized(a), summarized(b), summarized(c), strict=True):
        left, right = merge([merge([one, two]), three]), merge([three, merge([two, one])])
        assert same(left, right)
        assert same_learners(left, right)


@settings(deadline=None)
@given(st.lists(events, min_size=1, max_size=4), st.data())
def test_merging_many_sets_at_once_is_merging_each(parts: list[Rows], data: st.DataObject) -> None:
    summaries = [summary for rows in parts for summary in summarized(rows)]
    groups = data.draw(st.lists(st.integers(0, 5), min_size=len(summaries), max_size=len(summaries)))
    together = merge_groups(np.array(groups), 6, summaries)
    for number, merged in enumerate(together):
        alone = merge(part for group, part in zip(groups, summaries, strict=True) if group == number)
        assert same(merged, alone)
        assert same_learners(merged, alone)


@settings(deadline=None)
@given(events)
def test_stored_rows_give_back_the_summaries(rows: Rows) -> None:
    summaries = summarized(rows)
    stored = Series("m", {}, np.arange(4), tier_columns(summaries))
    assert summaries_of(stored) == summaries


@settings(deadline=None)
@given(st.lists(events, min_size=2, max_size=4))
def test_merged_series_are_the_rows_of_the_merged_summaries(parts: list[Rows]) -> None:
    shards = [summarized(rows) for rows in parts]
    stored = [
        Series("m", {"shard": str(number)}, np.arange(4), tier_columns(rows)) for number, rows in enumerate(shards)
    ]
    (merged,) = merge_series(stored, {"shard"})
    for time, summary in enumerate(summaries_of(merged)):
        expected = merge(rows[time] for rows in shards)
        assert same(summary, expected)
        assert same_learners(summary, expected)
        assert merged.time.tolist() == [0, 1, 2, 3]
