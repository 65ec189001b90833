from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.identity import stored_time
from smartlearn.core.settings import RetentionSettings
from smartlearn.core.stores.base import Points
from smartlearn.core.stores.sqlite import SqliteStore
from smartlearn.ops.export.json_file import write_json
from smartlearn.ops.export.records import ExportKind, Selection
from smartlearn.ops.export.tables import write_csv, write_parquet
from smartlearn.ops.timespan import Span

NOW = datetime(2026, 11, 25, 12, 0, 0, 5, UTC)
PERFORMANCE = [
    {
        "timestamp": f"2025-08-14T13:10:{second:02d}.853282",
        "cpu_usage": 65.01426462319233 + second,
        "memory_usage": 88.19122950939526,
        "gpu_memory_used": 5.970404955305347,
        "gpu_memory_total": 10.0,
        "response_time": 513.1593576972834,
        "model_accuracy": 0.8754051654033437,
        "user_engagement": 7.404980733731174,
    }
    for second in range(5)
]
TRAINING = [
    {
        "epoch": 1,
        "step": step,
        "training_loss": 2.5 / (step + 1),
        "validation_loss": None if step % 2 else 3.0 / (step + 1),
        "learning_rate": 3.695394302213151e-05,
        "accuracy": 0.0 if step == 0 else 0.5,
        "timestamp": "2025-08-14T13:10:51",
    }
    for step in range(7)
]
USERS = [
    {
        "timestamp": f"2025-08-14T13:10:51.{milliseconds:03d}000",
        "user_id": f"p1_00000000_{milliseconds:032x}",
        "action": "quiz",
        "subject": "physics",
        "difficulty": "easy",
        "response_time": 900.5,
        "accuracy": 1.0,
        "engagement_score": 1.0 + milliseconds / 100,
    }
    for milliseconds in (1, 2, 500)
]


def micros(text: str) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=UTC)
    return int(moment.replace(microsecond=0).timestamp()) * 10**6 + moment.microsecond


