"""One Kafka broker and one InfluxDB for the chaos tests; each test finds them empty, and running again."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.chaos.cluster import Cluster, running_cluster
from tests.chaos.proxy import FaultyProxy

from smartlearn.ops import servers
from smartlearn.ops.servers import ServersRecord

SEED_VARIABLE = "CHAOS_SEED"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes minutes where it is not asked for: `-m soak`."""
    if "soak" in str(config.getoption("markexpr")):
        return
    soaking = [item for item in items if item.get_closest_marker("soak")]
    items[:] = [item for item in items if item not in soaking]
    config.hook.pytest_deselected(items=soaking)


@pytest.fixture(scope="session")
def servers_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where the servers of this run keep their data."""
    folder = tmp_path_factory.mktemp("servers")
    yield folder
    servers.down(folder)


@pytest.fixture
def cluster(tmp_path: Path, servers_dir: Path) -> Iterator[Cluster]:
    """Running servers, empty, with no worker yet."""
    with running_cluster(tmp_path, servers_dir) as made:
        yield made


@pytest.fixture
def proxy(servers_dir: Path) -> Iterator[FaultyProxy]:
    """A proxy in front of InfluxDB, which passes everything on until it is given a fault."""
    record = ServersRecord.read(servers_dir) or servers.up(servers_dir)
    made = FaultyProxy(record.influxdb_url or "")
    yield made
    made.close()


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """What the test's random choices come from; a failure prints it, and CHAOS_SEED sets it."""
    number = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(1 << 32))
    request.node.add_report_section("setup", "seed", f"{SEED_VARIABLE}={number}")
    return number


@pytest.fixture
def file_system(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Makes file systems of their own, of a size as tmpfs takes it."""
    with ExitStack() as mounted:

        def make(size: str) -> Path:
            folder = tmp_path / f"file-system-{size}"
            folder.mkdir()
            command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
            made = subprocess.run(command, capture_output=True, text=True, check=False)
            if made.returncode:
                reason = f"a file system of its own needs root: {made.stderr.strip()}"
                if os.environ.get("CI") == "true":
                    pytest.fail(reason)
                pytest.skip(reason)
            mounted.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
            return folder

        yield make


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Put down what the soak tests measured."""
    reports = [
        report
        for outcome in ("passed", "failed")
        for report in terminalreporter.getreports(outcome)
        if isinstance(report, pytest.TestReport) and report.when == "call" and "soak" in report.keywords
    ]
    if not reports:
        return
    terminalreporter.section("soak")
    for report in reports:
        name = report.nodeid.rpartition("::")[2]
        terminalreporter.write_line(f"{report.outcome:<7} {report.duration:5.0f} s  {name}")
        for what, measured in report.user_properties:
            terminalreporter.write_line(f"                 {what}: {measured}")
