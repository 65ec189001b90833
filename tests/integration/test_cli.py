"""The commands against a running stack that holds an export of the original SmartLearn."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import Producer
from tests.stacks import COMMAND, PATIENCE_S, Stack, environment, until

pytestmark = pytest.mark.integration

Records = list[dict[str, Any]]


def without_user(records: Records) -> list[str]:
    """The records as sorted text, the learners' names aside."""
    return sorted(json.dumps({name: value for name, value in r.items() if name != "user_id"}) for r in records)


def test_what_was_imported_is_exported_field_for_field(imported: Stack, export_file: Path) -> None:
    original = json.loads(export_file.read_text())
    exported = imported.json("export", "--stop", "2025-08-16")
    assert exported["performance_metrics"] == original["performance_metrics"]
    assert exported["training_metrics"] == original["training_metrics"]
    assert without_user(exported["user_metrics"]) == without_user(original["user_metrics"])
    assert list(exported) == list(original)
    assert list(exported["demo_info"]) == list(original["demo_info"])
    users = {without_user([record])[0]: record["user_id"] for record in original["user_metrics"]}
    assert len(users) == 200
    pairs = {(users[without_user([record])[0]], record["user_id"]) for record in exported["user_metrics"]}
    assert len(pairs) == len({user for user, _ in pairs}) == len({name for _, name in pairs})
    assert all(name.startswith("p1_") for _, name in pairs)


def test_a_second_import_changes_nothing(imported: Stack, export_file: Path) -> None:
    def everything() -> dict[str, Records]:
        names = ("performance", "training", "interactions", "performance_1h", "interactions_1h", "alerts", "health")
        return {name: imported.query(name, "--stop", "2025-08-16") for name in names}

    before = everything()
    imported.call("import", str(export_file), "--node", "laptop", "--run", "run-1", "--wait")
    assert everything() == before


def test_an_export_reads_back_into_the_same(imported: Stack, tmp_path: Path) -> None:
    imported.call("export", "--stop", "2025-08-16", "-o", str(tmp_path / "again.json"))
    before = imported.query("interactions", "--stop", "2025-08-16")
    imported.call("import", str(tmp_path / "again.json"), "--node", "laptop", "--run", "run-1", "--wait")
    assert imported.query("interactions", "--stop", "2025-08-16") == before


def test_rolling_rows_can_be_piped(imported: Stack) -> None:
    rows = imported.query(
        "performance_rolling", "--field", "cpu_usage_mean", "--where", "window=1m", "--where", "node=laptop"
    )
    assert len(rows) == 288
    assert list(rows[0]) == ["time", "node", "window", "cpu_usage_mean"]
    assert rows[0]["time"] == "2025-08-14T13:11:00Z"
    assert rows[0]["cpu_usage_mean"] == pytest.approx(65.01426462319233, rel=1e-11)
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)


def test_windows_agree_with_plain_arithmetic(imported: Stack, export_file: Path) -> None:
    records = json.loads(export_file.read_text())["performance_metrics"]
    by_hour: dict[str, list[float]] = {}
    for record in records:
        by_hour.setdefault(record["timestamp"][:13], []).append(record["cpu_usage"])
    for agg, combine in (("max", max), ("count", len), ("last", lambda values: values[-1])):
        arguments = ("--field", "cpu_usage", "--where", "node=laptop", "--every", "1h", "--agg", agg)
        rows = imported.query("performance", *arguments)
        assert {row["time"]: row["cpu_usage"] for row in rows} == {
            f"{hour}:00:00Z": combine(values) for hour, values in by_hour.items()
        }


def test_interactions_of_all_shards_are_one_series(imported: Stack, export_file: Path) -> None:
    records = json.loads(export_file.read_text())["user_metrics"]
    rows = imported.query("interactions_1h", "--where", "by=all", "--field", "accuracy_count", "--field", "learners")
    assert all("shard" not in row for row in rows)
    learners: dict[str, set[str]] = {}
    for record in records:
        learners.setdefault(f"{record['timestamp'][:13]}:00:00Z", set()).add(record["user_id"])
    assert {row["time"]: row["learners"] for row in rows} == {hour: len(ids) for hour, ids in learners.items()}
    assert sum(row["accuracy_count"] for row in rows) == 200


