"""Health scores and threshold alerts of nodes, decided where their panes are emitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias

import numpy as np
import orjson

from smartlearn.core.aggregates import merge
from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.health import Health, health_message, health_of, health_points
from smartlearn.core.settings import RuleSettings
from smartlearn.core.stores.base import MetricStore, Points, SeriesQuery
from smartlearn.core.topics import ALERTS as ALERTS_TOPIC
from smartlearn.core.topics import HEALTH as HEALTH_TOPIC
from smartlearn.stream_processors.domain.derive import PANE
from smartlearn.stream_processors.domain.rules import (
    ALERTS,
    State,
    Transition,
    alert_message,
    alert_points,
    reconcile,
    revise,
    state_before,
    transitions,
    transitions_of,
)
from smartlearn.stream_processors.pane_deriver import Emission
from smartlearn.stream_processors.pane_store import NS
from smartlearn.stream_processors.publisher import Publisher
from smartlearn.stream_processors.records import Outgoing

_PANES: Final = f"performance_{PANE}"
# The last valid transition of a scope is among so many of each state: more retractions in a row do not happen.
_LOOK_BACK: Final = 50
# How many more panes are decided at once where a revision has not met the published sequence yet.
_LOOK_AHEAD: Final = 200
_SCOPES_A_QUERY: Final = 200
# Panes closer than this are decided again with what lies between them.
_FAR_US: Final = 2 * 3600 * 1_000_000
_NO_TIMES: Final[Int64Array] = np.zeros(0, np.int64)
_NO_VALUES: Final[FloatArray] = np.zeros(0)

Decided: TypeAlias = Sequence[tuple[int, Mapping[str, float]]]
"""Pane end (µs) and the node's means by metric, in time order."""


