"""Panes, tiers and rolling windows against arithmetic on whole numbers."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.reference import ROLLING as REFERENCE_ROLLING
from tests.reference import TIERS as REFERENCE_TIERS

from smartlearn.stream_processors.domain.windows import MICROS, ROLLING, TIERS, PaneGrid, tier_start

lengths = st.sampled_from([1, 10_000, MICROS, 10 * MICROS, 30 * MICROS, 60 * MICROS])
times = st.integers(0, 7_258_118_400_000_000)


def test_the_windows_are_those_that_everything_else_expects() -> None:
    assert dict(TIERS) == REFERENCE_TIERS
    assert dict(ROLLING) == REFERENCE_ROLLING


@given(lengths, times)
def test_every_time_lies_in_exactly_one_pane_aligned_to_the_epoch(length: int, time: int) -> None:
    grid = PaneGrid(length)
    start = grid.start(time)
    assert start <= time < start + length
    assert start % length == 0
    assert grid.starts(np.array([time], np.int64)).tolist() == [start]
    assert grid.after(time) == start + length


@given(st.sampled_from(sorted(TIERS.values())), times)
def test_a_tier_window_holds_whole_panes(length: int, time: int) -> None:
    start = tier_start(time, length)
    assert start <= time < start + length
    assert start % (60 * MICROS) == 0


@given(lengths, st.lists(times, min_size=1, max_size=5))
def test_the_context_of_changed_panes_holds_every_pane_that_shares_a_window_with_one(
    length: int, changed: list[int]
) -> None:
    grid = PaneGrid(length)
    starts = [grid.start(time) for time in changed]
    low, high = grid.context(starts)
    for start in starts:
        hour = start // REFERENCE_TIERS["1h"] * REFERENCE_TIERS["1h"]
        assert low <= hour
        assert hour + REFERENCE_TIERS["1h"] <= high
        assert low <= start + length - REFERENCE_ROLLING["15m"], "its own longest rolling window"
        assert start + REFERENCE_ROLLING["15m"] <= high, "the last rolling window that covers it"


@pytest.mark.parametrize("length", [1, 10, 30])
def test_panes_of_any_allowed_length_fill_a_minute(length: int) -> None:
    assert len({PaneGrid(length * MICROS).start(second * MICROS) for second in range(60)}) == 60 // length


@given(st.lists(times, max_size=12, unique=True))
def test_panes_that_are_apart_share_no_window_and_those_together_are_near(changed: list[int]) -> None:
    grid = PaneGrid(10 * MICROS)
    starts = sorted({grid.start(time // 10_000) for time in changed})
    parts = grid.apart(starts)
    assert [start for part in parts for start in part] == starts
    for one, other in pairwise(parts):
        for name, length in REFERENCE_TIERS.items():
            assert tier_start(one[-1], length) < tier_start(other[0], length), name
        assert one[-1] < other[0] + grid.length - REFERENCE_ROLLING["15m"]
    for part in parts:
        assert all(later - sooner < 2 * REFERENCE_TIERS["1h"] for sooner, later in pairwise(part))
