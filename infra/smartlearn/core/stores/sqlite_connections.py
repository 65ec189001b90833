"""Connections to the SQLite file: one a thread at a time, transactions, and errors in words."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from queue import Empty, LifoQueue

from smartlearn.core.errors import StoreError, StoreRejected, StoreUnavailable

FORMAT = 1
"""The layout of the file, kept in its user_version."""

BUSY_TIMEOUT_S = 30.0
"""How long a writer waits for the others: far beyond what their short transactions take."""

_RETRY_S = 0.01
_PAGE_BYTES = 4096
_CHECKPOINT_PAGES = 4000
_JOURNAL_LIMIT_BYTES = 64 * 1024 * 1024
_CACHE_KIB = 32 * 1024

_LAYOUT = """
CREATE TABLE IF NOT EXISTS _series (
    id INTEGER PRIMARY KEY, measurement TEXT NOT NULL, tags TEXT NOT NULL, UNIQUE (measurement, tags));
CREATE INDEX IF NOT EXISTS _series_of ON _series (measurement);
CREATE TABLE IF NOT EXISTS _fields (
    measurement TEXT NOT NULL, field TEXT NOT NULL, part TEXT NOT NULL,
    PRIMARY KEY (measurement, field)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS _state (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""


class Connections:
    """A pool of connections to one file. Threads may share it; a forked child starts its own pool."""

    def __init__(self, path: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.path = path
        self._busy_timeout_s = busy_timeout_s
        self._pid = os.getpid()
        self._idle: LifoQueue[sqlite3.Connection] = LifoQueue()
        self._closed = False
        try:
            with self._borrowed() as connection, self._translated():
                self._lay_out(connection)
        except BaseException:
            self.close()
            raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A snapshot: everything read inside is of one moment, and no writer waits for it."""
        with self._transaction("BEGIN") as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A write transaction: waits for the writer before it, commits at the end, undoes all on an error."""
        with self._transaction("BEGIN IMMEDIATE") as connection:
            yield connection

    def close(self) -> None:
        """Close the idle connections; those in use are closed when they come back."""
        self._closed = True
        self._drain_if_closed()

    @contextlib.contextmanager
    def _transaction(self, begin: str) -> Iterator[sqlite3.Connection]:
        with self._borrowed() as connection, self._translated():
            connection.execute(begin)
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    connection.rollback()

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[sqlite3.Connection]:
        if self._closed:
            raise StoreRejected(f"the store {self.path} is closed; open it again")
        if self._pid != os.getpid():
            self._idle, self._pid = LifoQueue(), os.getpid()
        idle = self._idle
        try:
            connection = idle.get_nowait()
        except Empty:
            with self._translated():
                connection = self._connect()
        try:
            yield connection
        finally:
            idle.put(connection)
            self._drain_if_closed()

    def _drain_if_closed(self) -> None:
        if not self._closed or self._pid != os.getpid():
            return
        with contextlib.suppress(Empty):
            while True:
                self._idle.get_nowait().close()

    def _connect(self) -> sqlite3.Connection:
        with self._translated_files():
            self.path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(
            self.path,
            timeout=self._busy_timeout_s,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=512,
        )
        try:
            connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
            self._switch_to_wal(connection)
            for pragma in (
                "synchronous=NORMAL",
                f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
                f"journal_size_limit={_JOURNAL_LIMIT_BYTES}",
                f"cache_size=-{_CACHE_KIB}",
                "trusted_schema=OFF",
            ):
                connection.execute(f"PRAGMA {pragma}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _switch_to_wal(self, connection: sqlite3.Connection) -> None:
        """The first switch needs the file alone, and SQLite does not wait for that by itself."""
        deadline = time.monotonic() + self._busy_timeout_s
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL")
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(_RETRY_S)
            else:
                return

    def _lay_out(self, connection: sqlite3.Connection) -> None:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == FORMAT:
            return
        if version > FORMAT:
            raise StoreRejected(
                f"{self.path} has layout {version} of a newer SmartLearn, and this one knows {FORMAT}; update it"
            )
        connection.execute("BEGIN IMMEDIATE")
        try:
            for statement in filter(str.strip, _LAYOUT.split(";")):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version={FORMAT}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:
                connection.rollback()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise self._in_words(error) from error

    @contextlib.contextmanager
    def _translated_files(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(f"the folder of {self.path} cannot be made: {error.strerror}") from error

    def _in_words(self, error: sqlite3.Error) -> StoreError:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            reason = f"{self.path} stayed locked for {self._busy_timeout_s:g} s; see which process holds it"
        elif code == sqlite3.SQLITE_FULL:
            reason = f"no space is left for {self.path}; free some, then try again"
        elif code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            reason = f"{self.path} is damaged or no SQLite file; put a backup there, or move it away to start anew"
        elif code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY):
            reason = f"{self.path} cannot be opened for writing; check the path and its permissions"
        elif code == sqlite3.SQLITE_IOERR:
            reason = f"reading or writing {self.path} failed ({error}); check the disk"
        else:
            return StoreRejected(f"SQLite refused what was asked of {self.path}: {error}")
        return StoreUnavailable(reason)
