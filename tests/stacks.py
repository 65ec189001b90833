"""Whole stacks for tests: the real `smartlearn up`, on free ports, in a data directory of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

READY_S = 120.0
PATIENCE_S = 90.0
COMMAND = (sys.executable, "-m", "smartlearn.ops.cli")


@dataclass
class Stack:
    """A running stack.

    Attributes:
        data_dir: its data directory.
        process: the supervisor.
        lines: what it printed until it was ready.
    """

    data_dir: Path
    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    @property
    def record(self) -> dict[str, Any]:
        """What the supervisor recorded of it."""
        found: dict[str, Any] = json.loads((self.data_dir / "stack.json").read_bytes())
        return found

    @property
    def kafka(self) -> str:
        """The broker's address."""
        return str(self.record["kafka"])

    @property
    def dashboard(self) -> str:
        """The dashboard's address."""
        return str(self.record["dashboard"])

    def pid(self, name: str) -> int | None:
        """The pid of a component, if it runs."""
        parts = self.record["components"]
        return next((part["pid"] for part in parts if part["name"] == name and part["state"] == "running"), None)

    def call(
        self, *arguments: str, check: bool = True, timeout_s: float = PATIENCE_S
    ) -> subprocess.CompletedProcess[str]:
        """Run a command against this stack, as a user does."""
        return subprocess.run(
            [*COMMAND, *arguments, "--data-dir", str(self.data_dir)],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=check,
            env=environment(),
        )

    def json(self, *arguments: str, timeout_s: float = PATIENCE_S) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.call(*arguments, timeout_s=timeout_s).stdout)

    def query(self, measurement: str, *arguments: str) -> list[dict[str, Any]]:
        """The rows of `smartlearn query`."""
        rows: list[dict[str, Any]] = self.json("query", measurement, *arguments, "--format", "json")
        return rows

    def family(self) -> set[psutil.Process]:
        """Every process of the stack but the supervisor."""
        return set(psutil.Process(self.process.pid).children(recursive=True))

    def stop(self) -> float:
        """End it as Ctrl-C does; how many seconds that took."""
        started = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        self.process.wait(PATIENCE_S)
        return time.monotonic() - started


def environment() -> dict[str, str]:
    """This process's environment without settings that would point elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SMARTLEARN_")}


@contextmanager
def running_stack(data_dir: Path, *arguments: str) -> Iterator[Stack]:
    """`smartlearn up` until it is ready; killed at the end if it still runs then."""
    command = [*COMMAND, "up", "--port", "0", "--data-dir", str(data_dir), *arguments]
    # It writes to files and not to pipes that nobody reads.
    with (
        tempfile.TemporaryDirectory() as folder,
        (output := Path(folder, "output")).open("w") as stdout,
        (errors := Path(folder, "errors")).open("w") as stderr,
        subprocess.Popen(command, stdout=stdout, stderr=stderr, text=True, env=environment()) as process,
    ):
        stack = Stack(data_dir, process)
        try:
            _await_ready(stack, output, errors)
            yield stack
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(10)
                except subprocess.TimeoutExpired:
                    process.kill()


def _await_ready(stack: Stack, output: Path, errors: Path) -> None:
    """Read what it prints until `ready`."""
    deadline = time.monotonic() + READY_S
    while "ready" not in stack.lines:
        if stack.process.poll() is not None or time.monotonic() > deadline:
            said = f"{stack.lines}\n{errors.read_text()}\n{_logs(stack.data_dir)}"
            raise AssertionError(f"the stack is not ready:\n{said}")
        time.sleep(0.05)
        stack.lines = output.read_text().splitlines()


def _logs(data_dir: Path) -> str:
    return "\n".join(f"== {log.name}\n{log.read_text()[-2000:]}" for log in (data_dir / "logs").glob("*"))


def until(condition: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.05)


def gone(processes: set[psutil.Process]) -> bool:
    """Whether all of them have ended."""
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)
