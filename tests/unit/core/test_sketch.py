from __future__ import annotations

import binascii
import math
import sys

import numpy as np
import pytest
from tests.reference import quantile

from smartlearn.core.sketch import (
    RELATIVE_ERROR,
    ZERO,
    Sketch,
    codes_of,
    decode_segments,
    encode_segments,
    ranks,
    values_of,
)


def test_codes_grow_with_the_value_over_every_magnitude_and_sign() -> None:
    tiny, largest = sys.float_info.min, sys.float_info.max
    values = np.array([-largest, -1e9, -1.0, -1e-9, -tiny, -5e-324, 0.0, 5e-324, tiny, 1e-9, 1.0, 1e9, largest])
    codes = codes_of(values)
    assert np.all(np.diff(codes) > 0)
    assert codes[6] == ZERO
    assert codes[0] >= 0
    assert codes[-1] < 2**18


def test_minus_zero_is_zero() -> None:
    assert codes_of(np.array([-0.0])).tolist() == [ZERO]


def test_the_middle_of_a_bucket_is_within_one_percent_of_its_values() -> None:
    magnitudes = np.geomspace(sys.float_info.min, sys.float_info.max / 2, 200_001)
    for values in (magnitudes, -magnitudes):
        middle = values_of(codes_of(values))
        assert np.isfinite(middle).all()
        assert np.max(np.abs(middle / values - 1)) <= RELATIVE_ERROR


def test_codes_leave_their_argument_alone() -> None:
    values = np.array([0.0, 1.0])
    codes_of(values)
    assert values.tolist() == [0.0, 1.0]


@pytest.mark.parametrize("percent", [0, 1, 5, 50, 95, 99, 100])
@pytest.mark.parametrize("n", [1, 2, 3, 20, 100, 1000])
def test_a_quantile_is_near_the_value_of_nearest_rank(percent: int, n: int) -> None:
    values = np.random.default_rng(n).lognormal(3.0, 2.0, n)
    exact = quantile(sorted(values.tolist()), percent)
    assert Sketch.of(values).quantile(percent / 100) == pytest.approx(exact, rel=RELATIVE_ERROR)


def test_ranks_ignore_the_noise_of_binary_fractions() -> None:
    counts = np.array([0, 1, 2, 20, 100, 700])
    assert ranks(0.95, counts).tolist() == [0, 1, 2, 19, 95, 665]
    assert ranks(0.07, counts).tolist() == [0, 1, 1, 2, 7, 49]


def test_the_empty_sketch_has_no_quantile_and_an_empty_text() -> None:
    empty = Sketch.of([])
    assert math.isnan(empty.quantile(0.5))
    assert empty.encode() == ""
    assert Sketch.decode("") == empty == Sketch.union([]) == Sketch.union([empty])
    assert len(empty) == 0


def test_a_text_holds_every_bucket_in_four_bytes() -> None:
    sketch = Sketch.of([1.0, 1.0, 50.0, -3.0, 0.0])
    assert Sketch.decode(sketch.encode()) == sketch
    assert len(sketch) == 5
    assert len(binascii.a2b_base64(sketch.encode()[1:])) == 4 * 4


@pytest.mark.parametrize("count", [1, 2**14, 2**14 + 1, 2**40])
def test_counts_of_any_size_survive_the_text(count: int) -> None:
    sketch = Sketch(codes_of(np.array([1.0, 7.0])), np.array([count, 3]))
    assert Sketch.decode(sketch.encode()) == sketch


def test_many_sketches_go_through_text_at_once_with_empty_and_large_ones_among_them() -> None:
    sketches = [Sketch.of([1.0, 2.0]), Sketch.of([]), Sketch(codes_of(np.array([3.0])), np.array([10**6]))]
    bounds = np.cumsum([0, *(len(sketch.codes) for sketch in sketches)])
    codes = np.concatenate([sketch.codes for sketch in sketches])
    counts = np.concatenate([sketch.counts for sketch in sketches])
    texts = encode_segments(codes, counts, bounds)
    assert texts == [sketches[0].encode(), None, sketches[2].encode()]
    for wide in (texts, texts[:2]):
        parts = decode_segments(wide)
        assert parts[0].tolist() == codes[: len(parts[0])].tolist()
        assert parts[1].tolist() == counts[: len(parts[1])].tolist()
        assert parts[2].tolist() == bounds[: len(wide) + 1].tolist()


@pytest.mark.parametrize("text", ["x", "aAAA", "a!!!!", "aAAAAAA==A", "bAAAAAA=="])
def test_a_text_that_is_no_sketch_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not the text of a sketch"):
        Sketch.decode(text)


def test_sketches_are_equal_by_content() -> None:
    one, same, other = Sketch.of([1.0, 2.0]), Sketch.of([2.0, 1.0]), Sketch.of([1.0])
    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != "a"
