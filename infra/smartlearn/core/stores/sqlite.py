"""The store of one machine: a SQLite file in WAL mode, written and read by several processes at once."""

# ruff: noqa: S608 - the only names in statements are checked (`is_name`) and quoted

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smartlearn.core.settings import RetentionSettings
from smartlearn.core.stores.base import Points, Refused, Series, SeriesQuery
from smartlearn.core.stores.frames import Column, check_query, is_absent, matches
from smartlearn.core.stores.prepare import Prepared, prepare
from smartlearn.core.stores.sqlite_catalog import Catalog, quoted, tags_key
from smartlearn.core.stores.sqlite_connections import BUSY_TIMEOUT_S, Connections
from smartlearn.core.stores.sqlite_read import clamped, read
from smartlearn.core.stores.tiers import retention_ns, tier_of

TRANSACTION_VALUES = 200_000
"""A transaction writes about so many values (a fraction of a second), so that other writers wait shortly."""

_DELETE_SERIES = 200


@dataclass(frozen=True, slots=True)
class _Piece:
    """Points for one transaction, with the columns and the series' keys that it looks for."""

    points: Prepared
    columns: dict[str, Column]
    keys: list[str]


class SqliteStore:
    """`MetricStore` on a SQLite file.

    A write is in the file when it returns, and no kill of a process loses it; a power cut may lose the last
    moments (`synchronous=NORMAL`) and never damages the file. Writers wait for each other, readers for nobody.
    """

    def __init__(
        self,
        path: Path,
        retention: RetentionSettings | None = None,
        *,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        self._connections = Connections(path, busy_timeout_s=busy_timeout_s)
        self._catalog = Catalog()
        self._retention = retention or RetentionSettings()

    def write(self, batch: Iterable[Points]) -> list[Refused]:
        """See `MetricStore.write`."""
        refused: list[Refused] = []
        waiting: list[_Piece] = []
        values = 0
        for points in batch:
            prepared, faults = prepare(points)
            refused.extend(faults)
            for piece in _pieces(prepared):
                waiting.append(piece)
                values += len(piece.points) * _width(piece.points)
                if values >= TRANSACTION_VALUES:
                    self._commit(waiting)
                    waiting, values = [], 0
        if waiting:
            self._commit(waiting)
        return refused

    def _commit(self, pieces: list[_Piece]) -> None:
        while True:
            with self._connections.writing() as connection:
                if all(self._knows(connection, piece) for piece in pieces):
                    for piece in pieces:
                        self._insert(connection, piece)
                    return
            with self._connections.writing() as connection:
                for piece in pieces:
                    self._catalog.extend(connection, piece.points.measurement, piece.columns, piece.keys)

    def _knows(self, connection: sqlite3.Connection, piece: _Piece) -> bool:
        placed = self._catalog.layout(connection).get(piece.points.measurement, {})
        ids = self._catalog.series(connection, piece.points.measurement).ids
        return placed.keys() >= piece.columns.keys() and all(key in ids for key in piece.keys)

    def _insert(self, connection: sqlite3.Connection, piece: _Piece) -> None:
        points = piece.points
        placed = self._catalog.layout(connection)[points.measurement]
        ids = self._catalog.series(connection, points.measurement).ids
        series = np.array([ids[key] for key in piece.keys], dtype=np.int64)[points.series]
        by_part: dict[str, list[str]] = {}
        for name in piece.columns:
            by_part.setdefault(placed[name], []).append(name)
        for part, fields in by_part.items():
            columns = [piece.columns[name] for name in fields]
            present = ~np.logical_and.reduce([is_absent(column) for column in columns])
            rows = zip(*(column[present].tolist() for column in (series, points.time, *columns)), strict=True)
            connection.executemany(_upsert(part, fields), rows)

    def query(self, query: SeriesQuery) -> list[Series]:
        """See `MetricStore.query`."""
        check_query(query)
        with self._connections.reading() as connection:
            return read(connection, self._catalog, query)

    def latest(
        self, measurement: str, fields: tuple[str, ...] | None = None, where: Mapping[str, str] | None = None
    ) -> list[Series]:
        """See `MetricStore.latest`."""
        return self.query(SeriesQuery(measurement, fields=fields, where=where or {}, limit=1, newest_first=True))

    def delete(
        self,
        measurement: str,
        where: Mapping[str, str] | None = None,
        start: int | None = None,
        stop: int | None = None,
    ) -> None:
        """See `MetricStore.delete`."""
        check_query(SeriesQuery(measurement, where=where or {}))
        if not where and start is None and stop is None:
            with self._connections.writing() as connection:
                self._catalog.forget(connection, measurement)
            return
        with self._connections.reading() as connection:
            parts = self._catalog.parts(connection, measurement)
            index = self._catalog.series(connection, measurement).tags.copy()
        ids = [number for number, tags in index.items() if matches(tags, where or {})]
        terms = " AND _time >= ?" * (start is not None) + " AND _time < ?" * (stop is not None)
        bounds = [clamped(bound) for bound in (start, stop) if bound is not None]
        for begin in range(0, len(ids), _DELETE_SERIES):
            some = ids[begin : begin + _DELETE_SERIES]
            marks = ",".join("?" * len(some))
            with self._connections.writing() as connection:
                present = set(self._catalog.parts(connection, measurement))
                for part in parts:
                    if part in present:
                        connection.execute(
                            f"DELETE FROM {quoted(part)} WHERE _series IN ({marks}){terms}", [*some, *bounds]
                        )

    def measurements(self) -> list[str]:
        """See `MetricStore.measurements`."""
        with self._connections.reading() as connection:
            return [
                measurement
                for measurement in sorted(self._catalog.layout(connection))
                if any(
                    connection.execute(f"SELECT 1 FROM {quoted(part)} LIMIT 1").fetchone()
                    for part in self._catalog.parts(connection, measurement)
                )
            ]

    def fields(self, measurement: str) -> list[str]:
        """See `MetricStore.fields`."""
        check_query(SeriesQuery(measurement))
        with self._connections.reading() as connection:
            return sorted(self._catalog.layout(connection).get(measurement, {}))

    def tag_values(self, measurement: str, tag: str) -> list[str]:
        """See `MetricStore.tag_values`."""
        check_query(SeriesQuery(measurement, where={tag: None}))
        with self._connections.reading() as connection:
            parts = self._catalog.parts(connection, measurement)
            found: set[str] = set()
            for number, tags in self._catalog.series(connection, measurement).tags.copy().items():
                value = tags.get(tag)
                if value is not None and value not in found and _holds(connection, parts, number):
                    found.add(value)
        return sorted(found)

    def retention(self, measurement: str) -> int | None:
        """See `MetricStore.retention`."""
        return retention_ns(tier_of(measurement), self._retention)

    def expire(self, now: int) -> None:
        """See `MetricStore.expire`."""
        with self._connections.reading() as connection:
            measurements = list(self._catalog.layout(connection))
        for measurement in measurements:
            kept = self.retention(measurement)
            if kept is not None:
                self.delete(measurement, stop=now - kept)

    def get_state(self, key: str) -> bytes | None:
        """See `MetricStore.get_state`."""
        with self._connections.reading() as connection:
            row = connection.execute("SELECT value FROM _state WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def put_state(self, values: Mapping[str, bytes]) -> None:
        """See `MetricStore.put_state`; all or none."""
        with self._connections.writing() as connection:
            connection.executemany(
                "INSERT INTO _state VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                values.items(),
            )

    def check(self) -> str:
        """See `MetricStore.check`."""
        with self._connections.reading() as connection:
            connection.execute("SELECT COUNT(*) FROM _fields").fetchone()
        return f"SQLite {sqlite3.sqlite_version}"

    def close(self) -> None:
        """See `MetricStore.close`."""
        self._connections.close()


def _width(piece: Prepared) -> int:
    return len(piece.numbers) + len(piece.texts) + 2


def _pieces(prepared: Prepared) -> Iterator[_Piece]:
    rows = max(1, TRANSACTION_VALUES // _width(prepared))
    keys = [tags_key(tags) for tags in prepared.tags]
    for start in range(0, len(prepared), rows):
        points = prepared if len(prepared) <= rows else prepared.rows(start, start + rows)
        yield _Piece(points, {**points.numbers, **points.texts}, keys)


def _upsert(part: str, fields: list[str]) -> str:
    columns = ", ".join(map(quoted, fields))
    marks = ", ".join("?" * (len(fields) + 2))
    merged = ", ".join(f"{quoted(name)} = COALESCE(excluded.{quoted(name)}, {quoted(name)})" for name in fields)
    return f"INSERT INTO {quoted(part)} (_series, _time, {columns}) VALUES ({marks}) ON CONFLICT DO UPDATE SET {merged}"


def _holds(connection: sqlite3.Connection, parts: list[str], series: int) -> bool:
    return any(
        connection.execute(f"SELECT 1 FROM {quoted(part)} WHERE _series = ? LIMIT 1", (series,)).fetchone()
        for part in parts
    )
