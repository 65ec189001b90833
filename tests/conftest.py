"""What every test run shares: seeded examples, and real servers that CI never goes without."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

from smartlearn.ops import servers

# The same examples on every run, however slow the machine is: a failure is one of the code.
settings.register_profile("here", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("here")

_LEFT_OUT = pytest.StashKey[int]()
_HOW = "build Kafka and InfluxDB with `make servers` (ten minutes, once; JDK 17, Maven, Go, Rust and gcc are needed)"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests that need the native servers where those are not built; in CI that is an error."""
    needing = [item for item in items if item.get_closest_marker("servers")]
    if not needing or servers.built() is not None:
        return
    if os.environ.get("CI") == "true":
        raise pytest.UsageError(f"{len(needing)} tests need the native servers: {_HOW}")
    for item in needing:
        item.add_marker(pytest.mark.skip(reason="the native servers are not built"))
    config.stash[_LEFT_OUT] = len(needing)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say in one line what was left out, and how to get it."""
    left_out = config.stash.get(_LEFT_OUT, 0)
    if left_out:
        terminalreporter.write_line(f"{left_out} tests on real Kafka and InfluxDB were left out: {_HOW}")