def test_alerts_are_the_same_in_the_store_and_on_the_topic(imported: Stack) -> None:
    stored = imported.json("alerts", "list", "--stop", "2025-08-16", "--format", "json")
    assert stored
    command = [*COMMAND, "alerts", "tail", "--from-beginning", "--data-dir", str(imported.data_dir)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as tail:
        assert tail.stdout is not None
        found = {}
        for line in tail.stdout:
            alert = json.loads(line)
            found[alert["id"]] = alert
            if found.keys() >= {alert["id"] for alert in stored}:
                break
        tail.terminate()
    assert [found[alert["id"]] for alert in stored] == stored
    assert set(stored[0]) >= {
        "id", "fingerprint", "rule", "node", "state", "previous", "value", "threshold", "action", "at",
    }  # fmt: skip


def test_a_bad_message_is_counted_and_named_on_the_dead_letter_topic(imported: Stack) -> None:
    producer = Producer({"bootstrap.servers": imported.kafka})
    producer.produce("smartlearn.performance", key="n", value=b'{"timestamp": "yesterday"}')
    assert producer.flush(10) == 0

    def dead() -> int:
        state = imported.json("status", "--format", "json")
        return int(state["counts"]["dead"])

    until(lambda: dead() >= 1)
    topics = {row["topic"]: row for row in imported.json("topics", "list", "--format", "json")}
    assert topics["smartlearn.dead-letter"]["messages"] >= 1
    assert topics["smartlearn.performance"]["partitions"] == 12


def test_an_event_of_another_program_is_stored(imported: Stack) -> None:
    event = {"timestamp": "2026-01-05T10:00:00Z", "node": "by-hand", "cpu_usage": 12.5}
    producer = Producer({"bootstrap.servers": imported.kafka, "partitioner": "murmur2_random"})
    producer.produce("smartlearn.performance", key="by-hand", value=orjson.dumps(event))
    assert producer.flush(10) == 0
    arguments = ("performance", "--where", "node=by-hand")
    until(lambda: len(imported.query(*arguments)) == 1)
    (row,) = imported.query(*arguments)
    assert row == {
        "time": "2026-01-05T10:00:00.000000Z", "node": "by-hand", "source": "external", "cpu_usage": 12.5,
    }  # fmt: skip


def test_topics_create_finds_everything_as_it_should_be(imported: Stack) -> None:
    done = imported.call("topics", "create")
    assert done.stdout == "all topics are as they should be\n"


def test_doctor_finds_nothing_wrong(imported: Stack) -> None:
    findings = {row["check"]: row for row in imported.json("doctor", "--format", "json")}
    assert {row["state"] for row in findings.values()} <= {"ok", "warning"}
    assert "SQLite" in findings["store"]["detail"]
    assert imported.kafka in findings["broker"]["detail"]
    assert findings["workers"]["detail"].startswith("2 of 2")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "is not an export"),
        ("{", "is not an export"),
        ("[]", "is not an export"),
        ('{"performance_metrics": [{"timestamp": "2025-01-01T00:00:00"}]}', "cpu_usage is missing"),
    ],
)
def test_a_file_that_is_no_export_is_refused_in_one_sentence(
    imported: Stack, tmp_path: Path, content: str, sentence: str
) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content)
    done = imported.call("import", str(path), check=False)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert str(path) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_of_a_file_with_one_bad_record_nothing_is_imported(imported: Stack, export_file: Path, tmp_path: Path) -> None:
    document = json.loads(export_file.read_text())
    document["training_metrics"][150]["learning_rate"] = "fast"
    (tmp_path / "bad.json").write_text(json.dumps(document))
    done = imported.call("import", str(tmp_path / "bad.json"), "--node", "half", "--run", "half", check=False)
    assert done.returncode == 2
    assert "training_metrics[150]" in done.stderr
    assert "learning_rate" in done.stderr
    assert imported.query("performance", "--where", "node=half") == []


def test_csv_has_every_event_with_its_node_and_run(imported: Stack) -> None:
    arguments = ("export", "--format", "csv", "--stop", "2025-08-16")
    rows = list(csv.DictReader(io.StringIO(imported.call(*arguments).stdout)))
    assert [sum(row["kind"] == kind for row in rows) for kind in ("performance", "training", "interactions")] == [
        288, 200, 200,
    ]  # fmt: skip
    assert {(row["node"], row["run"]) for row in rows} == {("laptop", ""), ("laptop", "run-1"), ("", "")}


def test_everything_is_refused_while_the_stack_runs(imported: Stack) -> None:
    refused = imported.call("reset", "--yes", check=False)
    assert refused.returncode == 1
    assert "stop it first" in refused.stderr


def test_reset_removes_what_we_made_and_nothing_else(tmp_path: Path, imported: Stack) -> None:
    folder = tmp_path / "data"
    (folder / "logs").mkdir(parents=True)
    for name in ("metrics.db", "pseudonym.key", "mine.txt"):
        (folder / name).write_text("x")
    command = [*COMMAND, "reset", "--data-dir", str(folder)]
    asked = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, stdin=subprocess.DEVNULL,
        env=environment(),
    )  # fmt: skip
    assert asked.returncode == 2
    assert "--yes" in asked.stderr
    subprocess.run([*command, "--yes"], timeout=PATIENCE_S, check=True, env=environment())
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]
