"""The whole stack: how it comes up, what it does when something dies, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from tests.stacks import COMMAND, PATIENCE_S, Stack, environment, gone, running_stack, until

pytestmark = pytest.mark.integration


def health(stack: Stack) -> tuple[int, dict[str, object]]:
    """The dashboard's answer, 0 where there is none."""
    try:
        with urllib.request.urlopen(f"{stack.dashboard}/health", timeout=5) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except OSError:
        return 0, {}


def write_export(path: Path, start: datetime, samples: int) -> None:
    """An export with so many performance samples, a second apart."""
    records = [
        {
            "timestamp": (start + timedelta(seconds=n)).isoformat(),
            "cpu_usage": float(n % 100),
            "memory_usage": 50.0,
            "gpu_memory_used": 1.0,
            "gpu_memory_total": 10.0,
            "response_time": 100.0,
            "model_accuracy": 0.5,
            "user_engagement": 5.0,
        }
        for n in range(samples)
    ]
    info = {
        "description": "a test",
        "generated_at": "2026-01-01T00:00:00",
        "total_performance_metrics": samples,
        "total_training_metrics": 0,
        "total_user_metrics": 0,
    }
    document = {
        "export_timestamp": "2026-01-01T00:00:00",
        "demo_info": info,
        "performance_metrics": records,
        "training_metrics": [],
        "user_metrics": [],
    }
    path.write_text(json.dumps(document))


def test_the_first_address_printed_is_the_dashboards_and_it_is_healthy(stack: Stack) -> None:
    urls = [word for line in stack.lines for word in line.split() if word.startswith("http")]
    assert urls[0] == stack.dashboard
    assert stack.lines[-1] == "ready"
    status, body = health(stack)
    assert status == 200
    assert body["status"] == "ok"


