"""Smoothing, held against the formulas written out in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smartlearn.dashboard.queries.smoothing import Smoothing, ema, gaussian

values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


def plain_ema(value: list[float], keep: float) -> list[float]:
    """The weighted mean that an EMA is, written as the sum over all values before."""
    found = []
    for row in range(len(value)):
        weights = [keep ** (row - before) for before in range(row + 1)]
        found.append(math.fsum(w * v for w, v in zip(weights, value, strict=False)) / math.fsum(weights))
    return found


def plain_gaussian(value: list[float], sigma: float) -> list[float]:
    found = []
    for row in range(len(value)):
        near = range(max(0, row - math.ceil(4 * sigma)), min(len(value), row + math.ceil(4 * sigma) + 1))
        weights = [math.exp(-0.5 * ((row - other) / sigma) ** 2) for other in near]
        found.append(math.fsum(w * value[o] for w, o in zip(weights, near, strict=True)) / math.fsum(weights))
    return found


@given(values, st.floats(0.01, 0.999))
def test_an_ema_is_the_weighted_mean_of_all_values_before(value: list[float], keep: float) -> None:
    expected = plain_ema(value, keep)
    assert ema(np.array(value), keep) == pytest.approx(expected, rel=1e-6, abs=1e-6 * max(map(abs, value)) + 1e-9)


@given(values, st.floats(0.3, 20))
def test_a_gaussian_is_the_weighted_mean_around(value: list[float], sigma: float) -> None:
    expected = plain_gaussian(value, sigma)
    assert gaussian(np.array(value), sigma) == pytest.approx(expected, rel=1e-6, abs=1e-6 * max(map(abs, value)) + 1e-9)


@given(st.floats(-1e3, 1e3), st.integers(1, 50), st.floats(0.01, 0.999), st.floats(0.3, 20))
def test_a_flat_curve_stays_as_it_is(level: float, rows: int, keep: float, sigma: float) -> None:
    flat = np.full(rows, level)
    assert ema(flat, keep) == pytest.approx(flat)
    assert gaussian(flat, sigma) == pytest.approx(flat)


@given(st.lists(st.tuples(st.floats(-100, 100), st.integers(1, 9)), min_size=1, max_size=20), st.floats(0.1, 0.99))
def test_a_row_that_stands_for_equal_values_counts_as_these(rows: list[tuple[float, int]], keep: float) -> None:
    written_out = [value for value, count in rows for _ in range(count)]
    last = np.cumsum([count for _, count in rows]) - 1
    found = ema(np.array([value for value, _ in rows]), keep, np.array([count for _, count in rows], dtype=np.float64))
    assert found == pytest.approx(np.array(plain_ema(written_out, keep))[last], rel=1e-6, abs=1e-6)


def test_the_first_value_is_not_pulled_to_zero() -> None:
    assert ema(np.array([5.0, 5.0]), 0.99)[0] == pytest.approx(5.0)


def test_what_lies_beyond_the_reach_hardly_matters() -> None:
    for smoothing in (Smoothing("ema", 0.97), Smoothing("gauss", 7.0)):
        value = np.random.default_rng(1).normal(size=4 * smoothing.reach)
        whole = smoothing.apply(value)[-1]
        assert smoothing.apply(value[-smoothing.reach - 1 :])[-1] == pytest.approx(whole, abs=0.01)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ema-0.9", Smoothing("ema", 0.9)),
        ("gauss-50", Smoothing("gauss", 50.0)),
        ("ema-1", None),
        ("ema-0", None),
        ("gauss-0", None),
        ("none", None),
        ("", None),
    ],
)
def test_a_smoothing_is_read_from_its_name(text: str, expected: Smoothing | None) -> None:
    assert Smoothing.of(text) == expected


def test_nothing_smoothed_is_nothing() -> None:
    assert len(ema(np.empty(0), 0.9)) == 0
    assert len(gaussian(np.empty(0), 3.0)) == 0
