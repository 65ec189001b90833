"""What runs, where, and how far it is: for `status` and `doctor`."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import BaseModel

from smartlearn.core.errors import SettingsError
from smartlearn.core.settings import Settings
from smartlearn.core.stack import Component, StackRecord
from smartlearn.core.topics import KIND_OF
from smartlearn.ops.health import unhealthy
from smartlearn.ops.http import get
from smartlearn.ops.lag import uncommitted
from smartlearn.ops.live import Heartbeat, newest_heartbeats

HEARTBEAT_WAIT_S = 2.5
"""Workers beat twice a second; a busy one may miss a few."""

HEALTH_TIMEOUT_S = 3.0
"""The dashboard asks the store and the broker before it answers."""

LEDGER = ("in", "stored", "late", "duplicate", "forwarded", "dead", "expired")


class StackState(BaseModel):
    """What `status` tells.

    Attributes:
        running: whether a supervised stack runs on the data directory.
        components: the supervised processes.
        endpoints: how to reach the broker, the store and the dashboard.
        lag: topic → messages that the workers have not read; without a worker, have not committed.
        counts: what → how many, over all topics, as the workers that answer tell.
        topics: topic → what → how many.
        problems: what is wrong, one sentence each.
    """

    running: bool
    components: list[Component]
    endpoints: dict[str, str]
    lag: dict[str, int]
    counts: dict[str, int]
    topics: dict[str, dict[str, int]]
    problems: list[str]


def stack_state(settings: Settings, record: StackRecord | None) -> StackState:
    """Look at everything that the settings and the record of a running stack name."""
    beats = _heartbeats(settings, record)
    topics = _sum_counts(beats)
    components = [] if record is None else [_seen(part) for part in record.components]
    return StackState(
        running=record is not None,
        components=components,
        endpoints=_endpoints(settings, record),
        lag=_lag(settings, beats),
        counts={name: sum(counts.get(name, 0) for counts in topics.values()) for name in LEDGER},
        topics=topics,
        problems=_problems(settings, record, components, beats),
    )


def _heartbeats(settings: Settings, record: StackRecord | None) -> Mapping[str, Heartbeat]:
    if settings.kafka.bootstrap_servers is None:
        return {}
    expected = record.workers if record is not None else None
    try:
        return newest_heartbeats(settings.kafka, HEARTBEAT_WAIT_S, expected)
    except SettingsError:
        return {}


def _endpoints(settings: Settings, record: StackRecord | None) -> dict[str, str]:
    found = {}
    if settings.kafka.bootstrap_servers is not None:
        found["kafka"] = settings.kafka.bootstrap_servers
    if settings.store.kind == "sqlite":
        found["sqlite"] = str(settings.sqlite_path)
    elif settings.store.influx.url is not None:
        found["influxdb"] = settings.store.influx.url
    if record is not None:
        found["dashboard"] = record.dashboard
    return found


def _seen(part: Component) -> Component:
    """A component as it is: the record may be older than the death of its process."""
    if part.pid is not None and not _exists(part.pid):
        return part.model_copy(update={"pid": None, "state": "restarting"})
    return part


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sum_counts(beats: Mapping[str, Heartbeat]) -> dict[str, dict[str, int]]:
    total: dict[str, dict[str, int]] = {}
    for beat in beats.values():
        for topic, counts in beat.counts.items():
            sums = total.setdefault(topic, dict.fromkeys(LEDGER, 0))
            for name, value in counts.items():
                sums[name] = sums.get(name, 0) + value
    return total


def _lag(settings: Settings, beats: Mapping[str, Heartbeat]) -> dict[str, int]:
    if not beats:
        return {} if settings.kafka.bootstrap_servers is None else uncommitted(settings.kafka, HEARTBEAT_WAIT_S)
    total = dict.fromkeys(KIND_OF, 0)
    for beat in beats.values():
        for topic, lag in beat.lag.items():
            total[topic] = total.get(topic, 0) + lag
    return total


def _problems(
    settings: Settings, record: StackRecord | None, components: list[Component], beats: Mapping[str, Heartbeat]
) -> list[str]:
    if record is None and settings.kafka.bootstrap_servers is None:
        return [f"no stack runs on {settings.data_dir}: start one with `smartlearn up`"]
    found = [
        f"{part.name} is {part.state}, see {settings.data_dir / 'logs' / f'{part.name}.log'}"
        for part in components
        if part.state != "running" and not (part.name == "demo" and part.state == "stopped")
    ]
    if record is None:
        if not beats:
            found.append(f"no worker answers on {settings.kafka.bootstrap_servers}")
        return found
    silent = [f"worker-{n}" for n in range(1, record.workers + 1) if f"worker-{n}" not in beats]
    known = {part.name for part in components if part.state != "running"}
    found += [f"{name} runs but sends no heartbeat" for name in silent if name not in known]
    return found + _unhealthy(record)


def _unhealthy(record: StackRecord) -> list[str]:
    problem = unhealthy(get(f"{record.dashboard}/health", HEALTH_TIMEOUT_S))
    return [f"{problem} ({record.dashboard}/health)"] if problem is not None else []
