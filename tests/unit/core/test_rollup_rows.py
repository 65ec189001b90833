from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from tests.comparison import close
from tests.reference import aggregate

from smartlearn.core.aggregates import (
    EMPTY,
    Summary,
    merge,
    merge_series,
    needed_fields,
    rolling_columns,
    rolling_fields,
    summaries_of,
    summarize,
    tier_columns,
    tier_fields,
)
from smartlearn.core.sketch import Sketch
from smartlearn.core.stores.base import Series, is_text_field

NAN = math.nan
ZEROS = np.zeros(3, np.int64)


def summary(**columns: list[float]) -> Summary:
    rows = len(next(iter(columns.values()), []))
    arrays = {name: np.array(values, np.float64) for name, values in columns.items()}
    return summarize(np.zeros(rows, np.int64), 1, arrays)[0]


def of_learners(values: list[float], learners: list[str | None]) -> Summary:
    return summarize(np.zeros(len(values), np.int64), 1, {"accuracy": np.array(values)}, learners)[0]


def series(columns: Mapping[str, Any], time: list[int], **tags: str) -> Series:
    return Series("interactions_10s", tags, np.array(time, np.int64), columns)


def row(each: Series, time: int) -> dict[str, Any]:
    index = each.time.tolist().index(time)
    values = {name: column.tolist()[index] for name, column in each.fields.items()}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, str) or (value is not None and not math.isnan(value))
    }


def test_a_tier_row_has_every_field_of_the_contract() -> None:
    values = [float(value) for value in range(1, 101)]
    fields = tier_fields(summary(x=values))
    expected = aggregate(values)
    assert {name.removeprefix("x_") for name in fields} == {*expected, "sketch"}
    assert all(close(f"x_{suffix}", float(fields[f"x_{suffix}"]), value) for suffix, value in expected.items())
    assert Sketch.decode(str(fields["x_sketch"])) == Sketch.of(values)
    assert all(isinstance(value, str) == is_text_field(name) for name, value in fields.items())


def test_a_rolling_row_has_what_charts_read_and_a_sketch_on_request() -> None:
    both = of_learners([1.0, 2.0], ["a", "a"])
    names = {"accuracy_count", "accuracy_mean", "accuracy_min", "accuracy_max", "accuracy_p50", "accuracy_p95"}
    assert rolling_fields(both).keys() == names | {"learners"}
    assert rolling_fields(both, sketch=True).keys() == names | {"learners", "accuracy_sketch", "distinct_learners"}
    assert rolling_fields(both)["learners"] == 1.0


def test_columns_of_many_rows_are_the_fields_of_each() -> None:
    rows = [summary(x=[1.0, 2.0]), EMPTY, summary(y=[0.0]), of_learners([0.5], ["a"])]
    for columns, fields in ((tier_columns(rows), tier_fields), (rolling_columns(rows), rolling_fields)):
        table = series(columns, [0, 1, 2, 3])
        assert [row(table, time) for time in range(4)] == [fields(each) for each in rows]
    assert tier_columns([]) == {}
    assert tier_fields(EMPTY) == {}


def test_sums_that_overflow_leave_their_fields_out() -> None:
    fields = tier_fields(summary(x=[1.7e308, 1.7e308]))
    assert fields.keys() == {f"x_{suffix}" for suffix in ("count", "min", "max", "p50", "p95", "p99", "sketch")}
    again = summaries_of(series(tier_columns([summary(x=[1.7e308, 1.7e308])]), [0]))[0]
    assert tier_fields(again) == fields


def test_stored_tier_rows_give_back_their_summaries() -> None:
    rows = [summary(x=[1.0, 2.0], y=[-1.0, 0.0]), summary(y=[4.0]), of_learners([NAN, 1.0], ["a", "b"]), EMPTY]
    assert summaries_of(series(tier_columns(rows), [0, 1, 2, 3])) == rows
    assert summaries_of(series({}, [])) == []


def test_a_metric_whose_name_ends_like_a_suffix_keeps_its_own_fields() -> None:
    rows = [summary(x=[1.0], x_count=[5.0])]
    assert summaries_of(series(tier_columns(rows), [0])) == rows


def test_rolling_rows_give_back_what_they_hold() -> None:
    whole = summary(x=[1.0, 2.0, 6.0])
    rebuilt = summaries_of(series(rolling_columns([whole], sketch=True), [0]))[0]
    assert (rebuilt["x"].count, rebuilt["x"].mean, rebuilt["x"].max) == (3, 3.0, 6.0)
    assert math.isnan(rebuilt["x"].sumsq)
    assert rebuilt["x"].sketch == whole["x"].sketch
    thin = summaries_of(series(rolling_columns([whole]), [0]))[0]
    assert math.isnan(thin["x"].quantile(0.5))
    assert "x_p50" not in tier_fields(thin)
    assert "x_sketch" not in tier_fields(merge([thin, whole]))


def test_shards_merge_at_equal_times() -> None:
    first = [of_learners([1.0, 2.0], ["a", "b"]), of_learners([5.0], ["a"])]
    second = [of_learners([3.0], ["b"]), of_learners([4.0], ["c"])]
    merged = merge_series(
        [
            series(tier_columns(first), [0, 10], shard="1", by="all"),
            series(tier_columns(second), [0, 20], shard="2", by="all"),
        ],
        {"shard"},
    )
    assert len(merged) == 1
    assert merged[0].tags == {"by": "all"}
    assert merged[0].time.tolist() == [0, 10, 20]
    assert row(merged[0], 0) == tier_fields(of_learners([1.0, 2.0, 3.0], ["a", "b", "b"]))
    assert row(merged[0], 10) == tier_fields(first[1])
    assert row(merged[0], 20) == tier_fields(second[1])


