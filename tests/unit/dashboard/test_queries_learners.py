"""Attempts, funnels, cohorts, risks and intervals against plain Python."""

from __future__ import annotations

import math
from collections import defaultdict
from statistics import NormalDist, mean
from typing import Any

import pytest
from tests.unit.dashboard import histories
from tests.unit.dashboard.histories import START, at, history, ns, window

from smartlearn.dashboard import queries
from smartlearn.dashboard.queries import DAY, MINUTE, SECOND, Window
from smartlearn.dashboard.queries.estimates import wilson


def answer(learner: int, second: float, **more: Any) -> dict[str, Any]:
    return {
        "timestamp": at(second), "user_id": f"user-{learner}", "action": "quiz", "subject": "physics",
        "difficulty": "beginner", "response_time": 1000.0, "accuracy": 0.5, "engagement_score": 5.0,
    } | more  # fmt: skip


@pytest.mark.parametrize(("successes", "n"), [(0, 10), (3, 10), (10, 10), (1, 400)])
def test_the_ends_of_wilsons_interval_solve_the_score_equation(successes: int, n: int) -> None:
    z = NormalDist().inv_cdf(0.975)
    for end in wilson(successes, n):
        if 0 < end < 1:
            assert abs(successes / n - end) == pytest.approx(z * math.sqrt(end * (1 - end) / n), abs=1e-7)


def test_the_learning_curve_of_the_export_is_that_of_a_loop() -> None:
    source = histories.export()
    seen: dict[tuple[str, str], int] = defaultdict(int)
    values: dict[int, list[float]] = defaultdict(list)
    for row in histories.frames()["user"].sort_values("timestamp", kind="stable").to_dict("records"):
        seen[row["user_id"], row["subject"]] += 1
        values[seen[row["user_id"], row["subject"]]].append(row["accuracy"])
    found = queries.learning(queries.read_answers(source.history, source.window), minimum=1)
    assert found.shown
    for one in found.shown:
        assert one.accuracy.mean == pytest.approx(mean(values[one.number]))
        assert one.accuracy.n == len(values[one.number])


def test_a_funnel_counts_learners_who_did_all_steps_so_far() -> None:
    users = [answer(n, n) for n in range(9)] + [answer(n, 60 + n, action="hint") for n in range(7)]
    users += [answer(n, 90 + n, action="essay") for n in range(1, 7)] + [answer(0, 99, action="rare")]
    found = queries.funnel(queries.read_answers(history(users=users), window(600)), minimum=5)
    assert [(step.action, step.did, step.reached) for step in found.steps] == [
        ("quiz", 9, 9), ("hint", 7, 7), ("essay", 6, 6),
    ]  # fmt: skip
    assert (found.learners, found.hidden) == (9, 1)


def test_risks_below_the_smallest_group_are_not_counted_out() -> None:
    users = [answer(n, 10 * k + n / 10, accuracy=0.2 if n < 6 else 0.9) for n in range(12) for k in range(5)]
    users += [answer(20, 10 * k, accuracy=0.9 if k < 5 else 0.65) for k in range(10)]
    found = queries.at_risk(queries.read_answers(history(users=users), window(600)), minimum=5, level=0.6)
    assert found is not None
    assert (found.learners, found.low, found.falling, found.any) == (13, 6, None, 7)
    assert not found.long


def test_a_cohort_is_followed_from_its_first_week() -> None:
    week = 7 * 86_400.0
    users = [answer(n, n) for n in range(10)] + [answer(n, week + n) for n in range(4, 16)]
    found = queries.retention(history(users=users), ns(START) + 14 * DAY, minimum=5, weeks=3)
    assert found.learners.tolist() == [10.0, 6.0]
    assert found.share[0, :2].tolist() == pytest.approx([1.0, 0.6])
    assert found.exact


def test_ranges_are_taken_in_whole_steps() -> None:
    start = ns(START)
    assert queries.whole(Window(start + 61 * SECOND, start + 3 * MINUTE)) == Window(start, start + 5 * MINUTE)
    assert queries.whole(Window(start + MINUTE, start + DAY)) == Window(start, start + DAY)
