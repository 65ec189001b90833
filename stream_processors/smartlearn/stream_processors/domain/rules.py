"""Threshold rules over panes: which state a mean is in, and the transitions that a sequence of panes makes.

Alerts are facts about event time. A transition is named by what it says, the fingerprint, the pane's end and
the new state, so deciding again over the same panes gives the same transitions. When a pane changes after its
decision, `revise` compares what was published with what holds now: what is new is published, what no longer
holds is retracted, and what holds with another value is published again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.settings import RuleSettings
from smartlearn.core.stores.base import Points, Series
from smartlearn.core.times import format_time

State: TypeAlias = Literal["ok", "warning", "critical"]

STATES: tuple[State, ...] = ("ok", "warning", "critical")
"""Ascending."""

ALERTS = "alerts"
"""The measurement of transitions."""


@dataclass(frozen=True, slots=True)
class Transition:
    """A scope went from one state of a rule to another.

    Attributes:
        id: of this transition, in every revision of it.
        fingerprint: the rule and the scope.
        rule: the rule's name.
        scope: what the rule was evaluated on: a node.
        state: the new state.
        previous: the state before.
        value: the pane's mean that decided.
        threshold: the level of the higher of the two states: crossed on the way up, left on the way down.
        action: what the rule advises.
        at: the end of the pane that decided, µs.
        revision: 0 published, odd retracted, even valid again.
    """

    id: str
    fingerprint: str
    rule: str
    scope: str
    state: State
    previous: State
    value: float
    threshold: float
    action: str
    at: int
    revision: int = 0

    @property
    def valid(self) -> bool:
        """Whether this revision says that the transition holds."""
        return self.revision % 2 == 0


def fingerprint_of(rule: str, scope: str) -> str:
    """What all transitions of a rule in a scope share."""
    return f"{rule}:{scope}"


def level(value: float, rule: RuleSettings) -> State:
    """The state of a value: a level is crossed when the value is above it."""
    return STATES[(value > rule.warning) + (value > rule.critical)]


def transitions(
    rule: RuleSettings, scope: str, pane_ends: Int64Array, means: FloatArray, before: State = "ok"
) -> list[Transition]:
    """The transitions that a sequence of panes makes.

    Args:
        rule: the rule.
        scope: the node.
        pane_ends: ascending, µs, shape (n,).
        means: the mean of the rule's metric in each pane, shape (n,); NaN in a pane without it changes
            nothing.
        before: the state that the first pane finds.
    """
    present = ~np.isnan(means)
    ends, values = pane_ends[present], means[present]
    states = (values > rule.warning).astype(np.int64) + (values > rule.critical)
    found = np.concatenate(([STATES.index(before)], states[:-1]))[: len(states)]
    return [
        _transition(rule, scope, (STATES[found[index]], STATES[states[index]]), values[index], ends[index])
        for index in np.flatnonzero(states != found).tolist()
    ]


def newest_revisions(published: Iterable[Transition]) -> dict[str, Transition]:
    """The transition of the highest revision of each id."""
    newest: dict[str, Transition] = {}
    for transition in published:
        known = newest.get(transition.id)
        if known is None or transition.revision > known.revision:
            newest[transition.id] = transition
    return newest


def state_before(published: Iterable[Transition], time: int) -> State:
    """The state of a scope that a pane which ends at `time` finds, after all that is published and valid."""
    earlier = [each for each in newest_revisions(published).values() if each.valid and each.at < time]
    return max(earlier, key=lambda each: each.at).state if earlier else "ok"


def reconcile(published: Sequence[Transition], valid: Sequence[Transition]) -> list[Transition]:
    """What must be published so that exactly `valid` holds.

    A transition that was never published gets revision 0. One that was retracted and holds again gets the
    next even revision, one that no longer holds the next odd one. One that holds with other content (a value
    was revised) gets the even revision after next: consumers keep the highest, and it stays valid throughout.
    Publishing the result and reconciling again gives nothing.

    Args:
        published: all that was published of one scope in a range of time, in any order and any revision.
        valid: what holds in that range.

    Returns:
        New revisions in order of time, at equal times retractions first.
    """
    newest = newest_revisions(published)
    wanted = {transition.id: transition for transition in valid}
    changes = [
        replace(known, revision=known.revision + 1)
        for known in newest.values()
        if known.valid and known.id not in wanted
    ]
    for transition in wanted.values():
        known = newest.get(transition.id)
        if known is None:
            changes.append(replace(transition, revision=0))
        elif not known.valid:
            changes.append(replace(transition, revision=known.revision + 1))
        elif replace(transition, revision=known.revision) != known:
            changes.append(replace(transition, revision=known.revision + 2))
    return sorted(changes, key=lambda each: (each.at, each.valid, each.id))


def revise(
    rule: RuleSettings,
    scope: str,
    pane_ends: Int64Array,
    means: FloatArray,
    published: Sequence[Transition],
) -> tuple[list[Transition], bool]:
    """Decide again over a range of panes, the first of which changed.

    Args:
        rule: the rule.
        scope: the node.
        pane_ends: every pane in the range, ascending, µs, at least one.
        means: as in `transitions`.
        published: all that was published of the scope, also before and after the range.

    Returns:
        What must be published, and whether the decisions met the published sequence: if not, the panes after
        the range have to be decided again too.
    """
    first, last = int(pane_ends[0]), int(pane_ends[-1])
    valid = transitions(rule, scope, pane_ends, means, state_before(published, first))
    inside = [each for each in published if first <= each.at <= last]
    state = valid[-1].state if valid else state_before(published, first)
    return reconcile(inside, valid), state == state_before(published, last + 1)


def alert_message(transition: Transition) -> dict[str, object]:
    """The transition as the JSON object that goes to the alert topic; its key is the fingerprint."""
    return {
        "v": 1,
        "id": transition.id,
        "fingerprint": transition.fingerprint,
        "rule": transition.rule,
        "node": transition.scope,
        "state": transition.state,
        "previous": transition.previous,
        "value": transition.value,
        "threshold": transition.threshold,
        "action": transition.action,
        "at": format_time(transition.at),
        "revision": transition.revision,
    }


def alert_points(changes: Sequence[Transition]) -> Points:
    """The transitions as points: a new revision of an id overwrites the last one."""
    return Points(
        ALERTS,
        np.array([each.at for each in changes], np.int64) * 1000,
        {
            "rule": [each.rule for each in changes],
            "scope": [each.scope for each in changes],
            "state": [each.state for each in changes],
        },
        {
            "id": [each.id for each in changes],
            "fingerprint": [each.fingerprint for each in changes],
            "revision": np.array([each.revision for each in changes], np.float64),
            "previous": [each.previous for each in changes],
            "value": np.array([each.value for each in changes], np.float64),
            "threshold": np.array([each.threshold for each in changes], np.float64),
            "action": [each.action for each in changes],
        },
    )


def transitions_of(series: Iterable[Series]) -> list[Transition]:
    """The transitions of stored alert rows, in order of time."""
    found = [transition for each in series for transition in _of_rows(each.tags, each)]
    return sorted(found, key=lambda each: (each.at, each.fingerprint, each.valid))


def _of_rows(tags: Mapping[str, str], series: Series) -> Iterable[Transition]:
    state = STATES[STATES.index(tags["state"])]
    names = ("id", "fingerprint", "previous", "value", "threshold", "action", "revision")
    columns = [series.fields[name].tolist() for name in names]
    for time, (id_, fingerprint, previous, value, threshold, action, revision) in zip(
        series.time.tolist(), zip(*columns, strict=True), strict=True
    ):
        yield Transition(
            id_, fingerprint, tags["rule"], tags["scope"], state, previous, value, threshold, action,
            time // 1000, int(revision),
        )  # fmt: skip


def _transition(rule: RuleSettings, scope: str, change: tuple[State, State], value: float, end: int) -> Transition:
    previous, state = change
    fingerprint, at = fingerprint_of(rule.name, scope), int(end)
    name = hashlib.sha256(f"{fingerprint}|{at}|{state}".encode()).hexdigest()[:32]
    threshold = rule.critical if "critical" in change else rule.warning
    return Transition(name, fingerprint, rule.name, scope, state, previous, float(value), threshold, rule.action, at)
