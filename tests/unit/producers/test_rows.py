from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.codec import decode
from smartlearn.core.topics import KIND_OF
from smartlearn.producers.rows import Encoder, Outgoing, Row

START = 1_760_000_000_000_000


def sample(at: int, node: str = "n1", **fields: Any) -> Row:
    return Row(Kind.PERFORMANCE, START + at, {"node": node, **fields})


def encoder(batch_rows: int = 500) -> Encoder:
    return Encoder("n1", "boot", batch_rows)


def read(message: Outgoing) -> Batch:
    return decode(message.value, kind=KIND_OF[message.topic], topic_boot="", partition=0, offset=0)


def test_rows_of_one_node_become_one_message_with_a_column_per_field() -> None:
    (message,) = encoder().encode([sample(1, cpu_usage=10.0, disk_usage=3.0), sample(2, cpu_usage=20.0)])
    batch = read(message)
    assert (message.topic, message.key, message.rows) == ("smartlearn.performance", b"n1", 2)
    assert batch.timestamp.tolist() == [START + 1, START + 2]
    assert batch.numbers["cpu_usage"].tolist() == [10.0, 20.0]
    np.testing.assert_equal(batch.numbers["disk_usage"], [3.0, math.nan])
    assert "disk_usage" not in batch.nonfinite
    assert (batch.source, batch.boot, batch.seq) == ("n1", "boot", 0)


def test_each_node_has_a_message_and_numbers_of_its_own() -> None:
    one = encoder()
    first = one.encode([sample(1, "a", cpu_usage=1.0), sample(2, "b", cpu_usage=2.0), sample(3, "a", cpu_usage=3.0)])
    second = one.encode([sample(4, "b", cpu_usage=4.0), sample(5, "a", cpu_usage=5.0)])
    assert [(m.key, read(m).seq, m.rows) for m in first] == [(b"a", 0, 2), (b"b", 0, 1)]
    assert [(m.key, read(m).seq, m.rows) for m in second] == [(b"b", 1, 1), (b"a", 2, 1)]


def test_many_rows_are_cut_into_batches_that_number_on() -> None:
    messages = encoder(batch_rows=4).encode([sample(at, cpu_usage=float(at)) for at in range(10)])
    assert [(read(m).seq, m.rows) for m in messages] == [(0, 4), (4, 4), (8, 2)]


def test_not_finite_numbers_are_facts_and_none_is_absent() -> None:
    values = [math.nan, math.inf, -math.inf, None, 1.5]
    rows = [
        Row(
            Kind.TRAINING,
            START + at,
            {"run": "r", "node": "n", "epoch": 1, "step": at, "training_loss": 1.0, "learning_rate": 0.1,
             "validation_loss": value},
        )
        for at, value in enumerate(values)
    ]  # fmt: skip
    batch = read(encoder().encode(rows)[0])
    assert batch.nonfinite["validation_loss"].tolist() == [1, 2, 3, 0, 0]
    np.testing.assert_equal(batch.numbers["validation_loss"], [math.nan] * 4 + [1.5])


@pytest.mark.parametrize("rows", [3, 40])
def test_a_row_at_fault_is_left_out_and_the_others_keep_consecutive_numbers(rows: int) -> None:
    one = encoder()
    given = [sample(at, cpu_usage=150.0 if at == 1 else 50.0) for at in range(rows)]
    batches = [read(message) for message in one.encode(given)]
    assert [time for batch in batches for time in batch.timestamp.tolist()] == [
        START + at for at in range(rows) if at != 1
    ]
    assert [number for batch in batches for number in range(batch.seq or 0, (batch.seq or 0) + len(batch))] == list(
        range(rows - 1)
    )
    assert len(one.refused) == 1
    assert "cpu_usage" in one.refused[0][1]
    assert one.encode([sample(99, cpu_usage=1.0)])
    assert one.refused == []


def test_rows_that_are_all_at_fault_send_nothing() -> None:
    one = encoder()
    assert one.encode([sample(at, cpu_usage="much") for at in range(20)]) == []
    assert len(one.refused) == 20


def test_numbers_may_be_of_any_type_that_float_takes() -> None:
    rows = [sample(0, cpu_usage=np.float32(1.5)), sample(1, cpu_usage=np.int64(2)), sample(2, cpu_usage=3)]
    assert read(encoder().encode(rows)[0]).numbers["cpu_usage"].tolist() == [1.5, 2.0, 3.0]


def test_a_run_event_carries_its_payload() -> None:
    row = Row(Kind.RUN, START, {"run": "r", "node": "n", "type": "settings", "payload": {"lr": [1, 2.5], "n": None}})
    batch = read(encoder().encode([row])[0])
    assert batch.key == "r"
    assert batch.texts["payload"] == '{"lr":[1,2.5],"n":null}'


def test_a_payload_that_is_no_json_is_refused() -> None:
    one = encoder()
    row = Row(Kind.RUN, START, {"run": "r", "node": "n", "type": "settings", "payload": {"x": object()}})
    assert one.encode([row]) == []
    assert "payload" in one.refused[0][1]


def test_interactions_go_under_their_source() -> None:
    learner = "p1_00000000_" + "0" * 32
    fields = {
        "learner": learner, "action": "quiz", "subject": "s", "difficulty": "d",
        "response_time": 1.0, "accuracy": 1.0, "engagement_score": 5.0,
    }  # fmt: skip
    (message,) = encoder().encode([Row(Kind.INTERACTION, START + at, fields) for at in range(3)])
    assert message.key == b"n1"
    assert read(message).texts["learner"] == learner
