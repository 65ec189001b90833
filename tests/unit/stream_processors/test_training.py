"""The step buckets in the store are those of the stored rows, in whatever order and pieces these came."""

from __future__ import annotations

import dataclasses
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.comparison import differences, stored_rows
from tests.pipeline import PARTITIONS, Pipeline
from tests.reference import Rows, step_rows
from tests.unit.stream_processors.making import START, as_import, training

from smartlearn.core.batch import Batch
from smartlearn.core.partitioning import partition_of
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.core.topics import DEAD_LETTER, TRAINING
from smartlearn.stream_processors.recompute import RECOMPUTE
from smartlearn.stream_processors.records import Record

NOW = START / 1e6 + 10


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


def events(*batches: Batch) -> list[dict[str, Any]]:
    return [
        {
            "timestamp": int(batch.timestamp[row]),
            "run": batch.key,
            **{name: float(column[row]) for name, column in batch.numbers.items()},
        }
        for batch in batches
        for row in range(len(batch))
    ]


def flush(pipeline: Pipeline) -> None:
    pipeline.step(NOW)
    pipeline.flush(NOW)


def steps(pipeline: Pipeline) -> Rows:
    return stored_rows(pipeline.store.query(SeriesQuery("training_steps")))


def test_a_run_that_arrives_in_pieces_has_the_buckets_of_all_its_rows(pipeline: Pipeline) -> None:
    pieces = [
        training("run-1", range(first, first + 700), [math.sin(step) for step in range(first, first + 700)], seq=first)
        for first in range(0, 2800, 700)
    ]
    for piece in pieces:
        pipeline.send(piece)
        flush(pipeline)
    assert differences(steps(pipeline), step_rows(events(*pieces))) == []


def test_runs_do_not_mix(pipeline: Pipeline) -> None:
    runs = [training(f"run-{number}", range(200), float(number)) for number in range(3)]
    for run in runs:
        pipeline.send(run)
    flush(pipeline)
    assert differences(steps(pipeline), step_rows(events(*runs))) == []


def test_a_step_that_arrives_late_or_twice_changes_its_buckets_once(pipeline: Pipeline) -> None:
    early, late, again = training("r", range(64, 300)), training("r", [3], 9.0, seq=500), training("r", range(64, 80))
    for batch in (early, late, again):
        pipeline.send(batch)
        flush(pipeline)
    pipeline.start()
    flush(pipeline)
    expected = step_rows(events(early, late))
    anchor = int(early.timestamp[0])
    shift = anchor - int(late.timestamp[0])
    expected = {key._replace(time=key.time + shift): {**row, "anchor": float(anchor)} for key, row in expected.items()}
    assert differences(steps(pipeline), expected) == []


def test_an_imported_run_has_the_same_buckets_as_a_live_one(pipeline: Pipeline) -> None:
    run = as_import(training("r", range(150)))
    for _ in range(2):
        pipeline.send(run)
        flush(pipeline)
    assert differences(steps(pipeline), step_rows(events(run))) == []


def test_a_loss_that_is_not_a_number_is_skipped(pipeline: Pipeline) -> None:
    run = training("r", range(4), [1.0, math.nan, 3.0, math.nan])
    pipeline.send(run)
    flush(pipeline)
    (row,) = (fields for key, fields in steps(pipeline).items() if ("level", "64") in key.tags)
    assert (row["training_loss_count"], row["training_loss_mean"]) == (2.0, 2.0)
    assert (row["training_loss_first"], row["training_loss_last"]) == (1.0, 3.0)
    assert row["learning_rate_count"] == 4.0


def test_a_step_without_any_finite_number_makes_no_bucket(pipeline: Pipeline) -> None:
    batch = training("r", [5], math.nan)
    codes = np.array([2], np.int8)
    batch.numbers["learning_rate"][:] = math.nan
    pipeline.send(dataclasses.replace(batch, nonfinite={**batch.nonfinite, "learning_rate": codes}))
    flush(pipeline)
    assert steps(pipeline) == {}


def test_rows_that_are_gone_from_the_store_leave_what_was_written(pipeline: Pipeline) -> None:
    run = training("r", range(10))
    pipeline.send(run)
    pipeline.step(NOW)
    lane = pipeline.lanes[TRAINING]
    real = pipeline.store

    class Emptied:
        def __getattr__(self, name: str) -> Any:
            if name == "query":
                real.delete("training")
            return getattr(real, name)

    lane._deriver._store = Emptied()  # type: ignore[attr-defined]
    assert lane.flush(NOW) == {partition_of("r", PARTITIONS): 1}
    assert steps(pipeline) == {}


