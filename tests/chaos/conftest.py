"""One Kafka broker and one InfluxDB for the chaos tests; each test finds them empty, and running again."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.cluster import Cluster, running_cluster

from smartlearn.ops import servers

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
def seed(request: pytest.FixtureRequest) -> int:
    """What the test's random choices come from; a failure prints it, and CHAOS_SEED sets it."""
    number = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().randrange(1 << 32))
    request.node.add_report_section("setup", "seed", f"{SEED_VARIABLE}={number}")
    return number
