from __future__ import annotations

import math

import numpy as np
import pytest

from smartlearn.core.aggregates import (
    EMPTY,
    Summary,
    merge,
    merge_groups,
    summarize,
    tier_fields,
)
from smartlearn.core.distinct import Distinct
from smartlearn.core.sketch import Sketch

NAN = math.nan
ZEROS = np.zeros(3, np.int64)


def summary(**columns: list[float]) -> Summary:
    rows = len(next(iter(columns.values()), []))
    arrays = {name: np.array(values, np.float64) for name, values in columns.items()}
    return summarize(np.zeros(rows, np.int64), 1, arrays)[0]


def of_learners(values: list[float], learners: list[str | None]) -> Summary:
    return summarize(np.zeros(len(values), np.int64), 1, {"accuracy": np.array(values)}, learners)[0]


def test_each_group_is_aggregated_as_a_pencil_would() -> None:
    groups = np.array([1, 0, 1, 1])
    first, second = summarize(groups, 2, {"x": np.array([4.0, -2.0, 1.0, 1.0])})
    assert dict(first) == {"x": first["x"]}
    assert (first["x"].count, first["x"].total, first["x"].sumsq) == (1, -2.0, 4.0)
    assert (second["x"].count, second["x"].total, second["x"].sumsq) == (3, 6.0, 18.0)
    assert (second["x"].min, second["x"].max, second["x"].mean) == (1.0, 4.0, 2.0)
    assert second["x"].sketch == Sketch.of([1.0, 1.0, 4.0])
    assert second["x"].quantile(0.99) == pytest.approx(4.0, rel=0.01)


def test_a_metric_without_values_is_absent_from_a_group() -> None:
    nothing, both, only_x = summarize(
        np.array([1, 1, 2]), 3, {"y": np.array([1.0, NAN, NAN]), "x": np.array([5.0, 6.0, 7.0])}
    )
    assert nothing == EMPTY
    assert both.names == ("x", "y")
    assert both["y"].count == 1
    assert list(only_x) == ["x"]
    assert "y" not in only_x
    with pytest.raises(KeyError, match="y"):
        only_x["y"]


@pytest.mark.parametrize("bad", [NAN, math.inf, -math.inf])
def test_values_that_are_not_finite_are_skipped(bad: float) -> None:
    assert summary(x=[bad, 3.0, bad]) == summary(x=[3.0])


def test_without_rows_or_metrics_every_group_is_empty() -> None:
    assert summarize(np.zeros(0, np.int64), 2, {"x": np.zeros(0)}) == [EMPTY, EMPTY]
    assert summarize(ZEROS, 1, {}) == [EMPTY]
    assert summarize(ZEROS, 1, {"x": np.full(3, NAN)}) == [EMPTY]
    assert len(EMPTY) == 0


def test_quantiles_never_leave_what_was_seen() -> None:
    single = summary(x=[33.3])
    assert [single["x"].quantile(q) for q in (0.0, 0.5, 0.99)] == [33.3, 33.3, 33.3]
    assert tier_fields(single)["x_p95"] == 33.3


def test_a_mean_has_twelve_significant_digits() -> None:
    assert summary(x=[1.0, 1.0, 0.0])["x"].mean == 0.666666666667
    assert summary(x=[1.0, 1.0, 0.0]).means() == {"x": 0.666666666667}
    assert tier_fields(summary(x=[2e10, 1.0]))["x_mean"] == 10000000000.5


def test_a_summary_shows_its_metrics_and_counts() -> None:
    assert repr(summary(x=[1.0, 2.0], a=[1.0, NAN])) == "Summary({'a': 1, 'x': 2})"
    assert summary(x=[1.0]) != {"x": 1}
    assert list(summary(x=[1.0], a=[1.0])) == ["a", "x"]


def test_merging_nothing_is_empty_and_merging_one_is_itself() -> None:
    one = summary(x=[1.0])
    assert merge([]) is EMPTY
    assert merge([EMPTY, one, EMPTY]) is one


def test_a_merge_is_the_summary_of_the_union() -> None:
    left, right = summary(x=[1.0, 2.0], y=[0.0, 5.0]), summary(x=[2.0, 4.0], y=[-5.0, NAN])
    assert merge([left, right]) == summary(x=[1.0, 2.0, 2.0, 4.0], y=[0.0, 5.0, -5.0, NAN])


def test_summaries_of_different_metrics_merge() -> None:
    merged = merge([summary(b=[2.0]), summary(a=[1.0], c=[3.0]), summary(b=[4.0], c=[5.0])])
    assert merged == summary(a=[1.0, NAN], b=[2.0, 4.0], c=[3.0, 5.0])


def test_many_sets_merge_at_once_and_a_group_without_members_is_empty() -> None:
    parts = [summary(x=[1.0]), summary(y=[2.0]), summary(x=[3.0]), EMPTY]
    merged = merge_groups(np.array([2, 0, 2, 1]), 4, parts)
    assert merged == [summary(y=[2.0]), EMPTY, summary(x=[1.0, 3.0]), EMPTY]
    assert merge_groups(np.zeros(0, np.int64), 2, []) == [EMPTY, EMPTY]


def test_learners_are_counted_and_merge_even_where_no_number_is() -> None:
    one, two = of_learners([NAN, NAN], ["a", "b"]), of_learners([1.0], ["b"])
    assert one.names == ()
    assert one.distinct == Distinct.of(["a", "b"])
    merged = merge([one, two, EMPTY])
    assert merged == of_learners([1.0, NAN], ["a", "b"])
    assert merge([two, of_learners([3.0], [None])]).distinct == Distinct.of(["b"])
    assert summarize(ZEROS, 1, {}, "c")[0].distinct == Distinct.of(["c"])
