"""What takes minutes: `pytest tests/chaos -m soak`. Its last result stands in docs/delivery.md."""

from __future__ import annotations

import random
import signal
import time

import psutil
import pytest
from tests.chaos.cluster import Cluster
from tests.chaos.load import Feeding, Load
from tests.reference import Event, Events
from tests.stacks import until

from smartlearn.core.batch import Kind
from smartlearn.ops import servers

pytestmark = [pytest.mark.chaos, pytest.mark.servers, pytest.mark.soak, pytest.mark.timeout(1200)]

ANSWER_S = 60.0
DRAIN_S = 240.0
BROKER_GONE_S = 120.0
STORE_GONE_S = 60.0
LOAD_S = 600.0
WARM_S = 120.0
NODES = 10
TURN_S = 0.01
SLOWEST_EMIT_S = 0.001
GROWTH = 1.1


def test_a_broker_that_is_gone_for_two_minutes_under_a_thousand_events_a_second_costs_none_and_no_emit_waits(
    cluster: Cluster,
) -> None:
    cluster.start("worker-1")
    until(lambda: cluster.own_everything("worker-1"), ANSWER_S)
    servers.kill(cluster.servers_dir, "kafka-1", signal.SIGKILL)
    sent: list[Event] = []
    slowest = 0.0
    turn, ends = time.monotonic(), time.monotonic() + BROKER_GONE_S
    while turn < ends:
        for node in range(NODES):
            fields = {"node": f"node-{node}", "cpu_usage": float(len(sent) % 101)}
            timestamp = time.time_ns() // 1000
            started = time.perf_counter()
            assert cluster.producer.emit(Kind.PERFORMANCE, fields, timestamp)
            slowest = max(slowest, time.perf_counter() - started)
            sent.append({"timestamp": timestamp, **fields})
        turn += TURN_S
        time.sleep(max(0.0, turn - time.monotonic()))
    servers.start(cluster.servers_dir, "kafka-1")
    cluster.check(Events(sent), patience_s=DRAIN_S)
    assert slowest < SLOWEST_EMIT_S


def test_influxdb_that_is_gone_for_a_minute_costs_time_and_nothing_else(cluster: Cluster, seed: int) -> None:
    load = Load(seed)
    worker = cluster.start("worker-1")
    with Feeding(load, cluster.send):
        until(lambda: cluster.own_everything("worker-1"), ANSWER_S)
        servers.kill(cluster.servers_dir, "influxdb", signal.SIGKILL)
        gone = time.monotonic()
        until(lambda: time.monotonic() > gone + STORE_GONE_S, STORE_GONE_S + 1)
        servers.start(cluster.servers_dir, "influxdb")
        cluster.await_more()
    cluster.check(load.events(), patience_s=DRAIN_S)
    assert worker.poll() is None


def test_ten_minutes_of_load_leave_a_worker_no_larger_than_two(cluster: Cluster, seed: int) -> None:
    load = Load(seed)
    worker = psutil.Process(cluster.start("worker-1").pid)
    until(lambda: cluster.own_everything("worker-1"), ANSWER_S)
    with Feeding(load, cluster.send):
        began = time.monotonic()
        until(lambda: time.monotonic() > began + WARM_S, WARM_S + 1)
        warm = worker.memory_info().rss
        until(lambda: time.monotonic() > began + LOAD_S, LOAD_S + 1)
        assert worker.memory_info().rss < warm * GROWTH
    cluster.check(load.events(), patience_s=DRAIN_S)


def test_what_a_frozen_worker_spoils_before_it_dies_is_computed_again_within_minutes(
    cluster: Cluster, seed: int
) -> None:
    """Guards the second look after a takeover, for a zombie that dies before it can tell."""
    load, moments = Load(seed), random.Random(seed)
    frozen = cluster.start("worker-1")
    with Feeding(load, cluster.send):
        until(lambda: cluster.own_everything("worker-1"), ANSWER_S)
        cluster.await_more()
        frozen.send_signal(signal.SIGSTOP)
        cluster.start("worker-2")
        until(lambda: cluster.own_everything("worker-2"), ANSWER_S)
        cluster.await_more()
        frozen.send_signal(signal.SIGCONT)
        # It writes what it held, and dies before it can tell its successor.
        time.sleep(moments.uniform(0.0, 0.5))
        cluster.kill("worker-1")
        cluster.await_more()
    cluster.check(load.events(), patience_s=DRAIN_S)