def test_series_that_differ_in_other_tags_stay_apart_in_order_of_their_tags() -> None:
    columns = tier_columns([summary(x=[1.0])])
    merged = merge_series(
        [series(columns, [0], shard=shard, subject=subject) for subject in "ba" for shard in "12"], ["shard"]
    )
    assert [each.tags for each in merged] == [{"subject": "a"}, {"subject": "b"}]
    assert [row(each, 0)["x_count"] for each in merged] == [2.0, 2.0]


def test_a_series_without_a_partner_stays_as_it_is() -> None:
    columns = {"x_p50": np.array([1.0]), "anything": np.array([2.0])}
    (alone,) = merge_series([series(columns, [0], shard="1")], {"shard"})
    assert alone.tags == {}
    assert alone.fields == columns
    assert merge_series([], {"shard"}) == []


def test_rolling_rows_with_sketches_merge_their_quantiles() -> None:
    left, right = of_learners([1.0, 2.0, 3.0], ["a", "b", "c"]), of_learners([10.0], ["a"])
    (merged,) = merge_series(
        [series(rolling_columns([part], sketch=True), [0], shard=shard) for shard, part in (("1", left), ("2", right))],
        {"shard"},
    )
    whole = of_learners([1.0, 2.0, 3.0, 10.0], ["a", "b", "c", "a"])
    assert row(merged, 0) == rolling_fields(whole, sketch=True)


def test_rolling_rows_without_sketches_lose_their_quantiles_only_where_they_meet() -> None:
    left, right = summary(x=[1.0, 2.0, 3.0]), summary(x=[10.0])
    (merged,) = merge_series(
        [series(rolling_columns([left, left]), [0, 1], gpu="0"), series(rolling_columns([right]), [1], gpu="1")],
        {"gpu"},
    )
    assert row(merged, 0) == rolling_fields(left)
    assert row(merged, 1) == {"x_count": 4.0, "x_mean": 4.0, "x_min": 1.0, "x_max": 10.0}


def test_a_row_without_its_set_leaves_the_learners_out_where_it_meets_others() -> None:
    whole = of_learners([1.0], ["a"])
    known, unknown = tier_columns([whole, whole]), {**tier_columns([whole])}
    unknown["distinct_learners"] = np.array([None])
    (merged,) = merge_series([series(known, [0, 1], shard="1"), series(unknown, [1], shard="2")], {"shard"})
    assert row(merged, 0)["learners"] == 1.0
    assert "learners" not in row(merged, 1)
    assert "distinct_learners" not in row(merged, 1)


def test_learners_without_any_set_are_kept_only_where_a_row_is_alone() -> None:
    columns = {"learners": np.array([3.0, 4.0]), "x_count": np.array([1.0, 1.0])}
    (merged,) = merge_series([series(columns, [0, 1], shard="1"), series(columns, [1, 2], shard="2")], {"shard"})
    assert [row(merged, time).get("learners") for time in (0, 1, 2)] == [3.0, None, 4.0]


def test_a_metric_that_only_some_series_have_merges_from_those() -> None:
    (merged,) = merge_series(
        [
            series(tier_columns([summary(x=[1.0])]), [0], shard="1"),
            series(tier_columns([summary(x=[2.0], y=[7.0])]), [0], shard="2"),
        ],
        {"shard"},
    )
    assert row(merged, 0) == tier_fields(summary(x=[1.0, 2.0], y=[7.0, NAN]))


def test_fields_that_cannot_be_merged_are_left_out() -> None:
    columns = {"x_mean": np.array([1.0]), "x_count": np.array([1.0]), "y_mean": np.array([2.0])}
    (merged,) = merge_series([series(columns, [0], shard=shard) for shard in "12"], {"shard"})
    assert merged.fields.keys() == {"x_mean", "x_count"}


@pytest.mark.parametrize("field", ["x_mean", "x_sum", "x_p95", "x_max", "x_sumsq", "x_count", "learners", "x_sketch"])
def test_the_needed_fields_are_enough_to_merge_a_field(field: str) -> None:
    parts = [
        summarize(ZEROS, 1, {"x": np.array(values)}, ["a", "b", "a"])[0]
        for values in ([1.0, 2.0, 9.0], [3.0, 4.0, 5.0])
    ]
    for columns in (tier_columns, lambda rows: rolling_columns(rows, sketch=True)):
        if field not in columns(parts):
            continue
        every = [series(columns([part]), [0], shard=str(index)) for index, part in enumerate(parts)]
        needed = needed_fields([field])
        thin = [
            series({name: column for name, column in each.fields.items() if name in needed}, [0], **each.tags)
            for each in every
        ]
        (whole,), (merged,) = merge_series(every, {"shard"}), merge_series(thin, {"shard"})
        assert row(merged, 0)[field] == row(whole, 0)[field]


def test_fields_of_no_aggregate_need_nothing_else() -> None:
    assert needed_fields(["score", "at"]) == ("score", "at")


@pytest.mark.parametrize(("field", "text"), [("x_sketch", "zzz"), ("distinct_learners", "!")])
def test_a_stored_text_that_was_not_written_here_is_refused(field: str, text: str) -> None:
    columns = {"x_count": np.array([1.0]), field: np.array([text], np.object_)}
    with pytest.raises(ValueError, match="is not the text of a"):
        summaries_of(series(columns, [0]))
