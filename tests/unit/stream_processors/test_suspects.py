"""Panes that a dead predecessor may still write are looked at again, a few times within an hour."""

from __future__ import annotations

from smartlearn.stream_processors.domain.suspects import LOOK_AFTER_S, SuspectPanes, Suspects

SECOND = 1_000_000
TAKEOVER = 1_790_000_000.0
PANE = round(TAKEOVER) * SECOND


def test_nothing_is_due_before_anything_was_written() -> None:
    assert Suspects({}, 0, clean=False).due(TAKEOVER + 9999, 10) == {}


def test_a_pane_that_began_before_the_takeover_is_looked_at_in_every_round_and_then_no_more() -> None:
    suspects = Suspects({}, 0, clean=False)
    suspects.note("a", PANE, TAKEOVER)
    suspects.note("a", PANE - 10 * SECOND, TAKEOVER + 1)
    for after in LOOK_AFTER_S:
        assert suspects.due(TAKEOVER + after - 0.1, 10) == {}
        assert suspects.due(TAKEOVER + after, 10) == {"a": [PANE - 10 * SECOND, PANE]}
    suspects.note("a", PANE, TAKEOVER + 9000)
    assert suspects.due(TAKEOVER + 9001, 10) == {}


def test_a_pane_that_began_later_is_nobody_else_s() -> None:
    suspects = Suspects({}, 300 * SECOND, clean=False)
    suspects.note("a", PANE, TAKEOVER)
    suspects.note("b", PANE + 300 * SECOND, TAKEOVER + 1)
    suspects.note("c", PANE + 301 * SECOND, TAKEOVER + 1)
    assert suspects.due(TAKEOVER + 60, 10).keys() == {"a", "b"}


def test_owners_are_looked_at_a_few_at_a_time() -> None:
    suspects = Suspects({}, 0, clean=False)
    for owner in "edcba":
        suspects.note(owner, PANE, TAKEOVER)
    rounds = [sorted(suspects.due(TAKEOVER + 60, 2)) for _ in range(4)]
    assert rounds == [["a", "b"], ["c", "d"], ["e"], []]
    for after in LOOK_AFTER_S[1:]:
        assert sum(len(suspects.due(TAKEOVER + after, 2)) for _ in range(3)) == 5
    assert suspects.due(TAKEOVER + 9000, 2) == {}


def test_whoever_takes_over_next_looks_at_what_was_noted_before_until_its_hour_is_over() -> None:
    panes: SuspectPanes = {}
    first = Suspects(panes, 0, clean=False)
    first.note("a", PANE, TAKEOVER)
    assert panes == {"a": {PANE: TAKEOVER + 3600}}
    second = Suspects(panes, 0, clean=True)
    second.note("b", PANE, TAKEOVER + 1000)
    assert second.due(TAKEOVER + 1000, 10) == {}
    assert second.due(TAKEOVER + 1060, 10) == {"a": [PANE]}
    third = Suspects(panes, 0, clean=True)
    assert third.due(TAKEOVER + 3500, 10) == {}
    assert third.due(TAKEOVER + 3600, 10) == {"a": [PANE]}, "the look that is the last one of its hour"
    assert panes == {}