class Alerting:
    """Follows the nodes' panes: writes `health` and `alerts`, and publishes what changed."""

    def __init__(self, store: MetricStore, publisher: Publisher, rules: Sequence[RuleSettings], pane: int) -> None:
        """Build from where panes are stored, where transitions are published, and the panes' length, µs."""
        self._store = store
        self._publisher = publisher
        self._rules = rules
        self._pane = pane
        self._states: dict[str, dict[str, State]] = {}

    def forget(self) -> None:
        """See `Follower.forget`."""
        self._states.clear()

    def follow(self, emissions: Sequence[Emission]) -> None:
        """See `Follower.follow`: a transition is published before its point is written."""
        nodes: dict[str, list[tuple[int, Mapping[str, float]]]] = {}
        revised: set[str] = set()
        newest: dict[str, bool] = {}
        for emission in emissions:
            means = merge(emission.value.values()).means()
            nodes.setdefault(emission.owner, []).append((emission.start + self._pane, means))
            newest[emission.owner] = emission.in_order
            if not emission.in_order:
                revised.add(emission.owner)
        points, messages = self._health(nodes, {node for node, in_order in newest.items() if in_order})
        changes = self._decide(nodes, revised)
        if changes:
            points.append(alert_points(changes))
            messages.extend(
                Outgoing(ALERTS_TOPIC, change.fingerprint.encode(), orjson.dumps(alert_message(change)))
                for change in changes
            )
        if messages:
            self._publisher.publish(messages)
        if points:
            self._store.write(points)

    def _health(self, nodes: Mapping[str, Decided], newest: set[str]) -> tuple[list[Points], list[Outgoing]]:
        """The health of every pane as points; that of the nodes whose newest pane is among them as messages too."""
        names: list[str] = []
        ends: list[int] = []
        healths: list[Health] = []
        messages = []
        for node, panes in nodes.items():
            health = None
            for end, means in panes:
                health = health_of(means, self._rules)
                if health is not None:
                    names.append(node)
                    ends.append(end)
                    healths.append(health)
            if health is not None and node in newest:
                value = orjson.dumps(health_message(node, panes[-1][0], health))
                messages.append(Outgoing(HEALTH_TOPIC, node.encode(), value))
        points = [health_points(names, np.array(ends, np.int64), healths)] if names else []
        return points, messages

    def _decide(self, nodes: Mapping[str, Decided], revised: set[str]) -> list[Transition]:
        in_order = [node for node in nodes if node not in revised]
        self._load_states([node for node in in_order if node not in self._states])
        changes: list[Transition] = []
        for node in in_order:
            ends = np.array([end for end, _ in nodes[node]], np.int64)
            for rule in self._rules:
                means = np.array([means.get(rule.metric, np.nan) for _, means in nodes[node]])
                made = transitions(rule, node, ends, means, self._states[node].get(rule.name, "ok"))
                if made:
                    self._states[node][rule.name] = made[-1].state
                    changes.extend(self._new(rule, node, made))
        for node in sorted(revised):
            self._states.pop(node, None)
            for rule in self._rules:
                changed = [end for end, means in nodes[node] if rule.metric in means]
                for first, last in self._spans(rule, node, changed):
                    changes.extend(self._revise(rule, node, first, last))
        return changes

    def _new(self, rule: RuleSettings, node: str, made: Sequence[Transition]) -> list[Transition]:
        """What to publish of transitions just made: a worker that lost the partition may have published there too."""
        query = SeriesQuery(ALERTS, made[0].at * NS, made[-1].at * NS + 1, where={"rule": rule.name, "scope": node})
        return reconcile(transitions_of(self._store.query(query)), made)

    def _load_states(self, nodes: Sequence[str]) -> None:
        for first in range(0, len(nodes), _SCOPES_A_QUERY):
            some = tuple(nodes[first : first + _SCOPES_A_QUERY])
            query = SeriesQuery(ALERTS, where={"scope": some}, limit=_LOOK_BACK, newest_first=True)
            by_node: dict[str, list[Transition]] = {}
            for transition in transitions_of(self._store.query(query)):
                by_node.setdefault(transition.scope, []).append(transition)
            for node in some:
                published = by_node.get(node, [])
                self._states[node] = {
                    rule.name: state_before([t for t in published if t.rule == rule.name], _END) for rule in self._rules
                }

    def _revise(self, rule: RuleSettings, node: str, first: int, last: int) -> list[Transition]:
        """Decide a rule again over the stored panes that end in [first, last], and on until it meets what stands."""
        stop: int | None = last + self._following(rule, node, last)
        while True:
            ends, means = self._means(rule, node, first, stop)
            if not len(ends):
                return []
            published = self._published(rule, node, first, int(ends[-1]))
            changes, met = revise(rule, node, ends, means, published)
            if met or stop is None:
                return changes
            more = self._ends_after(rule, node, int(ends[-1]), _LOOK_AHEAD)
            stop = more[-1] if len(more) == _LOOK_AHEAD else None

    def _spans(self, rule: RuleSettings, node: str, ends: Sequence[int]) -> list[tuple[int, int]]:
        """The ranges of pane ends to decide again: far apart, what lies between is decided already.

        A pane's state follows from its own mean, so that a change reaches as far as the next pane with the metric.
        """
        spans: list[tuple[int, int]] = []
        for end in ends:
            if spans and (
                end - spans[-1][1] <= _FAR_US or end - spans[-1][1] <= self._following(rule, node, spans[-1][1])
            ):
                spans[-1] = (spans[-1][0], end)
            else:
                spans.append((end, end))
        return spans

    def _following(self, rule: RuleSettings, node: str, last: int) -> int:
        """How far behind `last` the next pane with the metric ends, µs; 0 where there is none."""
        more = self._ends_after(rule, node, last, 1)
        return more[0] - last if more else 0

    def _ends_after(self, rule: RuleSettings, node: str, last: int, limit: int) -> list[int]:
        query = SeriesQuery(_PANES, last * NS, fields=(f"{rule.metric}_count",), where={"node": node}, limit=limit)
        starts = np.concatenate([np.zeros(0, np.int64), *(s.time for s in self._store.query(query))])
        return [int(start) // NS + self._pane for start in np.unique(starts)[:limit]]

    def _means(self, rule: RuleSettings, node: str, first: int, last: int | None) -> tuple[Int64Array, FloatArray]:
        """The ends (µs) of the node's stored panes that end in [first, last], and its mean in each."""
        count, total = f"{rule.metric}_count", f"{rule.metric}_sum"
        query = SeriesQuery(
            _PANES,
            (first - self._pane) * NS,
            None if last is None else (last - self._pane) * NS + 1,
            fields=(count, total),
            where={"node": node},
        )
        found = self._store.query(query)
        starts = np.concatenate([_NO_TIMES, *(series.time for series in found)])
        ends, inverse = np.unique(starts, return_inverse=True)
        counts = np.bincount(inverse, np.concatenate([_NO_VALUES, *(series.fields[count] for series in found)]))
        totals = np.bincount(inverse, np.concatenate([_NO_VALUES, *(series.fields[total] for series in found)]))
        means = np.array([float(f"{t / c:.12g}") for t, c in zip(totals, counts, strict=True)])
        return ends // NS + self._pane, means

    def _published(self, rule: RuleSettings, node: str, first: int, last: int) -> list[Transition]:
        """Everything published that ends in [first, last], and enough before it to know the state there."""
        where: Mapping[str, str | tuple[str, ...] | None] = {"rule": rule.name, "scope": node}
        before = SeriesQuery(ALERTS, stop=first * NS, where=where, limit=_LOOK_BACK, newest_first=True)
        inside = SeriesQuery(ALERTS, first * NS, (last + 1) * NS, where=where)
        return transitions_of([*self._store.query(before), *self._store.query(inside)])


_END: Final = 1 << 62
"""A time after every transition, µs."""
