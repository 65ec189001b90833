from __future__ import annotations

import io
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smartlearn.core.batch import Kind
from smartlearn.core.errors import InvalidExport
from smartlearn.core.export_format import write_export
from smartlearn.core.export_reading import read_export

SAMPLE = Path(__file__).parents[4] / "shared" / "data" / "smartlearn_demo_export.json"

PERFORMANCE: dict[str, Any] = {
    "timestamp": "2025-08-15T13:10:52.012588", "cpu_usage": 65, "memory_usage": 88.5, "gpu_memory_used": None,
    "gpu_memory_total": None, "response_time": 513.25, "model_accuracy": 0.875, "user_engagement": 7.5,
}  # fmt: skip
TRAINING: dict[str, Any] = {
    "epoch": 1, "step": 5, "training_loss": 2.5, "validation_loss": 2.75, "learning_rate": 1e-4, "accuracy": None,
    "timestamp": "2025-08-15T13:10:52",
}  # fmt: skip
USER: dict[str, Any] = {
    "timestamp": "2025-08-15T13:10:52", "user_id": "user_3", "action": "quiz", "subject": "biology",
    "difficulty": "advanced", "response_time": 1994.5, "accuracy": 0.5, "engagement_score": 6.5,
}  # fmt: skip


def content(**arrays: Any) -> dict[str, Any]:
    return {
        "export_timestamp": "2025-08-15T13:10:52",
        "demo_info": {"description": "x"},
        "performance_metrics": [PERFORMANCE],
        "training_metrics": [TRAINING],
        "user_metrics": [USER],
        **arrays,
    }


def file(tmp_path: Path, value: object) -> Path:
    path = tmp_path / "export.json"
    path.write_bytes(value if isinstance(value, bytes) else json.dumps(value, indent=1).encode())
    return path


def test_a_file_is_read_by_kind_and_column(tmp_path: Path) -> None:
    found = read_export(file(tmp_path, content()))
    performance, training, users = found[Kind.PERFORMANCE], found[Kind.TRAINING], found[Kind.INTERACTION]
    utc = datetime(2025, 8, 15, 13, 10, 52, 12588, tzinfo=UTC)
    assert performance.timestamp.tolist() == [(utc - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)]
    assert performance.numbers["cpu_usage"].tolist() == [65.0]
    assert math.isnan(performance.numbers["gpu_memory_used"][0])
    assert training.numbers["step"].tolist() == [5.0]
    assert users.texts["user_id"] == ["user_3"]
    assert [list(table.records()) for table in found.values()] == [[PERFORMANCE], [TRAINING], [USER]]


@pytest.mark.skipif(not SAMPLE.exists(), reason="the sample export is not part of the repository")
def test_the_original_applications_export_survives_reading_and_writing() -> None:
    found = read_export(SAMPLE)
    assert [len(table) for table in found.values()] == [288, 200, 200]
    stream = io.BytesIO()
    write_export(
        stream,
        {kind: [list(table.records())] for kind, table in found.items()},
        now=datetime(2026, 1, 1, 12, tzinfo=timezone(timedelta(hours=1))),
    )
    written, original = json.loads(stream.getvalue()), json.loads(SAMPLE.read_bytes())
    for name in ("performance_metrics", "training_metrics", "user_metrics"):
        assert written[name] == original[name]
    assert list(written) == list(original)
    assert list(written["demo_info"]) == list(original["demo_info"])
    assert written["export_timestamp"] == "2026-01-01T11:00:00"
    assert [written["demo_info"][name] for name in list(written["demo_info"])[2:]] == [288, 200, 200]


def test_losses_that_are_not_finite_are_read_as_words_and_as_pythons_json_writes_them(tmp_path: Path) -> None:
    losses = [math.nan, math.inf, -math.inf, "NaN", "Infinity", "-Infinity", 1.5]
    path = file(tmp_path, content(training_metrics=[{**TRAINING, "training_loss": loss} for loss in losses]))
    table = read_export(path)[Kind.TRAINING]
    assert table.nonfinite["training_loss"].tolist() == [1, 2, 3, 1, 2, 3, 0]
    assert [record["training_loss"] for record in table.records()] == ["NaN", "Infinity", "-Infinity"] * 2 + [1.5]


def test_an_export_without_records_is_one(tmp_path: Path) -> None:
    stream = io.BytesIO()
    counts = write_export(stream, {}, now=datetime.now(UTC))
    assert set(counts.values()) == {0}
    assert [len(table) for table in read_export(file(tmp_path, stream.getvalue())).values()] == [0, 0, 0]


def test_numbers_that_are_not_finite_are_written_as_words() -> None:
    stream = io.BytesIO()
    write_export(stream, {Kind.TRAINING: [[{**TRAINING, "training_loss": -math.inf}]]}, now=datetime.now(UTC))
    assert json.loads(stream.getvalue())["training_metrics"][0]["training_loss"] == "-Infinity"


