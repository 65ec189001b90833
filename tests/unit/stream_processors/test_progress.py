"""What is kept with an offset is what was true just before it."""

from __future__ import annotations

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from smartlearn.stream_processors.domain.progress import (
    BEGINNING,
    COUNTERS,
    Effect,
    Frontier,
    PendingEffects,
    Progress,
)
from smartlearn.stream_processors.domain.seen import IntervalSet

texts = st.text(max_size=8)
senders = st.tuples(texts, texts, texts)
rows = st.tuples(senders, st.integers(0, 50), st.integers(1, 9)).map(lambda each: (each[0], each[1], each[1] + each[2]))
effects = st.builds(
    Effect,
    offset=st.just(0),
    source=st.sampled_from(["host", "import", "external"]),
    counts=st.dictionaries(st.sampled_from(COUNTERS), st.integers(-3, 9), max_size=3),
    rows=st.lists(rows, max_size=3),
    refused=st.lists(rows, max_size=2),
    at=st.integers(0, 1000),
    newest=st.one_of(st.just(BEGINNING), st.integers(-5, 1000)),
    owner=st.sampled_from(["a", "b", ""]),
)
histories = st.lists(effects, max_size=12).map(
    lambda listed: [
        Effect(2 * i, e.source, e.counts, e.rows, e.refused, e.at, e.newest, e.owner) for i, e in enumerate(listed)
    ]
)


def applied(history: list[Effect]) -> Progress:
    progress = Progress(epoch="life-1")
    for effect in history:
        progress.apply(effect)
    return progress


@given(histories)
@settings(max_examples=40)
def test_progress_comes_back_from_its_bytes_as_it_was(history: list[Effect]) -> None:
    progress = applied(history)
    progress.released = len(history) % 2 == 0
    copy = Progress.decode(progress.encode())
    assert copy.encode() == progress.encode()
    assert (copy.offset, copy.epoch, copy.counts, copy.released) == (
        progress.offset,
        "life-1",
        progress.counts,
        progress.released,
    )
    assert {s: list(i) for s, i in copy.seen.rows.items()} == {s: list(i) for s, i in progress.seen.rows.items()}
    assert copy.seen.heard == progress.seen.heard
    for owner in ("a", "b", "", "nobody"):
        assert copy.frontier.of(owner) == progress.frontier.of(owner)


@given(histories)
@settings(max_examples=40)
def test_the_offset_is_behind_the_last_message_and_the_counters_are_the_sums(history: list[Effect]) -> None:
    progress = applied(history)
    assert progress.offset == (history[-1].offset + 1 if history else 0)
    expected: Counter[str] = Counter()
    for effect in history:
        expected.update(effect.counts)
    assert progress.totals() == {counter: expected[counter] for counter in COUNTERS}
    taken = [row for effect in history for row in effect.rows]
    for sender in {sender for sender, _, _ in taken}:
        numbers = {n for who, start, stop in taken if who == sender for n in range(start, stop)}
        assert {n for start, stop in progress.seen.rows[sender] for n in range(start, stop)} == numbers


@given(histories)
@settings(max_examples=40)
def test_an_owner_s_frontier_is_its_newest_event_time(history: list[Effect]) -> None:
    progress = applied(history)
    for owner in ("a", "b", "nobody"):
        times = [effect.newest for effect in history if effect.owner == owner and effect.newest > BEGINNING]
        assert progress.frontier.of(owner) == max(times, default=BEGINNING)


@given(histories, st.lists(st.one_of(st.none(), st.integers(0, 26)), max_size=6))
@settings(max_examples=40)
def test_effects_wait_until_the_offset_passes_them(history: list[Effect], bounds: list[int | None]) -> None:
    pending, progress = PendingEffects(), Progress(epoch="life-1")
    for effect in history:
        pending.append(effect)
    reached = 0
    for bound in bounds:
        before = [effect for effect in history if bound is None or effect.offset < bound]
        moved = pending.pass_before(bound, progress)
        assert moved == (len(before) > reached)
        reached = max(reached, len(before))
        assert progress.encode() == applied(history[:reached]).encode()


def test_counting_nothing_leaves_no_trace() -> None:
    effect = Effect(3)
    effect.count("late", 0)
    assert effect.counts == {}
    effect.count("late", 2)
    effect.count("late", -2)
    assert effect.counts == {"late": 0}


def test_owners_that_are_forgotten_never_fold_what_they_had_read() -> None:
    frontier = Frontier({"old": 10, "older": 5, "new": 100})
    frontier.forget(50)
    assert (frontier.of("old"), frontier.of("older"), frontier.of("never seen"), frontier.of("new")) == (
        10,
        10,
        10,
        100,
    )
    frontier.advance("old", 60)
    frontier.advance("old", 55)
    assert frontier.of("old") == 60
    frontier.advance("older", 7)
    assert frontier.of("older") == 10


def test_a_sender_and_an_owner_that_were_silent_for_long_are_forgotten_together() -> None:
    progress = Progress()
    progress.apply(Effect(0, rows=[(("host", "b", "k"), 0, 5)], at=100, newest=100, owner="k"))
    progress.forget(101)
    assert progress.seen.rows == {}
    assert progress.frontier.encode() == {"owners": {}, "floor": 100}


def test_what_was_known_of_a_message_is_kept_until_it_is_passed() -> None:
    progress = Progress(known={3: 5, 4: 0, 9: 1})
    progress.apply(Effect(3))
    assert Progress.decode(progress.encode()).known == {4: 0, 9: 1}
    progress.apply(Effect(6))
    progress.forget(0)
    assert progress.known == {9: 1}


def test_panes_under_suspicion_are_handed_on() -> None:
    suspects = {"node-a": {10_000_000: 3600.5}}
    assert Progress.decode(Progress(suspects=suspects).encode()).suspects == suspects


def test_rows_that_were_refused_came_but_were_not_taken() -> None:
    progress = Progress()
    progress.apply(Effect(0, refused=[(("host", "b", "k"), 0, 3)], rows=[(("host", "b", "k"), 3, 5)]))
    assert progress.seen.unseen(("host", "b", "k"), 0, 6) == [(0, 3), (5, 6)]
    assert isinstance(progress.seen.refused["host", "b", "k"], IntervalSet)
