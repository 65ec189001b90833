"""Addresses of pages: what they ask for, and one sentence for what cannot be."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from smartlearn.dashboard.view import parse_view

NOW = int(datetime(2026, 3, 2, 12, 0, tzinfo=UTC).timestamp()) * 1_000_000_000
HOUR = 3600 * 1_000_000_000


def test_an_empty_address_asks_for_the_last_24_hours_of_everything() -> None:
    view = parse_view({}, NOW)
    assert (view.window.start, view.window.stop) == (NOW - 24 * HOUR, NOW)
    assert (view.nodes, view.runs, view.choices, view.problems) == ((), (), {}, ())


@pytest.mark.parametrize(
    ("text", "hours"), [("30m", 0.5), ("1h", 1), ("6h", 6), ("7d", 168), ("2w", 336), ("90s", 0.025)]
)
def test_a_span_before_now(text: str, hours: float) -> None:
    view = parse_view({"range": text}, NOW)
    assert view.window.stop == NOW
    assert view.window.span == hours * HOUR
    assert view.problems == ()


@pytest.mark.parametrize("text", ["banana", "0h", "-1h", "1.5h", "h", "1y", "99999w", "24h; drop", "²h"])
def test_a_span_that_cannot_be_is_said_in_one_sentence(text: str) -> None:
    view = parse_view({"range": text}, NOW)
    assert view.window.span == 24 * HOUR
    assert len(view.problems) == 1
    assert text in view.problems[0]


def test_fixed_times_are_utc_where_they_name_no_zone() -> None:
    view = parse_view({"start": "2026-03-01T08:00", "stop": "2026-03-01T10:00:00+01:00"}, NOW)
    assert view.range is None
    assert view.window.start == NOW - 28 * HOUR
    assert view.window.stop == NOW - 27 * HOUR


def test_a_start_alone_lasts_until_now() -> None:
    assert parse_view({"start": "2026-03-02T08:00"}, NOW).window.span == 4 * HOUR


def test_a_stop_alone_shows_the_24_hours_before_it() -> None:
    view = parse_view({"stop": "2026-03-01T00:00"}, NOW)
    assert (view.window.span, view.window.stop) == (24 * HOUR, NOW - 36 * HOUR)


@pytest.mark.parametrize(
    "values",
    [
        {"start": "yesterday"},
        {"start": "2026-03-01T00:00", "stop": "x" * 500},
        {"start": "2026-03-02T00:00", "stop": "2026-03-01T00:00"},
        {"start": "9999-12-31T23:59:59-12:00"},
    ],
)
def test_times_that_cannot_be_are_said_and_the_default_is_shown(values: dict[str, str]) -> None:
    view = parse_view(values, NOW)
    assert view.window.span == 24 * HOUR
    assert len(view.problems) == 1
    assert len(view.problems[0]) < 200


def test_names_are_taken_once_in_their_order() -> None:
    view = parse_view({"node": "b, a,b,", "run": ["r2", "r1"]}, NOW)
    assert view.nodes == ("b", "a")
    assert view.runs == ("r2", "r1")


def test_a_name_that_is_not_there_is_said_and_left_out() -> None:
    view = parse_view({"node": "a,ghost"}, NOW, nodes=["a", "b"])
    assert view.nodes == ("a",)
    assert view.problems == ("There is no node “ghost” in the store: it is left out.",)


def test_a_choice_that_is_none_is_said() -> None:
    allowed = {"heat": {"cpu_usage": "CPU"}}
    assert parse_view({"heat": "cpu_usage"}, NOW, choices=allowed).choices == {"heat": "cpu_usage"}
    view = parse_view({"heat": "<script>"}, NOW, choices=allowed)
    assert view.choices == {}
    assert "“<script>”" in view.problems[0]


@pytest.mark.parametrize("value", [None, 7, {"a": 1}, [None], [["x"]], True])
def test_values_of_any_shape_never_raise(value: object) -> None:
    view = parse_view({"range": value, "start": value, "node": value, "heat": value}, NOW, choices={"heat": {}})
    assert view.window.span == 24 * HOUR


def test_the_query_of_a_view_gives_the_same_view() -> None:
    values = {"start": "2026-03-01T08:00:00", "stop": "2026-03-01T10:00:00", "node": "a,b", "run": "r"}
    view = parse_view(values, NOW)
    assert view.query == values
    assert parse_view(view.query, NOW) == view
    assert parse_view({}, NOW).query == {}
    assert parse_view({"range": "6h"}, NOW).query == {"range": "6h"}
