from __future__ import annotations

import pytest

from smartlearn.core.times import format_time, parse_time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:00.000001Z", 1),
        ("1970-01-02T00:00:00+24:00", None),
        ("1970-01-01T01:00:00+01:00", 0),
        ("2000-02-29T00:00:00", 951_782_400_000_000),
        ("2001-02-29T00:00:00", None),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("2026-01-01T00:00:60Z", None),
        ("2026-01-01T00:00:00 Z", None),
    ],
)
def test_a_time_is_parsed_or_refused(text: str, time: int | None) -> None:
    if time is None:
        with pytest.raises(ValueError, match="must be a"):
            parse_time(text)
    else:
        assert parse_time(text) == time


@pytest.mark.parametrize(
    ("time", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1, "1970-01-01T00:00:00.000001Z"),
        (1_000, "1970-01-01T00:00:00.001Z"),
        (951_782_400_250_000, "2000-02-29T00:00:00.250Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_a_time_is_written_with_the_digits_that_it_needs(time: int, text: str) -> None:
    assert format_time(time) == text
    assert parse_time(text) == time
