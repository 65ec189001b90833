"""The servers that every case shares, and what is run and watched on them."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import orjson
import psutil
from confluent_kafka import Consumer, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from benchmarks.report import CannotRun
from smartlearn.core.errors import SmartLearnError
from smartlearn.core.settings import InfluxSettings, KafkaSettings, RetentionSettings
from smartlearn.core.stores.influx_setup import init_influx
from smartlearn.core.topics import LIVE, ensure_topics
from smartlearn.ops import servers
from smartlearn.ops.servers import ServersRecord

PARTITIONS = 4
PATIENCE_S = 90.0
_POLL_S = 0.05

Measured = TypeVar("Measured")


@dataclass(frozen=True)
class Load:
    """What lies on a topic to be read.

    Attributes:
        topic: its name.
        rows: how many rows are to be carried.
        rows_a_message: in each message.
        ends: partition → the offset at which all of them are carried.
    """

    topic: str
    rows: int
    rows_a_message: int
    ends: Mapping[int, int]


@dataclass(frozen=True)
class Carried:
    """How a group went through a load.

    Attributes:
        rate: rows a second between the first commit seen and the last.
        cores: process → processor time it used meanwhile, in cores.
        finished: whether it came to the end of the load in its time.
    """

    rate: float
    cores: Mapping[str, float]
    finished: bool


class Stage:
    """Kafka and InfluxDB of one run of the benchmarks, in a folder that goes with it."""

    def __init__(self, folder: Path, runs: int, *, full: bool = False) -> None:
        """Build in a folder; the servers start with the first case that needs them."""
        self.folder = folder
        self.runs = runs
        self.full = full
        self._record: ServersRecord | None = None
        self._numbers = itertools.count(1)
        self._loads: dict[str, Load] = {}
        self._once: dict[str, Any] = {}

    @property
    def record(self) -> ServersRecord:
        """The servers, started."""
        if self._record is None:
            if servers.built() is None:
                raise CannotRun("Kafka and InfluxDB are not built: `make servers` does it once, in ten minutes")
            try:
                self._record = servers.up(self.folder / "servers")
            except SmartLearnError as error:
                raise CannotRun(str(error)) from error
        return self._record

    def close(self) -> None:
        """Stop the servers."""
        if self._record is not None:
            servers.down(self.folder / "servers")

    def name(self, what: str) -> str:
        """A name that was not used before."""
        return f"{what}-{next(self._numbers)}"

    @property
    def kafka(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.record.kafka, partitions=PARTITIONS)

    @property
    def influx_token(self) -> str:
        """The token that may do everything."""
        assert self.record.admin_token is not None
        return self.record.admin_token

    def environment(self, *, influx: bool = True, **settings: str) -> dict[str, str]:
        """The variables of processes of ours, with buckets of their own and an empty data directory."""
        name = self.name("bench")
        variables = {
            **servers.environment(self.record),
            "SMARTLEARN_DATA_DIR": str(self.folder / name),
            "SMARTLEARN_KAFKA__PARTITIONS": str(PARTITIONS),
            "SMARTLEARN_KAFKA__GROUP": name,
            **{f"SMARTLEARN_{key.upper()}": value for key, value in settings.items()},
        }
        if influx:
            buckets = InfluxSettings(url=self.record.influxdb_url, org=self.record.org, prefix=name)
            tokens = init_influx(buckets, RetentionSettings(), self.influx_token)
            variables |= {"SMARTLEARN_STORE__INFLUX__PREFIX": name, "SMARTLEARN_STORE__INFLUX__TOKEN": tokens.write}
        else:
            variables["SMARTLEARN_STORE__KIND"] = "sqlite"
        ensure_topics(self.kafka)
        (self.folder / name).mkdir()
        return {**inherited(), **variables}

    def topic(self, name: str) -> None:
        """Make a topic anew, empty."""
        admin = AdminClient({"bootstrap.servers": self.record.kafka, "log_level": 0})
        if name in admin.list_topics(timeout=10).topics:
            admin.delete_topics([name])[name].result()
            await_true(lambda: name not in admin.list_topics(timeout=10).topics)
        deadline = time.monotonic() + PATIENCE_S
        while True:
            config = {"max.message.bytes": str(8 << 20), "message.timestamp.type": "LogAppendTime"}
            with contextlib.suppress(Exception):
                admin.create_topics([NewTopic(name, PARTITIONS, 1, config=config)])[name].result()
                return
            if time.monotonic() > deadline:
                raise CannotRun(f"topic {name} cannot be made")
            time.sleep(0.2)

    @contextmanager
    def running(self, command: Sequence[str], environment: Mapping[str, str], name: str) -> Iterator[psutil.Process]:
        """A process while the body runs; what it prints is in a file of its name."""
        log = self.folder / f"{self.name(name)}.log"
        with log.open("wb") as output:
            process = psutil.Popen([*command], stdout=output, stderr=subprocess.STDOUT, env=dict(environment))
        try:
            yield process
            if process.poll() is not None:
                raise CannotRun(f"{name} ended by itself: {log.read_text(errors='replace').strip()[-300:]}")
        finally:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.terminate()
                try:
                    process.wait(15)
                except psutil.TimeoutExpired:
                    process.kill()
                    process.wait(15)

    def worker(self, environment: Mapping[str, str], name: str = "worker") -> Any:
        """The real worker process."""
        command = [sys.executable, "-m", "smartlearn.stream_processors"]
        return self.running(command, {**environment, "SMARTLEARN_WORKER_NAME": name}, name)

    def carried(
        self, group: str, load: Load, processes: Mapping[str, psutil.Process], limit_s: float = 60.0
    ) -> Carried:
        """Watch a group's commits until it has carried a load, or was at it for `limit_s`.

        Raises:
            CannotRun: it commits nothing.
        """
        watched = {**processes, **self.server_processes()}
        consumer = Consumer({"bootstrap.servers": self.record.kafka, "group.id": group, "log_level": 0})
        asked = [TopicPartition(load.topic, number) for number in load.ends]
        waited = time.monotonic() + PATIENCE_S
        begun = moved = (0.0, 0)
        used: dict[str, float] = {}
        until = dict.fromkeys(watched, 0.0)
        try:
            while True:
                passed = _passed(consumer, asked, load)
                now = time.monotonic()
                if passed > moved[1]:
                    moved = (now, passed)
                    until = _busy(watched)
                    if not begun[1]:
                        begun, used = moved, until
                finished = passed >= sum(load.ends.values())
                if finished or (begun[1] and now - begun[0] > limit_s):
                    break
                if not begun[1] and now > waited:
                    raise CannotRun(f"{group} committed nothing within {PATIENCE_S:g} s")
                if any(_ended(process) for process in processes.values()):
                    raise CannotRun(f"{group} ended by itself")
                time.sleep(_POLL_S)
        finally:
            consumer.close()
        seconds = moved[0] - begun[0]
        if seconds <= 0:
            raise CannotRun(f"{group} committed only once: the load is too small to tell a rate")
        rate = (moved[1] - begun[1]) * load.rows_a_message / seconds
        return Carried(rate, {name: (until[name] - used[name]) / seconds for name in watched}, finished)

    def server_processes(self) -> dict[str, psutil.Process]:
        """The processes of Kafka and of InfluxDB."""
        found = {}
        for server in self.record.servers:
            process = server.process()
            if process is not None:
                found["InfluxDB" if server.name == "influxdb" else "Kafka"] = process
        return found

    def load(self, name: str, make: Callable[[Stage], Load]) -> Load:
        """A load that several cases read, made by the first."""
        if name not in self._loads:
            self._loads[name] = make(self)
        return self._loads[name]

    def once(self, what: str, measure: Callable[[], Measured]) -> Measured:
        """What is measured for several cases, measured by the first."""
        if what not in self._once:
            self._once[what] = measure()
        found: Measured = self._once[what]
        return found

    def forget(self, topic: str) -> None:
        """Forget the loads on a topic that is made anew."""
        self._loads = {name: load for name, load in self._loads.items() if load.topic != topic}


def owners(stage: Stage, wanted: Sequence[str]) -> None:
    """Wait until each of these workers says in its heartbeat that it owns partitions."""
    consumer = Consumer({"bootstrap.servers": stage.record.kafka, "group.id": stage.name("watch"), "log_level": 0})
    consumer.assign([TopicPartition(LIVE, 0, -1)])
    missing = set(wanted)
    deadline = time.monotonic() + PATIENCE_S
    try:
        while missing:
            message = consumer.poll(0.5)
            if message is not None and message.error() is None:
                beat = orjson.loads(message.value() or b"{}")
                if any(beat["assigned"].values()):
                    missing.discard(beat["worker"])
            if time.monotonic() > deadline:
                raise CannotRun(f"{', '.join(sorted(missing))} owned nothing within {PATIENCE_S:g} s")
    finally:
        consumer.close()


@contextmanager
def opened(runs: int, *, full: bool) -> Iterator[Stage]:
    """A stage that is cleared away afterwards."""
    with tempfile.TemporaryDirectory(prefix="smartlearn-bench-", ignore_cleanup_errors=True) as folder:
        stage = Stage(Path(folder), runs, full=full)
        try:
            yield stage
        finally:
            stage.close()


def inherited() -> dict[str, str]:
    """This process's environment without settings of ours."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SMARTLEARN_")}


def await_true(condition: Callable[[], bool], seconds: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise CannotRun(f"what was waited for did not come within {seconds:g} s")
        time.sleep(_POLL_S)


def cores_note(cores: Mapping[str, float]) -> str:
    """The cores that each process kept busy, in words."""
    return "cores busy: " + ", ".join(f"{name} {busy:.2f}" for name, busy in cores.items())


def _passed(consumer: Consumer, asked: list[TopicPartition], load: Load) -> int:
    """How many messages of a load its group has committed; none while its coordinator is being found."""
    try:
        found = consumer.committed(asked, 5)
    except KafkaException:
        return 0
    return sum(min(max(each.offset, 0), load.ends[each.partition]) for each in found)


def _ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def _busy(processes: Mapping[str, psutil.Process]) -> dict[str, float]:
    found = {}
    for name, process in processes.items():
        with contextlib.suppress(psutil.NoSuchProcess):
            times = process.cpu_times()
            found[name] = times.user + times.system
    return {name: found.get(name, 0.0) for name in processes}
