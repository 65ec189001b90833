"""Workers that are killed, all at once or one while another joins: nothing is missing, nothing is there twice."""

from __future__ import annotations

import random
import signal
import time

import pytest
from tests.chaos.cluster import Cluster
from tests.chaos.load import Feeding, Load
from tests.stacks import until

pytestmark = [pytest.mark.chaos, pytest.mark.servers, pytest.mark.timeout(600)]

# Kafka forgets a killed member after its session timeout, 6 s, and lets nobody read before.
TAKEOVER_S = 90.0


def test_all_workers_killed_at_once_lose_and_double_nothing(cluster: Cluster, seed: int) -> None:
    """Guards that no offset passes an open pane: committed as soon as read, 259 differences (panes are missing)."""
    load = Load(seed)
    for name in ("worker-1", "worker-2"):
        cluster.start(name)
    with Feeding(load, cluster.send):
        until(lambda: cluster.own_everything("worker-1", "worker-2"), TAKEOVER_S)
        cluster.await_more()
        cluster.kill("worker-1", "worker-2")
        for name in ("worker-1", "worker-2"):
            cluster.start(name)
        cluster.await_more()
    cluster.check(load.events())


def test_a_worker_killed_at_twenty_random_moments_loses_and_doubles_nothing(cluster: Cluster, seed: int) -> None:
    """Guards the offset behind open panes and the stored numbers of the rows seen, at moments nobody chose."""
    load, moments = Load(seed), random.Random(seed)
    cluster.start("worker-1")
    with Feeding(load, cluster.send):
        for kill in range(20):
            if kill % 5 == 0:
                # It works by then; the others are killed while it starts, joins, reads its state, or works.
                until(lambda: cluster.own_everything("worker-1"), TAKEOVER_S)
                cluster.await_more()
            time.sleep(moments.uniform(0.0, 4.0))
            cluster.kill("worker-1")
            cluster.start("worker-1")
    cluster.check(load.events())


def test_when_one_of_two_workers_is_killed_while_a_third_joins_nothing_is_missing(cluster: Cluster, seed: int) -> None:
    """Guards the hand-over: what was held is dropped and read again by the next owner, nothing of it twice.

    Offsets committed as soon as read: 578 differences. Panes folded without knowing how far each node had come before:
    4515 differences.
    """
    load, moments = Load(seed), random.Random(seed)
    for name in ("worker-1", "worker-2"):
        cluster.start(name)
    with Feeding(load, cluster.send):
        until(lambda: cluster.own_everything("worker-1", "worker-2"), TAKEOVER_S)
        cluster.await_more()
        cluster.start("worker-3")
        time.sleep(moments.uniform(0.0, 4.0))
        cluster.kill("worker-1")
        until(lambda: cluster.own_everything("worker-2", "worker-3"), TAKEOVER_S)
    cluster.check(load.events())


def test_a_worker_frozen_until_its_partitions_have_moved_spoils_nothing_when_it_wakes(
    cluster: Cluster, seed: int
) -> None:
    """Guards that a zombie tells what it wrote: if it does not, 893 differences (panes hold half of their events)."""
    load, moments = Load(seed), random.Random(seed)
    frozen = cluster.start("worker-1")
    with Feeding(load, cluster.send):
        until(lambda: cluster.own_everything("worker-1"), TAKEOVER_S)
        cluster.await_more()
        time.sleep(moments.uniform(0.0, 1.0))
        frozen.send_signal(signal.SIGSTOP)
        cluster.start("worker-2")
        until(lambda: cluster.own_everything("worker-2"), TAKEOVER_S)
        cluster.await_more()
        frozen.send_signal(signal.SIGCONT)
        until(lambda: cluster.own_everything("worker-1", "worker-2"), TAKEOVER_S)
    cluster.check(load.events())
