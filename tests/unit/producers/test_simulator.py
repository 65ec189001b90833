from __future__ import annotations

from collections import defaultdict
from functools import cache

import numpy as np
import pytest

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.codec import decode, encode_batch
from smartlearn.core.identity import stored_time
from smartlearn.core.pseudonyms import Pseudonymizer
from smartlearn.core.settings import DEFAULT_RULES
from smartlearn.producers.demo.learners import LEARNERS
from smartlearn.producers.demo.runs import SLOT_US, STEPS, run_of
from smartlearn.producers.simulator import Demo

MINUTE = 60_000_000
HOUR = 60 * MINUTE
NOW = 1_795_575_278_638_123  # a Wednesday, 02:54:38 UTC

Points = dict[tuple[object, ...], tuple[float, ...]]


def demo(seed: int = 7) -> Demo:
    return Demo(seed, Pseudonymizer(b"k" * 32))


@cache
def history(now: int = NOW) -> tuple[Batch, ...]:
    return tuple(demo().history(now))


def points(batches: list[Batch] | tuple[Batch, ...]) -> Points:
    """The points that a store keeps of batches; two rows that would overwrite each other are a fault."""
    found: Points = {}
    for batch in batches:
        time, _ = stored_time(batch)
        columns = [c.tolist() if not isinstance(c, str) else [c] * len(batch) for _, c in sorted(batch.texts.items())]
        for row in range(len(batch)):
            key = (batch.kind, batch.key, int(time[row]), *(column[row] for column in columns))
            assert key not in found
            found[key] = tuple(float(column[row]) for _, column in sorted(batch.numbers.items()))
    return found


def of(kind: Kind, batches: tuple[Batch, ...] | None = None) -> dict[str, list[Batch]]:
    found: dict[str, list[Batch]] = defaultdict(list)
    for batch in batches or history():
        if batch.kind is kind:
            found[batch.key].append(batch)
    return found


def test_a_day_holds_288_samples_of_every_node() -> None:
    nodes = of(Kind.PERFORMANCE)
    assert len(nodes) == 5
    assert all(name.startswith("demo-") for name in nodes)
    assert {name: sum(map(len, batches)) for name, batches in nodes.items()} == dict.fromkeys(nodes, 288)
    for batches in nodes.values():
        times = np.concatenate([batch.timestamp for batch in batches])
        assert set(np.diff(times)) == {5 * MINUTE}
        assert times[0] > NOW - 24 * HOUR
        assert NOW - 5 * MINUTE < times[-1] <= NOW


def test_finished_runs_have_a_thousand_steps_and_one_is_going_on() -> None:
    runs = {name: sum(map(len, batches)) for name, batches in of(Kind.TRAINING).items()}
    assert sorted(runs.values())[1:] == [STEPS] * 3
    assert 0 < min(runs.values()) < STEPS
    assert all(name.startswith("demo-") for name in runs)
    ended = {
        name
        for name, batches in of(Kind.RUN).items()
        for batch in batches
        if "end" in ([batch.texts["type"]] if isinstance(batch.texts["type"], str) else batch.texts["type"].tolist())
    }
    assert ended == {name for name, steps in runs.items() if steps == STEPS}


