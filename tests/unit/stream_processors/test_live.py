"""What moved since the last look, a row a key, and nothing of learners."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from tests.unit.stream_processors.making import SECOND, START, as_import, interactions, performance, training

from smartlearn.core.batch import Batch
from smartlearn.core.codec import decode
from smartlearn.core.schemas import Live
from smartlearn.stream_processors.live import FRESH_US, LiveTable, live_message

NOW = START + 100 * SECOND


def drained(*batches: Batch, now: int = NOW) -> dict[str, list[dict[str, Any]]]:
    """Each table's rows after these batches, absent values left out."""
    table = LiveTable()
    table.update(batches, now)
    return rows(table.drain())


def rows(tables: dict[str, dict[str, list[Any]]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for name, columns in tables.items():
        count = len(next(iter(columns.values()), []))
        found[name] = [{k: c[row] for k, c in columns.items() if c[row] is not None} for row in range(count)]
    return found


def test_the_newest_row_of_a_batch_shows() -> None:
    assert drained(performance("node-a", [1, 3, 2], [10.0, 30.0, 20.0]))["performance"] == [
        {"timestamp": START + 3 * SECOND, "node": "node-a", "cpu_usage": 30.0}
    ]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_two_sources_both_show_and_the_newer_value_wins_whichever_comes_first(order: tuple[int, int]) -> None:
    batches = performance("node-a", [5], 10.0, memory_usage=1.0), performance("node-a", [6], 20.0, response_time=9.0)
    assert drained(*(batches[index] for index in order))["performance"] == [
        {
            "timestamp": START + 6 * SECOND, "node": "node-a", "cpu_usage": 20.0, "memory_usage": 1.0,
            "response_time": 9.0,
        }
    ]  # fmt: skip


def test_every_gpu_and_version_has_a_row() -> None:
    texts = {"gpu": np.array(["0"], np.object_)}
    found = drained(performance("node-a", [1], texts=texts), performance("node-a", [1], texts={"gpu": "1"}))
    assert [row["gpu"] for row in found["performance"]] == ["0", "1"]


def test_a_run_and_a_source_of_answers_have_a_row_each_and_learners_none() -> None:
    found = drained(training("run-1", [1000, 2000], [2.0, 1.0]), interactions("app-1", [1, 2], ["physics", "biology"]))
    (run,) = found["training"]
    assert (run["run"], run["node"], run["step"], run["training_loss"]) == ("run-1", "node-a", 2000.0, 1.0)
    (answer,) = found["interactions"]
    assert (answer["source"], answer["subject"], answer["action"]) == ("app-1", "biology", "quiz")
    assert "p1_" not in json.dumps(found)
    assert "learner" not in answer


def test_what_is_older_than_some_minutes_is_not_live() -> None:
    batch = as_import(performance("node-a", [0]))
    assert drained(batch, now=START + FRESH_US)["performance"]
    assert drained(batch, now=START + FRESH_US + 1)["performance"] == []


def test_runs_and_notes_are_not_in_it() -> None:
    from smartlearn.core.batch import Kind

    note = decode(
        b'{"timestamp":"2026-09-21T14:13:20Z","scope":"all","text":"x","author":"y"}',
        kind=Kind.ANNOTATION, topic_boot="t", partition=0, offset=0,
    )  # fmt: skip
    assert drained(note) == {"performance": [], "training": [], "interactions": []}


def test_a_table_starts_anew_after_each_look() -> None:
    table = LiveTable()
    table.update([performance("node-a", [1])], NOW)
    assert rows(table.drain())["performance"]
    assert rows(table.drain())["performance"] == []


def test_the_heartbeat_keeps_to_the_contract() -> None:
    table = LiveTable()
    table.update([performance("node-a", [1]), training("r", [1]), interactions("app-1", [1])], NOW)
    counts = {"smartlearn.performance": dict.fromkeys(("in", "stored", "late", "duplicate", "forwarded", "dead"), 1)}
    message = live_message(
        "worker-1", 17, NOW, {"smartlearn.performance": [0, 1]}, counts, {"smartlearn.performance": 3}, table.drain()
    )
    assert (message.topic, message.key) == ("smartlearn.live", b"worker-1")
    live = Live.model_validate_json(message.value)
    assert live.worker == "worker-1"
    assert json.loads(message.value)["performance"]["cpu_usage"] == [50.0]
