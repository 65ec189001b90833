"""Numbers, spans and times as people read them."""

from __future__ import annotations

import math

import pytest

from smartlearn.dashboard.format import ago, clock, number, signed, span, split_unit, with_unit


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"), (87.44, "87.4"), (0.02134, "0.0213"), (999.9, "1000"), (1240, "1.24 k"), (1.2e6, "1.2 M"),
        (3.4e9, "3.4 G"), (-3.25, "-3.25"), (1e-6, "1.00e-06"), (math.inf, "∞"), (math.nan, "–"), (None, "–"),
    ],
)  # fmt: skip
def test_a_number_has_three_figures(value: float | None, text: str) -> None:
    assert number(value) == text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (87.44, "%", "87.4 %"), (340, "ms", "340 ms"), (1234, "ms", "1.23 s"), (90_000, "ms", "1.5 min"),
        (0.714, "fraction", "71.4 %"), (1.2, "GB", "1.2 GB"), (5, "", "5"), (None, "ms", "–"),
    ],
)  # fmt: skip
def test_a_value_carries_the_unit_that_fits(value: float | None, unit: str, text: str) -> None:
    assert with_unit(value, unit) == text


def test_a_large_number_lends_its_prefix_to_the_unit() -> None:
    assert split_unit(12_300, "B") == ("12.3", "kB")


def test_a_difference_of_percentages_is_in_percentage_points() -> None:
    assert signed(3.21, "%") == "+3.21 pp"
    assert signed(-120, "ms") == "−120 ms"
    assert signed(0, "ms") == "±0 ms"
    assert signed(math.nan, "%") == "–"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.42, "0.4 s"), (9.97, "10 s"), (59.6, "1 min"), (125, "2 min 5 s"), (3600, "1 h"), (273_900, "3 d 4 h")],
)
def test_a_span_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_ages_are_relative() -> None:
    assert [ago(value) for value in (0.2, 12, 3700, math.nan, None)] == ["now", "12 s ago", "1 h ago", "never", "never"]


def test_the_exact_time_is_utc() -> None:
    assert clock(1_767_225_600_000_000_000) == "2026-01-01 00:00:00 UTC"
