from __future__ import annotations

import math
import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import quantile

from smartlearn.core.sketch import RELATIVE_ERROR, Sketch

normal_floats = st.floats(
    allow_nan=False, allow_infinity=False, allow_subnormal=False, width=64
)  # every sign and every magnitude
everyday = st.floats(-1e6, 1e6, allow_subnormal=False).map(lambda value: round(value, 3))
samples = st.lists(st.one_of(normal_floats, everyday, st.just(0.0)), min_size=1, max_size=60)


@settings(deadline=None, max_examples=300)
@given(samples, st.integers(0, 100))
def test_every_quantile_is_within_one_percent_of_the_exact_one(values: list[float], percent: int) -> None:
    exact = quantile(sorted(values), percent)
    found = Sketch.of(values).quantile(percent / 100)
    assert math.isclose(found, exact, rel_tol=RELATIVE_ERROR, abs_tol=0.0)


@settings(deadline=None)
@given(st.lists(samples, max_size=5))
def test_a_merged_sketch_is_the_sketch_of_the_union(parts: list[list[float]]) -> None:
    merged = Sketch.union(Sketch.of(part) for part in parts)
    assert merged == Sketch.of([value for part in parts for value in part])


@settings(deadline=None)
@given(samples, samples, samples)
def test_merging_is_associative_and_commutative(a: list[float], b: list[float], c: list[float]) -> None:
    one, two, three = Sketch.of(a), Sketch.of(b), Sketch.of(c)
    left = Sketch.union([Sketch.union([one, two]), three])
    assert left == Sketch.union([three, Sketch.union([two, one])])


@settings(deadline=None)
@given(samples, st.integers(1, 2**38))
def test_a_sketch_survives_its_text(values: list[float], times: int) -> None:
    sketch = Sketch.of(values)
    repeated = Sketch(sketch.codes, sketch.counts * times)
    assert Sketch.decode(repeated.encode()) == repeated


@settings(deadline=None)
@given(st.lists(st.floats(0, sys.float_info.min), min_size=1, max_size=5))
def test_below_the_smallest_normal_float_quantiles_stay_that_small(values: list[float]) -> None:
    assert 0 <= Sketch.of(values).quantile(0.5) <= sys.float_info.min * 1.01
