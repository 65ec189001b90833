from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.producers.placing import places

SECOND = 1_760_000_000_000_000


def placed(times: list[int], values: list[float], texts: list[str] | None = None) -> list[int]:
    columns = [] if texts is None else [texts]
    found = places(np.array(times, dtype=np.int64), [np.array(values)], columns, [0] * len(times))
    return [int(place) for place in found]


def test_equal_rows_get_different_places_and_the_same_ones_again() -> None:
    first = placed([SECOND] * 3, [1.0] * 3)
    assert len(set(first)) == 3
    assert placed([SECOND] * 3, [1.0] * 3) == first


@pytest.mark.parametrize(("time", "free"), [(SECOND, 10**9), (SECOND + 5000, 10**6), (SECOND + 5001, 1000)])
def test_a_place_lies_below_the_resolution_of_its_time(time: int, free: int) -> None:
    assert all(0 <= place < free for place in placed([time] * 50, list(range(50))))


@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.sampled_from([0.0, -0.0, 1.0, math.nan]), st.sampled_from("abc")), max_size=60
    ),
    st.randoms(),
)
def test_the_order_of_the_rows_does_not_matter(rows: list[tuple[int, float, str]], random: object) -> None:
    def key(row: tuple[int, float, str]) -> tuple[int, str, str]:
        return row[0], repr(row[1] + 0.0), row[2]

    def by_row(given: list[tuple[int, float, str]]) -> list[tuple[tuple[int, str, str], int]]:
        found = placed([SECOND + at for at, _, _ in given], [v for _, v, _ in given], [t for _, _, t in given])
        return sorted(zip(map(key, given), found, strict=True))

    shuffled = list(rows)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert by_row(shuffled) == by_row(rows)
    assert len({(row[0], place) for row, place in by_row(rows)}) == len(rows)


def test_a_part_of_a_file_keeps_the_places_that_the_whole_gave_it() -> None:
    times = [SECOND + 1_000_000 * (n // 100) for n in range(10_000)]
    values = [float(n) for n in range(10_000)]
    whole = placed(times, values)
    assert placed(times[2000:5000], values[2000:5000]) == whole[2000:5000]


def test_ten_thousand_rows_of_one_second_all_have_their_own_place() -> None:
    assert len(set(placed([SECOND] * 10_000, [float(n) for n in range(10_000)]))) == 10_000


def test_a_microsecond_takes_a_thousand_rows_and_says_when_there_are_more() -> None:
    time = SECOND + 1
    assert sorted(placed([time] * 1000, [float(n) for n in range(1000)])) == list(range(1000))
    with pytest.raises(ValueError, match="1001"):
        placed([time] * 1001, [float(n) for n in range(1001)])


def test_rows_of_different_series_may_share_a_place() -> None:
    times = np.full(1001, SECOND + 1, dtype=np.int64)
    found = places(times, [np.arange(1001.0)], [], [n % 2 for n in range(1001)])
    assert found.max() < 1000


def test_nan_and_zero_have_one_place_each_however_they_are_written() -> None:
    other_nan = np.array([0x7FF8000000000001], dtype=np.uint64).view(np.float64)

    def one(value: FloatArray) -> Int64Array:
        return places(np.array([SECOND]), [value], [], [0])

    assert one(other_nan) == one(np.array([math.nan]))
    assert one(np.array([-0.0])) == one(np.array([0.0]))


def test_texts_and_numbers_both_matter() -> None:
    assert placed([SECOND], [1.0], ["a"]) != placed([SECOND], [1.0], ["b"])
    assert placed([SECOND], [1.0], ["a"]) != placed([SECOND], [2.0], ["a"])
    assert placed([SECOND], [1.0]) != placed([SECOND + 1_000_000], [1.0])