def test_a_file_larger_than_what_is_read_at_once_is_read_whole(tmp_path: Path) -> None:
    records = [{**USER, "user_id": f"üser_{n}", "response_time": n + 0.25} for n in range(20_000)]
    path = file(tmp_path, content(user_metrics=records))
    assert path.stat().st_size > 3 << 20
    table = read_export(path)[Kind.INTERACTION]
    assert table.texts["user_id"] == [record["user_id"] for record in records]
    np.testing.assert_array_equal(table.numbers["response_time"], [record["response_time"] for record in records])


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_where_the_pieces_of_a_file_end_does_not_matter(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("smartlearn.core.json_stream._CHUNK", chunk)
    path = file(tmp_path, content(user_metrics=[{**USER, "user_id": "\u20ac\U0001f600", "response_time": 12345}]))
    (record,) = read_export(path)[Kind.INTERACTION].records()
    assert (record["user_id"], record["response_time"]) == ("\u20ac\U0001f600", 12345.0)


def test_a_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    assert len(read_export(file(tmp_path, b"\xef\xbb\xbf" + json.dumps(content()).encode()))[Kind.TRAINING]) == 1


@pytest.mark.parametrize(
    ("array", "record", "words"),
    [
        ("performance_metrics", {**PERFORMANCE, "cpu_usage": 120}, ["cpu_usage", "120", "between 0 and 100"]),
        ("performance_metrics", {**PERFORMANCE, "cpu_usage": "high"}, ["cpu_usage", "number"]),
        ("performance_metrics", {**PERFORMANCE, "cpu_usage": True}, ["cpu_usage", "number"]),
        ("performance_metrics", {**PERFORMANCE, "cpu_usage": 10**400}, ["cpu_usage", "too large"]),
        ("performance_metrics", {**PERFORMANCE, "timestamp": "yesterday"}, ["timestamp", "ISO 8601"]),
        ("performance_metrics", {**PERFORMANCE, "timestamp": 5}, ["timestamp", "ISO 8601"]),
        ("performance_metrics", {**PERFORMANCE, "timestamp": "1815-12-10T00:00:00"}, ["timestamp", "1970"]),
        ("performance_metrics", {**PERFORMANCE, "timestamp": None}, ["timestamp"]),
        ("performance_metrics", {**PERFORMANCE, "node": "n"}, ["unknown field", "node"]),
        ("performance_metrics", {"timestamp": "2025-08-15T13:10:52", "cpu_usage": 1}, ["memory_usage is missing"]),
        ("performance_metrics", dict.fromkeys(PERFORMANCE) | {"timestamp": "2025-08-15T13:10:52"}, ["no number"]),
        ("performance_metrics", [], ["object"]),
        ("training_metrics", {**TRAINING, "step": -1}, ["step"]),
        ("training_metrics", {**TRAINING, "step": 1.5}, ["step", "whole"]),
        ("training_metrics", {**TRAINING, "step": "NaN"}, ["step", "whole"]),
        ("training_metrics", {**TRAINING, "training_loss": None}, ["training_loss", "null"]),
        ("user_metrics", {**USER, "user_id": ""}, ["user_id"]),
        ("user_metrics", {**USER, "user_id": 3}, ["user_id"]),
        ("user_metrics", {**USER, "accuracy": 1.5}, ["accuracy", "between 0 and 1"]),
        ("user_metrics", {**USER, "engagement_score": 0}, ["engagement_score", "between 1 and 10"]),
        ("user_metrics", {**USER, "subject": ["biology"]}, ["subject"]),
    ],
)  # fmt: skip
def test_a_fault_names_the_array_the_record_and_the_field(
    tmp_path: Path, array: str, record: object, words: list[str]
) -> None:
    good = content()[array][0]
    path = file(tmp_path, content(**{array: [good, good, record, good]}))
    with pytest.raises(InvalidExport) as caught:
        read_export(path)
    said = str(caught.value)
    assert str(path) in said
    assert f"{array}[2]" in said
    assert "record 3" in said
    assert "\n" not in said
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"  \n ", "empty"),
        (b"hello", "object"),
        (b"[]", "object"),
        (b"{}", "performance_metrics is missing"),
        (b'{"performance_metrics": 5}', "performance_metrics must be an array"),
        (b'{"performance_metrics": [], "performance_metrics": []}', "twice"),
        (b'{"performance_metrics": [], "other": 1}', "other"),
        (b'{"performance_metrics": [], "training_metrics": []}', "user_metrics is missing"),
        (b'{"performance_metrics": [}', "line 1"),
        (b'{"performance_metrics": [],\n "training_metrics": [] "user_metrics": []}', "line 2"),
        (b'{"performance_metrics": [1 2]}', "object"),
        (b'{"performance_metrics": [', "too early"),
        (b'{"performance_metrics"', "too early"),
        (b"{performance_metrics: []}", "quotes"),
        (json.dumps(content()).encode() + b"x", "follow"),
        (json.dumps(content()).encode("utf-16"), "UTF-8"),
        (json.dumps(content()).encode()[:-20] + b"\xff\xfe", "UTF-8"),
        (b'{"performance_metrics": [' + b"[" * 100_000, "nested"),
        (b'{"demo_info": ' + b"1" * 10_000 + b"}", "digits"),
    ],
)
def test_a_file_of_another_form_is_refused_in_one_sentence(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(InvalidExport) as caught:
        read_export(file(tmp_path, data))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["nowhere.json", "."])
def test_what_cannot_be_read_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidExport, match="cannot be read"):
        read_export(tmp_path / name)
