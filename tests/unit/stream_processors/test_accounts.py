"""What a partition's progress accounts for: rows by source, and the numbers that never came."""

from __future__ import annotations

import numpy as np

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.codec import encode_batch
from smartlearn.stream_processors.domain.progress import COUNTERS, Effect, Progress
from smartlearn.stream_processors.domain.seen import IntervalSet, SeenRows
from smartlearn.stream_processors.intake import IntakeRules, take
from smartlearn.stream_processors.records import Record

NOW = 1_790_000_000_000_000
SECOND = 1_000_000
SENDER = ("node-a", "boot", "node-a")
RULES = IntakeRules(Kind.PERFORMANCE, 1, "life", 300 * SECOND, 3600 * SECOND, ())


def record(offset: int, ages_s: list[int], seq: int, *, source: str = "node-a", boot: str = "boot") -> Record:
    """A batch whose rows are so many seconds old."""
    times = np.array([NOW - age * SECOND for age in ages_s], np.int64)
    numbers = {"cpu_usage": np.ones(len(ages_s))}
    batch = Batch(Kind.PERFORMANCE, source, "node-a", times, numbers, {"node": "node-a"}, boot=boot, seq=seq)
    return Record("smartlearn.performance", 0, offset, b"node-a", encode_batch(batch), NOW)


def progress_of(records: list[Record]) -> Progress:
    progress, seen = Progress(), SeenRows()
    for one in records:
        progress.apply(take(one, RULES, seen, NOW).effect)
    return Progress.decode(progress.encode())


def test_rows_are_counted_by_their_source_and_what_cannot_be_read_as_external() -> None:
    nonsense = Record("smartlearn.performance", 0, 3, None, b"{", NOW)
    progress = progress_of(
        [record(0, [1, 1], 0), record(1, [1, 1, 1], 0, source="host"), record(2, [1, 1], 0), nonsense]
    )
    assert set(progress.counts) == {"node-a", "host", "external"}
    assert progress.counts["node-a"] == dict.fromkeys(COUNTERS, 0) | {"in": 4, "stored": 2, "duplicate": 2}
    assert progress.counts["host"]["stored"] == 3
    assert progress.counts["external"] == dict.fromkeys(COUNTERS, 0) | {"in": 1, "dead": 1}
    assert progress.totals() == dict.fromkeys(COUNTERS, 0) | {"in": 8, "stored": 5, "duplicate": 2, "dead": 1}


def test_numbers_that_never_came_are_missing_until_they_do() -> None:
    late = [record(0, [1] * 5, 10), record(1, [1] * 5, 20)]
    assert progress_of(late).seen.missing() == {"node-a": 15}
    assert progress_of([*late, record(2, [1] * 10, 0)]).seen.missing() == {"node-a": 5}
    assert progress_of([*late, record(2, [1] * 20, 0)]).seen.missing() == {"node-a": 0}


def test_rows_that_came_and_were_refused_are_not_missing() -> None:
    ahead, expired = -301, 3601
    progress = progress_of([record(0, [ahead, 1, expired, 1], 0), record(1, [1], 6)])
    assert progress.counts["node-a"] == dict.fromkeys(COUNTERS, 0) | {"in": 5, "stored": 3, "dead": 1, "expired": 1}
    assert progress.seen.missing() == {"node-a": 2}


def test_a_refused_row_that_is_sent_again_in_time_is_stored() -> None:
    seen = SeenRows()
    assert len(take(record(0, [-301, 1], 0), RULES, seen, NOW).batches[0]) == 1
    again = take(record(1, [-299, 1], 0), RULES, seen, NOW)
    assert again.effect.counts == {"in": 2, "stored": 1, "duplicate": 1}


def test_what_a_silent_sender_sent_is_forgotten_as_a_whole() -> None:
    progress = Progress()
    progress.apply(Effect(0, "a", rows=[(SENDER, 5, 6)], refused=[(SENDER, 8, 9)], at=NOW))
    assert progress.seen.missing() == {"node-a": 7}
    progress.forget(NOW)
    assert progress.seen.missing() == {"node-a": 7}
    progress.forget(NOW + 1)
    assert progress.seen.missing() == {}
    assert progress.seen == SeenRows()


def test_holes_are_counted_from_zero() -> None:
    assert IntervalSet().holes() == 0
    assert IntervalSet([(0, 5)]).holes() == 0
    assert IntervalSet([(3, 5), (9, 12)]).holes() == 7
