"""The store after the demo is forgotten is the store that never saw it."""

from __future__ import annotations

from itertools import count
from pathlib import Path

import numpy as np
import pytest
from tests.comparison import differences
from tests.pipeline import Pipeline

from smartlearn.core.batch import DEMO_SOURCE, Batch, Kind
from smartlearn.core.partitioning import shard_of
from smartlearn.ops.forgetting import forget_demo

START_US = 1_755_000_000_000_000
NOW_S = 1_755_100_000.0
ROWS = 300


def namesake(name: str) -> str:
    """Another name in the same shard."""
    return next(other for i in count() if shard_of(other := f"real-{i}") == shard_of(name))


def performance(node: str, source: str, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(
        Kind.PERFORMANCE,
        source,
        node,
        START_US + np.arange(ROWS, dtype=np.int64) * 17_000_000 + seed,
        {"cpu_usage": rng.uniform(0, 100, ROWS), "memory_usage": rng.uniform(60, 90, ROWS)},
        {"node": node},
        place=np.arange(ROWS, dtype=np.int64),
    )


def training(run: str, source: str, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    return Batch(
        Kind.TRAINING,
        source,
        run,
        START_US + np.arange(ROWS, dtype=np.int64) * 1_000_000,
        {
            "epoch": np.ones(ROWS),
            "step": np.arange(ROWS, dtype=np.float64),
            "training_loss": rng.uniform(0, 2, ROWS),
            "learning_rate": np.full(ROWS, 1e-4),
        },
        {"run": run, "node": "n"},
        place=np.arange(ROWS, dtype=np.int64),
    )


def interactions(key: str, source: str, seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    learners = np.array([f"p1_00000000_{n:032x}" for n in rng.integers(0, 9, ROWS)], dtype=np.object_)
    subjects = np.array(["physics", "biology"], dtype=np.object_)[rng.integers(0, 2, ROWS)]
    return Batch(
        Kind.INTERACTION,
        source,
        key,
        START_US + np.arange(ROWS, dtype=np.int64) * 23_000_000 + seed,
        {
            "response_time": rng.uniform(100, 900, ROWS),
            "accuracy": rng.uniform(0, 1, ROWS),
            "engagement_score": rng.uniform(1, 10, ROWS),
        },
        {"learner": learners, "subject": subjects, "difficulty": "easy", "action": "quiz"},
        place=np.arange(ROWS, dtype=np.int64),
    )


REAL = [
    performance(namesake("demo-1"), "import", 1),
    performance("elsewhere", "import", 2),
    training("run-1", "import", 3),
    interactions(namesake("demo"), "import", 4),
]
DEMO = [
    performance("demo-1", DEMO_SOURCE, 5),
    performance("demo-2", DEMO_SOURCE, 6),
    training("demo-run", DEMO_SOURCE, 7),
    interactions("demo", DEMO_SOURCE, 8),
]


def filled(folder: Path, batches: list[Batch]) -> Pipeline:
    pipeline = Pipeline(folder)
    for batch in batches:
        pipeline.send(batch)
    pipeline.settle(NOW_S)
    return pipeline


@pytest.mark.parametrize("real", [REAL, []], ids=["among others", "alone"])
def test_what_the_demo_left_is_gone_and_all_else_is_as_without_it(tmp_path: Path, real: list[Batch]) -> None:
    expected = filled(tmp_path / "expected", real)
    actual = filled(tmp_path / "actual", [*real, *DEMO])
    assert differences(actual.rows(), expected.rows()) != []
    gone = forget_demo(actual.store, actual.settings)
    assert (gone.nodes, gone.runs, gone.events) == (("demo-1", "demo-2"), ("demo-run",), 4 * ROWS)
    assert differences(actual.rows(), expected.rows()) == []


def test_the_demo_can_be_filled_in_again_after_it_was_forgotten(tmp_path: Path) -> None:
    once = filled(tmp_path / "once", [*REAL, *DEMO])
    again = filled(tmp_path / "again", [*REAL, *DEMO])
    forget_demo(again.store, again.settings)
    again.start()
    for batch in DEMO:
        again.send(batch)
    again.settle(NOW_S + 10)
    assert differences(again.rows(), once.rows()) == []


def test_a_store_without_a_demo_stays_as_it_is(tmp_path: Path) -> None:
    pipeline = filled(tmp_path, REAL)
    before = pipeline.rows()
    assert forget_demo(pipeline.store, pipeline.settings).events == 0
    assert pipeline.rows() == before


def test_an_empty_store_stays_empty(tmp_path: Path) -> None:
    pipeline = filled(tmp_path, [])
    assert forget_demo(pipeline.store, pipeline.settings).events == 0
    assert pipeline.rows() == {}
