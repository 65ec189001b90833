"""Kafka that dies under load, alone or as one of three: what the producer accepted is stored once."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.cluster import Cluster, running_cluster
from tests.chaos.load import Feeding, Load
from tests.stacks import until

from smartlearn.ops import servers

pytestmark = [pytest.mark.chaos, pytest.mark.servers, pytest.mark.timeout(600)]

ANSWER_S = 90.0
UNREPLICATED = 80


def spooled(cluster: Cluster) -> int:
    """How many rows the producer has put on disk so far."""
    return sum(counts["spooled"] for counts in cluster.producer.counts().values())


def test_the_only_broker_killed_under_load_costs_no_event_that_the_producer_accepted(
    cluster: Cluster, seed: int
) -> None:
    """Guards the spool: a producer that keeps nothing on disk never gets as far as the restart."""
    load = Load(seed)
    worker = cluster.start("worker-1")
    with Feeding(load, cluster.send):
        until(lambda: cluster.own_everything("worker-1"), ANSWER_S)
        cluster.await_more()
        servers.kill(cluster.servers_dir, "kafka-1", signal.SIGKILL)
        until(lambda: spooled(cluster) > 500, ANSWER_S)
        servers.start(cluster.servers_dir, "kafka-1")
        cluster.await_more()
    cluster.check(load.events())
    assert worker.poll() is None
    assert sum(counts["dropped"] for counts in cluster.producer.counts().values()) == 0


def test_broker_store_and_workers_killed_at_once_lose_and_double_nothing(cluster: Cluster, seed: int) -> None:
    """Guards that everything acknowledged is on disk somewhere: broker, store, or spool.

    A spool that keeps nothing: 1580 differences. Offsets committed as soon as read: 3616 differences.
    """
    load = Load(seed)
    for name in ("worker-1", "worker-2"):
        cluster.start(name)
    with Feeding(load, cluster.send):
        until(lambda: cluster.own_everything("worker-1", "worker-2"), ANSWER_S)
        cluster.await_more()
        cluster.kill("worker-1", "worker-2")
        for server in ("influxdb", "kafka-1"):
            servers.kill(cluster.servers_dir, server, signal.SIGKILL)
        for server in ("influxdb", "kafka-1"):
            servers.start(cluster.servers_dir, server)
        for name in ("worker-1", "worker-2"):
            cluster.start(name)
        cluster.await_more()
    cluster.check(load.events())


@pytest.fixture(scope="module")
def three_brokers_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where three brokers keep their data."""
    folder = tmp_path_factory.mktemp("three")
    yield folder
    servers.down(folder)


def test_one_of_three_brokers_killed_under_load_costs_seconds_and_no_event(
    tmp_path: Path, three_brokers_dir: Path, seed: int
) -> None:
    """Guards `acks=all` with `min.insync.replicas=2`, and clients that find the new leaders."""
    load = Load(seed)
    with running_cluster(tmp_path, three_brokers_dir, brokers=3) as cluster:
        worker = cluster.start("worker-1")
        with Feeding(load, cluster.send):
            until(lambda: cluster.own_everything("worker-1"), ANSWER_S)
            cluster.await_more()
            # What the leader alone has dies with it.
            for follower in ("kafka-1", "kafka-3"):
                servers.kill(cluster.servers_dir, follower, signal.SIGSTOP)
            given = len(load.sent)
            until(lambda: len(load.sent) > given + UNREPLICATED, ANSWER_S)
            servers.kill(cluster.servers_dir, "kafka-2", signal.SIGKILL)
            for follower in ("kafka-1", "kafka-3"):
                servers.kill(cluster.servers_dir, follower, signal.SIGCONT)
            cluster.await_more()
            servers.start(cluster.servers_dir, "kafka-2")
            cluster.await_more()
        cluster.check(load.events())
        assert worker.poll() is None
