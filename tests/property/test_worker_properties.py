"""Whatever happens on the way, the store ends as one offline computation over the final set of events.

Each example is a history: nodes with several senders, interactions, a training, a file imported beside them; rows
shuffled within the lateness and far beyond it, batches sent twice, workers that die before and after their commit.
"""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.comparison import differences
from tests.pipeline import Pipeline
from tests.reference import Alert, Events, alerts_of, rows_of

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.partitioning import partition_of
from smartlearn.core.topics import INTERACTIONS, PERFORMANCE, TRAINING

SECOND = 1_000_000
START = 1_790_000_000 * SECOND
SUBJECTS = ("mathematics", "physics", "biology")
LEVELS = ("beginner", "advanced")
RAW = ("performance", "training", "interactions", "alerts")


def performance(rng: random.Random, node: str, sender: str, first: int, rows: int, seq: int) -> Batch:
    times = first + np.sort(np.array([rng.randrange(0, 40 * SECOND) for _ in range(rows)], np.int64))
    numbers = {
        "cpu_usage": np.array([rng.uniform(40, 100) for _ in range(rows)]),
        "response_time": np.array([rng.choice([rng.uniform(10, 9000), np.nan]) for _ in range(rows)]),
        "gpu_memory_used": np.array([rng.uniform(0, 10) for _ in range(rows)]),
        "gpu_memory_total": np.full(rows, 10.0),
    }
    texts: dict[str, Any] = {"node": node}
    if sender == "model":
        texts["model_version"] = np.array([rng.choice(["v1", "v2"]) for _ in range(rows)], np.object_)
    return Batch(Kind.PERFORMANCE, sender, node, times, numbers, texts, boot=f"boot-{sender}", seq=seq)


def interactions(rng: random.Random, source: str, first: int, rows: int, seq: int) -> Batch:
    times = first + np.sort(np.array([rng.randrange(0, 60) * SECOND for _ in range(rows)], np.int64))
    numbers = {
        "response_time": np.array([rng.uniform(100, 5000) for _ in range(rows)]),
        "accuracy": np.array([rng.choice([0.0, 0.5, 1.0]) for _ in range(rows)]),
        "engagement_score": np.array([rng.uniform(1, 10) for _ in range(rows)]),
    }
    texts: dict[str, Any] = {
        "learner": np.array([f"p1_00000000_{rng.randrange(9):032x}" for _ in range(rows)], np.object_),
        "action": "quiz",
        "subject": np.array([rng.choice(SUBJECTS) for _ in range(rows)], np.object_),
        "difficulty": np.array([rng.choice(LEVELS) for _ in range(rows)], np.object_),
    }
    return Batch(Kind.INTERACTION, source, source, times, numbers, texts, boot="boot", seq=seq)


def training(rng: random.Random, run: str, first: int, step: int, rows: int, seq: int) -> Batch:
    numbers = {
        "epoch": np.ones(rows),
        "step": np.arange(step, step + rows, dtype=float),
        "training_loss": np.array([rng.uniform(0, 2) for _ in range(rows)]),
        "learning_rate": np.full(rows, 1e-4),
    }
    times = first + np.arange(rows, dtype=np.int64) * SECOND
    return Batch(Kind.TRAINING, "node-a", run, times, numbers, {"run": run, "node": "node-a"}, boot="boot", seq=seq)


def as_import(batch: Batch, rng: random.Random) -> Batch:
    """The same kind of rows as a file brings them: no seq, a place each."""
    place = np.array(rng.sample(range(1000), len(batch)), np.int64)
    return Batch(
        batch.kind, "import", batch.key, batch.timestamp, batch.numbers, batch.texts, batch.nonfinite, place=place
    )


def history(rng: random.Random) -> list[Batch]:
    """Batches in the order of their event times, a few senders interleaved."""
    batches: list[Batch] = []
    seqs: dict[tuple[str, str], int] = {}

    def number(sender: str, key: str, rows: int) -> int:
        seqs[sender, key] = seqs.get((sender, key), 0) + rows
        return seqs[sender, key] - rows

    for round_ in range(rng.randrange(4, 9)):
        first = START + round_ * 40 * SECOND
        for node in ("node-a", "node-b", "node-c"):
            for sender in ("host", "model"):
                rows = rng.randrange(1, 9)
                batches.append(performance(rng, node, sender, first, rows, number(sender, node, rows)))
        for source in ("app-1", "app-2"):
            rows = rng.randrange(1, 6)
            batches.append(interactions(rng, source, first, rows, number("i", source, rows)))
        rows = rng.randrange(20, 90)
        batches.append(training(rng, "run-1", first, 90 * round_, rows, number("t", "run-1", rows)))
    return batches


