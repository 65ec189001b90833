"""What the producers of a data directory counted, added up over all processes that ever ran there.

One small SQLite file, which outlives the processes. A process adds what has changed, once a second and at its end, so
that a killed one takes at most the counts of its last second with it. Nothing waits for the disk: a lost file costs
the ledger, and no event.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, astuple, fields
from pathlib import Path
from typing import Final, TypeAlias

from smartlearn.core.errors import StoreUnavailable
from smartlearn.producers.counts import TopicCounts

Account: TypeAlias = tuple[str, str]
"""Who sent, and the topic; "" stands for rows that were lost before they had one."""

_NAMES: Final = tuple(field.name for field in fields(TopicCounts))
_CREATE: Final = f"""
    CREATE TABLE IF NOT EXISTS counts (
        source TEXT, topic TEXT, {", ".join(f"{name} INTEGER NOT NULL" for name in _NAMES)},
        PRIMARY KEY (source, topic)
    ) WITHOUT ROWID
"""
_ADD: Final = f"""
    INSERT INTO counts VALUES (?, ?, {", ".join("?" for _ in _NAMES)})
    ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in _NAMES)}
"""  # noqa: S608  our own names

# Another process adds for some ms at most.
_BUSY_S: Final = 0.5

_INTERVAL_S: Final = 1.0


class Ledger:
    """The counts of one data directory. Opened for each call, so that forks and processes do not meet in it."""

    def __init__(self, data_dir: Path) -> None:
        """Name the file; it is made by the first `add`."""
        self.path = data_dir / "ledger.db"

    def add(self, changes: Mapping[Account, TopicCounts]) -> None:
        """Add counts to those that are there.

        Raises:
            StoreUnavailable: the file cannot be written now.
        """
        import sqlite3

        rows = [(*account, *astuple(counts)) for account, counts in changes.items()]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)) as database:
                database.execute("PRAGMA synchronous = OFF")
                database.execute("BEGIN IMMEDIATE")
                database.execute(_CREATE)
                database.executemany(_ADD, rows)
                database.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"the ledger {self.path} cannot be written: {error}") from error

    def read(self) -> dict[Account, TopicCounts]:
        """The counts of all processes so far; empty where none has added any.

        Raises:
            StoreUnavailable: what stands there cannot be read.
        """
        import sqlite3

        if not self.path.exists():
            return {}
        try:
            with closing(sqlite3.connect(self.path, timeout=_BUSY_S)) as database:
                rows = database.execute(f"SELECT source, topic, {', '.join(_NAMES)} FROM counts").fetchall()  # noqa: S608
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the ledger {self.path} cannot be read: {error}") from error
        return {(source, topic): TopicCounts(*counts) for source, topic, *counts in rows}


class Notebook:
    """Brings the counts of one producer into the ledger. Used by one thread."""

    def __init__(self, ledger: Ledger, source: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing noted; `clock` in seconds."""
        self._ledger = ledger
        self._source = source
        self._clock = clock
        self._noted: dict[str, TopicCounts] = {}
        self._due = 0.0

    def note(self, counts: Mapping[str, TopicCounts], *, now: bool = False) -> float | None:
        """Add what has changed, if that is due or must be now; it never raises.

        Args:
            counts: topic → the producer's counts since it began.
            now: whether to add at once.

        Returns:
            Seconds until what is not added is due; None where everything is.
        """
        changes = {
            (self._source, topic): change
            for topic, current in counts.items()
            if (change := _difference(current, self._noted.get(topic, TopicCounts()))) != TopicCounts()
        }
        if not changes:
            return None
        wait = self._due - self._clock()
        if wait > 0 and not now:
            return wait
        self._due = self._clock() + _INTERVAL_S
        try:
            self._ledger.add(changes)
        except StoreUnavailable:
            return _INTERVAL_S
        self._noted = {topic: TopicCounts(**asdict(current)) for topic, current in counts.items()}
        return None


def _difference(current: TopicCounts, before: TopicCounts) -> TopicCounts:
    return TopicCounts(*(new - old for new, old in zip(astuple(current), astuple(before), strict=True)))