def test_the_runs_of_a_day_go_four_different_ways() -> None:
    curves = {}
    for slot in range(4):
        run = run_of(NOW // SLOT_US // 4 * 4 + slot)
        _, values = run.steps(7, 0, STEPS)
        validated = values["validation_loss"][~np.isnan(values["validation_loss"])]
        curves[run.recipe.name] = (values["training_loss"], validated)
    overfits, healthy, unstable, plateau = (
        curves[name] for name in ("demo-tutor-lora", "demo-quiz-writer", "demo-hint-ranker", "demo-essay-grader")
    )
    assert overfits[1][-1] > 1.5 * overfits[1].min()
    assert overfits[0][-50:].mean() < overfits[0][400:450].mean()
    assert healthy[1][-1] < 1.1 * healthy[1].min()
    assert unstable[0][-50:].mean() > 1.3 * unstable[0].min()
    assert plateau[0][-50:].mean() > 0.85 * plateau[0][300:350].mean()


def test_every_group_of_learners_is_large_enough_to_be_shown() -> None:
    groups = defaultdict(set)
    rows = 0
    for batches in of(Kind.INTERACTION).values():
        for batch in batches:
            rows += len(batch)
            columns = (batch.texts[name] for name in ("subject", "difficulty", "learner"))
            for subject, difficulty, learner in zip(*columns, strict=True):
                groups[subject, difficulty].add(learner)
                groups[subject].add(learner)
    assert rows >= 200
    assert len(groups) == 6 * 3 + 6
    assert min(map(len, groups.values())) >= 5


@pytest.mark.parametrize("hours", range(0, 24, 5))
def test_business_hours_are_busier_whenever_the_demo_starts(hours: int) -> None:
    (batch,) = of(Kind.PERFORMANCE, history(NOW + hours * HOUR))["demo-tutor-1"]
    hour = batch.timestamp / HOUR % 24
    cpu = batch.numbers["cpu_usage"]
    busy, quiet = cpu[(hour >= 10) & (hour < 16)], cpu[(hour < 6) | (hour >= 23)]
    assert busy.mean() > 1.5 * quiet.mean()


@pytest.mark.parametrize("hours", range(0, 48, 7))
def test_every_rule_is_crossed_and_left_again_on_some_node(hours: int) -> None:
    nodes = of(Kind.PERFORMANCE, history(NOW + hours * HOUR))
    for rule in DEFAULT_RULES:
        crossings = 0
        for (batch,) in nodes.values():
            if rule.metric == "gpu_memory":
                used = batch.numbers.get("gpu_memory_used")
                values = None if used is None else 100 * used / batch.numbers["gpu_memory_total"]
            else:
                values = batch.numbers.get(rule.metric)
            if values is not None:
                crossings += int(np.count_nonzero(np.diff(values > rule.warning)))
        assert crossings >= 2, rule.name


def test_every_batch_is_valid_on_the_wire() -> None:
    for batch in history():
        read = decode(encode_batch(batch), kind=batch.kind, topic_boot="", partition=0, offset=0)
        assert read.imported
        assert read.source == "demo"
        assert len(read) == len(batch)


def test_a_second_start_adds_only_what_is_new() -> None:
    before, after = points(history()), points(history(NOW + 2 * HOUR))
    common = before.keys() & after.keys()
    assert all(np.array_equal(before[key], after[key], equal_nan=True) for key in common)
    lost = [key for key in before.keys() - after.keys() if int(str(key[2])) > (NOW - 21 * HOUR) * 1000]
    assert [key for key in lost if key[0] is not Kind.TRAINING] == []


def test_what_was_sent_live_is_what_the_next_history_holds() -> None:
    live: Points = {}
    start = NOW - HOUR
    at = start
    while at < NOW:
        then = min(at + 17_300_000, NOW)
        live |= points(demo().between(at, then))
        at = then
    expected = {key: value for key, value in points(history()).items() if int(str(key[2])) // 1000 > start}
    assert expected.keys() <= live.keys()
    assert all(np.array_equal(value, live[key], equal_nan=True) for key, value in expected.items())
    samples = [key for key in live if key[:2] == (Kind.PERFORMANCE, "demo-tutor-1")]
    assert len(samples) == 3600 // 5


def test_another_seed_is_another_demo() -> None:
    first, second = demo(1).history(NOW)[0], demo(2).history(NOW)[0]
    assert not np.array_equal(first.numbers["cpu_usage"], second.numbers["cpu_usage"])


def test_learners_are_pseudonyms_of_the_installation() -> None:
    learners = {name for batch in of(Kind.INTERACTION)["demo"] for name in batch.texts["learner"]}
    assert learners <= {Pseudonymizer(b"k" * 32).of(f"demo-learner-{n}") for n in range(LEARNERS)}


def test_new_learners_come_each_week_and_enough_of_them_come_back() -> None:
    seen: dict[int, set[str]] = defaultdict(set)
    for batch in of(Kind.INTERACTION)["demo"]:
        for time, learner in zip(batch.timestamp.tolist(), batch.texts["learner"], strict=True):
            seen[(time - 4 * 24 * HOUR) // (7 * 24 * HOUR)].add(learner)
    weeks = [seen[week] for week in sorted(seen)]
    assert len(weeks) >= 5
    for number, week in enumerate(weeks[1:-1], 1):
        new = week - set().union(*weeks[:number])
        assert len(new) >= 5
        assert len(new & weeks[number + 1]) >= 5


def test_a_version_is_tried_on_a_quarter_of_the_answers_of_its_node() -> None:
    (batch,) = of(Kind.PERFORMANCE)["demo-tutor-2"]
    tried = np.array([name == "tutor-3.1-large" for name in batch.texts["model_version"]])
    assert 0.15 < tried.mean() < 0.35
    answers, accuracy = batch.numbers["response_time"], batch.numbers["model_accuracy"]
    assert answers[tried].mean() < answers[~tried].mean()
    assert accuracy[tried].mean() < accuracy[~tried].mean()


def test_the_training_machine_says_which_run_it_works_for() -> None:
    (batch,) = of(Kind.PERFORMANCE)["demo-train-1"]
    assert [str(name) for name in batch.texts["run"]] == [
        run_of(int(time) // SLOT_US).name for time in batch.timestamp.tolist()
    ]
