"""Interval sets against plain sets of numbers."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from smartlearn.stream_processors.domain.seen import IntervalSet, SeenRows

A = ("host", "boot", "node-a")
B = ("host", "boot", "node-b")

intervals = st.tuples(st.integers(0, 60), st.integers(1, 15)).map(lambda pair: (pair[0], pair[0] + pair[1]))


def numbers(parts: list[tuple[int, int]]) -> set[int]:
    return {number for start, stop in parts for number in range(start, stop)}


def is_canonical(parts: list[tuple[int, int]]) -> bool:
    """Sorted, none empty, and none touching the next."""
    return all(start < stop for start, stop in parts) and all(one[1] < next_[0] for one, next_ in pairwise(parts))


@given(st.lists(intervals, max_size=30))
def test_an_interval_set_holds_what_was_added(added: list[tuple[int, int]]) -> None:
    found = IntervalSet(added)
    assert numbers(list(found)) == numbers(added)
    assert is_canonical(list(found))
    assert len(found) == len(numbers(added))


@given(st.lists(intervals, max_size=20), intervals)
def test_what_is_missing_of_an_interval_is_what_a_set_lacks(
    added: list[tuple[int, int]], asked: tuple[int, int]
) -> None:
    missing = IntervalSet(added).missing(*asked)
    assert numbers(missing) == set(range(*asked)) - numbers(added)
    assert is_canonical(missing)


@given(st.permutations([(0, 5), (5, 9), (20, 30), (8, 21)]))
def test_the_order_of_adding_does_not_matter(added: list[tuple[int, int]]) -> None:
    assert list(IntervalSet(added)) == [(0, 30)]


def test_an_empty_set_lacks_everything() -> None:
    assert IntervalSet().missing(3, 7) == [(3, 7)]
    assert (len(IntervalSet()), list(IntervalSet())) == (0, [])


def test_a_spool_that_drains_late_brings_lower_numbers_that_count() -> None:
    seen = SeenRows()
    seen.add(A, 100, 200, at=1)
    assert seen.unseen(A, 0, 150) == [(0, 100)]


def test_senders_do_not_share_numbers() -> None:
    seen = SeenRows()
    seen.add(A, 0, 10, at=1)
    assert seen.unseen(A, 5, 12) == [(10, 12)]
    assert seen.unseen(B, 5, 12) == [(5, 12)]


def test_a_sender_is_forgotten_only_when_it_was_silent_for_long() -> None:
    seen = SeenRows()
    seen.add(A, 0, 10, at=100)
    seen.add(B, 0, 10, at=200)
    seen.add(A, 10, 20, at=50)
    seen.forget(100)
    assert seen.rows.keys() == {A, B}
    seen.forget(101)
    assert seen.rows.keys() == {B}
    assert seen.unseen(A, 0, 10) == [(0, 10)]
