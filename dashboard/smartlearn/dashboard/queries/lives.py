"""What runs say about themselves: their settings, their checkpoints, how they ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from smartlearn.core.stores.base import SeriesQuery
from smartlearn.dashboard.queries.columns import texts
from smartlearn.dashboard.queries.history import History

Ended: TypeAlias = Literal["finished", "failed"]

_KINDS: Final = ("start", "settings", "end")


@dataclass(frozen=True, slots=True)
class Life:
    """What a run said.

    Attributes:
        settings: of its start and settings events, the newest value of each.
        end: how it ended after its last start; None where it did not.
        ended: time of that end, ns; None where it did not.
        error: what its end names as the error; "" for none.
        starts: times of its starts, ns, ascending.
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    end: Ended | None = None
    ended: int | None = None
    error: str = ""
    starts: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that a run wrote.

    Attributes:
        time: ns.
        step: after which it was written; None where the run did not say.
        path: where it is; "" where the run did not say.
    """

    time: int
    step: int | None
    path: str = ""


def lives(store: History, runs: Sequence[str] | None = None) -> dict[str, Life]:
    """What the runs said about themselves; all of them where None. Runs that said nothing are left out."""
    where: dict[str, str | tuple[str, ...] | None] = {"type": _KINDS}
    if runs is not None:
        where["run"] = tuple(runs)
    said: dict[str, list[tuple[int, str, dict[str, Any]]]] = {}
    for series in store.query(SeriesQuery("runs", fields=("payload",), where=where)):
        moments = said.setdefault(series.tags.get("run", ""), [])
        for time, text in zip(series.time.tolist(), texts(series, "payload"), strict=True):
            moments.append((time, series.tags.get("type", ""), json.loads(text) if text else {}))
    return {name: _life(moments) for name, moments in said.items()}


def checkpoints(store: History, run: str) -> list[Checkpoint]:
    """The checkpoints of a run, oldest first."""
    found = []
    for series in store.query(SeriesQuery("runs", fields=("payload",), where={"run": run, "type": "checkpoint"})):
        for time, text in zip(series.time.tolist(), texts(series, "payload"), strict=True):
            payload = json.loads(text) if text else {}
            step = payload.get("step")
            found.append(
                Checkpoint(time, int(step) if isinstance(step, int | float) else None, str(payload.get("path") or ""))
            )
    return sorted(found, key=lambda one: one.time)


def _life(moments: list[tuple[int, str, dict[str, Any]]]) -> Life:
    settings: dict[str, Any] = {}
    end: Ended | None = None
    ended: int | None = None
    error = ""
    starts = []
    for time, kind, payload in sorted(moments, key=lambda moment: moment[0]):
        if kind in {"start", "settings"}:
            settings |= payload
        if kind == "start":
            end, ended, error = None, None, ""
            starts.append(time)
        elif kind == "end":
            error = str(payload.get("error") or "")
            failed = bool(error) or payload.get("status") in {"failed", "error"}
            end, ended = ("failed" if failed else "finished"), time
    return Life(settings, end, ended, error, tuple(starts))
