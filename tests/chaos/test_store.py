"""InfluxDB that is stopped, refuses, writes a part, hangs, or does what it is asked without saying so."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from tests.chaos.cluster import Cluster, running_cluster
from tests.chaos.load import Feeding, Load
from tests.chaos.proxy import Fault, FaultyProxy, hangs, loses_answers, refuses, writes_half
from tests.stacks import until

from smartlearn.core.topics import DEAD_LETTER
from smartlearn.ops import servers

pytestmark = [pytest.mark.chaos, pytest.mark.servers, pytest.mark.timeout(600)]

ANSWER_S = 90.0
# Longer than a call to the store is tried again by itself.
OUTAGE_S = 60.0
FAULT_S = 3.0

REFUSING: dict[str, Fault] = {
    "503 with Retry-After": refuses(503, retry_after_s=1),
    "429": refuses(429),
    "422 after half a write": writes_half,
}
SILENT: dict[str, Fault] = {"a lost answer": loses_answers, "no answer": hangs}


def await_beats(cluster: Cluster, worker: str, seconds: float) -> None:
    """Wait until a worker has said that it is alive for so long."""
    until(lambda: bool(cluster.heartbeat(worker)), ANSWER_S)
    since = cluster.heartbeat(worker)["sent"]
    until(lambda: cluster.heartbeat(worker)["sent"] >= since + seconds * 1e6, seconds + ANSWER_S)


def test_influxdb_stopped_for_a_minute_under_load_costs_time_and_nothing_else(cluster: Cluster, seed: int) -> None:
    """Guards that a flush that failed is done again, and that a worker waits for its store and still beats."""
    load = Load(seed)
    worker = cluster.start("worker-1")
    with Feeding(load, cluster.send):
        until(lambda: cluster.own_everything("worker-1"), ANSWER_S)
        cluster.await_more()
        servers.kill(cluster.servers_dir, "influxdb", signal.SIGKILL)
        await_beats(cluster, "worker-1", OUTAGE_S)
        servers.start(cluster.servers_dir, "influxdb")
        cluster.await_more()
    cluster.check(load.events())
    assert worker.poll() is None


@pytest.mark.parametrize("faults", [REFUSING, SILENT], ids=["refuses", "does-not-answer"])
def test_influxdb_that_refuses_or_does_not_answer_costs_time_and_nothing_else(
    tmp_path: Path, servers_dir: Path, proxy: FaultyProxy, seed: int, faults: dict[str, Fault]
) -> None:
    """Guards retries and the bisection after 422: a part taken for the whole gave 412 differences."""
    load = Load(seed)
    through = {"SMARTLEARN_STORE__INFLUX__URL": proxy.url, "SMARTLEARN_STORE__INFLUX__TIMEOUT_S": "1"}
    with running_cluster(tmp_path, servers_dir, more=through) as cluster:
        worker = cluster.start("worker-1")
        with Feeding(load, cluster.send):
            until(lambda: cluster.own_everything("worker-1"), ANSWER_S)
            for name, fault in faults.items():
                with proxy.failing(name, fault):
                    await_beats(cluster, "worker-1", FAULT_S)
                cluster.await_more()
        cluster.check(load.events())
        assert worker.poll() is None
        assert set(proxy.faults) == set(faults)
        assert cluster.messages(DEAD_LETTER) == []