def test_a_run_whose_partition_moved_away_is_forgotten(pipeline: Pipeline) -> None:
    pipeline.send(training("r", range(10)))
    pipeline.step(NOW)
    lane = pipeline.lanes[TRAINING]
    lane.revoke(range(PARTITIONS))
    lane.flush(NOW)
    assert steps(pipeline) == {}
    lane.assign(range(PARTITIONS))
    pipeline.start()
    flush(pipeline)
    assert differences(steps(pipeline), step_rows(events(training("r", range(10))))) == []


def ask(pipeline: Pipeline, value: bytes, run: str = "r") -> None:
    number = partition_of(run, PARTITIONS)
    log = pipeline.log[TRAINING, number]
    log.append(Record(TRAINING, number, len(log), run.encode(), value, 0, {RECOMPUTE: b"1"}))


def test_a_bucket_that_was_overwritten_is_right_again_when_it_is_asked_for(pipeline: Pipeline) -> None:
    run = training("r", range(100))
    pipeline.send(run)
    flush(pipeline)
    before = steps(pipeline)
    pipeline.store.delete("training_steps", {"level": "64"})
    ask(pipeline, b'{"v":1,"kind":"recompute","owner":"r","places":[0,1]}')
    flush(pipeline)
    assert steps(pipeline) == before


def test_the_anchor_of_a_run_whose_buckets_are_all_gone_is_its_earliest_row(pipeline: Pipeline) -> None:
    run = training("r", range(100))
    pipeline.send(run)
    flush(pipeline)
    pipeline.store.delete("training_steps")
    pipeline.start()
    ask(pipeline, b'{"v":1,"kind":"recompute","owner":"r","places":[0,1]}')
    flush(pipeline)
    assert differences(steps(pipeline), step_rows(events(run))) == []


@pytest.mark.parametrize(
    "value",
    [
        b"", b"{", b"[]", b'{"owner":"r"}', b'{"owner":"r","places":[]}', b'{"owner":"r","places":[-1]}',
        b'{"owner":"r","places":[1.5]}', b'{"owner":"r","places":[9300000000000000000]}',
        b'{"owner":"r","places":{"a":1}}', b'{"owner":"","places":[1]}', b'{"owner":7,"places":[1]}',
    ],
)  # fmt: skip
def test_a_request_to_compute_again_that_makes_no_sense_is_dead_lettered(pipeline: Pipeline, value: bytes) -> None:
    ask(pipeline, value)
    flush(pipeline)
    (letter,) = pipeline.published.on(DEAD_LETTER)
    assert letter.value == value
    assert b"recompute message" in (letter.headers["reason"] or b"")


def test_computing_an_unknown_run_again_writes_nothing(pipeline: Pipeline) -> None:
    ask(pipeline, b'{"v":1,"kind":"recompute","owner":"nobody","places":[0,700]}')
    flush(pipeline)
    assert steps(pipeline) == {}


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15, deadline=None)
def test_whatever_the_order_the_buckets_are_those_of_the_set_of_rows(
    tmp_path_factory: pytest.TempPathFactory, number: int
) -> None:
    rng = random.Random(number)
    pipeline = Pipeline(tmp_path_factory.mktemp("steps"))
    seq, batches = 0, []
    for _ in range(rng.randrange(1, 7)):
        first = rng.choice([0, 50, 1000, 16380, 40_000])
        chosen = sorted({first + rng.randrange(90) for _ in range(rng.randrange(1, 30))})
        batch = training("r", chosen, [rng.uniform(-1, 1) for _ in chosen], seq=seq)
        seq += len(batch)
        batches.append(batch)
        pipeline.send(batch)
        if rng.random() < 0.6:
            flush(pipeline)
        if rng.random() < 0.2:
            pipeline.start()
    flush(pipeline)
    actual = steps(pipeline)
    (anchor,) = {fields["anchor"] for fields in actual.values()}
    earliest = [int(batch.timestamp.min()) for batch in batches]
    assert anchor in earliest
    shift = int(anchor) - min(earliest)
    expected = {
        key._replace(time=key.time + shift): {**fields, "anchor": anchor}
        for key, fields in step_rows(events(*batches)).items()
    }
    assert differences(actual, expected) == []
    pipeline.store.close()
