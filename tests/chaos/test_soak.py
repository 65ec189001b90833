"""What takes minutes: `pytest tests/chaos -m soak`. Its last result stands in docs/delivery.md."""

from __future__ import annotations

import resource
import signal
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import psutil
import pytest
from tests.chaos.cluster import Cluster
from tests.chaos.load import Feeding, Load
from tests.chaos.proxy import Answer, FaultyProxy, Forward, Request
from tests.reference import Event, Events
from tests.stacks import until

from smartlearn.core.batch import Kind
from smartlearn.ops import servers

pytestmark = [pytest.mark.chaos, pytest.mark.servers, pytest.mark.soak, pytest.mark.timeout(1200)]

ANSWER_S = 90.0
DRAIN_S = 240.0
BROKER_GONE_S = 120.0
LOAD_S = 600.0
WARM_S = 120.0
NODES = 10
TURN_S = 0.01
SLOWEST_EMIT_S = 0.001
GROWTH = 1.1


def switches() -> tuple[int, int]:
    """How often this thread waited for something, and how often the kernel ran something else instead."""
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return usage.ru_nvcsw, usage.ru_nivcsw


def test_a_broker_that_is_gone_for_two_minutes_under_a_thousand_events_a_second_costs_none_and_no_emit_waits(
    cluster: Cluster, record_property: Callable[[str, object], None]
) -> None:
    """Guards the spool, and that `emit` never waits: not for a lock, the interpreter, the disk or the broker.

    An `emit` in which the kernel let another program run says nothing about ours, and is told apart.
    """
    cluster.start("worker-1")
    until(lambda: cluster.own_everything("worker-1"), ANSWER_S)
    servers.kill(cluster.servers_dir, "kafka-1", signal.SIGKILL)
    sent: list[Event] = []
    slowest = preempted = 0.0
    turn, ends = time.monotonic(), time.monotonic() + BROKER_GONE_S
    while turn < ends:
        for node in range(NODES):
            fields = {"node": f"node-{node}", "cpu_usage": float(len(sent) % 101)}
            timestamp = time.time_ns() // 1000
            waited_before, others_before = switches()
            started = time.perf_counter()
            assert cluster.producer.emit(Kind.PERFORMANCE, fields, timestamp)
            took = time.perf_counter() - started
            waited, others = switches()
            if others > others_before and waited == waited_before:
                preempted = max(preempted, took)
            else:
                slowest = max(slowest, took)
            sent.append({"timestamp": timestamp, **fields})
        turn += TURN_S
        time.sleep(max(0.0, turn - time.monotonic()))
    servers.start(cluster.servers_dir, "kafka-1")
    back = time.monotonic()
    cluster.check(Events(sent), patience_s=DRAIN_S)
    record_property("events", len(sent))
    record_property("slowest emit", f"{slowest * 1e6:.0f} µs")
    record_property("slowest emit that the kernel interrupted", f"{preempted * 1e6:.0f} µs")
    record_property("all stored and computed after", f"{time.monotonic() - back:.0f} s")
    assert slowest < SLOWEST_EMIT_S


def test_ten_minutes_of_load_leave_a_worker_no_larger_than_two(
    cluster: Cluster, seed: int, record_property: Callable[[str, object], None]
) -> None:
    """Guards that a worker forgets what it has passed."""
    load = Load(seed)
    worker = psutil.Process(cluster.start("worker-1").pid)
    until(lambda: cluster.own_everything("worker-1"), ANSWER_S)
    with Feeding(load, cluster.send):
        began = time.monotonic()
        until(lambda: time.monotonic() > began + WARM_S, WARM_S + 1)
        warm = worker.memory_info().rss
        until(lambda: time.monotonic() > began + LOAD_S, LOAD_S + 1)
        large = worker.memory_info().rss
    cluster.check(load.events(), patience_s=DRAIN_S)
    record_property("memory after two minutes", f"{warm / 2**20:.0f} MiB")
    record_property("memory after ten minutes", f"{large / 2**20:.0f} MiB")
    record_property("batches", len(load.sent))
    assert large < warm * GROWTH


def test_what_a_frozen_worker_spoils_before_it_dies_is_computed_again_within_minutes(
    cluster: Cluster, proxy: FaultyProxy, seed: int, record_property: Callable[[str, object], None]
) -> None:
    """Guards the second look after a takeover, for a zombie that dies between its write and its message.

    Its connection to the store kills it when it has written its panes and is about to write its progress.
    """
    load = Load(seed)
    prefix = cluster.settings.store.influx.prefix
    spoilt: list[bytes] = []

    def dies_before_it_tells(request: Request, forward: Forward) -> Answer | None:
        bucket = parse_qs(urlsplit(request.target).query).get("bucket", [""])[0] if request.writes else ""
        if bucket == f"{prefix}-state" and spoilt:
            cluster.workers["worker-1"].kill()
            return None
        if bucket and bucket not in {f"{prefix}-raw", f"{prefix}-state"}:
            spoilt.extend(request.body.split(b"\n"))
        return forward(request)

    frozen = cluster.start("worker-1", SMARTLEARN_STORE__INFLUX__URL=proxy.url)
    with Feeding(load, cluster.send):
        until(lambda: cluster.own_everything("worker-1"), ANSWER_S)
        cluster.await_more()
        frozen.send_signal(signal.SIGSTOP)
        cluster.start("worker-2")
        until(lambda: cluster.own_everything("worker-2"), ANSWER_S)
        cluster.await_more()
        with proxy.failing("dies before it tells", dies_before_it_tells):
            frozen.send_signal(signal.SIGCONT)
            assert frozen.wait(ANSWER_S) == -signal.SIGKILL
        died = time.monotonic()
        cluster.await_more()
    assert spoilt
    cluster.check(load.events(), patience_s=DRAIN_S)
    record_property("points that the zombie wrote", len(spoilt))
    record_property("right again after", f"{time.monotonic() - died:.0f} s")
