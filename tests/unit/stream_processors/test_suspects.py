"""Panes that a dead predecessor may still write are looked at again, a few times within an hour."""

from __future__ import annotations

from smartlearn.stream_processors.domain.suspects import LOOK_AFTER_S, Suspects

SECOND = 1_000_000
TAKEOVER = 1_790_000_000.0
PANE = round(TAKEOVER) * SECOND


def test_nothing_is_due_before_anything_was_written() -> None:
    assert Suspects(0).due(TAKEOVER + 9999, 10) == {}


def test_a_pane_that_began_before_the_takeover_is_looked_at_in_every_round_and_then_no_more() -> None:
    suspects = Suspects(0)
    suspects.note("a", PANE, TAKEOVER)
    suspects.note("a", PANE - 10 * SECOND, TAKEOVER + 1)
    for after in LOOK_AFTER_S:
        assert suspects.due(TAKEOVER + after - 0.1, 10) == {}
        assert suspects.due(TAKEOVER + after, 10) == {"a": [PANE - 10 * SECOND, PANE]}
    suspects.note("a", PANE, TAKEOVER + 9000)
    assert suspects.due(TAKEOVER + 9001, 10) == {}


def test_a_pane_that_began_later_is_nobody_else_s() -> None:
    suspects = Suspects(300 * SECOND)
    suspects.note("a", PANE, TAKEOVER)
    suspects.note("b", PANE + 300 * SECOND, TAKEOVER + 1)
    suspects.note("c", PANE + 301 * SECOND, TAKEOVER + 1)
    assert suspects.due(TAKEOVER + 60, 10).keys() == {"a", "b"}


def test_owners_are_looked_at_a_few_at_a_time() -> None:
    suspects = Suspects(0)
    for owner in "edcba":
        suspects.note(owner, PANE, TAKEOVER)
    rounds = [sorted(suspects.due(TAKEOVER + 60, 2)) for _ in range(4)]
    assert rounds == [["a", "b"], ["c", "d"], ["e"], []]
    for _ in range(len(LOOK_AFTER_S) - 1):
        assert sum(len(suspects.due(TAKEOVER + 4000, 2)) for _ in range(3)) == 5
    assert suspects.due(TAKEOVER + 9000, 2) == {}
