"""Which series and panes events fall into, against a loop over the events."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import PANE, aggregate, numbers_of

from smartlearn.core.batch import FloatArray
from smartlearn.stream_processors.domain import grouping
from smartlearn.stream_processors.domain.grouping import Grouped, summarize_panes

Event = dict[str, Any]
labels = st.sampled_from([None, "a", "b"])
values = st.sampled_from([math.nan, 0.0, 1.0, 7.5, 100.0])
sample = st.fixed_dictionaries(
    {
        "time": st.integers(0, 40_000_000),
        "gpu": labels,
        "model_version": labels,
        "cpu_usage": values,
        "gpu_memory_used": values,
        "gpu_memory_total": values,
    }
)


def column(events: list[Event], name: str) -> FloatArray:
    return np.array([event[name] for event in events], np.float64)


def grouped(node: str, events: list[Event]) -> Grouped:
    return grouping.performance(
        node,
        np.array([event["time"] for event in events], np.int64),
        {name: column(events, name) for name in ("cpu_usage", "gpu_memory_used", "gpu_memory_total")},
        {
            "node": node,
            **{name: np.array([event[name] for event in events], np.object_) for name in ("gpu", "model_version")},
        },
    )


def offline(node: str, events: list[Event]) -> dict[tuple[Any, int], dict[str, dict[str, float]]]:
    """(series, pane start) → metric → its aggregate."""
    found: dict[tuple[Any, int], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for event in events:
        tags = {"node": node, "gpu": event["gpu"], "model_version": event["model_version"]}
        series = tuple(sorted((name, value) for name, value in tags.items() if value))
        given = {name: v for name, v in event.items() if name not in ("time", "gpu", "model_version")}
        for name, value in numbers_of(given).items():
            found[series, event["time"] // PANE * PANE][name].append(value)
    return {key: {name: aggregate(listed) for name, listed in metrics.items()} for key, metrics in found.items()}


@given(st.lists(st.lists(sample, min_size=1, max_size=12), min_size=1, max_size=3))
@settings(max_examples=50)
def test_every_sample_counts_in_its_pane_and_series_once(batches: list[list[Event]]) -> None:
    groups = [grouped(f"node-{index}", events) for index, events in enumerate(batches)]
    found = {
        (index, series, start): summary
        for (index, series), panes in summarize_panes(groups, PANE).items()
        for start, summary in panes.items()
    }
    expected = {
        (index, *key): metrics
        for index, events in enumerate(batches)
        for key, metrics in offline(f"node-{index}", events).items()
    }
    assert found.keys() == expected.keys()
    for key, metrics in expected.items():
        assert set(found[key]) == set(metrics)
        for name, wanted in metrics.items():
            have = found[key][name]
            assert (have.count, have.min, have.max) == (wanted["count"], wanted["min"], wanted["max"])
            assert have.total == pytest.approx(wanted["sum"], rel=1e-12, abs=1e-12)


def test_gpu_memory_is_percent_of_the_total_of_each_event() -> None:
    events = [
        {"time": 0, "gpu": None, "model_version": None, "cpu_usage": 1.0, "gpu_memory_used": used,
         "gpu_memory_total": total}
        for used, total in ((1.0, 4.0), (3.0, 4.0), (1.0, 0.0), (math.nan, 4.0), (1.0, math.nan))
    ]  # fmt: skip
    columns = grouped("n", events).columns
    assert np.nan_to_num(columns["gpu_memory"], nan=-1).tolist() == [25.0, 75.0, -1.0, -1.0, -1.0]
    only = grouping.performance("n", np.zeros(1, np.int64), {"gpu_memory_used": np.ones(1)}, {"node": "n"})
    assert "gpu_memory" not in only.columns


def test_the_exact_time_is_no_metric() -> None:
    numbers = {"cpu_usage": np.ones(1), "at": np.ones(1)}
    assert set(grouping.performance("n", np.zeros(1, np.int64), numbers, {"node": "n"}).columns) == {"cpu_usage"}


def answers(subjects: Any, difficulties: Any, learners: Any) -> Grouped:
    rows = len(learners)
    return grouping.interactions(
        "7",
        np.arange(rows, dtype=np.int64),
        {"accuracy": np.arange(rows, dtype=np.float64)},
        {"learner": learners, "subject": subjects, "difficulty": difficulties, "action": "quiz"},
    )


def test_an_answer_counts_four_ways() -> None:
    subjects = np.array(["physics", "biology", "physics"], np.object_)
    learners = np.array(["x", "y", "x"], np.object_)
    found = summarize_panes([answers(subjects, "easy", learners)], PANE)
    counted = {
        key: (panes[0]["accuracy"].count, panes[0].distinct.estimate() if panes[0].distinct else None)
        for (_, key), panes in found.items()
    }
    shard = ("shard", "7")
    assert counted == {
        (("by", "all"), shard): (3, 2.0),
        (("by", "subject"), shard, ("subject", "physics")): (2, 1.0),
        (("by", "subject"), shard, ("subject", "biology")): (1, 1.0),
        (("by", "difficulty"), ("difficulty", "easy"), shard): (3, 2.0),
        (("by", "subject_difficulty"), ("difficulty", "easy"), shard, ("subject", "physics")): (2, 1.0),
        (("by", "subject_difficulty"), ("difficulty", "easy"), shard, ("subject", "biology")): (1, 1.0),
    }


def test_one_learner_for_a_whole_batch_is_one_learner() -> None:
    found = summarize_panes(
        [
            grouping.interactions(
                "7",
                np.arange(3, dtype=np.int64),
                {"accuracy": np.ones(3)},
                {"learner": "x", "subject": "physics", "difficulty": "easy"},
            )
        ],
        PANE,
    )
    assert {panes[0].distinct.estimate() for panes in found.values() if panes[0].distinct} == {1.0}


def test_an_answer_without_any_finite_number_still_has_a_learner() -> None:
    group = grouping.interactions(
        "7",
        np.zeros(1, np.int64),
        {"accuracy": np.array([np.nan])},
        {"learner": "x", "subject": "physics", "difficulty": "easy"},
    )
    found = summarize_panes([group], PANE)
    assert len(found) == 4
    assert all(len(panes[0]) == 0 and panes[0].distinct is not None for panes in found.values())


def test_nothing_makes_no_pane() -> None:
    assert summarize_panes([], PANE) == {}
    silent = [{"time": 0, "gpu": None, "model_version": None, "cpu_usage": math.nan, "gpu_memory_used": math.nan,
               "gpu_memory_total": math.nan}]  # fmt: skip
    assert summarize_panes([grouped("n", silent)], PANE) == {}


def test_events_centuries_apart_keep_their_panes() -> None:
    events: list[Event] = [
        {"time": time, "gpu": gpu, "model_version": None, "cpu_usage": 1.0, "gpu_memory_used": math.nan,
         "gpu_memory_total": math.nan}
        for time, gpu in ((0, "a"), (7_258_118_399_999_999, "b"))
    ]  # fmt: skip
    found = summarize_panes([grouped("n", events)], PANE)
    assert [list(panes) for panes in found.values()] == [[0], [7_258_118_390_000_000]]