def events_of(batches: list[Batch]) -> Events:
    """The rows of batches as the offline computation reads them."""
    events = Events()
    for batch in batches:
        for row in range(len(batch)):
            event: dict[str, Any] = {"timestamp": int(batch.timestamp[row]), "key": batch.key}
            for name, column in batch.texts.items():
                event[name] = column if isinstance(column, str) else column[row]
            for name, numbers in batch.numbers.items():
                if not np.isnan(numbers[row]):
                    event[name] = float(numbers[row])
            target = {
                Kind.PERFORMANCE: events.performance,
                Kind.TRAINING: events.training,
                Kind.INTERACTION: events.interactions,
            }
            target[batch.kind].append(event)
    return events


def check(pipeline: Pipeline, batches: list[Batch]) -> None:
    events = events_of(batches)
    expected = rows_of(events)
    actual = pipeline.rows(without=RAW)
    for rows in (actual, expected):
        for fields in rows.values():
            fields.pop("anchor", None)
    anchors = {key.time - int(fields["step_start"]) // int(dict(key.tags)["level"])
               for key, fields in actual.items() if key.measurement == "training_steps"}  # fmt: skip
    assert len(anchors) <= 1, "one run has one anchor"
    shift = next(iter(anchors), 0) - min((event["timestamp"] for event in events.training), default=0)
    expected = {
        key._replace(time=key.time + shift) if key.measurement == "training_steps" else key: fields
        for key, fields in expected.items()
    }
    found = differences(actual, expected)
    assert found == [], found[:5]
    raw = pipeline.rows(only=("performance", "training", "interactions"))
    assert len(raw) == len({*raw}), "rows share no point"
    stored = sum(len(series) for name in RAW[:3] for series in _query(pipeline, name))
    assert stored == sum(len(batch) for batch in batches)
    valid = pipeline.valid_alerts()
    wanted = {alert.id: alert for alert in alerts_of(events.performance)}
    assert set(valid) == set(wanted)
    for id_, alert in valid.items():
        assert_same_alert(alert, wanted[id_])


def _query(pipeline: Pipeline, name: str) -> Any:
    from smartlearn.core.stores.base import SeriesQuery

    return pipeline.store.query(SeriesQuery(name))


def assert_same_alert(alert: Any, wanted: Alert) -> None:
    for name in ("fingerprint", "rule", "node", "state", "previous", "threshold", "action"):
        assert alert[name] == getattr(wanted, name)
    assert alert["value"] == pytest.approx(wanted.value, rel=1e-11)


def shuffled(rng: random.Random, batches: list[Batch]) -> list[Batch]:
    """Some batches arrive much later than the order of their event times."""
    keyed = [(index + rng.choice([0, 0, 0, rng.randrange(0, 12), 60]), index) for index in range(len(batches))]
    return [batches[index] for _, index in sorted(keyed)]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_any_interleaving_with_repeats_late_rows_crashes_and_zombies_gives_the_offline_answer(number: int) -> None:
    rng = random.Random(number)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline(Path(folder))
        batches = history(rng)
        imported = [
            as_import(performance(rng, node, "host", START + 30 * SECOND, 12, 0), rng) for node in ("node-a", "old")
        ]
        arriving = shuffled(rng, batches) + imported
        rng.shuffle(arriving[-6:])
        now = START / 1e6
        frozen, takeovers = None, 0
        for batch in arriving:
            pipeline.send(batch)
            if rng.random() < 0.15:
                pipeline.send(batch)
            now = max(now, float(batch.timestamp.max()) / 1e6 - rng.uniform(0, 30))
            fate = rng.random()
            if fate < 0.5:
                pipeline.step(now, rng.randrange(1, 4))
            if fate < 0.3:
                pipeline.flush(now + rng.uniform(0, 5), commit=fate > 0.08)
            if fate > 0.9 or fate < 0.08:
                if frozen is None:
                    frozen, takeovers = pipeline.lanes, 0
                pipeline.start()
                takeovers += 1
            elif frozen is not None and fate > 0.8:
                # Where it dies before it tells, panes that its successor handed on within the second are not all found.
                pipeline.wake(frozen, now + rng.uniform(0, 20), tells=takeovers > 1 or rng.random() < 0.5)
                frozen, takeovers = None, 0
        pipeline.settle(now + 60)
        check(pipeline, batches + imported)
        pipeline.store.close()


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=4, deadline=None)
def test_the_ledger_accounts_for_every_row(number: int) -> None:
    rng = random.Random(number)
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline(Path(folder))
        sent = {PERFORMANCE: 0, TRAINING: 0, INTERACTIONS: 0}
        topic_of = {Kind.PERFORMANCE: PERFORMANCE, Kind.TRAINING: TRAINING, Kind.INTERACTION: INTERACTIONS}
        repeated = dict(sent)
        bad = 0
        for batch in shuffled(rng, history(rng)):
            topic = topic_of[batch.kind]
            pipeline.send(batch)
            sent[topic] += len(batch)
            if rng.random() < 0.2:
                pipeline.send(batch)
                repeated[topic] += len(batch)
            if rng.random() < 0.1:
                pipeline.append(PERFORMANCE, "node-a", b"{not json")
                bad += 1
            if rng.random() < 0.3:
                pipeline.step(START / 1e6 + 600)
                pipeline.flush(START / 1e6 + 600, commit=rng.random() < 0.5)
            if rng.random() < 0.1:
                pipeline.start()
        pipeline.settle(START / 1e6 + 3600)
        for topic, rows in sent.items():
            counts = pipeline.counts(topic)
            assert counts["stored"] == rows
            assert counts["duplicate"] == repeated[topic]
            assert counts["dead"] == (bad if topic == PERFORMANCE else 0)
            assert counts["in"] == counts["stored"] + counts["duplicate"] + counts["dead"]
        pipeline.store.close()


