"""Each record has one fate a row: stored, duplicate, forwarded, dead or expired."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.stream_processors.making import (
    PSEUDONYM,
    SECOND,
    START,
    as_import,
    at,
    interactions,
    performance,
)

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.codec import encode_batch
from smartlearn.core.partitioning import partition_of
from smartlearn.core.topics import DEAD_LETTER, INTERACTIONS, PERFORMANCE, TOPIC_OF
from smartlearn.stream_processors import intake
from smartlearn.stream_processors.domain.seen import SeenRows
from smartlearn.stream_processors.intake import (
    ORIGIN_BOOT,
    ORIGIN_OFFSET,
    ORIGIN_PARTITION,
    IntakeRules,
    Taken,
    take,
)
from smartlearn.stream_processors.records import Record

PARTITIONS = 12
NOW = START + 60 * SECOND
HOME = partition_of("node-a", PARTITIONS)
ELSEWHERE = (HOME + 1) % PARTITIONS
LARGEST = 6 * 1024 * 1024


def rules(kind: Kind = Kind.PERFORMANCE, **changes: Any) -> IntakeRules:
    values: dict[str, Any] = {
        "kind": kind, "partitions": PARTITIONS, "boot": "life-1", "future": 300 * SECOND, "retention": None,
        "kept_fields": ("subject",),
    }  # fmt: skip
    return IntakeRules(**(values | changes))


def record(
    value: bytes | Batch,
    *,
    kind: Kind = Kind.PERFORMANCE,
    partition: int = HOME,
    offset: int = 7,
    timestamp: int = 0,
    key: bytes | None = None,
    headers: Mapping[str, bytes | None] | None = None,
) -> Record:
    data = encode_batch(value) if isinstance(value, Batch) else value
    return Record(TOPIC_OF[kind], partition, offset, key, data, timestamp, headers or {})


def row(**fields: Any) -> bytes:
    return json.dumps({"timestamp": "2026-09-21T14:13:20Z", "node": "node-a", "cpu_usage": 50.0, **fields}).encode()


def origin(boot: str = "life-1", partition: object = ELSEWHERE, offset: object = 3) -> dict[str, bytes | None]:
    return {
        ORIGIN_BOOT: boot.encode(),
        ORIGIN_PARTITION: str(partition).encode(),
        ORIGIN_OFFSET: str(offset).encode(),
    }


def reasons(taken: Taken) -> list[str]:
    return [(message.headers["reason"] or b"").decode() for message in taken.outgoing if message.topic == DEAD_LETTER]


def test_rows_that_are_new_are_stored() -> None:
    taken = take(record(performance("node-a", [1, 2, 3])), rules(), SeenRows(), NOW)
    assert [batch.timestamp.tolist() for batch in taken.batches] == [at(1, 2, 3).tolist()]
    assert taken.effect.counts == {"in": 3, "stored": 3}
    assert taken.effect.newest == START + 3 * SECOND
    assert taken.outgoing == []


def test_a_batch_sent_again_is_a_duplicate() -> None:
    seen = SeenRows()
    take(record(performance("node-a", [1, 2, 3])), rules(), seen, NOW)
    again = take(record(performance("node-a", [1, 2, 3]), offset=8), rules(), seen, NOW)
    assert again.batches == []
    assert again.effect.counts == {"in": 3, "duplicate": 3}


def test_of_an_overlapping_batch_only_the_rows_that_are_missing_count() -> None:
    seen = SeenRows()
    take(record(performance("node-a", [2, 3], seq=2)), rules(), seen, NOW)
    taken = take(record(performance("node-a", [0, 1, 2, 3, 4], seq=0), offset=8), rules(), seen, NOW)
    assert [(batch.seq, batch.timestamp.tolist()) for batch in taken.batches] == [
        (0, at(0, 1).tolist()),
        (4, at(4).tolist()),
    ]
    assert taken.effect.counts == {"in": 5, "duplicate": 2, "stored": 3}


def test_the_same_numbers_of_another_boot_source_or_node_are_other_rows() -> None:
    seen = SeenRows()
    sent = performance("node-a", [1])
    take(record(sent), rules(), seen, NOW)
    twin = "node-a" + next(str(i) for i in range(999) if partition_of(f"node-a{i}", PARTITIONS) == HOME)
    for other in (
        dataclasses.replace(sent, boot="another"),
        dataclasses.replace(sent, source="gpu"),
        performance(twin, [1]),
    ):
        assert take(record(other), rules(), seen, NOW).effect.counts == {"in": 1, "stored": 1}


def test_an_import_is_never_a_duplicate_since_its_place_is_its_identity() -> None:
    seen = SeenRows()
    imported = as_import(performance("node-a", [1, 2]))
    for _ in range(2):
        assert take(record(imported), rules(), seen, NOW).effect.counts == {"in": 2, "stored": 2}
    assert seen.rows == {}


def test_a_row_event_is_identified_by_its_partition_and_offset() -> None:
    taken = take(record(row(), offset=11), rules(), SeenRows(), NOW)
    (batch,) = taken.batches
    assert (batch.source, batch.boot, batch.seq, batch.key) == ("external", f"life-1/{HOME}", 11, "node-a")


def test_a_row_on_another_partition_is_forwarded_to_its_own_with_its_origin() -> None:
    taken = take(record(row(), partition=ELSEWHERE, headers={"trace": b"1" * 100}), rules(), SeenRows(), NOW)
    (message,) = taken.outgoing
    assert (message.topic, message.key, message.value, message.partition) == (PERFORMANCE, b"node-a", row(), HOME)
    assert message.headers == origin(offset=7)
    assert taken.batches == []
    assert taken.effect.counts == {"in": 1, "forwarded": 1}


def test_a_forwarded_row_keeps_the_identity_of_where_it_was_read_first_and_counts_once() -> None:
    seen = SeenRows()
    first = take(record(row(), headers=origin()), rules(), seen, NOW)
    (batch,) = first.batches
    assert (batch.boot, batch.seq) == (f"life-1/{ELSEWHERE}", 3)
    assert first.effect.counts == {"in": 1, "stored": 1}
    again = take(record(row(), offset=8, headers=origin()), rules(), seen, NOW)
    assert again.effect.counts == {"in": 1, "duplicate": 1}
    assert take(record(row(), offset=9, headers=origin(offset=4)), rules(), seen, NOW).effect.counts["stored"] == 1


def test_a_forwarded_row_is_taken_wherever_it_lies_and_never_forwarded_again() -> None:
    taken = take(record(row(), partition=ELSEWHERE, headers=origin(partition=5)), rules(), SeenRows(), NOW)
    assert taken.effect.counts == {"in": 1, "stored": 1}
    assert taken.outgoing == []


@pytest.mark.parametrize(
    "headers",
    [
        {ORIGIN_BOOT: None},
        {ORIGIN_BOOT: b"life-1"},
        {**origin(), ORIGIN_PARTITION: None},
        {**origin(), ORIGIN_BOOT: b"\xff"},
        {**origin(), ORIGIN_BOOT: b""},
        origin(boot="x" * 201),
        origin(offset="three"),
        origin(offset=-1),
        origin(offset=1 << 63),
        origin(offset="9" * 30),
        origin(partition=-1),
        origin(partition=1 << 40),
    ],
    ids=str,
)
def test_headers_that_do_not_tell_an_origin_are_dead_lettered(headers: dict[str, bytes | None]) -> None:
    taken = take(record(row(), headers=headers), rules(), SeenRows(), NOW)
    assert taken.effect.counts == {"in": 1, "dead": 1}
    assert reasons(taken) == ["the headers of a forwarded message do not tell its origin"]


def test_a_dead_letter_holds_the_original_bytes_and_where_they_were() -> None:
    taken = take(record(b"{not json", key=b"node-a", offset=5), rules(), SeenRows(), NOW)
    (letter,) = taken.outgoing
    assert (letter.topic, letter.key, letter.value) == (DEAD_LETTER, b"node-a", b"{not json")
    headers = {name: (value or b"").decode() for name, value in letter.headers.items()}
    assert headers.pop("reason").startswith("the message is not JSON")
    assert headers == {"topic": PERFORMANCE, "partition": str(HOME), "offset": "5"}
    assert taken.effect.counts == {"in": 1, "dead": 1}


def test_a_dead_letter_of_an_interaction_shows_no_learner() -> None:
    event = {"learner": "alice@example.org", "subject": "physics", "timestamp": "2026-09-21T14:13:20Z"}
    message = record(json.dumps(event).encode(), kind=Kind.INTERACTION, key=b"alice@example.org")
    taken = take(message, rules(Kind.INTERACTION), SeenRows(), NOW)
    (letter,) = taken.outgoing
    assert json.loads(letter.value) == {"learner": "***", "subject": "physics", "timestamp": "***"}
    assert letter.key is None
    assert b"alice" not in b"".join(value or b"" for value in letter.headers.values())
    assert (letter.headers["topic"] or b"").decode() == INTERACTIONS


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.PERFORMANCE, b"x" * (LARGEST * 10)),
        (Kind.INTERACTION, json.dumps({"columns": {"learner": [1] * 2_000_000}}).encode()),
    ],
)
def test_a_dead_letter_fits_its_topic_whatever_came_in(kind: Kind, value: bytes) -> None:
    taken = take(record(value, kind=kind, key=b"k" * LARGEST), rules(kind), SeenRows(), NOW)
    (letter,) = taken.outgoing
    assert len(letter.value) + len(letter.key or b"") < LARGEST
    assert int((letter.headers["cut"] or b"").decode()) >= len(value)


def test_a_message_too_large_to_be_forwarded_is_dead_lettered() -> None:
    times = np.full(10_000, START, np.int64)
    numbers = {f"metric_{i}": np.random.default_rng(i).normal(size=10_000) for i in range(28)}
    batch = Batch(Kind.PERFORMANCE, "host", "node-a", times, numbers, {"node": "node-a"}, boot="b", seq=0)
    value = encode_batch(batch)
    assert 5 * 1024 * 1024 < len(value) < LARGEST
    taken = take(record(value, partition=ELSEWHERE), rules(), SeenRows(), NOW)
    assert taken.effect.counts == {"in": 10_000, "dead": 10_000}
    (reason,) = reasons(taken)
    assert reason == f"the message lies in partition {ELSEWHERE} instead of {HOME} and is too large to forward"
    assert take(record(value), rules(), SeenRows(), NOW).effect.counts == {"in": 10_000, "stored": 10_000}


def test_a_fault_of_ours_in_reading_a_message_is_its_dead_letter(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object, **_kwargs: object) -> Batch:
        raise RecursionError("too deep")

    monkeypatch.setattr(intake, "decode", broken)
    taken = take(record(row()), rules(), SeenRows(), NOW)
    assert taken.effect.counts == {"in": 1, "dead": 1}
    assert reasons(taken) == ["the message could not be read; the worker's log tells why"]


def test_a_row_too_far_ahead_of_its_record_is_dead_lettered_and_its_neighbours_count() -> None:
    batch = performance("node-a", [0, 1000, 2])
    taken = take(record(batch, timestamp=START + 2 * SECOND), rules(), SeenRows(), NOW * 2)
    assert [(part.seq, len(part)) for part in taken.batches] == [(0, 1), (2, 1)]
    assert taken.effect.counts == {"in": 3, "dead": 1, "stored": 2}
    (reason,) = reasons(taken)
    assert reason.startswith("row 1: timestamp is 998 s ahead of the record, more than the 300 s allowed")


def test_a_row_exactly_as_far_ahead_as_allowed_counts() -> None:
    taken = take(record(performance("node-a", [300]), timestamp=START), rules(), SeenRows(), NOW)
    assert taken.effect.counts == {"in": 1, "stored": 1}


def test_where_the_broker_stamps_no_time_the_worker_s_clock_stands_in() -> None:
    early = take(record(performance("node-a", [1000])), rules(), SeenRows(), START)
    assert early.effect.counts == {"in": 1, "dead": 1}
    later = take(record(performance("node-a", [1000])), rules(), SeenRows(), START + 700 * SECOND)
    assert later.effect.counts == {"in": 1, "stored": 1}


def test_rows_older_than_the_retention_are_counted_and_dropped() -> None:
    batch = performance("node-a", [0, 50, 70])
    taken = take(record(batch), rules(retention=60 * SECOND), SeenRows(), START + 120 * SECOND)
    assert taken.effect.counts == {"in": 3, "expired": 2, "stored": 1}
    assert [part.timestamp.tolist() for part in taken.batches] == [at(70).tolist()]
    assert taken.outgoing == []


def test_interactions_of_a_source_lie_where_the_source_does() -> None:
    home = partition_of("app-1", PARTITIONS)
    batch = interactions("app-1", [1, 2])
    assert take(record(batch, kind=Kind.INTERACTION, partition=home), rules(Kind.INTERACTION), SeenRows(), NOW).batches
    event = {
        "timestamp": "2026-09-21T14:13:20Z", "learner": PSEUDONYM, "action": "quiz", "subject": "physics",
        "difficulty": "beginner", "response_time": 3.0, "accuracy": 1.0, "engagement_score": 5.0,
    }  # fmt: skip
    home = partition_of(PSEUDONYM, PARTITIONS)
    alone = record(json.dumps(event).encode(), kind=Kind.INTERACTION, partition=home)
    (taken,) = take(alone, rules(Kind.INTERACTION), SeenRows(), NOW).batches
    assert taken.key == PSEUDONYM


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_whatever_the_bytes_are_a_record_has_one_fate(value: bytes) -> None:
    taken = take(record(value), rules(), SeenRows(), NOW)
    assert taken.effect.counts == {"in": 1, "dead": 1}
    assert len(taken.outgoing) == 1


@given(st.integers(0, 2**32 - 1))
def test_every_row_of_any_history_of_one_sender_has_exactly_one_fate(number: int) -> None:
    rng = random.Random(number)
    seen = SeenRows()
    stored: set[int] = set()
    for offset in range(rng.randrange(1, 12)):
        seq, rows = rng.randrange(0, 40), rng.randrange(1, 12)
        seconds = [rng.choice([-500, 0, 1, 2, 900]) for _ in range(rows)]
        batch = performance("node-a", seconds, seq=seq)
        taken = take(record(batch, offset=offset), rules(retention=400 * SECOND), seen, START)
        usable = [seq + i for i, second in enumerate(seconds) if -400 <= second <= 300]
        fresh = [n for n in usable if n not in stored]
        assert [part.seq + i for part in taken.batches if part.seq is not None for i in range(len(part))] == fresh
        expected = {
            "in": rows,
            "dead": seconds.count(900),
            "expired": seconds.count(-500),
            "duplicate": len(usable) - len(fresh),
            "stored": len(fresh),
        }
        assert taken.effect.counts == {name: count for name, count in expected.items() if count}
        stored |= set(fresh)
