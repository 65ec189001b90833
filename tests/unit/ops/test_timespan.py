from __future__ import annotations

from datetime import UTC, datetime

import pytest

from smartlearn.core.errors import InvalidQuery
from smartlearn.ops.filters import parse_where
from smartlearn.ops.timespan import Span, parse_duration, parse_moment, parse_span

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("30s", 30), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("2w", 1_209_600), ("1h30m", 5400)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text, "--last") == int(seconds * SECOND)


@pytest.mark.parametrize("text", ["", "5", "h", "5x", "-5m", "1 h", "1h 30m", "5m3", "0s", "999999d", "५m"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidQuery, match="--last"):
        parse_duration(text, "--last")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2025-08-14T13:10:51.853282", datetime(2025, 8, 14, 13, 10, 51, 853282, UTC)),
        ("2025-08-14T13:10:51Z", datetime(2025, 8, 14, 13, 10, 51, tzinfo=UTC)),
        ("2025-08-14T15:10+02:00", datetime(2025, 8, 14, 13, 10, tzinfo=UTC)),
        ("2025-08-14 13:10", datetime(2025, 8, 14, 13, 10, tzinfo=UTC)),
        ("2025-08-14", datetime(2025, 8, 14, tzinfo=UTC)),
        ("1960-01-01", datetime(1960, 1, 1, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, moment: datetime) -> None:
    whole = int(moment.replace(microsecond=0).timestamp()) * SECOND
    assert parse_moment(text, "--start") == whole + moment.microsecond * 1000


@pytest.mark.parametrize("text", ["", "yesterday", "2025-02-30", "14.08.2025", "2025-08-14T25:00"])
def test_what_is_no_time_is_refused_with_examples(text: str) -> None:
    with pytest.raises(InvalidQuery, match=r"--stop .* is not a time"):
        parse_moment(text, "--stop")


def test_spans_combine_the_three_flags() -> None:
    now = 1_000_000 * SECOND
    assert parse_span("1h", None, None, now) == Span(now - 3600 * SECOND, None)
    assert parse_span(None, "1970-01-02", None, now) == Span(86_400 * SECOND, None)
    assert parse_span(None, None, "1970-01-02", now) == Span(None, 86_400 * SECOND)
    assert parse_span(None, None, None, now) == Span(None, None)


@pytest.mark.parametrize(
    ("last", "start", "stop", "sentence"),
    [
        ("1h", "2025-01-01", None, "exclude each other"),
        ("1h", None, "2025-01-01", "exclude each other"),
        (None, "2025-01-02", "2025-01-01", "must be before"),
        (None, "2025-01-01", "2025-01-01", "must be before"),
    ],
)
def test_flags_that_contradict_each_other_are_refused(
    last: str | None, start: str | None, stop: str | None, sentence: str
) -> None:
    with pytest.raises(InvalidQuery, match=sentence):
        parse_span(last, start, stop, 0)


def test_conditions_on_tags_are_read() -> None:
    assert parse_where(["window=1m", "node=a=b", "gpu=", "run=x", "run=y"]) == {
        "window": "1m",
        "node": "a=b",
        "gpu": None,
        "run": ("x", "y"),
    }


@pytest.mark.parametrize("condition", ["window", "=1m", " =x", ""])
def test_what_is_no_condition_is_refused(condition: str) -> None:
    with pytest.raises(InvalidQuery, match="tag=value"):
        parse_where([condition])
