from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from smartlearn.ops.texts import ago, naive_texts, short_number, utc_texts

TIMES = [0, 1_755_177_051_853_282, 1_755_177_052_000_000, 1]


def test_naive_times_are_those_of_datetime_isoformat() -> None:
    expected = [datetime.fromtimestamp(t // 10**6, UTC).replace(microsecond=t % 10**6, tzinfo=None) for t in TIMES]
    assert naive_texts(np.array(TIMES)) == [moment.isoformat() for moment in expected]


def test_utc_times_have_one_length() -> None:
    texts = utc_texts(np.array(TIMES), exact=False)
    assert texts[1] == "2025-08-14T13:10:51.853282Z"
    assert {len(text) for text in texts} == {27}
    assert utc_texts(np.array([0, 10_000_000]), exact=False) == ["1970-01-01T00:00:00Z", "1970-01-01T00:00:10Z"]
    assert utc_texts(np.array([0]), exact=True) == ["1970-01-01T00:00:00.000000Z"]
    assert utc_texts(np.array([], dtype=np.int64), exact=True) == []


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "now"), (5, "5 s ago"), (90, "2 min ago"), (7200, "2 h ago"), (200_000, "2 d ago")]
)
def test_ages_are_said_as_people_do(seconds: float, text: str) -> None:
    assert ago(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(3.0, "3"), (1234567, "1,234,567"), (0.123456, "0.1235"), (98765.4321, "98,765.4"), (1e20, "1e+20")],
)
def test_numbers_have_the_digits_people_read(value: float, text: str) -> None:
    assert short_number(value) == text