def column(records: list[dict[str, Any]], name: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([np.nan if record[name] is None else record[name] for record in records], dtype=np.float64)


def write(
    store: SqliteStore, kind: Kind, measurement: str, records: list[dict[str, Any]], tags: dict[str, Any], *texts: str
) -> None:
    """Store records as a worker does after an import."""
    numbers = [name for name in records[0] if name not in ("timestamp", "user_id", "action", "subject", "difficulty")]
    batch = Batch(
        kind,
        "import",
        "k",
        np.array([micros(record["timestamp"]) for record in records], dtype=np.int64),
        {name: column(records, name) for name in numbers},
        {},
        place=np.arange(len(records), dtype=np.int64) * 7919,
    )
    time, at = stored_time(batch)
    learners = {"learner": np.array([r["user_id"] for r in records], dtype=object)} if texts else {}
    fields = {**batch.numbers, **learners, "at": at}
    store.write([Points(measurement, time, {"source": "import", **tags}, fields)])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(tmp_path / "metrics.db", RetentionSettings())
    write(opened, Kind.PERFORMANCE, "performance", PERFORMANCE, {"node": "n1"})
    write(opened, Kind.TRAINING, "training", TRAINING, {"node": "n1", "run": "r1"})
    tags = {"subject": "physics", "difficulty": "easy", "action": "quiz", "shard": ["0", "17", "4"]}
    write(opened, Kind.INTERACTION, "interactions", USERS, tags, "learner")
    yield opened
    opened.close()


def exported(store: SqliteStore, selection: Selection | None = None) -> str:
    target = io.BytesIO()
    write_json(store, selection or Selection(), target, NOW)
    return target.getvalue().decode()


def test_what_was_stored_is_exported_as_it_came_in_the_original_layout(store: SqliteStore) -> None:
    text = exported(store)
    document = json.loads(text)
    assert document == {
        "export_timestamp": "2026-11-25T12:00:00.000005",
        "demo_info": {
            "description": "SmartLearn metrics export",
            "generated_at": "2026-11-25T12:00:00.000005",
            "total_performance_metrics": 5,
            "total_training_metrics": 7,
            "total_user_metrics": 3,
        },
        "performance_metrics": PERFORMANCE,
        "training_metrics": sorted(TRAINING, key=lambda r: r["step"]),  # type: ignore[arg-type, return-value]
        "user_metrics": USERS,
    }
    assert list(document["training_metrics"][0]) == list(TRAINING[0])
    assert list(document["performance_metrics"][0]) == list(PERFORMANCE[0])
    assert list(document["user_metrics"][0]) == list(USERS[0])
    assert isinstance(document["training_metrics"][0]["step"], int)
    indented = json.dumps(document, indent=2)
    assert text == indented.replace("3.695394302213151e-05", "0.00003695394302213151") + "\n"


def test_an_empty_store_exports_empty_arrays(tmp_path: Path) -> None:
    empty = SqliteStore(tmp_path / "empty.db", RetentionSettings())
    document = json.loads(exported(empty))
    empty.close()
    assert [document[name] for name in ("performance_metrics", "training_metrics", "user_metrics")] == [[], [], []]
    assert document["demo_info"]["total_user_metrics"] == 0


@pytest.mark.parametrize(
    ("selection", "counts"),
    [
        (Selection(ExportKind.TRAINING), (0, 7, 0)),
        (Selection(node="n1"), (5, 7, 0)),
        (Selection(node="other"), (0, 0, 0)),
        (Selection(run="r1"), (0, 7, 0)),
        (Selection(span=Span(micros("2025-08-14T13:10:02") * 1000, micros("2025-08-14T13:10:51") * 1000)), (3, 0, 0)),
    ],
)
def test_a_selection_holds_what_was_asked_for(
    store: SqliteStore, selection: Selection, counts: tuple[int, int, int]
) -> None:
    document = json.loads(exported(store, selection))
    arrays = ("performance_metrics", "training_metrics", "user_metrics")
    assert tuple(len(document[name]) for name in arrays) == counts
    assert tuple(document["demo_info"][f"total_{name}"] for name in arrays) == counts


def test_what_was_not_finite_is_exported_by_name(store: SqliteStore) -> None:
    time = np.array([micros("2025-08-15T00:00:00.000001") * 1000], dtype=np.int64)
    fields: dict[str, Any] = {"step": 9.0, "epoch": 2.0, "training_loss_nonfinite": "NaN", "learning_rate": 0.1}
    store.write([Points("training", time, {"run": "r2", "node": "n1"}, fields)])
    (record,) = json.loads(exported(store, Selection(run="r2")))["training_metrics"]
    assert record == {
        "epoch": 2, "step": 9, "training_loss": "NaN", "validation_loss": None, "learning_rate": 0.1,
        "accuracy": None, "timestamp": "2025-08-15T00:00:00.000001",
    }  # fmt: skip


def test_csv_carries_node_run_and_what_sources_added(store: SqliteStore) -> None:
    time = np.array([micros("2025-08-15T00:00:00.000001") * 1000], dtype=np.int64)
    store.write([Points("performance", time, {"node": "n2", "gpu": "0"}, {"disk_read": 12.5})])
    target = io.BytesIO()
    assert write_csv(store, Selection(), target) == 16
    rows = list(csv.DictReader(io.StringIO(target.getvalue().decode())))
    assert [row["kind"] for row in rows] == ["performance"] * 6 + ["training"] * 7 + ["interactions"] * 3
    assert rows[5] | {"disk_read": "12.5", "gpu": "0", "node": "n2", "cpu_usage": ""} == rows[5]
    assert rows[0]["timestamp"] == PERFORMANCE[0]["timestamp"]
    assert float(rows[0]["cpu_usage"]) == PERFORMANCE[0]["cpu_usage"]
    assert rows[6] | {"run": "r1", "node": "n1", "epoch": "1", "accuracy": rows[6]["accuracy"]} == rows[6]
    assert rows[-1] | {"user_id": str(USERS[-1]["user_id"]), "subject": "physics", "node": ""} == rows[-1]
    assert "at" not in rows[0]
    assert "shard" not in rows[0]


def test_parquet_holds_the_same_with_types(store: SqliteStore, tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    assert write_parquet(store, Selection(), path) == 15
    table = pq.read_table(path).to_pylist()
    assert [row["kind"] for row in table] == ["performance"] * 5 + ["training"] * 7 + ["interactions"] * 3
    assert table[0]["timestamp"] == datetime(2025, 8, 14, 13, 10, 0, 853282, UTC)
    assert table[0]["cpu_usage"] == PERFORMANCE[0]["cpu_usage"]
    assert table[0]["run"] is None
    losses = {row["step"]: row["validation_loss"] for row in table[5:12]}
    assert losses == {float(str(record["step"])): record["validation_loss"] for record in TRAINING}
    assert {row["user_id"] for row in table[12:]} == {record["user_id"] for record in USERS}


def test_a_field_that_was_never_finite_is_exported_by_its_name(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db")
    tags = {"run": "r", "node": "n", "source": "s"}
    fields: dict[str, Any] = {"epoch": 1.0, "step": 1.0, "learning_rate": 0.1, "training_loss_nonfinite": "NaN"}
    store.write([Points("training", np.array([1_790_000_000_000_000_000]), tags, fields)])
    target = io.BytesIO()
    write_json(store, Selection(), target, datetime(2026, 1, 1, tzinfo=UTC))
    store.close()
    (record,) = json.loads(target.getvalue())["training_metrics"]
    assert record["training_loss"] == "NaN"
    assert record["learning_rate"] == 0.1
