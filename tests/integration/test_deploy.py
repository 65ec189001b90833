"""What docker-compose.yml runs, run on real servers without containers: the same commands and variables."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr
from tests.stacks import environment

from smartlearn.core.errors import StoreRejected
from smartlearn.core.settings import InfluxSettings
from smartlearn.core.stores.base import Points, SeriesQuery
from smartlearn.core.stores.influx import InfluxStore
from smartlearn.ops import servers
from smartlearn.ops.local.ports import Ports
from smartlearn.ops.servers import ServersRecord

yaml: Any = import_module("yaml")

pytestmark = [pytest.mark.integration, pytest.mark.servers]

if servers.built() is None:
    pytest.skip("the servers are not built: smartlearn servers build", allow_module_level=True)

COMPOSE = Path(__file__).parents[2] / "docker-compose.yml"
PATIENCE_S = 90.0
PREFIX = "composed"


@dataclass
class Project:
    """The compose file, with everything that a container would have of its own put under a folder."""

    folder: Path
    record: ServersRecord
    port: int

    def service(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"][name]
        return found

    def here(self, text: str) -> str:
        """A text of the file with this machine's addresses and folders."""
        assert self.record.influxdb_url is not None
        assert self.record.admin_token is not None
        for old, new in (
            ("kafka:9092", self.record.kafka),
            ("http://influxdb:8086", self.record.influxdb_url),
            ("${INFLUXDB_ADMIN_TOKEN:?run `make env` first}", self.record.admin_token),
            ("${SMARTLEARN_NODE:-docker}", "composed"),
            ("/tokens/", f"{self.folder}/tokens/"),
            ("/keys", f"{self.folder}/keys"),
            ("0.0.0.0", "127.0.0.1"),
            ("8050", str(self.port)),
        ):
            text = text.replace(old, new)
        return text

    def command(self, name: str) -> list[str]:
        service = self.service(name)
        return [self.here(word) for word in [*service.get("entrypoint", ["smartlearn"]), *service["command"]]]

    def environment(self, name: str, instance: int = 1) -> dict[str, str]:
        data_dir = self.folder / f"{name}-{instance}"
        data_dir.mkdir(exist_ok=True)
        ours = {key: self.here(value) for key, value in self.service(name)["environment"].items()}
        programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        fresh = {"SMARTLEARN_DATA_DIR": str(data_dir), "SMARTLEARN_STORE__INFLUX__PREFIX": PREFIX, "PATH": programs}
        return environment() | ours | fresh

    def run(self, name: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(name), env=self.environment(name), capture_output=True, text=True, check=False, timeout=120
        )

    @contextmanager
    def running(self, name: str, instance: int = 1) -> Iterator[subprocess.Popen[bytes]]:
        environment = self.environment(name, instance)
        with (
            (self.folder / f"{name}-{instance}.log").open("wb") as log,
            subprocess.Popen(self.command(name), env=environment, stdout=log, stderr=log) as process,
        ):
            try:
                yield process
            finally:
                if process.poll() is None:
                    process.kill()

    def healthy(self) -> bool:
        """What the health check of the dashboard says."""
        command = [self.here(word) for word in self.service("dashboard")["healthcheck"]["test"][1:]]
        programs = self.environment("dashboard")
        return subprocess.run(command, env=programs, capture_output=True, check=False).returncode == 0

    def store(self, kind: str) -> InfluxStore:
        token = (self.folder / "tokens" / kind / "token").read_text().strip()
        return InfluxStore(
            InfluxSettings(url=self.record.influxdb_url, prefix=PREFIX, token=SecretStr(token)), patience_s=1.0
        )


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    for folder in ("tokens/write", "tokens/read", "keys"):
        (tmp_path / folder).mkdir(parents=True)
    ports = Ports()
    try:
        yield Project(tmp_path, servers.up(tmp_path), ports.any_free())
    finally:
        ports.close()
        servers.down(tmp_path)


def test_the_services_of_the_compose_file_work_together(project: Project) -> None:
    first = project.run("setup")
    assert first.returncode == 0, first.stderr
    for tier, days in (("raw", 7), ("training", 90), ("minutes", 90), ("hours", 730)):
        assert f"made bucket {PREFIX}-{tier}, kept {days} days" in first.stderr
    made = [*project.folder.glob("tokens/*/token"), project.folder / "keys" / "pseudonym.key"]
    assert [path.stat().st_mode & 0o777 for path in made] == [0o600] * 3
    secrets = {path: path.read_bytes() for path in made}
    assert project.record.admin_token is not None
    assert not any(text.strip().decode() in first.stdout + first.stderr for text in list(secrets.values())[:2])

    again = project.run("setup")
    assert again.returncode == 0, again.stderr
    assert {path: path.read_bytes() for path in made} == secrets

    with ExitStack() as stack:
        started = [
            stack.enter_context(project.running(name, instance))
            for name, instance in (("worker", 1), ("worker", 2), ("dashboard", 1), ("agent", 1))
        ]
        deadline = time.monotonic() + PATIENCE_S
        while not project.healthy():
            assert all(process.poll() is None for process in started)
            assert time.monotonic() < deadline, "the dashboard's health check does not pass"
            time.sleep(0.5)
        reading = project.store("read")
        while not reading.query(SeriesQuery("performance", where={"node": "composed"})):
            assert time.monotonic() < deadline, "nothing of the agent arrives in the store"
            time.sleep(0.5)
        with pytest.raises(StoreRejected):
            reading.write([Points("health", np.array([time.time_ns()]), {"node": "a"}, {"score": np.ones(1)})])
        reading.close()
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        assert [process.wait(20) for process in started] == [0, 0, 0, 0]
