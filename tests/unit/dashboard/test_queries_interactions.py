from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from tests.unit.dashboard import histories
from tests.unit.dashboard.histories import START, at, history, ns, window

from smartlearn.dashboard import queries
from smartlearn.dashboard.queries import DAY, HOUR, MINUTE, SECOND, Window
from smartlearn.dashboard.queries.estimates import student_t

METRICS = ("accuracy", "response_time", "engagement_score")


def answers(
    learners: int, *, subject: str = "physics", second: float = 0.0, first: int = 0, **more: Any
) -> list[dict[str, Any]]:
    """An answer of each of some learners."""
    return [
        {
            "timestamp": at(second + number),
            "user_id": f"user-{first + number}",
            "action": "quiz",
            "subject": subject,
            "difficulty": "beginner",
            "response_time": 1000.0 + number,
            "accuracy": 0.5,
            "engagement_score": 5.0,
        }
        | more
        for number in range(learners)
    ]


@pytest.mark.parametrize(
    ("by", "columns"),
    [("subject", ["subject"]), ("difficulty", ["difficulty"]), ("subject_difficulty", ["subject", "difficulty"])],
)
def test_the_groups_of_the_export_are_those_of_pandas(by: queries.By, columns: list[str]) -> None:
    source = histories.export()
    found = queries.groups(source.history, source.window, by, minimum=1)
    frame = histories.frames()["user"]
    names = [tuple(value for value in (group.subject, group.difficulty) if value) for group in found.shown]
    expected = {key if isinstance(key, tuple) else (key,): rows for key, rows in frame.groupby(columns)}
    assert set(names) == set(expected)
    assert found.hidden == 0
    assert [group.count for group in found.shown] == sorted((group.count for group in found.shown), reverse=True)
    for group, name in zip(found.shown, names, strict=True):
        rows = expected[name]
        assert group.count == len(rows)
        assert group.learners == rows["user_id"].nunique()
        for metric in METRICS:
            estimate: queries.Estimate = getattr(group, metric)
            assert estimate.mean == pytest.approx(rows[metric].mean())
            assert estimate.deviation == pytest.approx(rows[metric].std())
            assert estimate.high - estimate.mean == pytest.approx(
                student_t(len(rows) - 1) * rows[metric].std() / np.sqrt(len(rows))
            )


def test_a_range_that_begins_and_ends_within_hours_holds_its_minutes() -> None:
    source = histories.export()
    cut = Window(source.window.start + 97 * MINUTE, source.window.stop - 3 * HOUR - 22 * MINUTE)
    frame = histories.frames()["user"]
    minutes = frame["timestamp"].map(ns) // MINUTE * MINUTE
    rows = frame[(minutes >= cut.start) & (minutes < cut.stop)]
    (everyone,) = queries.groups(source.history, cut, "all", minimum=1).shown
    assert everyone.count == len(rows)
    assert everyone.learners == rows["user_id"].nunique()
    assert everyone.accuracy.mean == pytest.approx(rows["accuracy"].mean())


@pytest.mark.parametrize(
    ("freedom", "expected"),
    [
        (1, 12.706),
        (2, 4.303),
        (3, 3.182),
        (4, 2.776),
        (5, 2.571),
        (10, 2.228),
        (30, 2.042),
        (120, 1.980),
        (10**6, 1.960),
    ],
)
def test_the_interval_uses_students_t(freedom: int, expected: float) -> None:
    assert student_t(freedom) == pytest.approx(expected, rel=0.01)


def test_groups_of_too_few_learners_leave_only_their_number() -> None:
    users = [*answers(5, subject="physics"), *answers(4, subject="history"), *answers(4, subject="history", second=60)]
    users += answers(3, subject="art", first=10)
    store = history(users=users)
    found = queries.groups(store, window(600), "subject", minimum=5)
    assert [group.subject for group in found.shown] == ["physics"]
    assert found.hidden == 2
    assert [group.subject for group in queries.groups(store, window(600), "subject", minimum=3).shown] == [
        "history",
        "physics",
        "art",
    ]


def test_a_small_group_that_subtraction_would_show_takes_the_next_smallest_with_it() -> None:
    users = [*answers(5, subject="physics"), *answers(9, subject="biology"), *answers(2, subject="history")]
    found = queries.groups(history(users=users), window(600), "subject", minimum=5)
    assert [group.subject for group in found.shown] == ["biology"]
    assert found.hidden == 2


def test_no_hidden_cell_of_a_table_is_what_its_row_or_column_leaves() -> None:
    sizes = {("a", "easy"): 9, ("a", "hard"): 2, ("b", "easy"): 8, ("b", "hard"): 7, ("c", "easy"): 8, ("c", "hard"): 9}
    users = [
        answer
        for (subject, difficulty), size in sizes.items()
        for answer in answers(size, subject=subject, difficulty=difficulty)
    ]
    found = queries.groups(history(users=users), window(600), "subject_difficulty", minimum=5)
    shown = {(group.subject, group.difficulty) for group in found.shown}
    hidden = set(sizes) - shown
    assert ("a", "hard") in hidden
    for place in (0, 1):
        for name in {key[place] for key in hidden}:
            # Learners of a subject are the same ones from user-0 on: the largest hidden cell holds all hidden.
            assert max(sizes[key] for key in hidden if key[place] == name) >= 5


