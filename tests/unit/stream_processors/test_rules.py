from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.reference import RULES, alerts_of, demo_export, load_export, node_means

from smartlearn.core.schemas import Alert
from smartlearn.core.settings import DEFAULT_RULES, RuleSettings
from smartlearn.core.stores.base import Points, Series, is_text_field
from smartlearn.stream_processors.domain.rules import (
    State,
    Transition,
    alert_message,
    alert_points,
    level,
    newest_revisions,
    reconcile,
    revise,
    state_before,
    transitions,
    transitions_of,
)

CPU = DEFAULT_RULES[0]
PANE = 10_000_000

means_lists = st.lists(st.sampled_from([10.0, 70.0, 75.0, 90.0, 95.0, math.nan]), max_size=12)


def decide(means: list[float], before: State = "ok", first: int = 1) -> list[Transition]:
    ends = (np.arange(len(means)) + first) * PANE
    return transitions(CPU, "node-1", ends, np.array(means, np.float64), before)


def published_of(*batches: list[Transition]) -> list[Transition]:
    return [transition for batch in batches for transition in batch]


def valid_of(published: list[Transition]) -> list[Transition]:
    """What a consumer that keeps the highest revision of each id believes."""
    kept: dict[str, Transition] = {}
    for each in published:
        if each.id not in kept or each.revision > kept[each.id].revision:
            kept[each.id] = each
    believed = [dataclasses.replace(each, revision=0) for each in kept.values() if each.revision % 2 == 0]
    return sorted(believed, key=lambda each: each.at)


def rows(points: Points) -> list[Series]:
    """What a store gives back for points."""
    tags: dict[str, Any] = dict(points.tags)
    fields: dict[str, Any] = dict(points.fields)
    found = []
    for index, time in enumerate(points.time.tolist()):
        row: dict[str, Any] = {
            name: np.array([column[index]], np.object_ if is_text_field(name) else np.float64)
            for name, column in fields.items()
        }
        tagged = {tag: column[index] for tag, column in tags.items()}
        found.append(Series(points.measurement, tagged, np.array([time]), row))
    return found


@pytest.mark.parametrize(
    ("value", "state"), [(0, "ok"), (70, "ok"), (70.0001, "warning"), (90, "warning"), (90.0001, "critical")]
)
def test_a_level_is_crossed_above_it_and_not_at_it(value: float, state: str) -> None:
    assert level(value, CPU) == state


