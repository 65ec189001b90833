"""A worker whose network link goes down while its connections stay open."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.chaos.cluster import Cluster
from tests.chaos.load import Feeding, Load
from tests.stacks import until

from smartlearn.ops.servers import ServersRecord

pytestmark = [pytest.mark.chaos, pytest.mark.servers, pytest.mark.timeout(600)]

ANSWER_S = 90.0
DOWN_S = 30.0
# A request to the broker that was cut off is given up after a minute.
HEALED_S = 180.0


class Link:
    """A network namespace whose loopback has the servers' ports, by a link that can be taken down.

    Attributes:
        name: of the namespace.
    """

    def __init__(self, record: ServersRecord) -> None:
        self.name = f"chaos{os.getpid()}"
        self._host = f"ch{os.getpid()}"
        self._ports = [server.port for server in record.servers]
        self._relays: list[subprocess.Popen[bytes]] = []

    def make(self) -> None:
        """Make the namespace and its link."""
        host, inside = "10.213.77.1", "10.213.77.2"
        ip("netns", "add", self.name)
        ip("link", "add", self._host, "type", "veth", "peer", "name", "inside", "netns", self.name)
        ip("addr", "add", f"{host}/30", "dev", self._host)
        ip("link", "set", self._host, "up")
        ip("-n", self.name, "addr", "add", f"{inside}/30", "dev", "inside")
        ip("-n", self.name, "link", "set", "inside", "up")
        ip("-n", self.name, "link", "set", "lo", "up")
        relay = (sys.executable, "-m", "tests.chaos.relay")
        out = [f"{host}:{port}=127.0.0.1:{port}" for port in self._ports]
        into = [f"127.0.0.1:{port}={host}:{port}" for port in self._ports]
        self._relays = [
            subprocess.Popen([*relay, *out]),
            subprocess.Popen([*self.enter, *relay, *into]),
        ]

    @property
    def enter(self) -> tuple[str, ...]:
        """What to put before a command that is to run in the namespace."""
        return "ip", "netns", "exec", self.name

    def set(self, state: str) -> None:
        """Take the link `up` or `down`."""
        ip("link", "set", self._host, state)

    def close(self) -> None:
        """Take all of it away."""
        for process in self._relays:
            process.kill()
            process.wait(10)
        subprocess.run(["ip", "link", "del", self._host], check=False, capture_output=True)
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


@pytest.fixture
def link(servers_dir: Path, cluster: Cluster) -> Iterator[Link]:
    record = ServersRecord.read(servers_dir)
    assert record is not None
    made = Link(record)
    try:
        if reason := impossible(made):
            if os.environ.get("CI") == "true":
                pytest.fail(reason)
            pytest.skip(reason)
        yield made
    finally:
        made.close()


def impossible(link: Link) -> str | None:
    """Make the link; why it cannot be made here, where it cannot."""
    if shutil.which("ip") is None or os.geteuid() != 0:
        return "a network namespace needs root and iproute2"
    try:
        link.make()
    except subprocess.CalledProcessError as error:
        return f"no network namespace can be made: {error.stderr}"
    return None


def test_a_worker_that_is_cut_off_for_half_a_minute_loses_and_doubles_nothing(
    cluster: Cluster, link: Link, seed: int
) -> None:
    """Guards what a freeze guards, with connections that neither answer nor break."""
    load = Load(seed)
    cut = cluster.start("worker-1", *link.enter)
    with Feeding(load, cluster.send):
        until(lambda: cluster.own_everything("worker-1"), ANSWER_S)
        cluster.await_more()
        link.set("down")
        down_since = time.monotonic()
        cluster.start("worker-2")
        until(lambda: cluster.own_everything("worker-2"), ANSWER_S)
        cluster.await_more()
        until(lambda: time.monotonic() > down_since + DOWN_S, DOWN_S + 1)
        link.set("up")
        until(lambda: cluster.own_everything("worker-1", "worker-2"), ANSWER_S)
    cluster.check(load.events(), patience_s=HEALED_S)
    assert cut.poll() is None
