"""Starting, watching and stopping the servers of a data directory."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from smartlearn.core.errors import StackError
from smartlearn.core.settings import RetentionSettings
from smartlearn.ops.local.logs import open_log, tail
from smartlearn.ops.local.ports import Ports
from smartlearn.ops.servers import influxdb, kafka
from smartlearn.ops.servers.recipes import Built, built
from smartlearn.ops.servers.record import Server, ServersRecord, ServerState

READY_TIMEOUT_S = 90.0
"""One broker needs 4 s, three need 16 s; on a busy machine several times that."""

STOP_TIMEOUT_S = 20.0
"""A broker stops in 2 s; what does not stop in this time is killed."""

_POLL_S = 0.1


def up(
    data_dir: Path,
    brokers: int = 1,
    *,
    with_influxdb: bool = True,
    retention: RetentionSettings | None = None,
) -> ServersRecord:
    """Start the servers that do not run yet, and return when all answer; they outlive the caller.

    Raises:
        StackError: they are not built, the directory has another number of them, or one does not start.
    """
    programs = _built()
    record = _record(data_dir, brokers, with_influxdb=with_influxdb)
    for server in record.servers:
        _start(data_dir, record, server, programs)
    record.write(data_dir)
    _await(data_dir, record, record.servers)
    if record.influxdb_url is not None:
        record = influxdb.set_up(record, record.influxdb_url, retention or RetentionSettings())
        record.write(data_dir)
    return record


def start(data_dir: Path, name: str) -> None:
    """Start one server of a group again, and return when it answers.

    Raises:
        StackError: there is no such server, or it does not start.
    """
    record, server = _find(data_dir, name)
    _start(data_dir, record, server, _built())
    record.write(data_dir)
    _await(data_dir, record, [server])


def kill(data_dir: Path, name: str, number: signal.Signals = signal.SIGKILL) -> None:
    """Send one server a signal; SIGKILL and SIGTERM return when it has ended.

    Raises:
        StackError: there is no such server, or it does not run.
    """
    _, server = _find(data_dir, name)
    process = server.process()
    if process is None:
        raise StackError(f"{name} of {data_dir} does not run")
    process.send_signal(number)
    if number in {signal.SIGKILL, signal.SIGTERM}:
        _ended(server)


def down(data_dir: Path) -> None:
    """Stop the servers; their data stays."""
    record = ServersRecord.read(data_dir)
    servers = record.servers if record else []
    for server in servers:
        if (process := server.process()) is not None:
            process.terminate()
    for server in servers:
        _ended(server)


def status(data_dir: Path) -> list[ServerState]:
    """What runs; empty where `up` was never called."""
    record = ServersRecord.read(data_dir)
    states: list[ServerState] = []
    for server in record.servers if record else ():
        process = server.process()
        states.append(
            ServerState(
                name=server.name,
                state="stopped" if process is None else "running",
                pid=None if process is None else process.pid,
                address=f"127.0.0.1:{server.port}",
                log=_folder(data_dir, server) / "server.log",
            )
        )
    return states


def environment(record: ServersRecord) -> dict[str, str]:
    """The variables that point every command of ours at the servers."""
    variables = {
        "SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS": record.kafka,
        "SMARTLEARN_KAFKA__REPLICATION": str(min(3, len(record.brokers))),
    }
    if record.influxdb_url is not None and record.write_token is not None:
        variables |= {
            "SMARTLEARN_STORE__KIND": "influxdb",
            "SMARTLEARN_STORE__INFLUX__URL": record.influxdb_url,
            "SMARTLEARN_STORE__INFLUX__ORG": record.org,
            "SMARTLEARN_STORE__INFLUX__TOKEN": record.write_token,
        }
    return variables


def _built() -> Built:
    programs = built()
    if programs is None:
        raise StackError("the native servers are not built yet; `smartlearn servers build` does it")
    return programs


def _record(data_dir: Path, brokers: int, *, with_influxdb: bool) -> ServersRecord:
    names = [f"kafka-{number}" for number in range(1, brokers + 1)] + ["influxdb"] * with_influxdb
    record = ServersRecord.read(data_dir)
    if record is not None:
        if [server.name for server in record.servers] != names:
            there = ", ".join(server.name for server in record.servers)
            raise StackError(f"{data_dir} has {there}; ask for these, or use another directory")
        return record
    data_dir.mkdir(parents=True, exist_ok=True)
    ports = Ports()
    try:
        return ServersRecord(
            servers=[
                Server(
                    name=name,
                    port=ports.any_free(),
                    controller_port=ports.any_free() if name != "influxdb" else None,
                )
                for name in names
            ]
        )
    finally:
        ports.close()


def _find(data_dir: Path, name: str) -> tuple[ServersRecord, Server]:
    record = ServersRecord.read(data_dir)
    names = [server.name for server in record.servers] if record else []
    if record is None or name not in names:
        raise StackError(f"{data_dir} has no server {name}; it has: {', '.join(names) or 'none'}")
    return record, record.server(name)


def _folder(data_dir: Path, server: Server) -> Path:
    return (data_dir / "servers" / server.name).absolute()


def _start(data_dir: Path, record: ServersRecord, server: Server, programs: Built) -> None:
    if server.process() is not None:
        return
    folder = _folder(data_dir, server)
    folder.mkdir(parents=True, exist_ok=True)
    if server.controller_port is None:
        command = influxdb.command(server, folder, programs)
    else:
        command = kafka.command(server, record.brokers, folder, programs)
    log = folder / "server.log"
    os.close(open_log(log))
    # The shell ends at once, so that the server is nobody's child and outlives its starter without a trace.
    started = subprocess.run(
        ["sh", "-c", '"$@" >> "$0" 2>&1 < /dev/null & echo $!', str(log), *command],
        cwd=folder,
        stdout=subprocess.PIPE,
        start_new_session=True,
        check=True,
    )
    server.pid = int(started.stdout)
    server.started = psutil.Process(server.pid).create_time()


def _await(data_dir: Path, record: ServersRecord, servers: list[Server]) -> None:
    """Wait until the servers answer; say why where one ends before."""
    deadline = time.monotonic() + READY_TIMEOUT_S
    checks: list[Callable[[], bool]] = []
    if any(server.controller_port is not None for server in servers):
        running = sum(server.process() is not None for server in record.brokers)
        checks.append(lambda: kafka.is_ready(record.kafka, running))
    url = record.influxdb_url
    if url is not None and record.influxdb in servers:
        checks.append(lambda: influxdb.is_ready(url))
    while checks:
        for server in servers:
            if server.process() is None:
                raise StackError(f"{server.name} ended while it started:\n{_last_words(data_dir, server)}")
        checks = [check for check in checks if not check()]
        if checks and time.monotonic() > deadline:
            logs = ", ".join(str(_folder(data_dir, server) / "server.log") for server in servers)
            raise StackError(f"the servers do not answer after {READY_TIMEOUT_S:g} s; see {logs}")
        time.sleep(_POLL_S)


def _last_words(data_dir: Path, server: Server) -> str:
    return "\n".join(tail(_folder(data_dir, server) / "server.log"))


def _ended(server: Server) -> None:
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while (process := server.process()) is not None:
        if time.monotonic() > deadline:
            process.kill()
        time.sleep(_POLL_S)
