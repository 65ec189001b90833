"""The compose file and the image: what they run exists, what they keep is kept, and what is secret stays out."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, get_origin

import pytest
import typer
from pydantic import BaseModel

from smartlearn.core.settings import ENV_PREFIX, Settings
from smartlearn.ops.cli.app import app

yaml: Any = import_module("yaml")

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "docker-compose.yml"
FOLDER = ROOT / "infra" / "deploy" / "docker"
MAKE_ENV = FOLDER / "make-env"
OURS = ("setup", "worker", "dashboard", "agent")
DESIGNED_DAYS = {"RAW": 7, "TRAINING": 90, "INTERACTIONS": 90, "PANES": 7, "MINUTES": 90, "HOURS": 730, "HISTORY": 365}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services as compose reads them, merges done; nothing interpolated."""
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())["services"]
    return found


def make_env(file: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["sh", str(MAKE_ENV), str(file)], capture_output=True, text=True, check=False)


def read_env(file: Path) -> dict[str, str]:
    lines = [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


def has_compose() -> bool:
    docker = shutil.which("docker")
    if docker is None:
        return False
    return subprocess.run([docker, "compose", "version"], capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_compose(), reason="docker's client has no compose")
def test_compose_takes_the_file_with_a_made_env(tmp_path: Path) -> None:
    make_env(tmp_path / ".env")
    command = ["docker", "compose", "--env-file", str(tmp_path / ".env"), "-f", str(COMPOSE), "config", "--format=json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    config = json.loads(done.stdout)
    assert set(config["services"]) == {"kafka", "influxdb", *OURS}
    assert config["services"]["worker"]["depends_on"]["setup"]["condition"] == "service_completed_successfully"


@pytest.mark.skipif(not has_compose(), reason="docker's client has no compose")
def test_compose_without_an_env_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / ".env").touch()
    command = ["docker", "compose", "--env-file", str(tmp_path / ".env"), "-f", str(COMPOSE), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "make env" in done.stderr


def test_there_are_the_servers_a_set_up_and_our_services(services: dict[str, Any]) -> None:
    assert set(services) == {"kafka", "influxdb", *OURS}
    assert services["kafka"]["image"].startswith("apache/kafka:4.")
    assert services["influxdb"]["image"].startswith("influxdb:2.")


def test_the_servers_have_the_versions_that_the_tests_run_on(services: dict[str, Any]) -> None:
    native = ROOT / "infra" / "deploy" / "native"
    kafka = re.search(r"<kafka\.version>(.+)</kafka", (native / "kafka" / "pom.xml").read_text())
    influxdb = re.search(r"influxdb/v2 v(\S+)", (native / "influxdb" / "go.mod").read_text())
    assert kafka is not None
    assert influxdb is not None
    assert services["kafka"]["image"] == f"apache/kafka:{kafka[1]}"
    assert services["influxdb"]["image"] == f"influxdb:{influxdb[1]}"


def test_the_servers_keep_their_data_and_tell_their_health(services: dict[str, Any]) -> None:
    volumes = yaml.safe_load(COMPOSE.read_text())["volumes"]
    kafka, influxdb = services["kafka"], services["influxdb"]
    assert f"kafka-data:{kafka['environment']['KAFKA_LOG_DIRS']}" in kafka["volumes"]
    assert "influxdb-data:/var/lib/influxdb2" in influxdb["volumes"]
    for service in (kafka, influxdb, services["dashboard"]):
        assert service["healthcheck"]["test"][0] == "CMD"
    used = {mount.split(":")[0] for service in services.values() for mount in service.get("volumes", ())}
    assert used == set(volumes)


def test_kafka_is_one_node_of_kraft_whose_listeners_are_all_mapped(services: dict[str, Any]) -> None:
    settings = services["kafka"]["environment"]
    assert set(settings["KAFKA_PROCESS_ROLES"].split(",")) == {"broker", "controller"}
    mapped = {pair.split(":")[0] for pair in settings["KAFKA_LISTENER_SECURITY_PROTOCOL_MAP"].split(",")}
    listening = {address.split("://")[0] for address in settings["KAFKA_LISTENERS"].split(",")}
    advertised = {address.split("://")[0] for address in settings["KAFKA_ADVERTISED_LISTENERS"].split(",")}
    assert listening == mapped == advertised | {"CONTROLLER"}
    assert settings["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert f"PLAINTEXT://{services['worker']['environment'][f'{ENV_PREFIX}KAFKA__BOOTSTRAP_SERVERS']}" in (
        settings["KAFKA_ADVERTISED_LISTENERS"].split(",")
    )


def test_ours_start_when_the_set_up_has_ended_and_it_when_the_servers_are_healthy(services: dict[str, Any]) -> None:
    assert services["setup"]["depends_on"] == {name: {"condition": "service_healthy"} for name in ("kafka", "influxdb")}
    assert services["setup"]["restart"] == "no"
    for name in ("worker", "dashboard", "agent"):
        assert services[name]["depends_on"] == {"setup": {"condition": "service_completed_successfully"}}
        assert services[name]["restart"] == "unless-stopped"


def test_workers_can_be_many(services: dict[str, Any]) -> None:
    worker = services["worker"]
    assert not {"container_name", "ports", "hostname"} & set(worker)
    assert f"{ENV_PREFIX}WORKER_NAME" not in worker["environment"]


def test_what_is_published_is_published_on_loopback_only(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert set(published) == {"kafka", "dashboard"}
    for ports in published.values():
        for port in ports:
            assert port.startswith("127.0.0.1:")
    assert "network_mode" not in str(services)


def test_no_secret_stands_in_what_is_committed() -> None:
    secret = re.compile(r"(?i)(password|token|secret|key)\w*\s*[:=]\s*(\S+)")
    for file in (COMPOSE, FOLDER / "Dockerfile", FOLDER / "Dockerfile.dockerignore"):
        for line in file.read_text().splitlines():
            found = secret.search(line.split("#")[0])
            if found is not None and "TOKEN_FILE" not in line and "KEY_FILE" not in line and "token:/" not in line:
                assert found[2].startswith(("${INFLUXDB_", "/keys")), line


def test_only_the_set_up_and_the_server_know_the_admin_token(services: dict[str, Any]) -> None:
    knowing = {name for name, service in services.items() if "INFLUXDB_ADMIN_TOKEN" in str(service)}
    assert knowing == {"influxdb", "setup"}
    assert not any("env_file" in service for service in services.values())


def test_the_dashboard_gets_the_token_that_reads_and_workers_the_one_that_writes(services: dict[str, Any]) -> None:
    variable = f"{ENV_PREFIX}STORE__INFLUX__TOKEN_FILE"
    for name, kind in (("worker", "write"), ("dashboard", "read")):
        assert services[name]["environment"][variable] == f"/tokens/{kind}/token"
        assert [mount for mount in services[name]["volumes"] if "/tokens/" in mount] == [
            f"{kind}-token:/tokens/{kind}:ro"
        ]
        assert f"--{kind}-token-file /tokens/{kind}/token" in services["setup"]["command"][0]
    assert "tokens" not in str(services["agent"])


def leaves(model: type[BaseModel], prefix: str = ENV_PREFIX) -> Iterator[str]:
    for name, field in model.model_fields.items():
        annotation = field.annotation
        if isinstance(annotation, type) and get_origin(annotation) is None and issubclass(annotation, BaseModel):
            yield from leaves(annotation, f"{prefix}{name.upper()}__")
        else:
            yield prefix + name.upper()


def test_every_variable_of_ours_is_a_setting(services: dict[str, Any]) -> None:
    known = {*leaves(Settings), f"{ENV_PREFIX}ADMIN_TOKEN"}
    for name in OURS:
        variables = set(services[name]["environment"])
        assert variables <= known
        assert all(variable.startswith(ENV_PREFIX) for variable in variables)
    image = set(re.findall(rf"({ENV_PREFIX}\w+)=", (FOLDER / "Dockerfile").read_text()))
    assert image <= known


def test_the_settings_load_with_the_retention_of_the_design(
    services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in services["agent"]["environment"].items():
        monkeypatch.setenv(name, value.replace("${SMARTLEARN_NODE:-docker}", "docker"))
    retention = Settings().store.retention.model_dump()
    assert retention == {f"{tier.lower()}_days": days for tier, days in DESIGNED_DAYS.items()}


def commands(services: dict[str, Any]) -> Iterator[list[str]]:
    for name in ("worker", "dashboard", "agent"):
        yield ["smartlearn", *services[name]["command"]]
    for line in services["setup"]["command"][0].splitlines():
        if line.startswith("smartlearn "):
            yield shlex.split(line)


def test_every_command_exists_with_its_flags(services: dict[str, Any]) -> None:
    found = list(commands(services))
    assert len(found) == 5
    for words in found:
        command: Any = typer.main.get_command(app)
        arguments = words[1:]
        while hasattr(command, "commands"):
            command = command.commands[arguments.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts}
        assert {word for word in arguments if word.startswith("--")} <= known


def test_the_pseudonym_key_is_one_for_all_nodes(services: dict[str, Any]) -> None:
    path = services["agent"]["environment"][f"{ENV_PREFIX}PRIVACY__KEY_FILE"]
    assert path == "/keys/pseudonym.key"
    assert "key:/keys:ro" in services["agent"]["volumes"]
    assert "key:/keys" in services["setup"]["volumes"]
    assert path in services["setup"]["command"][0]
    assert not any("key:/keys" in str(services[name].get("volumes")) for name in ("worker", "dashboard", "influxdb"))
    assert path in (FOLDER / "README.md").read_text()


def test_what_the_image_needs_is_there_and_nothing_else_reaches_the_build() -> None:
    copied = [
        word
        for line in re.findall(r"^COPY (?!--from)(.+)$", (FOLDER / "Dockerfile").read_text(), re.MULTILINE)
        for word in line.split()[:-1]
    ]
    assert all((ROOT / name).exists() for name in copied)
    rules = [line for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if line and line[0] != "#"]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == set(copied)


def test_the_image_runs_as_nobody_in_particular_from_a_slim_base() -> None:
    text = (FOLDER / "Dockerfile").read_text()
    bases = re.findall(r"^FROM (\S+)", text, re.MULTILINE)
    assert bases == ["python:${PYTHON}-slim"] * 2
    last = text.rsplit("FROM ", 1)[1]
    user = re.search(r"^USER (\d+):(\d+)$", last, re.MULTILINE)
    assert user is not None
    assert "0" not in user.groups()
    folders = {"/var/lib/smartlearn", "/tokens/write", "/tokens/read", "/keys"}
    assert folders <= set(last.split())
    mounted = {
        mount.split(":")[1]
        for name in OURS
        for mount in yaml.safe_load(COMPOSE.read_text())["services"][name].get("volumes", ())
    }
    assert mounted <= folders


def test_the_env_holds_fresh_secrets_for_its_owner_only(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    assert make_env(first).returncode == 0
    assert make_env(second).returncode == 0
    assert first.stat().st_mode & 0o777 == 0o600
    values, others = read_env(first), read_env(second)
    for name in ("INFLUXDB_PASSWORD", "INFLUXDB_ADMIN_TOKEN"):
        assert re.fullmatch(r"[0-9a-f]{48}", values[name])
        assert values[name] != others[name]
    assert values["INFLUXDB_PASSWORD"] != values["INFLUXDB_ADMIN_TOKEN"]


def test_the_env_has_every_variable_that_the_compose_file_uses(tmp_path: Path) -> None:
    make_env(tmp_path / ".env")
    used = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    assert set(read_env(tmp_path / ".env")) == used


def test_an_env_that_is_there_is_never_overwritten(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("MINE=1\n")
    done = make_env(file)
    assert done.returncode == 0
    assert "stays as it is" in done.stderr
    assert file.read_text() == "MINE=1\n"


def test_an_env_that_cannot_be_written_is_a_failure(tmp_path: Path) -> None:
    done = make_env(tmp_path / "missing" / ".env")
    assert done.returncode == 1
    assert "cannot be written" in done.stderr


def test_the_env_and_its_secrets_are_never_committed() -> None:
    done = subprocess.run(
        ["git", "check-ignore", "-q", ".env"], cwd=ROOT, check=False, env={"PATH": os.environ["PATH"]}
    )
    assert done.returncode == 0 or ".env" in (ROOT / ".gitignore").read_text().splitlines()
