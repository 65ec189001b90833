"""When a pane may be folded in memory, when it is due, and what it holds the offset for."""

from __future__ import annotations

from smartlearn.stream_processors.domain.panes import Pane, PaneBook
from smartlearn.stream_processors.domain.progress import Frontier
from smartlearn.stream_processors.domain.windows import PaneGrid

SECOND = 1_000_000
PANE = 10 * SECOND
NOON = 1_790_000_000.0
START = round(NOON) * SECOND


def book(frontier: Frontier | None = None) -> PaneBook:
    return PaneBook(PaneGrid(PANE), 30 * SECOND, 2.0, frontier or Frontier())


def touch(book: PaneBook, second: float, offset: int, *, owner: str = "a", imported: bool = False) -> Pane:
    """An event so many seconds after noon arrives at its own time."""
    time = START + round(second * SECOND)
    clock = book.clock(owner, imported=imported)
    pane = book.touch(owner, time - time % PANE, offset, clock, imported=imported)
    clock.event_time = max(clock.event_time, time)
    clock.arrived = NOON + second
    return pane


def due(book: PaneBook, second: float) -> list[tuple[str, float]]:
    return [(pane.owner, (pane.start - START) / SECOND) for pane in book.due(NOON + second)]


def emit(book: PaneBook, second: float) -> None:
    book.emitted(book.due(NOON + second))
    book.forget(NOON + second)


def test_a_pane_is_due_when_its_clock_has_passed_its_end() -> None:
    panes = book()
    touch(panes, 1, 0)
    touch(panes, 9.999999, 1)
    assert due(panes, 9.9999999) == []
    touch(panes, 10, 2)
    assert due(panes, 10) == [("a", 0)]


def test_a_pane_is_due_when_its_key_is_idle_and_its_end_is_over() -> None:
    panes = book()
    touch(panes, 9, 0)
    assert due(panes, 10.9) == []
    assert due(panes, 11) == [("a", 0)]


def test_no_key_is_idle_while_more_of_its_partition_waits_to_be_read() -> None:
    panes = book()
    touch(panes, 9, 0)
    assert panes.due(NOON + 60, all_read=False) == []
    touch(panes, 10, 1)
    assert [pane.start for pane in panes.due(NOON + 60, all_read=False)] == [START]


def test_a_pane_ahead_of_the_clock_waits_for_its_end() -> None:
    panes = book()
    clock = panes.clock("a", imported=False)
    panes.touch("a", START + 10 * PANE, 0, clock, imported=False)
    clock.event_time, clock.arrived = START + 10 * PANE, NOON
    assert due(panes, 50) == []
    assert due(panes, 110) == [("a", 100)]


def test_clocks_of_keys_and_of_their_imports_are_apart() -> None:
    panes = book()
    touch(panes, 1, 0, owner="behind")
    touch(panes, 1000, 1, owner="ahead")
    touch(panes, -5000, 2, owner="behind", imported=True)
    assert ("behind", 0) not in due(panes, 1)


def test_older_panes_come_first_so_that_one_look_at_the_fleet_serves_all_owners() -> None:
    panes = book()
    for offset, (owner, second) in enumerate([("b", 1), ("a", 11), ("b", 12), ("a", 2), ("a", 30), ("b", 30)]):
        touch(panes, second, offset, owner=owner)
    assert due(panes, 30) == [("a", 0), ("b", 0), ("a", 10), ("b", 10)]


def test_the_oldest_open_pane_holds_the_offset_of_its_first_event() -> None:
    panes = book()
    assert panes.oldest_open() is None
    touch(panes, 1, 5)
    touch(panes, 2, 6)
    touch(panes, 12, 7)
    assert panes.oldest_open() == 5
    emit(panes, 12)
    assert panes.oldest_open() == 7
    emit(panes, 60)
    assert panes.oldest_open() is None


def test_a_pane_that_is_touched_for_nobody_is_held_by_the_first_event_all_the_same() -> None:
    panes = book()
    clock = panes.clock("a", imported=False)
    panes.touch("a", START, 1 << 62, clock, imported=True)
    panes.touch("a", START, 9, clock, imported=False)
    panes.touch("a", START, 12, clock, imported=False)
    assert panes.oldest_open() == 9


def test_an_emitted_pane_is_kept_for_the_lateness_and_opened_again_by_a_late_event() -> None:
    panes = book()
    first = touch(panes, 1, 0)
    emit(panes, 12)
    assert len(panes) == 1
    assert touch(panes, 39.9, 1) is not first
    again = touch(panes, 5, 2)
    assert again is first
    assert not again.from_store
    assert due(panes, 39.9) == [("a", 0)]


def test_a_pane_whose_lateness_is_over_is_forgotten_and_later_ones_of_it_come_from_the_store() -> None:
    panes = book()
    touch(panes, 1, 0)
    emit(panes, 40)
    assert len(panes) == 0
    assert touch(panes, 5, 1).from_store
    assert not touch(panes, 10, 2).from_store
    assert not touch(panes, 5, 3, owner="another").from_store


def test_an_import_makes_a_pane_come_from_the_store_and_a_forgotten_one_stays_so() -> None:
    panes = book()
    pane = touch(panes, 1, 0)
    pane.value[("node", "a"),] = object()  # type: ignore[assignment]
    touch(panes, 2, 1, imported=True)
    assert pane.from_store
    assert pane.value == {}
    assert touch(panes, 3, 2).from_store
    emit(panes, 12)
    assert touch(panes, 4, 3).from_store


def test_panes_that_began_before_the_owner_s_frontier_come_from_the_store() -> None:
    panes = book(Frontier({"a": START + 5 * SECOND}))
    assert touch(panes, 9, 0).from_store
    assert not touch(panes, 10, 1).from_store
    assert not touch(panes, 9, 2, owner="another").from_store


def test_a_pane_that_is_open_folds_on_though_a_later_one_was_forgotten() -> None:
    panes = book()
    clock = panes.clock("a", imported=False)
    old = panes.touch("a", START, 0, clock, imported=False)
    clock.event_time, clock.arrived = START, NOON + 100
    other = panes.clock("b", imported=False)
    panes.touch("a", START + PANE, 1, other, imported=False)
    other.event_time = START + 5 * PANE
    emit(panes, 100)
    assert panes.folds_from("a") == START + 2 * PANE
    assert panes.folds("a", START)
    assert panes.touch("a", START, 2, clock, imported=False) is old
    assert not panes.folds("a", START + PANE)


def test_a_pane_is_late_once_its_key_has_passed_its_lateness() -> None:
    panes = book()
    clock = panes.clock("a", imported=False)
    for second, late in ((39.999999, False), (40, True)):
        clock.event_time = START + round(second * SECOND)
        assert panes.is_late(START, clock) is late
