"""What Training Analytics asks gives the same of every store as of the columns that were written."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.training_runs import SECOND, Training, seed_store

from smartlearn.core.stores.base import MetricStore
from smartlearn.dashboard import queries

pytestmark = pytest.mark.contract

NOW = 1_790_000_000 * SECOND
LONG = Training("long", NOW - 20_000 * SECOND, 30_000, apart=SECOND // 2, settings={"lr": 1e-3})
SHORT = Training("short", NOW - 900 * SECOND, 800, apart=SECOND, planned=1600, settings={"lr": 1e-4}, end=None)
TINY = Training("tiny", NOW - 5000 * SECOND, 40, settings={"lr": 1e-2}, end={"error": "OutOfMemory"})
RUNS = (LONG, SHORT, TINY)


def test_training_is_read_alike_from_every_store(opened: Callable[..., MetricStore]) -> None:
    store = opened()
    seed_store(store, list(RUNS))
    states = {run.run: run for run in queries.runs(store, NOW)}
    lines = queries.summaries(store, list(states.values()))
    for run in RUNS:
        columns, state = run.columns(), states[run.name]
        validated = columns["validation_loss"]
        assert (state.step, state.started, state.updated) == (run.steps - 1, int(run.times[0]), int(run.times[-1]))
        assert state.training_loss == pytest.approx(columns["training_loss"][-1])
        assert state.settings["lr"] == run.settings["lr"]
        lowest = validated if not np.isnan(validated).all() else columns["training_loss"]
        assert lines[run.name].best == pytest.approx(np.nanmin(lowest))
    assert [states[run.name].state for run in RUNS] == ["finished", "running", "failed"]
    assert [one.step for one in queries.checkpoints(store, "long")] == list(range(3000, 30_000, 3000))


def test_a_long_run_is_read_in_buckets_and_a_part_of_it_by_step_from_every_store(
    opened: Callable[..., MetricStore],
) -> None:
    store = opened()
    seed_store(store, [LONG])
    (run,) = queries.runs(store, NOW)
    clock = queries.clock(store, run.run, run.started, run.updated)
    steps = np.array([100.0, 15_000.0, 29_000.0])
    assert clock.at(steps) == pytest.approx(LONG.times[steps.astype(int)], rel=0, abs=2 * SECOND)
    whole = queries.curves(store, "long", ["training_loss"])["training_loss"]
    assert (whole.bucket, len(whole)) == (64, -(-30_000 // 64))
    part = queries.curves(store, "long", ["training_loss"], span=(9000.0, 9100.0), clock=clock)["training_loss"]
    assert part.step.tolist() == list(range(9000, 9100))
    assert part.value == pytest.approx(LONG.columns()["training_loss"][9000:9100])
    validation = queries.curves(store, "long", ["validation_loss"])["validation_loss"]
    best = queries.best(store, validation, clock=clock)
    assert best is not None
    assert best.step == int(np.nanargmin(LONG.columns()["validation_loss"]))