def test_a_second_import_counts_as_duplicate_and_changes_nothing(tmp_path: Path) -> None:
    rng = random.Random(3)
    batch = as_import(performance(rng, "old", "host", START, 20, 0), rng)
    pipeline = Pipeline(tmp_path)
    pipeline.send(batch)
    pipeline.settle(START / 1e6 + 3600)
    before = pipeline.rows()
    alerts = len(pipeline.published.messages)
    pipeline.start()
    pipeline.send(batch)
    pipeline.send(batch)
    pipeline.settle(START / 1e6 + 7200)
    counts = pipeline.counts(PERFORMANCE)
    assert (counts["in"], counts["stored"], counts["duplicate"]) == (60, 20, 40)
    assert pipeline.rows() == before
    assert len(pipeline.published.messages) == alerts
    pipeline.store.close()


def test_a_broker_that_forgets_what_was_not_passed_costs_no_pane(tmp_path: Path) -> None:
    batch = performance(random.Random(1), "node-a", "host", START, 20, 0)
    steps = training(random.Random(1), "run-1", START, 0, 100, 0)
    shop = interactions(random.Random(1), "app-1", START, 10, 0)
    pipeline = Pipeline(tmp_path)
    for part in (batch, steps, shop):
        pipeline.send(part.rows(0, len(part) // 2))
    pipeline.step(START / 1e6 + 1)
    pipeline.flush(START / 1e6 + 1)
    pipeline.forget_log("another life")
    for part in (batch, steps, shop):
        pipeline.send(part.rows(len(part) // 2, len(part)))
    pipeline.settle(START / 1e6 + 3600)
    check(pipeline, [batch, steps, shop])
    pipeline.store.close()


def test_a_key_that_moves_to_an_added_partition_keeps_its_open_pane(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = next(name for n in range(99) if partition_of(name := f"n{n}", 4) != partition_of(name, 8))
    batch = performance(random.Random(2), node, "host", START, 30, 0)
    pipeline = Pipeline(tmp_path)
    pipeline.send(batch.rows(0, 10))
    pipeline.settle(START / 1e6 + 60)
    monkeypatch.setattr("tests.pipeline.PARTITIONS", 8)
    pipeline.start()
    pipeline.send(batch.rows(10, 30))
    pipeline.settle(START / 1e6 + 3600)
    check(pipeline, [batch])
    pipeline.store.close()


def test_reading_that_begins_behind_the_stored_progress_waits_for_what_lies_between(tmp_path: Path) -> None:
    batch = performance(random.Random(4), "node-a", "host", START, 30, 0)
    pipeline = Pipeline(tmp_path)
    for first in range(0, 30, 10):
        record = pipeline.send(batch.rows(first, first + 10))
    pipeline.step(START / 1e6, 1)
    pipeline.flush(START / 1e6 + 3600)
    pipeline.start()
    lane = pipeline.lanes[PERFORMANCE]
    assert lane.receive([record], START / 1e6 + 3600) == []
    assert lane.ahead() == {record.partition: 1}
    pipeline.settle(START / 1e6 + 3601)
    check(pipeline, [batch])
    assert lane.ahead() == {}
    pipeline.store.close()
