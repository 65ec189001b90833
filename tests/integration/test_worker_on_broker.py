"""What workers promise when they are killed, frozen, starved and fed rubbish: real processes, a real broker."""

from __future__ import annotations

import json
import resource
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.comparison import differences
from tests.reference import alerts_of, rows_of
from tests.stacks import until
from tests.unit.stream_processors.making import events_of, interactions, performance, training
from tests.workers import PARTITIONS, PATIENCE_S, Bench, bench

from smartlearn.core.batch import Batch
from smartlearn.core.partitioning import partition_of
from smartlearn.core.topics import DEAD_LETTER, INTERACTIONS, PERFORMANCE, TOPIC_OF, TRAINING

pytestmark = pytest.mark.integration

NODES = tuple(f"node-{number}" for number in range(6))
RAW = ("performance", "training", "interactions", "alerts", "runs", "annotations")
# The group forgets a member that was killed after its session timeout, 6 s.
TAKEOVER_S = 40.0


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Bench]:
    with bench(tmp_path) as made:
        yield made


def history(rounds: int, first: int = 0) -> list[list[Batch]]:
    """What six nodes, two applications and a training send, five seconds of event time a round."""
    made = []
    for number in range(first, first + rounds):
        at = number * 5
        batches = [
            performance(
                node,
                [at + 0.5, at + 2.5],
                [(number * 7 + index * 13) % 100, (number * 11 + index) % 100],
                seq=number * 2,
                response_time=float(number * 100),
            )
            for index, node in enumerate(NODES)
        ]
        batches += [
            interactions(source, [at, at, at + 1], ["physics", "biology", "physics"], seq=number * 3)
            for source in ("app-1", "app-2")
        ]
        batches.append(training("run-1", range(number * 20, number * 20 + 20), number / 10, seq=number * 20))
        made.append(batches)
    return made


def owns_everything(desk: Bench, *workers: str) -> bool:
    """Whether these workers say that all partitions are theirs, each of them some."""
    owned = [desk.assigned(worker) for worker in workers]
    together = {(topic, number) for each in owned for topic, numbers in each.items() for number in numbers}
    return all(owned) and together == {(topic, number) for topic in TOPIC_OF.values() for number in range(PARTITIONS)}


def assert_all_there(desk: Bench, rounds: list[list[Batch]]) -> None:
    """Wait until every row is stored once, and everything derived is as computed offline."""
    batches = [batch for each in rounds for batch in each]
    events = events_of(batches)
    wanted = {
        "performance": len(events.performance),
        "training": len(events.training),
        "interactions": len(events.interactions),
    }
    until(lambda: {name: desk.stored(name) for name in wanted} == wanted, PATIENCE_S)
    expected = rows_of(events)
    until(lambda: not differences(desk.rows(*RAW), expected), PATIENCE_S)
    alerts = {alert.id: alert for alert in alerts_of(events.performance)}
    until(lambda: desk.valid_alerts().keys() == alerts.keys(), PATIENCE_S)
    for name, told in desk.valid_alerts().items():
        assert (told["state"], told["previous"], told["node"]) == (
            alerts[name].state,
            alerts[name].previous,
            alerts[name].node,
        )
        assert told["value"] == pytest.approx(alerts[name].value, rel=1e-11)


def test_a_worker_killed_again_and_again_under_load_loses_and_doubles_nothing(desk: Bench) -> None:
    rounds = history(60)
    for number, batches in enumerate(rounds):
        desk.send(*batches)
        if number % 7 == 0:
            desk.send(*batches)
        if number in (10, 30):
            before = desk.stored("performance")
            worker = desk.start("worker-1")
            await_more(desk, before)
            worker.kill()
            worker.wait(10)
    desk.sent()
    desk.start("worker-1")
    assert_all_there(desk, rounds)
    topics = (PERFORMANCE, TRAINING, INTERACTIONS)
    # The repetitions may still be on their way, and a heartbeat is half a second old.
    until(lambda: all(desk.counts(topic, "worker-1")["in"] == desk.delivered[topic] for topic in topics), PATIENCE_S)
    for topic in topics:
        ledger = desk.counts(topic, "worker-1")
        assert ledger["in"] == ledger["stored"] + ledger["duplicate"], topic


def await_more(desk: Bench, before: int) -> None:
    until(lambda: desk.stored("performance") > before, PATIENCE_S)


