from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.reference import demo_export, load_export, rows_of
from tests.unit.dashboard import histories

from smartlearn.core.errors import InvalidExport
from smartlearn.core.settings import Settings
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.core.stores.sqlite import SqliteStore
from smartlearn.dashboard.sources import open_source
from smartlearn.dashboard.sources.memory import MemoryHistory
from smartlearn.dashboard.sources.records import Records, points_of


@dataclass
class Sample:
    timestamp: datetime
    cpu_usage: float
    memory_usage: float
    response_time: float | None = None


@dataclass
class Collector:
    performance_metrics: list[Any] = field(default_factory=list)
    training_metrics: list[Any] = field(default_factory=list)
    user_metrics: list[Any] = field(default_factory=list)


def test_an_export_has_the_rows_that_workers_would_store() -> None:
    events = load_export(demo_export(), node="tutor-1", run="smartlearn_demo_export")
    source = histories.export()
    compared = 0
    for key, fields in rows_of(events, shards=False).items():
        if "rolling" in key.measurement or key.measurement == "training_steps":
            continue
        where: dict[str, str | tuple[str, ...] | None] = dict(key.tags)
        query = SeriesQuery(key.measurement, key.time * 1000, key.time * 1000 + 1, tuple(fields), where)
        (series,) = source.history.query(query)
        for name, expected in fields.items():
            error = 0.01 if name.endswith(("_p50", "_p95", "_p99")) else 1e-9
            assert series.fields[name][0] == pytest.approx(expected, rel=error), (key, name)
            compared += 1
    assert compared > 10_000


def test_a_collector_is_read_as_an_export_is() -> None:
    document = json.loads(demo_export().read_text())
    collector = Collector(document["performance_metrics"], document["training_metrics"], document["user_metrics"])
    source = open_source(collector, Settings(node="tutor-1"))
    query = SeriesQuery("performance_1h", fields=("cpu_usage_mean",))
    (theirs,), (ours,) = histories.export().history.query(query), source.history.query(query)
    assert np.array_equal(theirs.fields["cpu_usage_mean"], ours.fields["cpu_usage_mean"])
    assert source.window == histories.export().window


def test_a_collector_of_dataclasses_without_zones_is_utc() -> None:
    moment = datetime(2026, 3, 2, 8, 0, 7)  # noqa: DTZ001  # as the original's code makes them
    source = open_source(Collector([Sample(moment, 50.0, 40.0)]), Settings(node="n"))
    (series,) = source.history.query(SeriesQuery("performance_10s", fields=("cpu_usage_mean",)))
    assert series.time.tolist() == [histories.after(0)]
    assert series.fields["cpu_usage_mean"].tolist() == [50.0]


def test_an_empty_collector_is_an_empty_history() -> None:
    source = open_source(Collector(), Settings())
    assert source.history.query(SeriesQuery("performance_1h")) == []
    assert source.window.span > 0


def test_a_store_is_shown_where_it_holds_something(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db")
    store.write(points_of(Records([{"timestamp": histories.START, "cpu_usage": 1.0}], [], [], "n", "r"), ()))
    source = open_source(store, Settings())
    assert source.window.start < histories.after(0) < source.window.stop
    assert source.now > source.window.stop
    store.close()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[1", "is not JSON"),
        ('{"performance_metrics": []}', "needs the lists"),
        (
            '{"performance_metrics": [{}], "training_metrics": [], "user_metrics": []}',
            r"performance_metrics\[0\] has no",
        ),
        (
            '{"performance_metrics": [], "training_metrics": [], "user_metrics": [{"timestamp": "noon"}]}',
            r"user_metrics\[0\].timestamp is not a time",
        ),
    ],
)
def test_a_broken_export_is_refused_in_a_sentence(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "export.json"
    path.write_text(content)
    with pytest.raises(InvalidExport, match=words):
        open_source(path, Settings())


def test_a_missing_export_is_refused_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidExport, match="cannot be read"):
        open_source(tmp_path / "none.json", Settings())


def test_anything_else_is_no_source() -> None:
    with pytest.raises(TypeError, match="not a source of figures"):
        open_source(object(), Settings())


def test_a_history_in_memory_answers_as_the_store_does(tmp_path: Path) -> None:
    document = json.loads(demo_export().read_text())
    records = Records(document["performance_metrics"], document["training_metrics"], document["user_metrics"], "n", "r")
    store = SqliteStore(tmp_path / "metrics.db")
    assert store.write(points_of(records, Settings().rules)) == []
    memory = MemoryHistory(points_of(records, Settings().rules))
    middle = histories.ns(histories.frames()["performance"]["timestamp"].iloc[144])
    queries = [
        SeriesQuery("performance_1m", fields=("cpu_usage_mean", "cpu_usage_sketch"), stop=middle),
        SeriesQuery("performance_1h", middle, None, ("memory_usage_count", "no_such_field"), {"node": ("n", "m")}),
        SeriesQuery("interactions_1h", where={"by": "subject", "difficulty": None}, fields=("accuracy_sum",)),
        SeriesQuery("interactions_1h", where={"by": "subject", "subject": "physics"}, fields=("distinct_learners",)),
        SeriesQuery("training", where={"run": "r"}, fields=("step", "training_loss"), between={"step": (100.0, 200.0)}),
        SeriesQuery("training", where={"run": "r"}, fields=("step",), limit=7, newest_first=True),
        SeriesQuery("performance_1m", fields=("cpu_usage_sum",), every=7_200_000_000_000, agg="sum"),
        SeriesQuery("health", fields=("score",), every=3_600_000_000_000, agg="min"),
        SeriesQuery("health", fields=("score",), every=3_600_000_000_000, agg="count"),
        SeriesQuery("nothing"),
    ]
    for query in queries:
        theirs, ours = store.query(query), memory.query(query)
        assert [one.tags for one in theirs] == [one.tags for one in ours], query
        for one, other in zip(theirs, ours, strict=True):
            assert one.time.tolist() == other.time.tolist(), query
            for name, column in one.fields.items():
                assert np.array_equal(_comparable(column), _comparable(other.fields[name])), (query, name)
    assert memory.tag_values("interactions_1h", "subject") == store.tag_values("interactions_1h", "subject")
    for one, other in zip(store.latest("health", ("score",)), memory.latest("health", ("score",)), strict=True):
        assert one.fields["score"].tolist() == other.fields["score"].tolist()
    store.close()


def _comparable(column: Any) -> Any:
    return column if column.dtype == np.object_ else np.nan_to_num(column, nan=-1.0).round(9)
