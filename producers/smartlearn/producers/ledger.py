"""What the producers of a data directory counted, added up over all processes that ever ran there.

One small SQLite file, which outlives the processes. A process adds what has changed, once a second and at its end, so
that a killed one takes at most the counts of its last second with it. Nothing waits for the disk: a lost file costs
the ledger, and no event. The sums also go to a compacted topic, now and then and at the end of a process, so that they
can be added up over machines.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path
from typing import Final, TypeAlias

from smartlearn.core.errors import StoreUnavailable
from smartlearn.core.schemas import SentCounts, SentLedger
from smartlearn.core.topics import LEDGER
from smartlearn.producers.counts import TopicCounts
from smartlearn.producers.rows import Outgoing

Account: TypeAlias = tuple[str, str]
"""Who sent, and the topic; "" stands for rows that were lost before they had one."""

_NAMES: Final = tuple(field.name for field in fields(TopicCounts))
_CREATE: Final = (
    f"""
    CREATE TABLE IF NOT EXISTS counts (
        source TEXT, topic TEXT, {", ".join(f"{name} INTEGER NOT NULL" for name in _NAMES)},
        PRIMARY KEY (source, topic)
    ) WITHOUT ROWID
    """,
    "CREATE TABLE IF NOT EXISTS ledger (one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT, revision INTEGER)",
)
_REVISE: Final = "INSERT INTO ledger VALUES (1, ?, 1) ON CONFLICT DO UPDATE SET revision = revision + 1"
_ADD: Final = f"""
    INSERT INTO counts VALUES (?, ?, {", ".join("?" for _ in _NAMES)})
    ON CONFLICT DO UPDATE SET {", ".join(f"{name} = {name} + excluded.{name}" for name in _NAMES)}
"""  # noqa: S608  our own names

# Another process adds for some ms at most.
_BUSY_S: Final = 0.5

_INTERVAL_S: Final = 1.0

# The topic is for whoever adds up over machines; within one, the file is read.
_ANNOUNCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Page:
    """The counts of a data directory at one moment.

    Attributes:
        id: names the data directory; "" where nothing was counted there yet.
        revision: grows with every change.
        counts: source and topic → what was counted.
    """

    id: str
    revision: int
    counts: dict[Account, TopicCounts]

    def message(self) -> Outgoing:
        """As a message of the ledger topic."""
        counts = [SentCounts(source=source, topic=topic, **asdict(one)) for (source, topic), one in self.counts.items()]
        value = SentLedger(id=self.id, revision=self.revision, counts=counts)
        return Outgoing(LEDGER, self.id.encode(), value.model_dump_json().encode(), 0)

    @classmethod
    def parse(cls, value: bytes) -> Page:
        """The inverse of `message`.

        Raises:
            ValueError: the value is no such message.
        """
        ledger = SentLedger.model_validate_json(value)
        return cls(
            ledger.id,
            ledger.revision,
            {
                (one.source, one.topic): TopicCounts(**one.model_dump(exclude={"source", "topic"}))
                for one in ledger.counts
            },
        )


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
                for table in _CREATE:
                    database.execute(table)
                database.executemany(_ADD, rows)
                database.execute(_REVISE, (uuid.uuid4().hex,))
                database.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise StoreUnavailable(f"the ledger {self.path} cannot be written: {error}") from error

    def read(self) -> Page:
        """The counts of all processes so far.

        Raises:
            StoreUnavailable: what stands there cannot be read.
        """
        import sqlite3

        if not self.path.exists():
            return Page("", 0, {})
        try:
            with closing(sqlite3.connect(self.path, timeout=_BUSY_S)) as database:
                database.execute("BEGIN")
                # The file is there a moment before what is in it.
                if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'ledger'").fetchall():
                    return Page("", 0, {})
                rows = database.execute(f"SELECT source, topic, {', '.join(_NAMES)} FROM counts").fetchall()  # noqa: S608
                ((id_, revision),) = database.execute("SELECT id, revision FROM ledger")
        except sqlite3.Error as error:
            raise StoreUnavailable(f"the ledger {self.path} cannot be read: {error}") from error
        return Page(id_, revision, {(source, topic): TopicCounts(*counts) for source, topic, *counts in rows})


class Notebook:
    """Brings the counts of one producer into the ledger. Used by one thread."""

    def __init__(self, ledger: Ledger, source: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with nothing noted; `clock` in seconds."""
        self._ledger = ledger
        self._source = source
        self._clock = clock
        self._noted: dict[str, TopicCounts] = {}
        self._due = 0.0
        self._news = False
        self._announced = clock()

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
            if (change := current - self._noted.get(topic, TopicCounts())) != TopicCounts()
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
        self._noted = {topic: replace(current) for topic, current in counts.items()}
        self._news = True
        return None

    def announcement(self, *, now: bool = False) -> Outgoing | None:
        """The message for the ledger topic, if one is due or must be now and there is something new."""
        if not self._news or not (now or self._clock() - self._announced >= _ANNOUNCE_S):
            return None
        try:
            page = self._ledger.read()
        except StoreUnavailable:
            return None
        self._news = False
        self._announced = self._clock()
        return page.message()
