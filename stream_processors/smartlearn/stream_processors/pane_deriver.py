"""Panes on their way: folded as rows arrive, and written with all that derives from them when they are due."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from smartlearn.core.batch import EXTERNAL_SOURCE, Batch, Int64Array, Kind
from smartlearn.core.settings import WindowSettings
from smartlearn.stream_processors.deriver import Arrival
from smartlearn.stream_processors.domain.derive import OwnerPanes, Row, rows_of
from smartlearn.stream_processors.domain.grouping import Grouped, Rows, summarize_panes
from smartlearn.stream_processors.domain.panes import Clock, Pane, PaneBook, PaneValue, SeriesKey
from smartlearn.stream_processors.domain.progress import BEGINNING, Frontier
from smartlearn.stream_processors.domain.suspects import SuspectPanes, Suspects
from smartlearn.stream_processors.domain.windows import MICROS, PaneGrid
from smartlearn.stream_processors.pane_store import PaneStore, add_summary

# An import can make a year of panes due at once; more than this in one go would hold too much memory.
_PANES_A_ROUND: Final = 2000
# Looking at panes again must not hold up the live ones.
_OWNERS_A_LOOK: Final = 50
# An offset after all others: looking again holds no commit back, since the next owner looks again itself.
_NOTHING_HELD: Final = 1 << 62


@dataclass(frozen=True, slots=True)
class Emission:
    """One pane that was written.

    Attributes:
        owner: the node or shard.
        start: µs.
        value: the summary of each series.
        in_order: whether it is the owner's newest pane and was never written before.
    """

    owner: str
    start: int
    value: PaneValue
    in_order: bool


class Follower(Protocol):
    """What is derived from a node's panes across series or nodes."""

    def follow(self, emissions: Sequence[Emission]) -> None:
        """Write what derives from panes that are in the store."""
        ...

    def forget(self) -> None:
        """Drop everything that was kept in memory: the next time it is read from the store."""
        ...


