"""What the SQLite file holds: the series of each measurement, and the part that each field is in.

A measurement's fields are spread over parts of a few columns (numbers and texts apart), each a table
`points.<measurement>.<n>` with the primary key (series, time). A read of three fields then touches a narrow
table however many fields the measurement has, and their number has no limit.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TypeAlias

import orjson

from smartlearn.core.stores.base import is_text_field

PART_NUMBERS = 32
"""Numbers in a part; fewer make reading a few fields faster, and writing many slower."""

PART_TEXTS = 4
"""Texts in a part; a sketch is some hundred bytes, and a row beyond a quarter page overflows its page."""

Layout: TypeAlias = dict[str, dict[str, str]]


@dataclass(slots=True)
class SeriesIndex:
    """The series of one measurement that are known so far."""

    ids: dict[str, int] = field(default_factory=dict)
    tags: dict[int, dict[str, str]] = field(default_factory=dict)
    newest: int = 0


def quoted(name: str) -> str:
    """A checked name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def tags_key(tags: Mapping[str, str]) -> str:
    """The canonical text of tags."""
    return orjson.dumps(tags, option=orjson.OPT_SORT_KEYS).decode()


class Catalog:
    """The file's layout and series, read again when they changed. Methods are called inside a transaction.

    Only what is committed is remembered: a transaction that `extend`s reads nothing afterwards, and the next
    one does. Series are never removed and their ids ascend in the order of commits, so that what is known stays
    true.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._layout: tuple[int, Layout] = (-1, {})
        self._series: dict[str, SeriesIndex] = {}

    def layout(self, connection: sqlite3.Connection) -> Layout:
        """Measurement → field → part, as this transaction sees it."""
        (version,) = connection.execute("PRAGMA schema_version").fetchone()
        known, layout = self._layout
        if version != known:
            layout = {}
            for measurement, name, part in connection.execute("SELECT measurement, field, part FROM _fields"):
                layout.setdefault(measurement, {})[name] = part
            self._layout = (version, layout)
        return layout

    def parts(self, connection: sqlite3.Connection, measurement: str) -> list[str]:
        """The tables of a measurement."""
        return sorted(set(self.layout(connection).get(measurement, {}).values()))

    def series(self, connection: sqlite3.Connection, measurement: str) -> SeriesIndex:
        """The series of a measurement."""
        with self._lock:
            index = self._series.setdefault(measurement, SeriesIndex())
            newer = connection.execute(
                "SELECT id, tags FROM _series WHERE measurement = ? AND id > ? ORDER BY id",
                (measurement, index.newest),
            )
            for number, key in newer:
                index.ids[key] = number
                index.tags[number] = orjson.loads(key)
                index.newest = number
            return index

    def extend(
        self,
        connection: sqlite3.Connection,
        measurement: str,
        fields: Iterable[str],
        keys: Iterable[str],
    ) -> None:
        """Make room for fields and series (by their `tags_key`), where there is none yet."""
        connection.executemany(
            "INSERT OR IGNORE INTO _series (measurement, tags) VALUES (?, ?)",
            [(measurement, key) for key in keys],
        )
        placed = dict(connection.execute("SELECT field, part FROM _fields WHERE measurement = ?", (measurement,)))
        parts = Counter((part, is_text_field(name)) for name, part in placed.items())
        new = [name for name in dict.fromkeys(fields) if name not in placed]
        made: list[tuple[str, str, str]] = []
        for text in (False, True):
            missing = [name for name in new if is_text_field(name) == text]
            full = PART_TEXTS if text else PART_NUMBERS
            for part in [part for (part, kind), size in parts.items() if kind == text and size < full]:
                room = full - parts[part, text]
                for name in missing[:room]:
                    connection.execute(f"ALTER TABLE {quoted(part)} ADD COLUMN {_column(name)}")
                    made.append((measurement, name, part))
                missing = missing[room:]
            for begin in range(0, len(missing), full):
                names = missing[begin : begin + full]
                part = f"points.{measurement}.{len(parts)}"
                connection.execute(
                    f"CREATE TABLE {quoted(part)} (_series INTEGER NOT NULL, _time INTEGER NOT NULL, "
                    f"{', '.join(map(_column, names))}, PRIMARY KEY (_series, _time)) WITHOUT ROWID"
                )
                parts[part, text] = len(names)
                made.extend((measurement, name, part) for name in names)
        connection.executemany("INSERT INTO _fields VALUES (?, ?, ?)", made)

    def forget(self, connection: sqlite3.Connection, measurement: str) -> None:
        """Drop the tables of a measurement."""
        for part in self.parts(connection, measurement):
            connection.execute(f"DROP TABLE {quoted(part)}")
        connection.execute("DELETE FROM _fields WHERE measurement = ?", (measurement,))


def _column(name: str) -> str:
    return f"{quoted(name)} {'TEXT' if is_text_field(name) else 'REAL'}"