def test_a_transition_is_made_where_the_state_changes_and_nowhere_else() -> None:
    found = decide([50, 75, 80, 95, 80, math.nan, 10])
    assert [(each.at // PANE, each.previous, each.state, each.value) for each in found] == [
        (2, "ok", "warning", 75),
        (4, "warning", "critical", 95),
        (5, "critical", "warning", 80),
        (7, "warning", "ok", 10),
    ]


def test_the_threshold_is_the_level_of_the_higher_state() -> None:
    found = decide([95, 10, 75, 95, 75, 10])
    assert [each.threshold for each in found] == [90, 90, 70, 90, 90, 70]


def test_a_pane_without_the_metric_changes_nothing() -> None:
    assert decide([math.nan, math.nan]) == []
    assert [each.at // PANE for each in decide([75, math.nan, 75, math.nan, 10])] == [1, 5]
    assert transitions(CPU, "node-1", np.zeros(0, np.int64), np.zeros(0)) == []


def test_the_first_pane_finds_the_state_before() -> None:
    assert decide([95], before="critical") == []
    assert decide([10], before="critical")[0].previous == "critical"


def test_an_id_is_the_hash_of_fingerprint_pane_end_and_state() -> None:
    (found,) = decide([75])
    assert found.fingerprint == "cpu_usage:node-1"
    assert found.id == hashlib.sha256(b"cpu_usage:node-1|10000000|warning").hexdigest()[:32]
    assert (found.rule, found.scope, found.action, found.revision) == ("cpu_usage", "node-1", "Optimize processes", 0)


def test_the_exports_transitions_equal_the_offline_ones() -> None:
    events = load_export(demo_export(), node="n", run="r").performance
    panes = node_means(events)["n"]
    ends = np.array(sorted(panes), np.int64)
    found = [
        transition
        for rule in DEFAULT_RULES
        for transition in transitions(
            rule, "n", ends, np.array([panes[int(end)].get(rule.metric, math.nan) for end in ends])
        )
    ]
    offline = alerts_of(events, RULES)
    by_time = sorted(found, key=lambda each: (each.at, each.fingerprint))
    assert [
        (each.id, each.scope, each.state, each.previous, each.value, each.threshold, each.action, each.at)
        for each in by_time
    ] == [
        (each.id, each.node, each.state, each.previous, each.value, each.threshold, each.action, each.at)
        for each in offline
    ]
    assert len(offline) > 100


def test_what_was_never_published_is_published_first_with_revision_0() -> None:
    assert reconcile([], decide([75, 10])) == decide([75, 10])


def test_what_stands_is_not_published_again() -> None:
    assert reconcile(decide([75, 10]), decide([75, 10])) == []


def test_what_no_longer_holds_is_retracted_with_its_content() -> None:
    first = decide([75, 10])
    assert reconcile(first, []) == [dataclasses.replace(each, revision=1) for each in first]


def test_what_holds_again_gets_the_next_even_revision_and_the_new_content() -> None:
    retracted = [dataclasses.replace(each, revision=3) for each in decide([75])]
    (again,) = reconcile(retracted, decide([76]))
    assert (again.revision, again.value) == (4, 76)


def test_a_changed_value_is_published_as_valid_again_without_a_retraction() -> None:
    (changed,) = reconcile(decide([75]), decide([76]))
    assert (changed.revision, changed.value) == (2, 76)


def test_a_retraction_comes_before_what_replaces_it() -> None:
    changes = reconcile(decide([75]), decide([95]))
    assert [(each.state, each.revision) for each in changes] == [("warning", 1), ("critical", 0)]


def test_the_highest_revision_counts_in_whatever_order_they_are_read() -> None:
    first = decide([75])
    later = [dataclasses.replace(each, revision=1) for each in first]
    assert reconcile(published_of(later, first), []) == []
    assert newest_revisions(published_of(later, first)) == {first[0].id: later[0]}


@settings(deadline=None)
@given(st.lists(means_lists, min_size=1, max_size=5))
def test_after_any_sequence_of_changes_the_published_equals_the_decision_over_the_final_data(
    histories: list[list[float]],
) -> None:
    published: list[Transition] = []
    for means in histories:
        published += reconcile(published, decide(means))
        assert valid_of(published) == decide(means)
        assert reconcile(published, decide(means)) == []


def test_the_state_before_is_that_of_the_last_valid_transition() -> None:
    published = decide([75, 10, 95])
    retracted = [dataclasses.replace(published[-1], revision=1)]
    assert state_before([], 5 * PANE) == "ok"
    assert state_before(published, PANE) == "ok"
    assert state_before(published, 2 * PANE) == "warning"
    assert state_before(published, 9 * PANE) == "critical"
    assert state_before(published + retracted, 9 * PANE) == "ok"


def test_a_changed_pane_is_decided_again_until_the_published_sequence_is_met() -> None:
    published = decide([75, 75, 75, 10])
    changes, met = revise(CPU, "node-1", np.array([2, 3]) * PANE, np.array([95.0, 75.0]), published)
    assert [(each.at // PANE, each.state, each.revision) for each in changes] == [(2, "critical", 0), (3, "warning", 0)]
    assert met
    changes, met = revise(CPU, "node-1", np.array([1, 2]) * PANE, np.array([10.0, 10.0]), published)
    assert [(each.at // PANE, each.state, each.revision) for each in changes] == [(1, "warning", 1)]
    assert not met


@settings(deadline=None)
@given(means_lists.filter(bool), st.data())
def test_revising_from_any_changed_pane_on_gives_the_decision_over_the_final_data(
    means: list[float], data: st.DataObject
) -> None:
    changed = data.draw(st.integers(0, len(means) - 1))
    final = list(means)
    final[changed] = data.draw(st.sampled_from([10.0, 75.0, 95.0, math.nan]))
    published = decide(means)
    for stop in range(changed + 1, len(means) + 1):
        ends = (np.arange(changed, stop) + 1) * PANE
        changes, met = revise(CPU, "node-1", ends, np.array(final[changed:stop]), published)
        if met or stop == len(means):
            assert valid_of(published + changes) == decide(final)
            break


def test_a_message_follows_the_contract() -> None:
    (transition,) = decide([75.5])
    message = alert_message(transition)
    assert Alert.model_validate_json(json.dumps(message)).node == "node-1"
    assert message == {
        "v": 1, "id": transition.id, "fingerprint": "cpu_usage:node-1", "rule": "cpu_usage", "node": "node-1",
        "state": "warning", "previous": "ok", "value": 75.5, "threshold": 70.0, "action": "Optimize processes",
        "at": "1970-01-01T00:00:10Z", "revision": 0,
    }  # fmt: skip


def test_stored_points_give_back_the_transitions() -> None:
    published = [dataclasses.replace(each, revision=number) for number, each in enumerate(decide([75, 95, 10]))]
    points = alert_points(published)
    assert points.time.tolist() == [10 * 10**9, 20 * 10**9, 30 * 10**9]
    assert transitions_of(reversed(rows(points))) == published
    assert len(alert_points([])) == 0
    assert transitions_of([]) == []


def test_a_rule_may_watch_another_metric_than_its_name_says() -> None:
    rule = RuleSettings(name="hot", metric="temperature", unit="°C", warning=-5, critical=0, ceiling=5, action="Cool")
    found = transitions(rule, "n", np.array([PANE]), np.array([0.0]))
    assert (found[0].fingerprint, found[0].state, found[0].threshold) == ("hot:n", "warning", -5)
