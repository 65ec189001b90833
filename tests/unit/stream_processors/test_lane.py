"""What a lane promises whatever fails: every row once, and offsets only behind what is stored."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.pipeline import PARTITIONS, Pipeline
from tests.unit.stream_processors.making import START, Faulty, Refusing, as_import, performance, training

from smartlearn.core.errors import BrokerUnavailable, StoreUnavailable
from smartlearn.core.partitioning import partition_of
from smartlearn.core.stores.base import Points, Refused, SeriesQuery
from smartlearn.core.topics import DEAD_LETTER, PERFORMANCE, TRAINING
from smartlearn.stream_processors.domain.progress import Progress
from smartlearn.stream_processors.lanes import build_lanes

NOW = START / 1e6 + 5
LATER = NOW + 60


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


def faulty(pipeline: Pipeline) -> Faulty:
    store = Faulty(pipeline.store)
    pipeline.store = store
    pipeline.start()
    return store


def partition(key: str) -> int:
    return partition_of(key, PARTITIONS)


def raw_rows(pipeline: Pipeline, measurement: str = "performance") -> int:
    return sum(len(series) for series in pipeline.store.query(SeriesQuery(measurement)))


def test_the_offset_stays_at_the_first_row_of_the_oldest_open_pane(pipeline: Pipeline) -> None:
    for second in (1, 2, 11, 12):
        pipeline.send(performance("node-a", [second], seq=second))
    lane = pipeline.lanes[PERFORMANCE]
    pipeline.step(START / 1e6 + 12.5)
    assert lane.flush(START / 1e6 + 12.5) == {partition("node-a"): 2}
    assert raw_rows(pipeline) == 4
    assert lane.flush(LATER) == {partition("node-a"): 4}


def test_a_training_row_is_passed_as_soon_as_it_is_stored(pipeline: Pipeline) -> None:
    pipeline.send(training("run-1", [1, 2, 3]))
    pipeline.step(NOW)
    assert pipeline.lanes[TRAINING].flush(NOW) == {partition("run-1"): 1}


def test_nothing_is_committed_twice_or_without_cause(pipeline: Pipeline) -> None:
    pipeline.send(training("run-1", [1]))
    pipeline.step(NOW)
    lane = pipeline.lanes[TRAINING]
    lane.flush(NOW)
    assert lane.flush(LATER) == {}


def test_an_offset_whose_progress_could_not_be_kept_is_told_by_the_next_flush(pipeline: Pipeline) -> None:
    store = faulty(pipeline)
    pipeline.send(training("run-1", [1]))
    pipeline.step(NOW)
    lane = pipeline.lanes[TRAINING]
    store.fail("put_state", 0)
    with pytest.raises(StoreUnavailable):
        lane.flush(NOW)
    assert lane.flush(NOW) == {partition("run-1"): 1}
    assert lane.counts()["stored"] == 1


@pytest.mark.parametrize("number", range(6))
def test_a_flush_that_failed_at_any_write_stores_everything_once_when_it_is_called_again(
    pipeline: Pipeline, number: int
) -> None:
    store = faulty(pipeline)
    pipeline.send(performance("node-a", [1, 2, 3], [95.0, 96.0, 97.0]))
    pipeline.step(NOW)
    store.fail("write", number)
    lane = pipeline.lanes[PERFORMANCE]
    try:
        lane.flush(LATER)
    except StoreUnavailable:
        lane.flush(LATER)
    else:
        assert store.calls["write"] <= number, "the write did not fail"
    assert raw_rows(pipeline) == 3
    (pane,) = pipeline.store.query(SeriesQuery("performance_10s"))
    assert pane.fields["cpu_usage_count"].tolist() == [3]
    assert pane.fields["cpu_usage_mean"].tolist() == [96.0]
    assert [alert["state"] for alert in pipeline.valid_alerts().values()] == ["critical"]
    assert lane.counts() == {"in": 3, "stored": 3, **dict.fromkeys(
        ("late", "duplicate", "forwarded", "dead", "expired"), 0)}  # fmt: skip


@pytest.mark.parametrize("after_sending", [False, True])
def test_what_the_broker_did_not_acknowledge_is_sent_again(pipeline: Pipeline, after_sending: bool) -> None:
    pipeline.append(TRAINING, "run-1", b"{not json")
    pipeline.published = Refusing(pipeline.published, failures=1, after_sending=after_sending)  # type: ignore[assignment]
    pipeline.start()
    published: Any = pipeline.published._inner  # type: ignore[attr-defined]
    pipeline.step(NOW)
    lane = pipeline.lanes[TRAINING]
    with pytest.raises(BrokerUnavailable):
        lane.flush(NOW)
    assert lane.flush(NOW) == {partition("run-1"): 1}
    letters = published.on(DEAD_LETTER)
    assert {letter.value for letter in letters} == {b"{not json"}
    assert lane.counts()["dead"] == 1


def test_the_ledger_answers_while_a_flush_waits_for_the_store(pipeline: Pipeline) -> None:
    entered, release = threading.Event(), threading.Event()
    real = pipeline.store

    class Slow(Faulty):
        def write(self, batch: Any) -> Any:
            entered.set()
            release.wait(10)
            return real.write(batch)

    pipeline.store = Slow(real)
    pipeline.start()
    pipeline.send(training("run-1", [1, 2]))
    pipeline.step(NOW)
    lane = pipeline.lanes[TRAINING]
    flush = threading.Thread(target=lane.flush, args=(NOW,))
    flush.start()
    try:
        assert entered.wait(10)
        answers: list[dict[str, int]] = []
        asking = threading.Thread(target=lambda: answers.append(lane.counts()), daemon=True)
        asking.start()
        asking.join(5)
        assert [answer["stored"] for answer in answers] == [2]
    finally:
        release.set()
        flush.join(10)


class Picky(Faulty):
    """A store that refuses the raw points of one node, as a server does for reasons of its own."""

    def write(self, batch: Iterable[Points]) -> list[Refused]:
        taken, refused = [], []
        for points in batch:
            nodes = points.tags.get("node")
            names = [nodes] * len(points) if nodes is None or isinstance(nodes, str) else nodes
            bad = np.array([points.measurement == "performance" and name == "bad" for name in names], np.bool_)
            refused += [
                Refused("performance", {"node": "bad", "source": "host"}, time, "no")
                for time in points.time[bad].tolist()
            ]
            if not bad.any():
                taken.append(points)
        return [*self.real.write(taken), *refused]


def test_rows_that_the_store_refuses_are_dead_lettered_and_counted_as_dead(pipeline: Pipeline) -> None:
    pipeline.store = Picky(pipeline.store)
    pipeline.start()
    pipeline.send(performance("node-a", list(range(300))))
    record = pipeline.send(performance("bad", [1, 2]))
    pipeline.settle(LATER + 300)
    letters = pipeline.published.on(DEAD_LETTER)
    headers = {
        "topic": PERFORMANCE,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "reason": "no",
        "holds": "point",
    }
    assert [letter.headers for letter in letters] == [{n: v.encode() for n, v in headers.items()}] * 2
    assert letters[0].value.startswith(b"performance,node=bad,source=host ")
    counts = pipeline.counts(PERFORMANCE)
    assert (counts["in"], counts["stored"], counts["dead"]) == (302, 300, 2)
    pipeline.start()
    assert pipeline.counts(PERFORMANCE) == counts


def test_a_file_imported_again_is_counted_as_duplicate_at_once_and_after_a_restart(pipeline: Pipeline) -> None:
    imported = as_import(performance("node-a", [1, 2, 3]))
    for _ in range(2):
        pipeline.send(imported)
        pipeline.step(NOW)
        pipeline.flush(NOW)
    expected = {"in": 6, "stored": 3, "duplicate": 3, "late": 0, "forwarded": 0, "dead": 0, "expired": 0}
    assert pipeline.counts(PERFORMANCE) == expected
    pipeline.settle(LATER)
    pipeline.start()
    assert pipeline.counts(PERFORMANCE) == expected


@pytest.mark.parametrize("call", ["query", "put_state", "write"])
@pytest.mark.parametrize("number", range(4))
@pytest.mark.parametrize("dies", [False, True])
def test_an_import_that_is_read_again_is_counted_as_stored_wherever_the_first_attempt_ended(
    pipeline: Pipeline, call: str, number: int, dies: bool
) -> None:
    store = faulty(pipeline)
    pipeline.send(as_import(performance("node-a", [1, 2, 3])))
    pipeline.send(as_import(performance("node-a", [2, 3, 4]), first_place=1))
    pipeline.send(as_import(performance("node-a", [20, 21]), first_place=9))
    pipeline.step(NOW)
    store.fail(call, number)
    with suppress(StoreUnavailable):
        pipeline.flush(LATER)
    if dies:
        pipeline.start()
    pipeline.settle(LATER)
    counts = pipeline.counts(PERFORMANCE)
    assert (counts["in"], counts["stored"], counts["duplicate"]) == (8, 6, 2)
    assert raw_rows(pipeline) == 6
    stored = pipeline.store.get_state(f"progress/{PERFORMANCE}/{partition('node-a')}")
    assert stored is not None
    assert Progress.decode(stored).known == {}


def test_rows_of_a_partition_that_was_let_go_are_not_written_before_its_next_owner_asks_for_them(
    pipeline: Pipeline,
) -> None:
    pipeline.send(as_import(performance("node-a", [1, 2, 3])))
    pipeline.step(NOW)
    lane = pipeline.lanes[PERFORMANCE]
    lane.revoke(range(PARTITIONS))
    assert lane.rows_held() == 0
    assert lane.flush(NOW) == {}
    assert raw_rows(pipeline) == 0


def test_a_record_that_is_handed_over_twice_counts_once(pipeline: Pipeline) -> None:
    event = b'{"timestamp":"2026-09-21T14:13:21.5Z","node":"node-a","cpu_usage":50}'
    for _ in range(2):
        pipeline.append(PERFORMANCE, "node-a", event)
    pipeline.send(performance("node-a", [1, 2]))
    for _ in range(2):
        pipeline.step(NOW)
        pipeline._read.clear()
    pipeline.flush(LATER)
    pipeline.step(NOW)
    pipeline.flush(LATER)
    counts = pipeline.counts(PERFORMANCE)
    assert (counts["in"], counts["stored"], counts["duplicate"]) == (4, 4, 0)
    panes = pipeline.store.query(SeriesQuery("performance_10s", fields=("cpu_usage_count",)))
    assert [series.fields["cpu_usage_count"].tolist() for series in panes] == [[4]]


@pytest.mark.parametrize("known", [False, True])
def test_what_another_life_of_the_broker_never_passed_is_computed_from_the_store(tmp_path: Path, known: bool) -> None:
    first = Pipeline(tmp_path)
    for batch in (performance("node-a", [1, 5]), training("run-1", [1, 70])):
        first.send(batch)
    first.step(NOW)
    for topic in (PERFORMANCE, TRAINING):
        first.lanes[topic]._store.write(first.lanes[topic]._raw.joined())
        state = f"progress/{topic}/{partition('node-a' if topic == PERFORMANCE else 'run-1')}"
        if known:
            first.store.put_state({state: Progress(epoch="life", offset=9).encode()})
    boots = dict.fromkeys(first.lanes, "another life")
    lanes = build_lanes(first.settings, first.store, first.published, dict.fromkeys(boots, PARTITIONS), boots)
    for lane in lanes.values():
        lane.assign(range(PARTITIONS))
        assert {lane.passed(number) for number in range(PARTITIONS)} == {0}
        lane.flush(LATER)
    (pane,) = first.store.query(SeriesQuery("performance_10s"))
    assert pane.fields["cpu_usage_count"].tolist() == [2]
    assert raw_rows(first, "training_steps") == 4


def test_a_partition_that_was_let_go_says_so_until_somebody_takes_it(pipeline: Pipeline) -> None:
    pipeline.send(training("run-1", [1]))
    pipeline.step(NOW)
    lane = pipeline.lanes[TRAINING]
    lane.flush(NOW)
    lane.release()

    def released() -> bool:
        stored = pipeline.store.get_state(f"progress/{TRAINING}/{partition('run-1')}")
        assert stored is not None
        return Progress.decode(stored).released

    assert released()
    pipeline.start()
    pipeline.send(training("run-1", [2], seq=1))
    pipeline.step(NOW)
    pipeline.flush(NOW)
    assert not released()
    assert pipeline.lanes[TRAINING].passed(99) is None
