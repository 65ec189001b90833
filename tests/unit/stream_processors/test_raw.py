"""One point an event, under tags and fields that the contract names, written in few parts."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.stream_processors.making import START, as_import, at, interactions, performance, training

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.codec import decode
from smartlearn.core.identity import exact_time
from smartlearn.core.stores.base import Points, Refused, Series, SeriesQuery
from smartlearn.core.stores.sqlite import SqliteStore
from smartlearn.stream_processors.raw import RawPoints, raw_points


@pytest.fixture
def store(tmp_path: Path) -> SqliteStore:
    return SqliteStore(tmp_path / "metrics.db")


def contents(store: SqliteStore, measurement: str) -> list[dict[str, Any]]:
    """Every stored row as a dict of its tags, fields and time."""
    rows: list[dict[str, Any]] = []
    for series in store.query(SeriesQuery(measurement)):
        for index, time in enumerate(series.time.tolist()):
            fields = {name: column.tolist()[index] for name, column in series.fields.items()}
            present = {
                k: v for k, v in fields.items() if v is not None and not (isinstance(v, float) and math.isnan(v))
            }
            rows.append({"time": time, **series.tags, **present})
    return sorted(rows, key=lambda row: sorted((k, str(v)) for k, v in row.items()))


def test_a_sample_is_a_point_of_its_node_and_source() -> None:
    batch = performance("node-a", [1.5], 40.0, texts={"gpu": np.array(["0"], np.object_), "model_version": "v1"})
    points = raw_points(batch)
    assert points.measurement == "performance"
    assert points.tags == {"source": "host", "node": "node-a", "gpu": ["0"], "model_version": "v1"}
    assert {name: np.asarray(column).tolist() for name, column in points.fields.items()} == {
        "cpu_usage": [40.0],
        "at": [START + 1.5e6],
    }


def test_an_exact_time_is_kept_where_the_clock_was_coarser_than_a_microsecond() -> None:
    batch = performance("node-a", [1, 2.5, 3.000001])
    points = raw_points(batch)
    exact = np.asarray(points.fields["at"], np.float64)
    assert np.isnan(exact).tolist() == [False, False, True]
    assert exact_time(points.time, exact).tolist() == batch.timestamp.tolist()
    fine = raw_points(performance("node-a", [1.000001, 2.000001]))
    assert "at" not in fine.fields


def test_a_learner_is_a_field_and_the_shard_a_tag() -> None:
    points = raw_points(interactions("app-1", [1, 2], ["physics", "biology"]), 17)
    assert points.tags == {
        "source": "app-1", "action": "quiz", "difficulty": "beginner", "subject": ["physics", "biology"], "shard": "17",
    }  # fmt: skip
    assert np.asarray(points.fields["learner"]).tolist() == [f"p1_00000000_{row:032x}" for row in range(2)]


@pytest.mark.parametrize(
    ("kind", "value", "tags", "fields"),
    [
        (
            Kind.RUN,
            b'{"timestamp":"2026-09-21T14:13:20Z","run":"r","node":"n","type":"start","payload":{"lr":1}}',
            {"source": "external", "run": "r", "node": "n", "type": "start"},
            {"payload": '{"lr":1}'},
        ),
        (
            Kind.ANNOTATION,
            b'{"timestamp":"2026-09-21T14:13:20Z","scope":"all","text":"deployed","author":"ops"}',
            {"source": "external", "scope": "all"},
            {"text": "deployed", "author": "ops"},
        ),
    ],
)
def test_texts_that_are_no_label_are_fields(kind: Kind, value: bytes, tags: Any, fields: Any) -> None:
    points = raw_points(decode(value, kind=kind, topic_boot="t", partition=0, offset=0))
    assert points.tags == tags
    assert {name: column for name, column in points.fields.items() if name != "at"} == fields


def test_a_value_that_is_not_finite_is_named_and_its_field_left_out(store: SqliteStore) -> None:
    batch = training("run-1", [1, 2, 3, 4], [0.5, math.nan, math.nan, math.nan])
    codes = {"training_loss": np.array([0, 1, 2, 3], np.int8)}
    store.write([raw_points(Batch(**{**fields_of(batch), "nonfinite": codes}))])
    rows = sorted(contents(store, "training"), key=lambda row: row["step"])
    assert [row.get("training_loss") for row in rows] == [0.5, None, None, None]
    assert [row.get("training_loss_nonfinite") for row in rows] == [None, "NaN", "Infinity", "-Infinity"]


def fields_of(batch: Batch) -> dict[str, Any]:
    return {name: getattr(batch, name) for name in Batch.__dataclass_fields__}


def one_row(kind: int, number: int) -> Batch:
    """One of several kinds of one-row batches, all of them different rows."""
    if kind == 0:
        return performance(f"node-{number % 3}", [number], float(number), seq=number)
    if kind == 1:
        return performance("node-a", [number], seq=number, memory_usage=number % 100, texts={"gpu": f"{number % 2}"})
    if kind == 2:
        texts = {"model_version": np.array([None if number % 2 else "v1"], np.object_)}
        return performance("node-a", [number + 0.000001], seq=number, sender="model", texts=texts)
    if kind == 3:
        batch = performance("node-a", [number], math.nan, seq=number, response_time=1.0)
        return Batch(**{**fields_of(batch), "nonfinite": {"cpu_usage": np.array([1], np.int8)}})
    return as_import(performance(f"node-{number % 2}", [number]), number)


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 10_000)), max_size=25, unique_by=lambda each: each[1]))
def test_joined_points_are_the_same_points_in_fewer_parts(messages: list[tuple[int, int]]) -> None:
    batches = [one_row(kind, number) for kind, number in messages]
    held: RawPoints[int] = RawPoints()
    for index, batch in enumerate(batches):
        held.add(raw_points(batch), index)
    joined = held.joined()
    assert len(held) == len(batches) == sum(len(points) for points in joined)
    assert len(joined) <= 5
    assert rows_in(joined) == rows_in([raw_points(batch) for batch in batches])


def rows_in(parts: list[Points]) -> list[Any]:
    """The points row by row: measurement, time, tags and fields that are there."""
    rows = []
    for points in parts:
        for row in range(len(points)):
            tags = {n: c if c is None or isinstance(c, str) else c[row] for n, c in points.tags.items()}
            fields: dict[str, Any] = {}
            for name, column in points.fields.items():
                value = column if column is None or isinstance(column, str | float) else column[row]
                if value is not None and not (isinstance(value, float) and math.isnan(value)):
                    fields[name] = value
            rows.append((points.measurement, int(points.time[row]), {n: v for n, v in tags.items() if v}, fields))
    return sorted(rows, key=repr)


def test_many_rows_of_one_message_stay_a_part_of_their_own() -> None:
    held: RawPoints[int] = RawPoints()
    large = raw_points(performance("node-a", list(range(1000))))
    held.add(large, 0)
    held.add(raw_points(performance("node-b", [1])), 1)
    held.add(raw_points(performance("node-c", [1])), 2)
    assert [points is large for points in held.joined()] == [True, False]
    assert [len(points) for points in held.joined()] == [1000, 2]


def test_a_refused_point_is_found_in_the_message_it_came_in() -> None:
    held: RawPoints[str] = RawPoints()
    for name in ("node-a", "node-b"):
        held.add(raw_points(performance(name, [1, 2], texts={"gpu": np.array([None, "0"], np.object_)})), name)
    time = raw_points(performance("node-b", [1, 2])).time.tolist()
    refused = [
        Refused("performance", {"source": "host", "node": "node-b"}, time[0], "no"),
        Refused("performance", {"source": "host", "node": "node-b", "gpu": "0"}, time[1], "no"),
    ]
    assert held.origins(refused) == ["node-b", "node-b"]
    held.clear()
    assert len(held) == 0
    assert held.joined() == []


def test_equal_second_resolution_rows_of_one_sender_never_share_a_point() -> None:
    times = np.concatenate([at(*[5] * 5000), at(*[6] * 5000)])
    batch = Batch(Kind.PERFORMANCE, "host", "n", times, {"cpu_usage": np.ones(10_000)}, {"node": "n"}, boot="b", seq=0)
    assert len(np.unique(raw_points(batch).time)) == 10_000


def test_a_series_read_back_has_the_rows_that_were_written(store: SqliteStore) -> None:
    held: RawPoints[None] = RawPoints()
    for number in range(300):
        held.add(raw_points(one_row(number % 5, number)), None)
    assert store.write(held.joined()) == []
    found: list[Series] = store.query(SeriesQuery("performance"))
    assert sum(len(series) for series in found) == 300
