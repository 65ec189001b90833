"""Panes that a dead predecessor may still write: which they are, and when to look at them again.

A worker that froze, lost its partition, woke up and died before it could tell leaves half-filled panes over right ones.
After a takeover that was not clean, the new owner therefore looks again, a few times within an hour, at the panes its
predecessor could have held: those it wrote itself that began before the takeover. They are stored with the progress, so
that whoever owns the partition within that hour looks at them, and not only the first successor.
"""

from __future__ import annotations

from typing import Final, TypeAlias

LOOK_AFTER_S: Final = (60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0)
"""How long after the takeover the panes are looked at; what a worker frozen for longer spoils, it must tell itself."""

SuspectPanes: TypeAlias = dict[str, dict[int, float]]
"""Owner → start of a pane, µs → until when it is suspect, s."""


class Suspects:
    """The panes of one partition to look at again."""

    def __init__(self, panes: SuspectPanes, ahead: int, *, clean: bool) -> None:
        """Take over.

        Args:
            panes: those that owners before noted; kept up to date.
            ahead: how far event times may be ahead of the worker's clock, µs.
            clean: whether the last owner let the partition go and ended: then no pane is added.
        """
        self._panes = panes
        self._ahead = ahead
        self._clean = clean
        self._since: float | None = None
        self._rounds = 0
        self._queue: list[str] = []

    def note(self, owner: str, start: int, now: float) -> None:
        """Remember a pane (start in µs) that was just written at `now` (s), if it began before the takeover."""
        if self._clean or self._rounds == len(LOOK_AFTER_S):
            return
        if self._since is None:
            self._since = now
        if start <= self._since * 1e6 + self._ahead:
            self._panes.setdefault(owner, {})[start] = self._since + LOOK_AFTER_S[-1]

    @property
    def first_look(self) -> bool:
        """Whether what `due` told last is looked at for the first time since the takeover."""
        return self._rounds == 1

    def due(self, now: float, most: int) -> dict[str, list[int]]:
        """At most so many owners with the starts of their panes, ascending, to look at now."""
        if self._since is None:
            if not self._panes:
                return {}
            self._since = now
        if not self._queue and self._rounds < len(LOOK_AFTER_S) and now >= self._since + LOOK_AFTER_S[self._rounds]:
            self._rounds += 1
            self._queue = sorted(self._panes)
        some, self._queue = self._queue[:most], self._queue[most:]
        found = {owner: sorted(self._panes[owner]) for owner in some}
        for owner in some:
            self._drop_over(owner, now)
        return found

    def _drop_over(self, owner: str, now: float) -> None:
        left = {} if self._rounds == len(LOOK_AFTER_S) else {s: t for s, t in self._panes[owner].items() if t > now}
        if left:
            self._panes[owner] = left
        else:
            del self._panes[owner]