def test_when_one_of_two_workers_is_killed_the_other_takes_over_all_of_it(desk: Bench) -> None:
    first, second = history(15), history(15, first=15)
    workers = [desk.start("worker-1"), desk.start("worker-2")]
    for batches in first:
        desk.send(*batches)
    until(lambda: owns_everything(desk, "worker-1", "worker-2"), PATIENCE_S)
    for batches in second:
        desk.send(*batches)
    desk.sent()
    workers[0].kill()
    workers[0].wait(10)
    until(lambda: owns_everything(desk, "worker-2"), TAKEOVER_S)
    assert_all_there(desk, [*first, *second])
    assert workers[1].poll() is None


def test_a_worker_that_was_frozen_while_its_partitions_moved_spoils_nothing(desk: Bench) -> None:
    first, second, third = history(8), history(8, first=8), history(4, first=16)
    frozen = desk.start("worker-1")
    until(lambda: owns_everything(desk, "worker-1"), PATIENCE_S)
    for batches in first:
        desk.send(*batches)
    desk.sent()
    until(lambda: desk.stored("performance") > 0, PATIENCE_S)
    frozen.send_signal(signal.SIGSTOP)
    desk.start("worker-2")
    for batches in second:
        desk.send(*batches)
    desk.sent()
    until(lambda: owns_everything(desk, "worker-2"), TAKEOVER_S)
    frozen.send_signal(signal.SIGCONT)
    for batches in third:
        desk.send(*batches)
    desk.sent()
    assert_all_there(desk, [*first, *second, *third])