def test_everything_listens_on_loopback_only(stack: Stack) -> None:
    listening = {
        connection.laddr.ip
        for process in stack.family()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_status_names_the_workers_by_their_own_processes(stack: Stack) -> None:
    state = stack.json("status", "--format", "json")
    parts = {part["name"]: part for part in state["components"]}
    assert list(parts) == ["broker", "worker-1", "worker-2", "dashboard"]
    assert {part["state"] for part in parts.values()} == {"running"}
    for name in ("worker-1", "worker-2"):
        assert "smartlearn.stream_processors" in psutil.Process(parts[name]["pid"]).cmdline()
    assert state["endpoints"]["kafka"] == stack.kafka
    assert state["endpoints"]["dashboard"] == stack.dashboard
    assert Path(state["endpoints"]["sqlite"]).exists()
    assert set(state["lag"]) >= {"smartlearn.performance", "smartlearn.training", "smartlearn.interactions"}
    assert set(state["counts"]) >= {"in", "stored", "late", "dead"}
    assert stack.call("status", "--check", check=False).returncode == 0


def test_a_second_up_on_the_same_directory_says_so_and_ends(stack: Stack) -> None:
    second = stack.call("up", "--no-agent", check=False)
    assert second.returncode == 1
    assert second.stdout == ""
    assert "already runs" in second.stderr
    assert stack.dashboard in second.stderr
    assert health(stack)[0] == 200


def test_a_killed_worker_is_back_within_two_seconds_and_nothing_is_missing(tmp_path: Path) -> None:
    start = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(hours=3)
    with running_stack(tmp_path / "data", "--no-agent", "--workers", "2") as stack:
        files = []
        for number in range(6):
            files.append(tmp_path / f"{number}.json")
            write_export(files[-1], start + timedelta(seconds=number * 500), 500)
        killed = stack.pid("worker-1")
        assert killed is not None
        for number, file in enumerate(files):
            stack.call("import", str(file), "--node", f"node-{number}")
            if number == 2:
                os.kill(killed, signal.SIGKILL)
                died = time.monotonic()
                until(lambda: stack.pid("worker-1") not in (None, killed))
                assert time.monotonic() - died < 2
        hours = ("performance_1h", "--field", "cpu_usage_count")
        until(lambda: sum(row["cpu_usage_count"] for row in stack.query(*hours)) == 3000)
        assert len(stack.query("performance", "--field", "cpu_usage")) == 3000
        until(lambda: health(stack)[0] == 200)


def test_a_killed_broker_comes_back_and_the_stack_with_it(tmp_path: Path, export_file: Path) -> None:
    with running_stack(tmp_path, "--no-agent") as stack:
        stack.call("import", str(export_file), "--wait")
        before = stack.record
        broker = stack.pid("broker")
        assert broker is not None
        os.kill(broker, signal.SIGKILL)
        until(lambda: stack.record["kafka_epoch"] != before["kafka_epoch"])
        until(lambda: health(stack)[0] == 200)
        assert stack.kafka == before["kafka"]
        stack.call("import", str(export_file), "--node", "again", "--wait")
        nodes = [row["node"] for row in stack.query("performance", "--field", "cpu_usage")]
        assert (nodes.count("import"), nodes.count("again")) == (288, 288)


def test_a_dead_dashboard_and_a_dead_agent_come_back(tmp_path: Path) -> None:
    with running_stack(tmp_path) as stack:
        until(lambda: stack.pid("agent") is not None)
        killed = {name: stack.pid(name) for name in ("dashboard", "agent")}
        for pid in killed.values():
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        until(lambda: all(stack.pid(name) not in (None, pid) for name, pid in killed.items()))
        until(lambda: health(stack)[0] == 200)
        until(lambda: len(stack.query("performance", "--field", "cpu_usage")) >= 2)


def test_history_survives_a_stop_and_a_start(tmp_path: Path, export_file: Path) -> None:
    with running_stack(tmp_path, "--no-agent") as stack:
        stack.call("import", str(export_file), "--wait")
        hours = stack.query("performance_1h")
        stack.stop()
    with running_stack(tmp_path, "--no-agent") as stack:
        assert stack.query("performance_1h") == hours
        stack.call("import", str(export_file), "--wait")
        assert stack.query("performance_1h") == hours
        assert len(stack.query("training", "--field", "step")) == 200


def test_a_stop_is_drained_and_over_in_five_seconds_with_nothing_left(tmp_path: Path) -> None:
    start = datetime.now(UTC).replace(tzinfo=None, microsecond=0) - timedelta(hours=3)
    write_export(tmp_path / "export.json", start, 5000)
    with running_stack(tmp_path / "data", "--workers", "2") as stack:
        until(lambda: stack.pid("agent") is not None)
        family = stack.family()
        stack.call("import", str(tmp_path / "export.json"), "--node", "last-minute")
        assert stack.stop() < 5
        assert stack.process.returncode == 0
        assert gone(family)
        assert not (stack.data_dir / "stack.json").exists()
        rows = stack.query("performance", "--field", "cpu_usage", "--where", "node=last-minute")
        assert len(rows) == 5000


def test_nothing_outlives_a_killed_supervisor_and_the_next_one_starts(tmp_path: Path) -> None:
    with running_stack(tmp_path, "--no-agent") as stack:
        family = stack.family()
        stack.process.kill()
        stack.process.wait(PATIENCE_S)
        until(lambda: gone(family))
        assert stack.json("status", "--format", "json")["running"] is False
        assert stack.call("status", "--check", check=False).returncode == 1
    with running_stack(tmp_path, "--no-agent") as again:
        assert health(again)[0] == 200


def test_two_stacks_run_side_by_side(tmp_path: Path, stack: Stack) -> None:
    with running_stack(tmp_path, "--no-agent") as other:
        assert other.kafka != stack.kafka
        assert other.dashboard != stack.dashboard
        assert health(other)[0] == health(stack)[0] == 200
        other.call("import", "/dev/null", check=False)
        assert other.query("performance") == []


def test_the_demo_fills_in_adds_nothing_twice_and_can_be_removed(tmp_path: Path) -> None:
    with running_stack(tmp_path, "--no-agent", "--workers", "2") as stack:
        stack.call("demo", "--wait")
        nodes = {row["node"] for row in stack.query("performance", "--field", "cpu_usage")}
        assert len(nodes) > 2
        assert all(node.startswith("demo-") for node in nodes)
        counted = ("performance", "--field", "cpu_usage", "--every", "24h", "--agg", "count")
        first = sum(row["cpu_usage"] for row in stack.query(*counted))
        assert first == 288 * len(nodes)
        stack.call("demo", "--wait")
        assert first <= sum(row["cpu_usage"] for row in stack.query(*counted)) <= first + len(nodes)
        workers = {stack.pid("worker-1"), stack.pid("worker-2")}
        done = stack.call("reset", "--demo", "--yes")
        assert f"of {len(nodes)} demo nodes" in done.stdout
        for measurement in ("performance", "performance_1h", "performance_fleet_1h", "interactions_1h", "health"):
            assert stack.query(measurement) == []
        until(lambda: health(stack)[0] == 200)
        assert workers.isdisjoint({stack.pid("worker-1"), stack.pid("worker-2")})
        stack.call("demo", "--wait")
        again = sum(row["cpu_usage"] for row in stack.query(*counted))
        assert first <= again <= first + len(nodes)


def test_health_tells_when_a_worker_is_gone_for_good(tmp_path: Path) -> None:
    with running_stack(tmp_path, "--no-agent") as stack:
        worker = stack.pid("worker-1")
        assert worker is not None
        os.kill(worker, signal.SIGSTOP)
        try:
            until(lambda: health(stack)[0] == 503)
            assert stack.call("status", "--check", check=False).returncode == 1
        finally:
            os.kill(worker, signal.SIGCONT)
        until(lambda: health(stack)[0] == 200)


def test_a_port_that_is_taken_is_one_sentence(stack: Stack, tmp_path: Path) -> None:
    port = stack.dashboard.rpartition(":")[2]
    command = [*COMMAND, "up", "--data-dir", str(tmp_path), "--port", port]
    refused = subprocess.run(
        command, capture_output=True, text=True, timeout=PATIENCE_S, check=False, env=environment()
    )
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        f"smartlearn: port {port} is in use on 127.0.0.1; give another with --port, or 0 for any free one"
    ]