def test_a_learner_who_answers_twice_is_one_learner() -> None:
    store = history(users=[*answers(6), *answers(6, second=4000)])
    (everyone,) = queries.groups(store, window(8000), "all", minimum=1).shown
    assert (everyone.count, everyone.learners) == (12, 6)


def test_the_spread_of_response_times_follows_the_exact_distribution() -> None:
    source = histories.export()
    found = queries.distribution(source.history, source.window, minimum=5)
    times = np.sort(histories.frames()["user"]["response_time"].to_numpy())
    assert found.count == len(times)
    assert found.share.sum() == pytest.approx(1.0)
    assert found.p50 == pytest.approx(histories.exact_quantile(pd.Series(times), 0.5), rel=0.01)
    assert found.p95 == pytest.approx(histories.exact_quantile(pd.Series(times), 0.95), rel=0.01)
    below = np.concatenate([[0.0], np.cumsum(found.share)])
    for edge, share in zip(found.edges, below, strict=True):
        # A cell of the sketch stands for ±1 %: the exact share lies between those of the edge 2 % lower and higher.
        low, high = np.searchsorted(times, [edge * 0.98, edge * 1.02]) / len(times)
        assert low - 1e-9 <= share <= high + 1e-9


def test_activity_is_the_mean_number_of_interactions_in_each_hour_of_the_week() -> None:
    source = histories.export()
    found = queries.activity(source.history, source.window, minimum=5)
    frame = histories.frames()["user"]
    hours = pd.date_range(
        pd.Timestamp(source.window.start, tz="UTC").floor("h"), pd.Timestamp(source.window.stop, tz="UTC"), freq="h"
    )
    occurs = Counter((hour.weekday(), hour.hour) for hour in hours)
    counts = Counter((moment.weekday(), moment.hour) for moment in frame["timestamp"])
    for (day, hour), count in counts.items():
        assert found.per_hour[day, hour] == pytest.approx(count / occurs[day, hour])
    assert np.isnan(found.per_hour).sum() == 7 * 24 - len(occurs)


def test_an_hour_that_occurs_twice_is_averaged() -> None:
    store = history(users=[*answers(6), *answers(2, second=7 * 86400)])
    found = queries.activity(store, Window(ns(START), ns(START) + 8 * DAY), minimum=5)
    assert found.per_hour[0, 8] == 4.0
    assert found.per_hour[0, 9] == 0.0


def test_too_few_learners_hide_spread_and_activity() -> None:
    store = history(users=answers(4))
    assert queries.distribution(store, window(600), minimum=5).hidden
    assert queries.distribution(store, window(600), minimum=5).count == 0
    activity = queries.activity(store, window(600), minimum=5)
    assert activity.hidden
    assert np.isnan(activity.per_hour).all()


@pytest.mark.parametrize("metric", METRICS)
def test_a_metric_over_time_is_that_of_pandas_with_its_interval(
    metric: Literal["accuracy", "response_time", "engagement_score"],
) -> None:
    source = histories.export()
    found = queries.over_time(source.history, source.window, 1, metric, buckets=24)
    frame = histories.frames()["user"]
    starts = frame["timestamp"].map(ns) // found.line.width * found.line.width
    groups = frame[metric].groupby(starts.to_numpy())
    assert found.line.time.tolist() == groups.size().index.tolist()
    assert found.line.mean == pytest.approx(groups.mean().to_numpy())
    sizes = groups.size().to_numpy()
    several = sizes > 1
    half = np.array([student_t(max(int(n) - 1, 1)) for n in sizes]) * groups.std().to_numpy() / np.sqrt(sizes)
    assert (found.high - found.line.mean)[several] == pytest.approx(half[several])
    assert (found.line.mean - found.low)[several] == pytest.approx(half[several])
    assert np.isnan(found.low[~several]).all()


def test_times_of_too_few_learners_are_left_out() -> None:
    users = [answer for hour in range(9) for answer in answers(6, second=3600.0 * hour)]
    users += answers(2, second=3600.0 * 9)
    users += answers(3, second=3600.0 * 10, first=2)
    found = queries.over_time(history(users=users), window(39_600), 5, buckets=11)
    assert found.line.width == 3600 * SECOND
    assert (len(found.line), found.hidden) == (9, 2)


def test_rows_grow_until_most_hold_enough_learners() -> None:
    users = [
        answer | {"timestamp": at(300.0 * number + 10 * block)}
        for block in range(3)
        for number, answer in enumerate(answers(24))
    ]
    found = queries.over_time(history(users=users), window(7200), 5, buckets=24)
    assert found.line.width > 300 * SECOND
    assert found.hidden == 0


def test_an_empty_store_has_no_groups() -> None:
    store = history()
    assert queries.groups(store, window(60), "all", 5) == queries.Groups([], 0)
    assert len(queries.over_time(store, window(60), 5).line) == 0
    assert queries.distribution(store, window(60), 5).count == 0
    assert not queries.activity(store, window(60), 5).hidden
