from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from smartlearn.core import schemas
from smartlearn.core.schemas import Alert, HealthScore, Live, PerformanceEvent, Rollup, metric_fault

SCHEMAS = Path(__file__).parents[3] / "docs" / "schemas"


def test_the_schemas_in_the_documentation_are_those_of_the_models() -> None:
    written = {path.name: path.read_text(encoding="utf-8") for path in SCHEMAS.glob("*.json")}
    assert written == schemas.json_schemas(), "run: python -m smartlearn.core.schemas docs/schemas"


def test_writing_the_schemas_makes_one_json_file_a_message(tmp_path: Path) -> None:
    schemas.write_json_schemas(tmp_path / "schemas")
    files = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in (tmp_path / "schemas").iterdir()}
    assert files.keys() == schemas.MESSAGES.keys()
    assert all(schema["type"] == "object" for schema in files.values())


def test_numeric_fields_have_the_bounds_of_the_contract() -> None:
    assert list(schemas.PERFORMANCE_FIELDS) == [
        "cpu_usage", "memory_usage", "gpu_memory_used", "gpu_memory_total",
        "response_time", "model_accuracy", "user_engagement",
    ]  # fmt: skip
    assert schemas.PERFORMANCE_FIELDS["cpu_usage"] == (0.0, 100.0)
    assert schemas.PERFORMANCE_FIELDS["model_accuracy"] == (0.0, 1.0)
    assert schemas.PERFORMANCE_FIELDS["user_engagement"] == (1.0, 10.0)
    assert list(schemas.TRAINING_FIELDS) == [
        "epoch", "step", "training_loss", "learning_rate", "validation_loss", "accuracy",
    ]  # fmt: skip
    assert list(schemas.INTERACTION_FIELDS) == ["response_time", "accuracy", "engagement_score"]
    assert schemas.INTERACTION_FIELDS["engagement_score"] == (1.0, 10.0)


@pytest.mark.parametrize("name", ["disk_read", "a", "x9", "thread_count", "a" * 64])
def test_a_metric_may_have_a_name_of_its_own(name: str) -> None:
    assert metric_fault(name) is None


@pytest.mark.parametrize("name", ["", "A", "9x", "a.b", "a-b", "a" * 65, "é", "a\n"])
def test_a_metric_of_another_form_is_refused(name: str) -> None:
    assert metric_fault(name) == "must be 1 to 64 of a-z, 0-9 and _, a letter first"


@pytest.mark.parametrize(
    "name", ["cpu_usage", "node", "at", "learner", "gpu_memory", "x_sketch", "x_learners", "x_nonfinite", "metrics"]
)
def test_a_metric_may_not_take_a_name_of_the_contract(name: str) -> None:
    assert metric_fault(name) == "is a name that the contract uses itself"


def test_a_time_without_a_zone_is_utc() -> None:
    event = PerformanceEvent.model_validate_json('{"timestamp": "2026-01-01T12:00:00", "node": "n", "cpu_usage": 1}')
    assert event.timestamp == datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize("change", ['"cpu_usage": 101', '"cpu_usage": true', '"cpu_usage": "1"', '"surprise": 1'])
def test_an_event_is_as_strict_as_the_codec(change: str) -> None:
    with pytest.raises(ValidationError):
        PerformanceEvent.model_validate_json(f'{{"timestamp": "2026-01-01T12:00:00Z", "node": "n", {change}}}')


def test_an_alert_writes_its_time_as_iso_utc() -> None:
    alert = Alert(
        id="0" * 32, fingerprint="cpu_usage:node-1", rule="cpu_usage", node="node-1", state="warning", previous="ok",
        value=71.5, threshold=70.0, action="Optimize processes", revision=0,
        at=datetime(2026, 1, 1, 12, 0, 10, tzinfo=UTC),
    )  # fmt: skip
    written = json.loads(alert.model_dump_json())
    assert written == {
        "v": 1, "id": "0" * 32, "fingerprint": "cpu_usage:node-1", "rule": "cpu_usage", "node": "node-1",
        "state": "warning", "previous": "ok", "value": 71.5, "threshold": 70.0, "action": "Optimize processes",
        "at": "2026-01-01T12:00:10Z", "revision": 0,
    }  # fmt: skip
    assert Alert.model_validate_json(alert.model_dump_json()) == alert


def test_health_and_rollup_come_back_from_their_json() -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    health = HealthScore(node="n", at=at, score=91.0, status="ok", components={"cpu_usage": 85.0})
    assert HealthScore.model_validate_json(health.model_dump_json()) == health
    rollup = Rollup(measurement="performance_1m", tags={"node": "n"}, time=at, fields={"cpu_usage_mean": 3.5})
    assert Rollup.model_validate_json(rollup.model_dump_json()) == rollup


def test_a_live_message_is_read_with_what_the_worker_counted() -> None:
    live = Live.model_validate_json(
        '{"v":1,"kind":"live","worker":"worker-1","pid":7,"sent":5,"assigned":{"smartlearn.performance":[0,3]},'
        '"counts":{"smartlearn.performance":{"in":9,"stored":7,"late":1,"duplicate":1,"forwarded":0,"dead":1}},'
        '"lag":{"smartlearn.performance":2},"performance":{"timestamp":[1],"node":["n"],"cpu_usage":[null]},'
        '"training":{},"interactions":{}}'
    )
    assert live.counts["smartlearn.performance"].received == 9
    assert json.loads(live.model_dump_json(by_alias=True))["counts"]["smartlearn.performance"]["in"] == 9
