"""How a worker's process begins, and what it says when it cannot."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.stacks import environment

ENTRY = [sys.executable, "-m", "smartlearn.stream_processors"]


@pytest.mark.parametrize(
    ("variables", "sentence", "code"),
    [
        ({}, "no Kafka broker is set", 2),
        (
            {"SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:1", "SMARTLEARN_WINDOWS__PANE_S": "7"},
            "windows.pane_s",
            2,
        ),
        ({"SMARTLEARN_STORE__SQLITE_PATH": "/proc/nowhere/metrics.db"}, "/proc/nowhere", 3),
    ],
)
def test_a_worker_that_cannot_work_ends_with_one_sentence(
    tmp_path: Path, variables: dict[str, str], sentence: str, code: int
) -> None:
    found = subprocess.run(
        ENTRY,
        env={**environment(), "SMARTLEARN_DATA_DIR": str(tmp_path), **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert found.returncode == code
    assert found.stderr.startswith("smartlearn worker: ")
    assert sentence in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1
