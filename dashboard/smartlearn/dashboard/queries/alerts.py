"""Alert transitions and annotations: what changed, when, and what is still open."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from smartlearn.core.stores.base import Series, SeriesQuery
from smartlearn.dashboard.queries.columns import numbers, texts
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.window import Window

_SEVERITY: Final = {"critical": 0, "warning": 1, "ok": 2}


@dataclass(frozen=True, slots=True)
class Transition:
    """One valid change of an alert's state.

    Attributes:
        id: the transition's id, the same on the topic.
        rule: the rule's name.
        node: the scope, a node.
        state: ok, warning or critical.
        previous: the state before.
        value: the pane's mean that decided.
        threshold: the level that was crossed.
        action: what the rule advises.
        at: end of the pane, ns.
        revision: 0 as first published; higher where a late pane brought it back.
    """

    id: str
    rule: str
    node: str
    state: str
    previous: str
    value: float
    threshold: float
    action: str
    at: int
    revision: int


@dataclass(frozen=True, slots=True)
class Note:
    """An annotation on the time axis."""

    time: int
    text: str
    scope: str
    author: str


def alerts(
    store: History, window: Window | None = None, rules: Sequence[str] = (), chosen: Sequence[str] = ()
) -> list[Transition]:
    """The valid transitions of a window (or of all time), the newest first; retracted ones are left out."""
    where: dict[str, str | tuple[str, ...] | None] = {}
    if rules:
        where["rule"] = tuple(rules)
    if chosen:
        where["scope"] = tuple(chosen)
    start, stop = (window.start, window.stop) if window else (None, None)
    found = [one for series in store.query(SeriesQuery("alerts", start, stop, None, where)) for one in _valid(series)]
    return sorted(found, key=lambda one: (-one.at, _SEVERITY.get(one.state, 3), one.rule, one.node))


def standing(store: History, chosen: Sequence[str] = ()) -> list[Transition]:
    """The last valid transition of every rule and node, the worst and then the newest first."""
    last: dict[tuple[str, str], Transition] = {}
    unsure: set[tuple[str, str]] = set()
    for series in store.latest("alerts"):
        key = (series.tags.get("rule", ""), series.tags.get("scope", ""))
        if chosen and key[1] not in chosen:
            continue
        valid = _valid(series)
        if not valid:
            unsure.add(key)
        elif key not in last or valid[0].at > last[key].at:
            last[key] = valid[0]
    for rule, node in unsure:
        history = alerts(store, None, [rule], [node])
        last.pop((rule, node), None)
        if history:
            last[rule, node] = history[0]
    return sorted(last.values(), key=lambda one: (_SEVERITY.get(one.state, 3), -one.at, one.rule, one.node))


def open_alerts(store: History, chosen: Sequence[str] = ()) -> list[Transition]:
    """What stands in warning or critical, the worst and then the newest first."""
    return [one for one in standing(store, chosen) if one.state != "ok"]


def notes(store: History, window: Window) -> list[Note]:
    """The annotations of a window, in time order."""
    found: list[Note] = []
    for series in store.query(SeriesQuery("annotations", window.start, window.stop)):
        words, authors = texts(series, "text"), texts(series, "author")
        found += [
            Note(int(time), text, series.tags.get("scope", ""), author)
            for time, text, author in zip(series.time, words, authors, strict=True)
        ]
    return sorted(found, key=lambda one: one.time)


def _valid(series: Series) -> list[Transition]:
    tags = series.tags
    revision, value, threshold = (
        np.nan_to_num(numbers(series, name)).tolist() for name in ("revision", "value", "threshold")
    )
    id_, previous, action = (texts(series, name) for name in ("id", "previous", "action"))
    return [
        Transition(
            id=id_[row],
            rule=tags.get("rule", ""),
            node=tags.get("scope", ""),
            state=tags.get("state", ""),
            previous=previous[row],
            value=value[row],
            threshold=threshold[row],
            action=action[row],
            at=int(series.time[row]),
            revision=int(revision[row]),
        )
        for row in range(len(series))
        if int(revision[row]) % 2 == 0
    ]
