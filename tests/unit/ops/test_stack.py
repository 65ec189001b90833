from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from smartlearn.core.settings import KafkaSettings
from smartlearn.core.stack import StackRecord
from smartlearn.core.topics import verify_topics
from smartlearn.ops.http import get
from smartlearn.ops.local.datadir import running_stack

PATIENCE_S = 60.0


@dataclass
class Running:
    data_dir: Path
    process: subprocess.Popen[str]
    lines: list[str]

    @property
    def record(self) -> StackRecord:
        record = running_stack(self.data_dir)
        assert record is not None
        return record

    def pid(self, name: str) -> int | None:
        """The pid of a component that runs now."""
        return next((p.pid for p in self.record.components if p.name == name and p.state == "running"), None)

    def family(self) -> set[psutil.Process]:
        return set(psutil.Process(self.process.pid).children(recursive=True))


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(processes: set[psutil.Process]) -> bool:
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


@contextmanager
def stack(data_dir: Path, *arguments: str) -> Iterator[Running]:
    """A stack of stand-ins, ready; killed at the end if the test did not stop it."""
    command = [sys.executable, str(Path(__file__).with_name("stand_ins.py")), str(data_dir), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if lines[-1] == "ready":
                    break
            else:
                assert process.stderr is not None
                pytest.fail(process.stderr.read())
            yield Running(data_dir, process, lines)
        finally:
            process.kill()


def test_a_stack_comes_up_says_where_it_is_and_leaves_nothing_when_stopped(tmp_path: Path) -> None:
    with stack(tmp_path) as running:
        urls = [word for line in running.lines for word in line.split() if word.startswith("http")]
        record = running.record
        assert urls[0] == record.dashboard
        until(lambda: running.pid("agent") is not None)
        answer = get(f"{record.dashboard}/health", 5.0)
        assert answer is not None
        assert answer.status == 200
        assert answer.body == {"status": "ok"}
        assert verify_topics(KafkaSettings(bootstrap_servers=record.kafka)) == []
        until(lambda: "stopped" in {part.state for part in running.record.components})
        assert [part.name for part in running.record.components] == [
            "broker", "worker-1", "worker-2", "dashboard", "agent", "demo",
        ]  # fmt: skip
        family = running.family()
        assert len(family) == 5
        started = time.monotonic()
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(PATIENCE_S) == 0
        assert time.monotonic() - started < 5
        assert gone(family)
        assert not StackRecord.path(tmp_path).exists()
    assert (tmp_path / "logs" / "demo.log").read_text() == "filled\n"


def test_what_does_not_listen_to_sigterm_is_gone_within_five_seconds_too(tmp_path: Path) -> None:
    with stack(tmp_path, "stubborn") as running:
        until(lambda: running.pid("agent") is not None)
        family = running.family()
        started = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(PATIENCE_S) == 0
        assert time.monotonic() - started < 5
        assert gone(family)


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    with stack(tmp_path, "stubborn") as running:
        family = running.family()
        running.process.send_signal(signal.SIGINT)
        until(lambda: "stopping" in {part.state for part in running.record.components})
        started = time.monotonic()
        running.process.send_signal(signal.SIGINT)
        assert running.process.wait(PATIENCE_S) == 130
        assert time.monotonic() - started < 2
        assert gone(family)


def test_a_second_stack_on_the_directory_is_refused_and_the_first_goes_on(tmp_path: Path) -> None:
    with stack(tmp_path) as running:
        command = [sys.executable, str(Path(__file__).with_name("stand_ins.py")), str(tmp_path)]
        second = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert second.returncode == 1
        assert second.stdout == ""
        assert "already runs" in second.stderr
        assert running.record.dashboard in second.stderr
        assert running.pid("worker-1") is not None


def test_two_stacks_run_side_by_side(tmp_path: Path) -> None:
    with stack(tmp_path / "a") as first, stack(tmp_path / "b") as second:
        assert first.record.dashboard != second.record.dashboard
        assert first.record.kafka != second.record.kafka
        first.process.terminate()
        assert first.process.wait(PATIENCE_S) == 0
        assert second.pid("broker") is not None


def test_a_killed_worker_is_back_within_two_seconds(tmp_path: Path) -> None:
    with stack(tmp_path) as running:
        killed = running.pid("worker-2")
        other = running.pid("worker-1")
        assert killed is not None
        started = time.monotonic()
        os.kill(killed, signal.SIGKILL)
        until(lambda: running.pid("worker-2") not in (None, killed))
        assert time.monotonic() - started < 2
        assert running.pid("worker-1") == other


def test_a_killed_broker_comes_back_empty_on_its_port_and_the_workers_start_on_its_new_epoch(
    tmp_path: Path,
) -> None:
    with stack(tmp_path) as running:
        parts = ("broker", "worker-1", "worker-2", "dashboard")
        until(lambda: all(running.pid(name) is not None for name in parts))
        before = running.record
        pids = {name: running.pid(name) for name in parts}
        assert pids["broker"] is not None
        os.kill(pids["broker"], signal.SIGKILL)
        until(lambda: all(running.pid(name) not in (None, pids[name]) for name in pids if name != "dashboard"))
        after = running.record
        assert after.kafka == before.kafka
        assert after.kafka_epoch != before.kafka_epoch
        assert verify_topics(KafkaSettings(bootstrap_servers=after.kafka)) == []
        assert running.pid("dashboard") == pids["dashboard"]
        log = tmp_path / "logs" / "worker-1.log"
        told = [f"{before.kafka_epoch} worker-1", f"{after.kafka_epoch} worker-1"]
        until(lambda: log.read_text().splitlines() == told)


def test_a_broker_that_has_grown_large_is_started_anew_and_everything_goes_on(tmp_path: Path) -> None:
    with stack(tmp_path, "large") as running:
        until(lambda: running.pid("agent") is not None)
        before = running.record
        parts = ("broker", "worker-1", "worker-2", "agent")
        pids = {name: running.pid(name) for name in parts}
        until(lambda: all(running.pid(name) not in (None, pids[name]) for name in parts))
        after = running.record
        assert after.kafka == before.kafka
        assert after.kafka_epoch != before.kafka_epoch


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the watchers need a moment")
def test_nothing_outlives_a_supervisor_that_was_killed(tmp_path: Path) -> None:
    with stack(tmp_path) as running:
        family = running.family()
        running.process.kill()
        running.process.wait(PATIENCE_S)
        until(lambda: gone(family))
        assert StackRecord.path(tmp_path).exists()
        # A child that was just being made may hold the lock for a moment more.
        until(lambda: running_stack(tmp_path) is None)
    with stack(tmp_path) as again:
        assert again.record.pid == again.process.pid
