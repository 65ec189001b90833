"""Points on their way into a store: what needs no store to be seen."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from smartlearn.core.stores.base import Points
from smartlearn.core.stores.prepare import is_name, prepare

T = 1_700_000_000_000_000_000


@pytest.mark.parametrize("name", ["a", "cpu_usage", "p50", "a" * 128])
def test_a_plain_name_is_a_name(name: str) -> None:
    assert is_name(name)


@pytest.mark.parametrize("name", ["", "a" * 129, "A", "_a", "1a", "a-b", "a.b", "time", "é", "a\n"])
def test_anything_else_is_none(name: str) -> None:
    assert not is_name(name)


def test_rows_find_their_series_whatever_mix_of_tags_they_have() -> None:
    values = [None, "", "a", "b", "ü"]
    rows = list(itertools.product(values, repeat=3))
    columns = {name: [row[index] for row in rows] for index, name in enumerate(("x", "y", "z"))}
    prepared, refused = prepare(Points("m", np.arange(len(rows)), {**columns, "same": "s"}, {"f": 1.0}))
    assert refused == []
    for index, row in enumerate(rows):
        expected = {name: value for name, value in zip(("x", "y", "z"), row, strict=True) if value}
        assert prepared.tags[prepared.series[index]] == expected | {"same": "s"}
    assert len({tuple(sorted(tags.items())) for tags in prepared.tags}) == len(prepared.tags) == 4**3


def test_only_the_first_reason_of_a_point_is_given() -> None:
    (refused,) = prepare(Points("m", np.array([T]), {"node": "a\n"}, {"f": "text", "g": float("inf")}))[1]
    assert "node" in refused.reason


def test_a_tag_that_is_no_text_is_refused() -> None:
    (refused,) = prepare(Points("m", np.array([T]), {"node": [5]}, {"f": 1.0}))[1]  # type: ignore[list-item]
    assert "not text" in refused.reason


def test_a_text_that_is_too_long_or_no_unicode_is_refused() -> None:
    texts = ["x" * 1_000_001, "ü" * 500_001, "\ud800", "ok"]
    prepared, refused = prepare(Points("m", np.arange(4), {}, {"text": texts}))
    assert [refusal.time for refusal in refused] == [0, 1, 2]
    assert prepared.texts["text"].tolist() == ["ok"]


def test_columns_without_a_value_are_dropped() -> None:
    fields = {"f": np.full(2, np.nan), "text": [None, None], "g": [1.0, None], "Bad": np.full(2, np.nan)}
    prepared, refused = prepare(Points("m", np.arange(2), {}, fields))  # type: ignore[arg-type]
    assert (refused, list(prepared.numbers), list(prepared.texts), len(prepared)) == ([], ["g"], [], 1)


def test_half_a_million_points_take_a_moment() -> None:
    rows = 500_000
    fields = {f"f{number}": np.random.default_rng(number).random(rows) for number in range(8)}
    points = Points("m", np.arange(rows), {"node": [f"n{row % 100}" for row in range(rows)]}, fields)
    begin = time.perf_counter()
    prepared, _ = prepare(points)
    assert len(prepared.tags) == 100
    assert time.perf_counter() - begin < 5