def row(node: str, second: float) -> bytes:
    """A sample as any program sends it; its time has a resolution of a millisecond."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1_790_000_000 + int(second)))
    return json.dumps(
        {"timestamp": f"{stamp}.{round(second % 1 * 1000):03d}Z", "node": node, "cpu_usage": 50.0}
    ).encode()


def test_rows_on_a_wrong_partition_land_once_where_they_belong(desk: Bench) -> None:
    worker = desk.start("worker-1")
    for number in range(40):
        node = NODES[number % len(NODES)]
        desk.produce(PERFORMANCE, row(node, number / 4), partition=number % PARTITIONS)
    desk.sent()
    misplaced = sum(partition_of(NODES[number % len(NODES)], PARTITIONS) != number % PARTITIONS for number in range(40))
    # The counts run ahead of the store: they tell what was read.
    until(lambda: desk.stored("performance") == 40, PATIENCE_S)
    until(lambda: desk.counts(PERFORMANCE, "worker-1")["stored"] == 40, PATIENCE_S)
    assert desk.counts(PERFORMANCE, "worker-1")["forwarded"] == misplaced > 0
    worker.kill()
    worker.wait(10)
    desk.start("worker-2")
    until(lambda: owns_everything(desk, "worker-2"), TAKEOVER_S)

    def in_panes() -> float:
        return sum(
            row.get("cpu_usage_count", 0)
            for key, row in desk.rows(*RAW).items()
            if key.measurement == "performance_10s"
        )

    until(lambda: in_panes() == 40, PATIENCE_S)
    until(lambda: desk.counts(PERFORMANCE, "worker-2")["stored"] == 40, PATIENCE_S)
    assert desk.stored("performance") == 40


BAD = {
    b"{not json": "the message is not JSON",
    b"": "the message is empty",
    b"[1, 2]": "the message must be a JSON object",
    b'{"timestamp":"2026-09-21T14:13:20Z","node":"n","cpu_usage":"hot"}': "cpu_usage",
    b'{"timestamp":"2026-09-21T14:13:20Z","node":"n","cpu_usage":101}': "cpu_usage",
    b'{"timestamp":"2026-09-21T14:13:20Z","node":"n","cpu":1}': "no field cpu",
    b'{"timestamp":"yesterday","node":"n","cpu_usage":1}': "timestamp",
    b'{"timestamp":"2190-01-01T00:00:00Z","node":"n","cpu_usage":1}': "ahead of the record",
    b'{"v":1,"kind":"performance","source":"s","boot":"b","seq":-1,"columns":{"timestamp":[0],"node":"n"}}': "seq",
    b"\xff\xfe\x00": "the message is not JSON",
    b"[" * 5000: "the message is not JSON",
}


def test_bad_messages_end_as_dead_letters_with_a_reason_and_the_worker_lives_on(desk: Bench) -> None:
    worker = desk.start("worker-1")
    home = partition_of("n", PARTITIONS)
    for value in BAD:
        desk.produce(PERFORMANCE, value, key="n", partition=home)
    desk.produce(PERFORMANCE, row("n", 1), partition=home, headers={"smartlearn-origin-boot": None})
    desk.produce(PERFORMANCE, b'{"owner":1}', partition=home, headers={"smartlearn-recompute": b"1"})
    desk.produce(INTERACTIONS, b'{"learner":"alice@example.org","subject":"physics"}', key="alice@example.org")
    desk.send(performance("node\\", [1, 2]))  # no store can hold it
    good = history(2)
    for batches in good:
        desk.send(*batches)
    desk.sent()
    until(lambda: len(desk.messages(DEAD_LETTER)) == len(BAD) + 4, PATIENCE_S)
    letters = desk.messages(DEAD_LETTER)
    reasons = {letter.value() or b"": str(dict(letter.headers() or [])["reason"]) for letter in letters}
    for value, reason in {**BAD, row("n", 1): "origin", b'{"owner":1}': "recompute"}.items():
        assert reason in reasons[value], value
    assert b"alice" not in b"".join((letter.value() or b"") + (letter.key() or b"") for letter in letters)
    assert_all_there(desk, good)
    assert worker.poll() is None


def test_a_worker_that_is_told_to_end_does_so_in_less_than_three_seconds_and_has_stored_what_it_read(
    desk: Bench,
) -> None:
    worker = desk.start("worker-1")
    until(lambda: owns_everything(desk, "worker-1"), PATIENCE_S)
    rounds = history(10)
    for batches in rounds:
        desk.send(*batches)
    desk.sent()
    total = sum(len(batch) for batches in rounds for batch in batches if batch.kind.value == "performance")
    until(lambda: desk.counts(PERFORMANCE, "worker-1")["in"] == total, PATIENCE_S)
    started = time.monotonic()
    worker.send_signal(signal.SIGTERM)
    worker.wait(10)
    assert time.monotonic() - started < 3.0
    assert worker.returncode == 0
    assert desk.stored("performance") == total
    desk.start("worker-2")
    assert_all_there(desk, rounds)
    until(lambda: desk.counts(PERFORMANCE, "worker-2")["in"] == total, PATIENCE_S)


def test_a_worker_whose_store_is_locked_for_a_while_goes_on_afterwards_and_still_beats(desk: Bench) -> None:
    worker = desk.start("worker-1")
    until(lambda: owns_everything(desk, "worker-1"), PATIENCE_S)
    rounds = history(10)
    with sqlite3.connect(desk.settings.sqlite_path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        for batches in rounds:
            desk.send(*batches)
        desk.sent()
        before = desk.heartbeat("worker-1")["sent"]
        until(lambda: desk.heartbeat("worker-1")["sent"] > before + 3_000_000, 10)
        assert desk.stored("performance") == 0
        other.execute("ROLLBACK")
    other.close()
    assert_all_there(desk, rounds)
    assert worker.poll() is None


def test_a_worker_that_is_told_to_end_while_its_store_is_locked_does_not_wait_for_it(desk: Bench) -> None:
    worker = desk.start("worker-1")
    until(lambda: owns_everything(desk, "worker-1"), PATIENCE_S)
    rounds = history(10)
    with sqlite3.connect(desk.settings.sqlite_path, isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        for batches in rounds:
            desk.send(*batches)
        desk.sent()
        until(lambda: desk.counts(PERFORMANCE, "worker-1")["in"] > 0, PATIENCE_S)
        worker.send_signal(signal.SIGTERM)
        worker.wait(8)
        other.execute("ROLLBACK")
    other.close()
    desk.start("worker-2")
    assert_all_there(desk, rounds)


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of another process need Linux")
def test_a_worker_whose_disk_is_full_for_a_while_goes_on_afterwards(desk: Bench) -> None:
    worker = desk.start("worker-1")
    until(lambda: owns_everything(desk, "worker-1"), PATIENCE_S)
    _, hard = resource.prlimit(worker.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (8192, hard))
    rounds = history(10)
    for batches in rounds:
        desk.send(*batches)
    desk.sent()
    until(lambda: desk.counts(PERFORMANCE, "worker-1")["in"] > 0, PATIENCE_S)
    before = desk.heartbeat("worker-1")["sent"]
    until(lambda: desk.heartbeat("worker-1")["sent"] > before + 2_000_000, 10)
    assert desk.stored("performance") == 0
    resource.prlimit(worker.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, hard))
    assert_all_there(desk, rounds)
    assert worker.poll() is None


def test_what_is_beyond_its_retention_is_dropped_when_a_worker_starts(tmp_path: Path) -> None:
    with bench(tmp_path, store__retention__raw_days="300") as desk:
        from smartlearn.stream_processors.raw import raw_points

        desk.store.write([raw_points(performance("node-a", [-400 * 86400, 1]))])
        desk.start("worker-1")
        until(lambda: desk.stored("performance") == 1, PATIENCE_S)
