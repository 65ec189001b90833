"""The native servers, as far as that goes without starting one."""

from __future__ import annotations

import fcntl
import os
import stat
import threading
from pathlib import Path

import psutil
import pytest

from smartlearn.core.errors import StackError
from smartlearn.ops import servers
from smartlearn.ops.servers import Server, ServersRecord, kafka, recipes


@pytest.fixture
def no_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def brokers(count: int) -> list[Server]:
    return [Server(name=f"kafka-{n}", port=9000 + n, controller_port=9100 + n) for n in range(1, count + 1)]


def properties_of(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines())


def test_the_cache_is_where_the_variable_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTLEARN_CACHE_DIR", str(tmp_path / "here"))
    assert recipes.cache_dir() == tmp_path / "here"
    monkeypatch.delenv("SMARTLEARN_CACHE_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "linux")
    assert recipes.cache_dir() == tmp_path / "smartlearn-metrics"
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sys.platform", "darwin")
    assert recipes.cache_dir() == tmp_path / "Library" / "Caches" / "smartlearn-metrics"


def test_an_empty_cache_has_nothing_built(tmp_path: Path) -> None:
    assert servers.built(tmp_path) is None


def test_missing_tools_are_named_before_anything_is_built(tmp_path: Path, no_tools: Path) -> None:
    with pytest.raises(StackError, match=r"install java \(a JDK, 17 or newer\), mvn \(Maven\)"):
        servers.build(tmp_path / "cache")
    tool(no_tools, "mvn", "exit 0")
    tool(no_tools, "java", "echo 'openjdk version \"11.0.2\"' >&2")
    with pytest.raises(StackError, match=r"Java 17 or newer.*11\.0\.2"):
        servers.build(tmp_path / "cache")


def test_a_build_that_fails_says_why_and_leaves_nothing(tmp_path: Path, no_tools: Path) -> None:
    tool(no_tools, "java", "echo 'openjdk version \"17.0.2\"' >&2")
    tool(no_tools, "mvn", "echo no such artifact; exit 3")
    with pytest.raises(StackError, match=r"exit code 3:\nno such artifact"):
        servers.build(tmp_path / "cache")
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["build.lock"]


def test_an_installation_without_the_recipes_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipes, "_RECIPES", tmp_path / "nothing")
    with pytest.raises(StackError, match="of a checkout"):
        servers.build(tmp_path)


def test_a_changed_recipe_is_another_build(tmp_path: Path) -> None:
    recipe = tmp_path / "recipe"
    recipe.mkdir()
    (recipe / "pom.xml").write_text("1")
    first = recipes._fingerprint(recipe)
    (recipe / "pom.xml").write_text("2")
    assert recipes._fingerprint(recipe) != first


def test_a_recipe_without_a_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("module x")
    with pytest.raises(StackError, match="names no version"):
        recipes._version(tmp_path / "go.mod", "influxdb (v.*)")


def test_a_second_build_waits_for_the_first(tmp_path: Path) -> None:
    told = threading.Event()
    entered = threading.Event()

    def second() -> None:
        with recipes._alone(tmp_path / "lock", lambda _: told.set()):
            entered.set()

    thread = threading.Thread(target=second)
    with (tmp_path / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread.start()
        assert told.wait(10)
        assert not entered.is_set()
    assert entered.wait(10)
    thread.join()


def test_servers_that_are_not_built_do_not_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMARTLEARN_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.raises(StackError, match="smartlearn servers build"):
        servers.up(tmp_path)


def test_where_nothing_was_started_nothing_runs(tmp_path: Path) -> None:
    assert servers.status(tmp_path) == []
    servers.down(tmp_path)
    with pytest.raises(StackError, match="has no server kafka-1; it has: none"):
        servers.kill(tmp_path, "kafka-1")


def test_the_record_is_its_owners_only(tmp_path: Path) -> None:
    record = ServersRecord(servers=brokers(1), admin_token="secret")
    record.write(tmp_path)
    assert stat.S_IMODE(ServersRecord.path(tmp_path).stat().st_mode) == 0o600
    assert ServersRecord.read(tmp_path) == record


def test_a_pid_that_is_anothers_by_now_is_not_the_server() -> None:
    own = psutil.Process(os.getpid())
    server = Server(name="influxdb", port=1, pid=own.pid, started=own.create_time())
    assert server.process() == own
    assert server.model_copy(update={"started": own.create_time() - 100}).process() is None
    assert server.model_copy(update={"pid": None}).process() is None


def test_the_environment_points_at_what_runs() -> None:
    record = ServersRecord(servers=brokers(3))
    assert servers.environment(record) == {
        "SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9001,127.0.0.1:9002,127.0.0.1:9003",
        "SMARTLEARN_KAFKA__REPLICATION": "3",
    }
    record = ServersRecord(servers=[*brokers(1), Server(name="influxdb", port=8086)], write_token="w", read_token="r")
    assert servers.environment(record) == {
        "SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS": "127.0.0.1:9001",
        "SMARTLEARN_KAFKA__REPLICATION": "1",
        "SMARTLEARN_STORE__KIND": "influxdb",
        "SMARTLEARN_STORE__INFLUX__URL": "http://127.0.0.1:8086",
        "SMARTLEARN_STORE__INFLUX__ORG": "smartlearn",
        "SMARTLEARN_STORE__INFLUX__TOKEN": "w",
    }


def test_one_broker_is_its_own_controller() -> None:
    group = brokers(1)
    found = properties_of(kafka.properties(group[0], group, Path("/data")))
    assert found["process.roles"] == "broker,controller"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:9101"
    assert found["listeners"] == "PLAINTEXT://127.0.0.1:9001,CONTROLLER://127.0.0.1:9101"
    assert found["log.dirs"] == "/data/data"
    assert found["auto.create.topics.enable"] == "false"
    assert {value for name, value in found.items() if name.endswith(("factor", "isr", "replicas"))} == {"1"}


def test_three_brokers_replicate_and_bear_the_loss_of_one() -> None:
    group = brokers(3)
    found = properties_of(kafka.properties(group[2], group, Path("/data")))
    assert found["node.id"] == "3"
    assert found["controller.quorum.voters"] == "1@127.0.0.1:9101,2@127.0.0.1:9102,3@127.0.0.1:9103"
    assert {value for name, value in found.items() if name.endswith("factor")} == {"3"}
    assert {value for name, value in found.items() if name.endswith(("isr", "replicas"))} == {"2"}


def test_a_fourth_broker_is_no_controller() -> None:
    group = brokers(4)
    found = properties_of(kafka.properties(group[3], group, Path("/data")))
    assert found["process.roles"] == "broker"
    assert "CONTROLLER://" not in found["listeners"]
    assert found["controller.quorum.voters"].count("@") == 3
