"""One stack for all tests that only use it; whoever stops or kills something starts their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stacks import Stack, running_stack

EXPORT = Path(__file__).parents[3] / "shared" / "data" / "smartlearn_demo_export.json"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack with two workers and no agent, empty at first."""
    with running_stack(tmp_path_factory.mktemp("stack"), "--no-agent", "--workers", "2") as running:
        yield running


@pytest.fixture(scope="session")
def export_file() -> Path:
    """An export that the original SmartLearn wrote."""
    if not EXPORT.exists():
        pytest.skip(f"{EXPORT} is not there")
    return EXPORT


@pytest.fixture(scope="session")
def imported(stack: Stack, export_file: Path) -> Stack:
    """The stack with the export in it, all derived rows included."""
    stack.call("import", str(export_file), "--node", "laptop", "--run", "run-1", "--wait")
    return stack