class PaneDeriver:
    """The panes of all partitions of a topic that this worker owns."""

    def __init__(
        self,
        panes: PaneStore,
        windows: WindowSettings,
        owner_of: Callable[[Batch], str],
        followers: Sequence[Follower] = (),
        *,
        keep_raw: bool = True,
    ) -> None:
        """Build for one kind of event; without raw events, late ones change no pane."""
        self._panes = panes
        self._grid = PaneGrid(panes.length)
        self._windows = windows
        self._owner_of = owner_of
        self._followers = followers
        self._keep_raw = keep_raw
        self._reach = panes.reach()
        self._books: dict[int, PaneBook] = {}
        self._owners: dict[str, OwnerPanes] = {}
        self._partition_of: dict[str, int] = {}
        self._written: dict[tuple[int, str], list[int]] = {}
        self._suspects: dict[int, Suspects] = {}

    def open(self, partition: int, frontier: Frontier, suspects: SuspectPanes, *, clean: bool) -> None:
        """See `Deriver.open`."""
        lateness = round(self._windows.lateness_s * MICROS)
        self._books[partition] = PaneBook(self._grid, lateness, self._windows.idle_s, frontier)
        for follower in self._followers:
            follower.forget()
        if self._keep_raw:
            self._suspects[partition] = Suspects(suspects, round(self._windows.future_s * MICROS), clean=clean)

    def close(self, partition: int) -> None:
        """See `Deriver.close`."""
        del self._books[partition]
        self._suspects.pop(partition, None)
        for owner in [owner for owner, number in self._partition_of.items() if number == partition]:
            del self._partition_of[owner]
            self._owners.pop(owner, None)
        for follower in self._followers:
            follower.forget()

    def fold(self, arrivals: Sequence[Arrival], now: float) -> None:
        """See `Deriver.fold`."""
        # What an owner sent in several messages is aggregated at once, where it has the same columns.
        alike: dict[tuple[str, tuple[str, ...], tuple[str, ...]], list[Batch]] = {}
        folding: dict[str, dict[int, Pane]] = {}
        for arrival in arrivals:
            batch = arrival.batch
            owner = self._owner_of(batch)
            panes = self._touch(owner, arrival, now)
            if any(not pane.from_store for pane in panes.values()):
                alike.setdefault((owner, tuple(batch.numbers), tuple(batch.texts)), []).append(batch)
                folding.setdefault(owner, {}).update(panes)
        groups: list[Grouped] = []
        for (owner, *_), batches in alike.items():
            rows = Rows.of(batches)
            groups.append(self._panes.grouping(owner, rows.times, rows.numbers, rows.texts))
        touched = [folding[owner] for owner, *_ in alike]
        for (index, key), summaries in summarize_panes(groups, self._grid.length).items():
            for start, summary in summaries.items():
                pane = touched[index].get(start)
                if pane is not None and not pane.from_store:
                    add_summary(pane.value, key, summary)

    def _touch(self, owner: str, arrival: Arrival, now: float) -> dict[int, Pane]:
        batch = arrival.batch
        book = self._books[arrival.partition]
        self._partition_of[owner] = arrival.partition
        arrival.effect.owner = owner
        clock = book.clock(_clock_key(batch), imported=batch.imported)
        computable_from = self._computable_from(now)
        newest, rows_of = self._starts(batch.timestamp)
        panes = {}
        for start, count in rows_of:
            folds = not batch.imported and book.folds(owner, start)
            known = folds or (computable_from is not None and start >= computable_from)
            if not known or (not batch.imported and book.is_late(start, clock)):
                arrival.effect.count("late", count)
            if known:
                panes[start] = book.touch(owner, start, arrival.offset, clock, imported=batch.imported)
        clock.event_time = max(clock.event_time, newest)
        clock.arrived = now
        return panes

    def _starts(self, times: Int64Array) -> tuple[int, list[tuple[int, int]]]:
        """The newest of event times, and how many lie in each pane (start in µs), ascending."""
        if len(times) == 1:
            time = int(times[0])
            return time, [(self._grid.start(time), 1)]
        starts, rows = np.unique(self._grid.starts(times), return_counts=True)
        return int(times.max()), list(zip(starts.tolist(), rows.tolist(), strict=True))

    def _computable_from(self, now: float) -> int | None:
        """The first pane start that can be computed from the store at `now` (s), µs; None where no raw is kept."""
        if not self._keep_raw:
            return None
        return BEGINNING if self._reach is None else int(now * 1e6) - self._reach

    def oldest_open(self, partition: int) -> int | None:
        """See `Deriver.oldest_open`."""
        return self._books[partition].oldest_open()

    def recompute(self, partition: int, owner: str, places: Sequence[int], offset: int) -> None:
        """See `Deriver.recompute`."""
        if not self._keep_raw:
            return
        book = self._books[partition]
        for start in places:
            at_once = Clock(event_time=start + self._grid.length)
            book.touch(owner, start, offset, at_once, imported=True)

    def catch_up(self, partition: int, owner: str, since: int) -> None:
        """See `Deriver.catch_up`."""
        if self._keep_raw:
            self.recompute(partition, owner, self._panes.starts(owner, max(since, 0)), _NOTHING_HELD)

    def written(self) -> dict[tuple[int, str], list[int]]:
        """See `Deriver.written`."""
        written, self._written = self._written, {}
        return written

    def derive(self, now: float, behind: Collection[int] = ()) -> None:
        """See `Deriver.derive`."""
        for partition, book in self._books.items():
            self._look_again(partition, now)
            while due := book.due(now, all_read=partition not in behind)[:_PANES_A_ROUND]:
                for pane in due:
                    self._written.setdefault((partition, pane.owner), []).append(pane.start)
                try:
                    self._emit(due)
                except BaseException:
                    self._owners.clear()
                    for follower in self._followers:
                        follower.forget()
                    raise
                book.emitted(due)
                if partition in self._suspects:
                    # An import is computed from the store as a whole; looking at all of it again would cost that again.
                    for pane in due:
                        if not pane.clock.imported:
                            self._suspects[partition].note(pane.owner, pane.start, now)
            book.forget(now)

    def _look_again(self, partition: int, now: float) -> None:
        """Compute again, of the panes under suspicion, what stands otherwise in the store than its raw events say.

        The first time it is all of them: where a zombie and its successor wrote at the same moment, what derives from a
        right pane may be wrong.
        """
        if partition not in self._suspects:
            return
        suspects = self._suspects[partition]
        for owner, starts in suspects.due(now, _OWNERS_A_LOOK).items():
            wrong = starts if suspects.first_look else self._differing(owner, starts)
            self.recompute(partition, owner, wrong, _NOTHING_HELD)

    def _differing(self, owner: str, starts: list[int]) -> list[int]:
        """The panes that stand otherwise in the store than their raw events say."""
        right = self._panes.from_raw(owner, starts)
        stored = self._panes.contexts([owner], starts[0], starts[-1] + 1)[owner]
        return [start for start in starts if not _same(right.get(start, {}), stored.get(start, {}))]

    def _emit(self, due: Sequence[Pane]) -> None:
        by_owner: dict[str, list[Pane]] = {}
        for pane in due:
            by_owner.setdefault(pane.owner, []).append(pane)
        changed: dict[str, dict[int, PaneValue]] = {}
        for owner, panes in by_owner.items():
            stored = sorted(pane.start for pane in panes if pane.from_store)
            values = self._panes.from_raw(owner, stored) if stored else {}
            values.update({pane.start: dict(pane.value) for pane in panes if not pane.from_store and pane.value})
            if values:
                changed[owner] = dict(sorted(values.items()))
        rows: list[Row] = []
        emissions: list[Emission] = []
        for owner, values, in_order, owner_rows in self._rows(changed, by_owner):
            rows.extend(owner_rows)
            emissions.extend(Emission(owner, start, value, in_order) for start, value in values.items())
        self._panes.store.write(self._panes.points(rows))
        for follower in self._followers:
            follower.follow(emissions)

    def _rows(
        self, changed: dict[str, dict[int, PaneValue]], by_owner: dict[str, list[Pane]]
    ) -> list[tuple[str, dict[int, PaneValue], bool, list[Row]]]:
        """Owner, changed panes, whether they came in order, and all rows that derive from them."""
        found = []
        cold: dict[int, dict[str, dict[int, PaneValue]]] = {}
        for owner, changes in changed.items():
            folded = {pane.start for pane in by_owner[owner] if not pane.from_store}
            *old, newest = self._grid.apart(changes)
            for starts in (*old, newest):
                values = {start: changes[start] for start in starts}
                known = self._owners.get(owner)
                if known is not None and known.last < starts[0]:
                    rows = [row for start, value in values.items() for row in known.append(self._grid, start, value)]
                    found.append((owner, values, True, rows))
                elif known is None and starts is newest and not folded.isdisjoint(starts):
                    cold.setdefault(self._grid.context(starts)[0], {})[owner] = values
                else:
                    found.append((owner, values, False, self._from_context(owner, values)))
                    if known is not None:
                        self._patch(owner, known, values)
        for low, owners in cold.items():
            contexts = self._panes.contexts(owners, low, None)
            for owner, values in owners.items():
                in_order = max(contexts[owner], default=-1) < min(values)
                context = dict(sorted({**contexts[owner], **values}.items()))
                self._owners[owner] = OwnerPanes.of(context)
                found.append((owner, values, in_order, list(rows_of(self._grid, context, values))))
        return found

    def _from_context(self, owner: str, values: dict[int, PaneValue]) -> list[Row]:
        low, high = self._grid.context(values)
        context = self._panes.contexts([owner], low, high)[owner]
        return list(rows_of(self._grid, dict(sorted({**context, **values}.items())), values))

    def _patch(self, owner: str, known: OwnerPanes, values: dict[int, PaneValue]) -> None:
        """Forget an owner's running merges where a change reaches them; the store has the truth."""
        if max(values) >= self._grid.context([known.last])[0]:
            del self._owners[owner]


def _clock_key(batch: Batch) -> str:
    """Whose event time a batch moves on: its series key's. Learners are too many to have a clock each."""
    alone = batch.kind is Kind.INTERACTION and batch.source == EXTERNAL_SOURCE
    return "" if alone else batch.key


def _same(one: PaneValue, other: PaneValue) -> bool:
    """Whether two values are of the same events: counts and extremes, since sums depend on their order."""
    return _exact(one) == _exact(other)


def _exact(value: PaneValue) -> dict[SeriesKey, dict[str, tuple[int, float, float]]]:
    return {
        key: {name: (each.count, each.min, each.max) for name, each in summary.items()}
        for key, summary in value.items()
    }
