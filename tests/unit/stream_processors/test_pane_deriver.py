"""What stands in the store for a pane, and for everything that derives from it, whatever came in which order."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.comparison import differences
from tests.pipeline import PARTITIONS, Pipeline
from tests.reference import Rows, performance_rows, shard_of
from tests.unit.stream_processors.making import (
    SECOND,
    START,
    Faulty,
    as_import,
    interactions,
    performance,
)

from smartlearn.core.batch import Batch
from smartlearn.core.errors import StoreUnavailable
from smartlearn.core.partitioning import partition_of
from smartlearn.core.settings import RetentionSettings, StoreSettings
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.core.topics import INTERACTIONS, PERFORMANCE
from smartlearn.stream_processors.recompute import RECOMPUTE
from smartlearn.stream_processors.records import Record

HOUR = 3600
DAY = 24 * HOUR


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path)


@pytest.fixture
def without_raw(tmp_path: Path) -> Pipeline:
    return Pipeline(tmp_path, store=StoreSettings(raw=False))


def events(*batches: Batch) -> list[dict[str, Any]]:
    return [
        {
            "timestamp": int(batch.timestamp[row]),
            "node": batch.key,
            **{name: float(column[row]) for name, column in batch.numbers.items()},
            **{name: c if isinstance(c, str) else c[row] for name, c in batch.texts.items()},
        }
        for batch in batches
        for row in range(len(batch))
    ]


def run(pipeline: Pipeline, second: float, *batches: Batch) -> None:
    """Send batches, and read and flush when the clock stands at so many seconds after the start."""
    for batch in batches:
        pipeline.send(batch)
    now = START / 1e6 + second
    pipeline.step(now)
    pipeline.flush(now)


def derived(pipeline: Pipeline) -> Rows:
    return pipeline.rows(without=("performance", "health", "alerts"))


def panes(pipeline: Pipeline, node: str = "node-a", field: str = "cpu_usage_count") -> dict[int, float]:
    """Seconds after the start → a field of the node's pane."""
    found = pipeline.store.query(SeriesQuery("performance_10s", fields=(field,), where={"node": node}))
    return {
        (time // 1000 - START) // SECOND: value
        for series in found
        for time, value in zip(series.time.tolist(), series.fields[field].tolist(), strict=True)
    }


def test_a_pane_is_written_once_its_key_s_event_time_passes_its_end(pipeline: Pipeline) -> None:
    run(pipeline, 9, performance("node-a", [1, 9]))
    assert panes(pipeline) == {}
    run(pipeline, 10.1, performance("node-a", [10], seq=2))
    assert panes(pipeline) == {0: 2}


def test_a_pane_is_written_when_its_key_is_idle_and_its_end_is_over(pipeline: Pipeline) -> None:
    run(pipeline, 9.5, performance("node-a", [9]))
    run(pipeline, 10.5)
    assert panes(pipeline) == {}
    run(pipeline, 11.5)
    assert panes(pipeline) == {0: 1}


def test_a_row_within_the_lateness_changes_its_pane_and_is_not_late(pipeline: Pipeline) -> None:
    run(pipeline, 12, performance("node-a", [1, 12]))
    run(pipeline, 30, performance("node-a", [2, 30], seq=2))
    run(pipeline, 60)
    assert panes(pipeline) == {0: 2, 10: 1, 30: 1}
    assert pipeline.counts(PERFORMANCE)["late"] == 0


def test_a_row_beyond_the_lateness_is_counted_as_late_and_its_pane_is_right_all_the_same(pipeline: Pipeline) -> None:
    sent = [performance("node-a", [1, 200], [10.0, 20.0]), performance("node-a", [2], 30.0, seq=2)]
    run(pipeline, 201, sent[0])
    run(pipeline, 210, sent[1])
    run(pipeline, 260)
    assert pipeline.counts(PERFORMANCE)["late"] == 1
    assert differences(derived(pipeline), performance_rows(events(*sent))) == []


def test_a_late_row_after_its_pane_was_forgotten_and_the_worker_restarted(pipeline: Pipeline) -> None:
    sent = [performance("node-a", [1, 4000], [10.0, 20.0]), performance("node-a", [2], 30.0, seq=2)]
    run(pipeline, 4001, sent[0])
    run(pipeline, 5000)
    pipeline.start()
    run(pipeline, 5001, sent[1])
    run(pipeline, 5010)
    assert differences(derived(pipeline), performance_rows(events(*sent))) == []


def test_import_and_live_rows_of_one_node_and_pane_meet_in_it(pipeline: Pipeline) -> None:
    live = [performance("node-a", [1, 2], [10.0, 20.0]), performance("node-a", [4, 12], [1.0, 2.0], seq=2)]
    imported = as_import(performance("node-a", [3, 5], [40.0, 50.0]))
    run(pipeline, 2, live[0])
    run(pipeline, 3, imported)
    run(pipeline, 12, live[1])
    run(pipeline, 60)
    assert differences(derived(pipeline), performance_rows(events(*live, imported))) == []


def test_an_import_from_long_ago_leaves_a_live_node_s_rows_alone(pipeline: Pipeline) -> None:
    old = as_import(performance("node-a", [-370 * DAY, -370 * DAY + 15, -2 * DAY], [10.0, 20.0, 30.0]))
    live = [performance("node-a", [second, second + 5], [50.0, 60.0], seq=2 * i) for i, second in enumerate((1, 11))]
    run(pipeline, 6, live[0])
    run(pipeline, 16, live[1], old)
    run(pipeline, 60)
    assert differences(derived(pipeline), performance_rows(events(old, *live))) == []
    assert pipeline.counts(PERFORMANCE)["late"] == 0


def test_rows_far_apart_do_not_make_a_worker_read_what_lies_between(pipeline: Pipeline) -> None:
    year = as_import(performance("node-a", [-DAY * day for day in range(365, 0, -1)]))
    run(pipeline, 0, year)
    run(pipeline, 10)
    spans: list[float] = []
    real = pipeline.store

    class Watching(Faulty):
        def query(self, query: SeriesQuery) -> Any:
            found = real.query(query)
            if query.measurement == "performance_10s" and query.fields is None:
                spans.append(sum(len(series) for series in found))
            return found

    pipeline.store = Watching(real)
    for warm in (False, True):
        pipeline.start()
        run(pipeline, 11, performance("node-a", [1], seq=int(warm), sender=f"s{warm}"))
        if warm:
            run(pipeline, 20)
        spans.clear()
        again = as_import(performance("node-a", [-DAY * 365 + 1]), int(warm) + 1)
        run(pipeline, 21 + warm, performance("node-a", [21.5], seq=9 + warm), again)
        run(pipeline, 60 + warm)
        assert spans, "nothing was read"
        assert sum(spans) < 30, f"{spans} panes were read for two that changed"


def test_two_gpus_and_versions_are_series_of_their_own_and_one_node(pipeline: Pipeline) -> None:
    gpus = np.array(["0", "1", None, "0"], np.object_)
    versions = np.array(["v1", "v1", "v2", None], np.object_)
    batch = performance("node-a", [1, 2, 3, 14], [1.0, 2.0, 3.0, 4.0], texts={"gpu": gpus, "model_version": versions})
    run(pipeline, 60, batch)
    run(pipeline, 90)
    assert differences(derived(pipeline), performance_rows(events(batch))) == []


def test_a_value_that_is_not_finite_changes_no_pane(pipeline: Pipeline) -> None:
    batch = performance("node-a", [1, 2], [np.nan, 5.0])
    alone = performance("node-b", [1], np.nan)
    codes = np.array([1, 0], np.int8)
    for sent, code in ((batch, codes), (alone, codes[:1])):
        pipeline.send(
            Batch(**{**{n: getattr(sent, n) for n in Batch.__dataclass_fields__}, "nonfinite": {"cpu_usage": code}})
        )
    run(pipeline, 60)
    run(pipeline, 90)
    assert differences(derived(pipeline), performance_rows(events(batch))) == []
    assert pipeline.counts(PERFORMANCE)["stored"] == 3


@pytest.mark.parametrize("number", range(8))
def test_a_write_that_fails_leaves_nothing_half_derived(pipeline: Pipeline, number: int) -> None:
    store = Faulty(pipeline.store)
    pipeline.store = store
    pipeline.start()
    sent = [performance("node-a", [s, s + 5], [55.0 + s, 60.0 + s], seq=2 * i) for i, s in enumerate((1, 11, 21, 31))]
    run(pipeline, 12, *sent[:2])
    store.fail("write", number)
    failed = False
    for second, batch in ((22, sent[2]), (32, sent[3]), (60, None)):
        try:
            run(pipeline, second, *([batch] if batch else []))
        except StoreUnavailable:
            failed = True
            pipeline.flush(START / 1e6 + second)
    pipeline.flush(START / 1e6 + 70)
    assert failed or number >= 6
    assert differences(derived(pipeline), performance_rows(events(*sent))) == []


def test_without_raw_events_panes_are_the_same(without_raw: Pipeline) -> None:
    sent = [performance("node-a", [s, s + 5], [10.0 + s, 20.0], seq=2 * i) for i, s in enumerate((1, 11, 21))]
    for second, batch in zip((6, 16, 26), sent, strict=True):
        run(without_raw, second, batch)
    run(without_raw, 60)
    assert differences(derived(without_raw), performance_rows(events(*sent))) == []
    assert without_raw.store.query(SeriesQuery("performance")) == []


def test_without_raw_events_a_late_row_is_counted_and_changes_nothing(without_raw: Pipeline) -> None:
    sent = performance("node-a", [1, 200])
    run(without_raw, 201, sent)
    run(without_raw, 260)
    run(without_raw, 261, performance("node-a", [2], seq=2))
    run(without_raw, 300)
    assert without_raw.counts(PERFORMANCE)["late"] == 1
    assert differences(derived(without_raw), performance_rows(events(sent))) == []


def same_partition(key: str) -> str:
    """Another node of the same partition."""
    home = partition_of(key, PARTITIONS)
    return next(name for name in (f"node-{i}" for i in range(1000)) if partition_of(name, PARTITIONS) == home)


def test_without_raw_events_no_pane_is_lost_when_a_worker_dies(without_raw: Pipeline) -> None:
    other = same_partition("node-a")
    run(without_raw, 6, performance(other, [0.1, 5]))
    run(without_raw, 9.9, performance("node-a", [0.2, 4]))
    run(without_raw, 10.6, performance(other, [10.5], seq=2))
    assert panes(without_raw, other) == {0: 2}
    assert panes(without_raw, "node-a") == {}
    without_raw.start()
    run(without_raw, 11, performance("node-a", [9.9, 10.1], seq=2))
    run(without_raw, 60)
    assert panes(without_raw, "node-a") == {0: 3, 10: 1}
    assert panes(without_raw, other) == {0: 2, 10: 1}
    assert without_raw.counts(PERFORMANCE)["late"] == 0


def test_without_raw_events_an_import_is_late_since_its_panes_cannot_be_computed(without_raw: Pipeline) -> None:
    live = performance("node-a", [1, 5])
    run(without_raw, 6, live, as_import(performance("node-a", [2, -HOUR])))
    run(without_raw, 60)
    assert differences(derived(without_raw), performance_rows(events(live))) == []
    assert without_raw.counts(PERFORMANCE)["late"] == 2


def test_without_raw_events_a_request_to_compute_again_changes_nothing(without_raw: Pipeline) -> None:
    run(without_raw, 6, performance("node-a", [1, 5]))
    number = partition_of("node-a", PARTITIONS)
    log = without_raw.log[PERFORMANCE, number]
    value = json.dumps({"v": 1, "kind": "recompute", "owner": "node-a", "places": [START]}).encode()
    log.append(Record(PERFORMANCE, number, len(log), b"node-a", value, 0, {RECOMPUTE: b"1"}))
    run(without_raw, 7)
    run(without_raw, 60)
    assert panes(without_raw) == {0: 2}


def test_a_pane_that_was_overwritten_is_right_again_when_it_is_asked_for(pipeline: Pipeline) -> None:
    sent = performance("node-a", [1, 5, 12])
    run(pipeline, 60, sent)
    run(pipeline, 90)
    right = derived(pipeline)
    for name in ("performance_10s", "performance_rolling", "performance_1m"):
        pipeline.store.delete(name)
    number = partition_of("node-a", PARTITIONS)
    log = pipeline.log[PERFORMANCE, number]
    value = json.dumps({"v": 1, "kind": "recompute", "owner": "node-a", "places": [START, START + 10 * SECOND]})
    log.append(Record(PERFORMANCE, number, len(log), b"node-a", value.encode(), 0, {RECOMPUTE: b"1"}))
    run(pipeline, 100)
    assert derived(pipeline) == right


@pytest.mark.parametrize(
    "retention",
    [RetentionSettings(raw_days=1), RetentionSettings(panes_days=1), RetentionSettings(raw_days=2, panes_days=1)],
    ids=str,
)
def test_a_row_whose_pane_may_have_lost_rows_to_the_retention_is_late_and_changes_nothing(
    tmp_path: Path, retention: RetentionSettings
) -> None:
    pipeline = Pipeline(tmp_path, store=StoreSettings(retention=retention))
    sent = performance("node-a", [1, 2, 1000])
    run(pipeline, 1001, sent)
    run(pipeline, 1060)
    before = derived(pipeline)
    later = DAY + HOUR / 4
    pipeline.store.expire((START + round(later * SECOND)) * 1000)
    kept = derived(pipeline)
    run(pipeline, later, performance("node-a", [1000.5], seq=3), as_import(performance("node-a", [1000.7])))
    run(pipeline, later + 60)
    assert pipeline.counts(PERFORMANCE)["late"] == 2
    assert derived(pipeline) == kept
    assert {key: before[key] for key in kept} == kept
    assert any(key.measurement == "performance_1h" and row["cpu_usage_count"] == 3 for key, row in kept.items())


def test_panes_of_a_node_that_is_live_go_on_however_short_the_retention(tmp_path: Path) -> None:
    pipeline = Pipeline(tmp_path, store=StoreSettings(retention=RetentionSettings(raw_days=0.001, panes_days=0.001)))
    sent = [performance("node-a", [s, s + 5], seq=2 * i) for i, s in enumerate((1, 11, 21))]
    for second, batch in zip((6, 16, 26), sent, strict=True):
        run(pipeline, second, batch)
    run(pipeline, 40)
    assert differences(derived(pipeline), performance_rows(events(*sent))) == []


def answer(learner: int, second: float) -> tuple[str, bytes]:
    """An interaction as another program sends it: no envelope, the learner as key."""
    name = f"p1_00000000_{learner:032x}"
    event = {
        "timestamp": datetime.fromtimestamp(START / 1e6 + second, UTC).isoformat(), "learner": name,
        "action": "quiz", "subject": "physics", "difficulty": "beginner", "response_time": 100.0, "accuracy": 1.0,
        "engagement_score": 5.0,
    }  # fmt: skip
    return name, json.dumps(event).encode()


def test_single_interactions_share_the_event_time_of_their_partition(pipeline: Pipeline) -> None:
    home = partition_of(answer(0, 0)[0], PARTITIONS)
    learners = [i for i in range(200) if partition_of(answer(i, 0)[0], PARTITIONS) == home]
    first, second, late = learners[:3]
    for learner, time in ((first, 1), (second, 100), (late, 2)):
        pipeline.append(INTERACTIONS, *answer(learner, time))
        run(pipeline, 100)
    assert pipeline.counts(INTERACTIONS)["late"] == 1
    book: Any = pipeline.lanes[INTERACTIONS]._deriver._books[home]  # type: ignore[attr-defined]
    assert len(book._clocks) == 1, "memory grows with the learners"
    run(pipeline, 200)
    (total,) = {
        sum(
            series.fields["accuracy_count"].sum()
            for series in pipeline.store.query(SeriesQuery(name, where={"by": "all"}))
        )
        for name in ("interactions_10s", "interactions_1m", "interactions_1h")
    }
    assert total == 3


def test_interactions_of_one_source_lie_in_its_shard(pipeline: Pipeline) -> None:
    run(pipeline, 60, interactions("app-1", [1, 2, 12], ["physics", "biology", "physics"]))
    run(pipeline, 90)
    (series,) = pipeline.store.query(SeriesQuery("interactions_1m", where={"by": "all"}))
    assert series.tags["shard"] == str(shard_of("app-1"))
    assert series.fields["accuracy_count"].tolist() == [3]
    assert series.fields["learners"].tolist() == [3]


def test_a_partition_that_comes_back_is_begun_from_the_store(pipeline: Pipeline) -> None:
    lane = pipeline.lanes[PERFORMANCE]
    sent = [performance("node-a", [1, 5]), performance("node-a", [6, 12], seq=2)]
    run(pipeline, 6, sent[0])
    lane.revoke(range(PARTITIONS))
    lane.flush(START / 1e6 + 7)
    assert panes(pipeline) == {}
    lane.assign(range(PARTITIONS))
    pipeline._read.clear()
    run(pipeline, 60, sent[1])
    run(pipeline, 90)
    assert differences(derived(pipeline), performance_rows(events(*sent))) == []
    assert pipeline.counts(PERFORMANCE)["stored"] == 4
