"""Producers that are killed with events on disk, or whose disk is full."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.chaos.cluster import Cluster
from tests.chaos.emitting import NODES, events
from tests.chaos.load import Load
from tests.reference import Events
from tests.stacks import until

from smartlearn.core.batch import Kind
from smartlearn.core.settings import ProducerSettings
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.ops import servers
from smartlearn.producers.client import EventProducer

pytestmark = [pytest.mark.chaos, pytest.mark.servers]

ANSWER_S = 90.0
EMITTED = 20_000


def test_a_producer_killed_while_it_drains_its_spool_has_every_event_stored_once_by_its_successor(
    cluster: Cluster, seed: int
) -> None:
    """Guards that a successor adopts the spools of the dead: without that the segments stay, and it times out."""
    load, moments = Load(seed), random.Random(seed)
    servers.kill(cluster.servers_dir, "kafka-1", signal.SIGKILL)
    command = [sys.executable, "-m", "tests.chaos.emitting", str(EMITTED)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=cluster.environment(), text=True
    ) as program:
        try:
            assert program.stdout is not None
            assert program.stdout.readline().strip().isdecimal()
            servers.start(cluster.servers_dir, "kafka-1")
            time.sleep(moments.uniform(0.0, 1.0))
        finally:
            program.kill()
    left = list(cluster.settings.spool_path.glob("*.seg"))
    cluster.start("worker-1")
    for batch in load.round() + load.rest():
        cluster.send(batch)
    until(lambda: not list(cluster.settings.spool_path.glob("*.seg")), ANSWER_S)
    sent = load.events()
    cluster.check(Events([*sent.performance, *events(EMITTED)], sent.training, sent.interactions))
    assert left or cluster.ledger("smartlearn.performance")["duplicate"] == 0


def test_a_spool_on_a_full_disk_drops_the_oldest_counts_them_and_delivers_the_rest(
    cluster: Cluster, file_system: Callable[[str], Path]
) -> None:
    """Guards the counted drop of the oldest: delivered and dropped must add up to what was emitted.

    A spool that drops what is new instead: the newest events are missing.
    """
    servers.kill(cluster.servers_dir, "kafka-1", signal.SIGKILL)
    settings = cluster.settings.model_copy(
        update={"producer": ProducerSettings(spool_path=file_system("1m") / "spool")}
    )
    emitted = events(100_000)
    with EventProducer(settings) as producer:
        for event in emitted:
            fields = {name: value for name, value in event.items() if name != "timestamp"}
            assert producer.emit(Kind.PERFORMANCE, {**fields, "noise": random.random()}, event["timestamp"])

        def counts() -> dict[str, int]:
            return producer.counts().get("smartlearn.performance", {})

        until(lambda: counts().get("produced") == len(emitted), ANSWER_S)
        assert counts()["dropped"] > 0
        servers.start(cluster.servers_dir, "kafka-1")
        cluster.start("worker-1")
        assert producer.flush(ANSWER_S)
        assert counts()["delivered"] + counts()["dropped"] == len(emitted)
    until(lambda: cluster.lag() == 0, ANSWER_S)
    stored = [
        (instant // 1000, series.tags["node"])
        for series in cluster.store.query(SeriesQuery("performance"))
        for instant in series.time.tolist()
    ]
    assert len(stored) == len(set(stored)) == counts()["delivered"]
    # The newest are kept, and only events that were emitted are there.
    told = [(event["timestamp"], event["node"]) for event in emitted]
    assert set(stored) <= set(told)
    assert set(told[-NODES:]) <= set(stored)
