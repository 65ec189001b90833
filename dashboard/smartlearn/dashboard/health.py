"""`GET /health`: what answers and what does not, for people, supervisors and load balancers."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from smartlearn.core.errors import SmartLearnError, StackError
from smartlearn.core.stack import StackRecord
from smartlearn.core.topics import TOPIC_OF
from smartlearn.dashboard.live.feed import BrokerStatus

# Asked many times a second the store is still asked once.
_STORE_FRESH_S: Final = 1.0


class Checked(Protocol):
    """What can say whether it answers: a metric store."""

    def check(self) -> str:
        """Its name and version."""
        ...


class Present(Protocol):
    """What the live topic tells of the workers: a `LiveHub`."""

    @property
    def broker(self) -> BrokerStatus:
        """The broker's status."""
        ...

    @property
    def clients(self) -> int:
        """How many pages are open that get pushes."""
        ...

    def workers(self) -> dict[str, Any]:
        """Worker → pid, answers, assigned."""
        ...

    def lag(self) -> dict[str, int]:
        """Topic → messages not read yet."""
        ...

    def counts(self) -> dict[str, dict[str, int]]:
        """Topic → what → how many."""
        ...


class Health:
    """Tells the state of an installation.

    Args:
        store: is asked whether it answers.
        present: what is heard of broker and workers.
        data_dir: where a local stack leaves its record; it says how many workers there should be.
    """

    def __init__(self, store: Checked, present: Present, data_dir: Path) -> None:
        self._store = store
        self._present = present
        self._data_dir = data_dir
        self._started = time.monotonic()
        self._checked: tuple[float, dict[str, str]] = (float("-inf"), {})

    def report(self) -> dict[str, Any]:
        """The state of each component; "status" is ok where all are well. Blocks while the store is asked."""
        broker = self._present.broker
        components: dict[str, Any] = {
            "broker": {"state": "ok"} if broker.up else {"state": "down", "reason": broker.reason},
            "store": self._store_state(),
            "dashboard": {
                "state": "ok",
                "pid": os.getpid(),
                "uptime_s": round(time.monotonic() - self._started),
                "live_pages": self._present.clients,
            },
            "workers": self._workers(),
        }
        if broker.up:
            unassigned = self._unassigned(broker)
            state = {"state": "unassigned", "partitions": unassigned} if unassigned else {"state": "ok"}
            components["partitions"] = state
        parts = [part for name, part in components.items() if name != "workers"]
        parts += components["workers"].values()
        well = bool(components["workers"]) and all(part["state"] in {"ok", "running"} for part in parts)
        return {
            "status": "ok" if well else "degraded",
            "components": components,
            "lag": self._present.lag(),
            "counts": self._present.counts(),
        }

    def _store_state(self) -> dict[str, str]:
        asked, state = self._checked
        if time.monotonic() - asked < _STORE_FRESH_S:
            return state
        try:
            state = {"state": "ok", "version": self._store.check()}
        except SmartLearnError as error:
            state = {"state": "down", "reason": str(error)}
        self._checked = (time.monotonic(), state)
        return state

    def _workers(self) -> dict[str, Any]:
        """The workers that should be and those that were heard."""
        heard = self._present.workers()
        expected = [f"worker-{number}" for number in range(1, self._expected() + 1)]
        found: dict[str, Any] = {name: {"state": "silent"} for name in expected}
        for name, worker in heard.items():
            if name in found or worker["answers"]:
                found[name] = {"state": "running" if worker["answers"] else "silent", "pid": worker["pid"]}
        return found or {"worker": {"state": "silent"}}

    def _expected(self) -> int:
        """How many workers the local stack runs; 0 where there is none, or its record cannot be read."""
        try:
            record = StackRecord.read(self._data_dir)
        except StackError:
            return 0
        return record.workers if record else 0

    def _unassigned(self, broker: BrokerStatus) -> dict[str, list[int]]:
        """Topic → partitions that no answering worker has; the first of a topic that does not exist."""
        taken: dict[str, set[int]] = {}
        for worker in self._present.workers().values():
            if worker["answers"]:
                for topic, partitions in _assigned(worker).items():
                    taken.setdefault(topic, set()).update(partitions)
        missing = {
            topic: sorted(set(range(broker.partitions.get(topic, 1))) - taken.get(topic, set()))
            for topic in TOPIC_OF.values()
        }
        return {topic: numbers for topic, numbers in missing.items() if numbers}


def _assigned(worker: Mapping[str, Any]) -> Mapping[str, list[int]]:
    assigned: Mapping[str, list[int]] = worker["assigned"]
    return assigned
