"""Apache Kafka in KRaft mode: each broker's properties, its command, and when the cluster is ready."""

from __future__ import annotations

import subprocess
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from smartlearn.core.errors import StackError
from smartlearn.ops.servers.recipes import Built
from smartlearn.ops.servers.record import Server

_CLUSTER = "c21hcnRsZWFybi1sb2NhbA"
_HEAP = "-Xmx512m"
_VOTERS = 3
_METADATA_TIMEOUT_S = 2.0


def properties(server: Server, brokers: list[Server], folder: Path) -> str:
    """The server.properties of one broker; the first three are the controllers, or the first where there are fewer."""
    number = brokers.index(server) + 1
    voters = brokers[: _VOTERS if len(brokers) >= _VOTERS else 1]
    factor = min(_VOTERS, len(brokers))
    listeners = [f"PLAINTEXT://127.0.0.1:{server.port}"]
    if server in voters:
        listeners.append(f"CONTROLLER://127.0.0.1:{server.controller_port}")
    values = {
        "process.roles": "broker,controller" if server in voters else "broker",
        "node.id": number,
        "controller.quorum.voters": ",".join(
            f"{place}@127.0.0.1:{voter.controller_port}" for place, voter in enumerate(voters, start=1)
        ),
        "listeners": ",".join(listeners),
        "advertised.listeners": listeners[0],
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": folder / "data",
        "default.replication.factor": factor,
        "min.insync.replicas": max(1, factor - 1),
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": 0,
    }
    for internal in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        values[f"{internal}.replication.factor"] = factor
    for internal in ("transaction.state.log", "share.coordinator.state.topic"):
        values[f"{internal}.min.isr"] = max(1, factor - 1)
    return "".join(f"{name}={value}\n" for name, value in values.items())


def command(server: Server, brokers: list[Server], folder: Path, built: Built) -> list[str]:
    """Prepare the broker's folder and give the command that runs it.

    Raises:
        StackError: the folder could not be formatted.
    """
    file = folder / "server.properties"
    file.write_text(properties(server, brokers, folder))
    java = ["java", _HEAP, f"-Dlog4j2.configurationFile={built.log4j}", "-cp", f"{built.kafka}/*"]
    if not (folder / "data" / "meta.properties").exists():
        formatting = [*java, "kafka.tools.StorageTool", "format", "--ignore-formatted", "-t", _CLUSTER]
        done = subprocess.run([*formatting, "-c", str(file)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise StackError(f"{server.name} could not format {folder / 'data'}: {(done.stdout + done.stderr)[-500:]}")
    return [*java, "kafka.Kafka", str(file)]


def is_ready(bootstrap: str, brokers: int) -> bool:
    """Whether all brokers are in the cluster's metadata."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    try:
        return len(admin.list_topics(timeout=_METADATA_TIMEOUT_S).brokers) == brokers
    except KafkaException:
        return False
