"""The command without a stack: what it answers, and how it says what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from smartlearn.core.settings import RetentionSettings
from smartlearn.core.stores.base import Points
from smartlearn.core.stores.sqlite import SqliteStore
from smartlearn.ops.cli import run

SECOND = 10**9
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS", raising=False)
    monkeypatch.setenv("SMARTLEARN_DATA_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(data_dir: Path, capfd: pytest.CaptureFixture[str]) -> Command:
    """Runs the command in this process; gives exit code, stdout and stderr."""

    def call(*arguments: str) -> tuple[int, str, str]:
        code = run(list(arguments))
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return code, out, err

    return call


@pytest.fixture
def filled(data_dir: Path) -> Path:
    store = SqliteStore(data_dir / "metrics.db", RetentionSettings())
    time = np.arange(3, dtype=np.int64) * 10 * SECOND
    store.write(
        [
            Points("performance_rolling", time, {"node": "a", "window": "1m"}, {"cpu_usage_mean": [1.5, 2.5, 3.5]}),
            Points("performance_rolling", time, {"node": "b", "window": "5m"}, {"cpu_usage_mean": [9.0, 9.0, 9.0]}),
            Points(
                "alerts",
                time,
                {"rule": "cpu_usage", "scope": "a", "state": ["warning", "critical", "ok"]},
                {
                    "id": ["1" * 32, "2" * 32, "3" * 32],
                    "fingerprint": "cpu_usage:a",
                    "revision": [0.0, 1.0, 2.0],
                    "previous": ["ok", "warning", "warning"],
                    "value": [71.0, 95.0, 20.0],
                    "threshold": [70.0, 90.0, 70.0],
                    "action": "Optimize processes",
                },
            ),
        ]
    )
    store.close()
    return data_dir


def test_query_answers_rows_a_program_can_read(command: Command, filled: Path) -> None:
    code, out, err = command(
        "query", "performance_rolling", "--field", "cpu_usage_mean", "--where", "window=1m", "--format", "json"
    )
    assert (code, err) == (0, "")
    assert json.loads(out) == [
        {"time": "1970-01-01T00:00:00Z", "node": "a", "window": "1m", "cpu_usage_mean": 1.5},
        {"time": "1970-01-01T00:00:10Z", "node": "a", "window": "1m", "cpu_usage_mean": 2.5},
        {"time": "1970-01-01T00:00:20Z", "node": "a", "window": "1m", "cpu_usage_mean": 3.5},
    ]


def test_query_answers_csv_and_a_table(command: Command, filled: Path) -> None:
    arguments = ("query", "performance_rolling", "--where", "node=b", "--stop", "1970-01-01T00:00:10")
    code, out, _ = command(*arguments, "--format", "csv")
    assert (code, out) == (0, "time,node,window,cpu_usage_mean\n1970-01-01T00:00:00Z,b,5m,9.0\n")
    code, out, _ = command(*arguments)
    assert code == 0
    assert [line.split() for line in out.splitlines()] == [
        ["time", "node", "window", "cpu_usage_mean"],
        ["1970-01-01T00:00:00Z", "b", "5m", "9"],
    ]


def test_query_windows_per_series(command: Command, filled: Path) -> None:
    _, out, _ = command("query", "performance_rolling", "--every", "20s", "--agg", "max", "--format", "json")
    assert [(row["time"], row["node"], row["cpu_usage_mean"]) for row in json.loads(out)] == [
        ("1970-01-01T00:00:00Z", "a", 2.5),
        ("1970-01-01T00:00:00Z", "b", 9.0),
        ("1970-01-01T00:00:20Z", "a", 3.5),
        ("1970-01-01T00:00:20Z", "b", 9.0),
    ]


def test_alerts_list_shows_what_holds_in_event_time_order(command: Command, filled: Path) -> None:
    code, out, _ = command("alerts", "list", "--format", "json")
    assert code == 0
    first, second = json.loads(out)
    assert first == {
        "id": "1" * 32,
        "fingerprint": "cpu_usage:a",
        "rule": "cpu_usage",
        "node": "a",
        "state": "warning",
        "previous": "ok",
        "value": 71.0,
        "threshold": 70.0,
        "action": "Optimize processes",
        "at": "1970-01-01T00:00:00Z",
        "revision": 0,
    }
    assert (second["state"], second["at"], second["revision"]) == ("ok", "1970-01-01T00:00:20Z", 2)


def test_export_without_a_stack_reads_what_is_stored(command: Command, filled: Path) -> None:
    code, out, _ = command("export")
    assert code == 0
    assert json.loads(out)["performance_metrics"] == []
    code, out, err = command("export", "--format", "csv", "-o", "out.csv")
    assert (code, out, err) == (0, "", "")
    assert (filled / "out.csv").read_text().startswith("kind,timestamp,node,run,source,")
    assert [path.name for path in filled.iterdir() if path.name.endswith(".partial")] == []


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("query", "performnce"), 2, "no measurement 'performnce'; did you mean performance"),
        (("query", "alerts", "--field", "valu"), 2, "no field of alerts 'valu'; did you mean value?"),
        (("query", "alerts", "--where", "host"), 2, "write tag=value"),
        (("query", "alerts", "--last", "soon"), 2, "--last 'soon' is not a duration"),
        (("query", "alerts", "--start", "soon"), 2, "--start 'soon' is not a time"),
        (("query", "alerts", "--every", "1m"), 2, "--every and --agg go together"),
        (("query", "alerts", "--every", "1m", "--agg", "median"), 2, "'median' is not one of"),
        (("query", "alerts", "--format", "xml"), 2, "'xml' is not one of"),
        (("query",), 2, "Missing argument"),
        (("frobnicate",), 2, "No such command 'frobnicate'"),
        (("up", "--workers", "0"), 2, "'--workers': Input should be greater than or equal to 1"),
        (("up", "--port", "70000"), 2, "'--port': Input should be less than or equal to 65535"),
        (("up", "--host", "0.0.0.0"), 2, "give --allow-remote"),
        (("dashboard", "--host", "192.168.1.1"), 2, "give --allow-remote"),
        (("export", "-o", "missing/out.json"), 2, "No such file or directory"),
        (("export", "--kind", "cats"), 2, "'cats' is not one of"),
        (("alerts", "tail"), 1, "no stack runs on"),
        (("topics", "list"), 1, "no stack runs on"),
        (("worker",), 1, "no stack runs on"),
    ],
)
def test_a_mistake_is_one_sentence_on_stderr_and_an_exit_code(
    command: Command, filled: Path, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    exit_code, out, err = command(*arguments)
    assert sentence in err
    assert exit_code == code
    assert out == ""
    assert len(err.splitlines()) == 1
    assert err.startswith("smartlearn: ")


def test_a_broker_that_does_not_answer_is_exit_code_3(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("smartlearn.core.topics.REQUEST_TIMEOUT_S", 0.2)
    code, _, err = command("topics", "create")
    assert code == 3
    assert "no Kafka broker answers at 127.0.0.1:1" in err


def test_a_worker_whose_broker_does_not_answer_is_exit_code_3(tmp_path: Path) -> None:
    variables = {"SMARTLEARN_DATA_DIR": str(tmp_path), "SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-m", "smartlearn.ops.cli", "worker"],
        capture_output=True, text=True, timeout=120, check=False, env={**os.environ, **variables},
    )  # fmt: skip
    assert done.returncode == 3
    assert "smartlearn worker: no Kafka broker answers at 127.0.0.1:1" in done.stderr


def test_a_setting_that_cannot_be_is_named(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTLEARN_KAFKA__PARTITIONS", "7")
    code, _, err = command("status")
    assert code == 2
    assert "kafka" in err
    assert "partitions must divide 48" in err


def test_nothing_stored_is_said_and_no_file_is_made(command: Command, data_dir: Path) -> None:
    code, out, err = command("query", "performance")
    assert (code, out) == (1, "")
    assert "nothing is stored in" in err
    assert list(data_dir.iterdir()) == []


def test_status_without_a_stack_exits_0_and_with_check_1(command: Command, data_dir: Path) -> None:
    code, out, _ = command("status", "--format", "json")
    state = json.loads(out)
    assert code == 0
    assert state["running"] is False
    assert state["components"] == []
    assert state["endpoints"] == {"sqlite": str(data_dir / "metrics.db")}
    assert "no stack runs on" in state["problems"][0]
    assert command("status", "--check")[0] == 1


def test_the_data_dir_may_stand_before_or_after_the_command(command: Command, filled: Path) -> None:
    other = str(filled / "other")
    for arguments in (("--data-dir", other, "query", "alerts"), ("query", "alerts", "--data-dir", other)):
        code, _, err = command(*arguments)
        assert code == 1
        assert f"nothing is stored in {other}" in err


def test_a_reader_that_has_had_enough_ends_the_command_quietly(filled: Path) -> None:
    time = np.arange(60_000, dtype=np.int64) * SECOND
    store = SqliteStore(filled / "metrics.db", RetentionSettings())
    store.write([Points("performance", time, {"node": "a"}, {"cpu_usage": np.arange(60_000.0)})])
    store.close()
    command = [sys.executable, "-m", "smartlearn.ops.cli", "query", "performance", "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"[\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(60) == 0


def test_the_version_is_that_of_the_distribution(command: Command) -> None:
    from importlib.metadata import version

    code, out, _ = command("--version")
    assert (code, out) == (0, version("smartlearn-metrics") + "\n")
