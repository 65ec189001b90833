"""Apache Kafka and InfluxDB on this machine without containers: build them once, then start and stop them.

`build` makes both from package registries (`infra/deploy/native`), into a cache outside the repository. `up` starts
them on loopback, detached, with their data below a data directory; `status` and `down` find them there again.
"""

from __future__ import annotations

from smartlearn.ops.servers.group import down, environment, kill, start, status, up
from smartlearn.ops.servers.recipes import Built, build, built
from smartlearn.ops.servers.record import Server, ServersRecord, ServerState

__all__ = [
    "Built",
    "Server",
    "ServerState",
    "ServersRecord",
    "build",
    "built",
    "down",
    "environment",
    "kill",
    "start",
    "status",
    "up",
]
