"""The programs in examples/ do on a running stack what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.stacks import Stack, environment, until

pytestmark = pytest.mark.integration

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(stack: Stack, name: str, *arguments: str) -> str:
    """What an example prints; it must end well and say nothing on stderr."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), "--data-dir", str(stack.data_dir), *arguments],
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
        env=environment(),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_events_sent_from_python_are_stored(stack: Stack) -> None:
    told = run(stack, "send_events.py", "--node", "bench", "--run", "bench-run")
    assert "50 of 50 events delivered" in told
    until(lambda: len(stack.query("training", "--where", "run=bench-run")) == 50)
    until(lambda: len(stack.query("performance", "--where", "node=bench")) == 4)


def test_an_event_of_a_plain_kafka_client_is_stored(stack: Stack) -> None:
    told = run(stack, "plain_kafka_client.py", "--node", "plain")
    assert "60 of 60 events of node plain delivered" in told
    until(lambda: len(stack.query("performance", "--where", "node=plain")) == 60)


def test_the_alert_topic_is_followed_downstream(imported: Stack) -> None:
    listed = imported.json("alerts", "list", "--format", "json")
    told = run(imported, "consume_alerts.py", "--from-beginning", "--seconds", "5")
    rows = [line for line in told.splitlines() if "→" in line]
    assert len(rows) >= len(listed) > 100
    first = listed[0]
    assert any(first["rule"] in row and f"{first['previous']} → {first['state']}" in row for row in rows)


def test_history_is_read_from_the_store(stack: Stack) -> None:
    run(stack, "plain_kafka_client.py", "--node", "history")
    until(lambda: stack.query("performance_1h", "--where", "node=history") != [])
    assert "history" in run(stack, "query_history.py", "--hours", "1")
