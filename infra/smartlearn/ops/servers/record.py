"""What `up` leaves in the data directory, so that every later call finds the servers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

import psutil
from pydantic import BaseModel, ConfigDict

_START_TOLERANCE_S = 1.0


class Server(BaseModel):
    """One server process.

    Attributes:
        name: kafka-1, kafka-2, … or influxdb.
        port: where clients connect.
        controller_port: Kafka's second port; None of InfluxDB.
        pid: the process it was started as last.
        started: when that process was created (Unix time): a pid alone may be another's by now.
    """

    model_config = ConfigDict(extra="forbid")
    name: str
    port: int
    controller_port: int | None = None
    pid: int | None = None
    started: float | None = None

    def process(self) -> psutil.Process | None:
        """The running process, or None."""
        if self.pid is None or self.started is None:
            return None
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > _START_TOLERANCE_S:
                return None
            return None if process.status() == psutil.STATUS_ZOMBIE else process
        except psutil.NoSuchProcess:
            return None


class ServerState(BaseModel):
    """What `status` says of one server."""

    name: str
    state: Literal["running", "stopped"]
    pid: int | None
    address: str
    log: Path


class ServersRecord(BaseModel):
    """The servers of one data directory, with the secrets to use them; readable by its owner only."""

    model_config = ConfigDict(extra="forbid")
    servers: list[Server]
    org: str = "smartlearn"
    admin_token: str | None = None
    write_token: str | None = None
    read_token: str | None = None

    @staticmethod
    def path(data_dir: Path) -> Path:
        """Where the record of a data directory stands."""
        return data_dir / "servers.json"

    @classmethod
    def read(cls, data_dir: Path) -> ServersRecord | None:
        """The record of a data directory, or None where there is none."""
        try:
            return cls.model_validate_json(cls.path(data_dir).read_bytes())
        except FileNotFoundError:
            return None

    def write(self, data_dir: Path) -> None:
        """Replace the record."""
        target = self.path(data_dir)
        temporary = target.with_suffix(f".{os.getpid()}.tmp")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.model_dump_json(indent=2))
        temporary.replace(target)

    def server(self, name: str) -> Server:
        """A server by name."""
        return next(server for server in self.servers if server.name == name)

    @property
    def brokers(self) -> list[Server]:
        """The Kafka brokers, by number."""
        return [server for server in self.servers if server.controller_port is not None]

    @property
    def influxdb(self) -> Server | None:
        """The InfluxDB server, if there is one."""
        return next((server for server in self.servers if server.controller_port is None), None)

    @property
    def kafka(self) -> str:
        """The brokers as a `bootstrap.servers` value."""
        return ",".join(f"127.0.0.1:{server.port}" for server in self.brokers)

    @property
    def influxdb_url(self) -> str | None:
        """InfluxDB's address."""
        return f"http://127.0.0.1:{self.influxdb.port}" if self.influxdb else None
