"""Rows of user code become batches: grouped by series key, columnar, validated, numbered, encoded.

Everything here runs in the producer's own thread. A row at fault is left out and reported; the others of its batch go.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import orjson
from numpy.typing import NDArray

from smartlearn.core.batch import Batch, FloatArray, Kind, TextColumn
from smartlearn.core.codec import decode, encode_batch
from smartlearn.core.errors import InvalidMessage
from smartlearn.core.layouts import LAYOUTS
from smartlearn.core.topics import TOPIC_OF

# Up to so many rows, those at fault are taken out one by one; of more, the half without a fault is found first.
_FEW = 8

Fields: TypeAlias = Mapping[str, Any]


class Row(NamedTuple):
    """One event as it was emitted.

    Attributes:
        kind: what it is.
        timestamp: event time, µs since the epoch.
        fields: the contract's fields and metrics by their bare names; None is absent.
    """

    kind: Kind
    timestamp: int
    fields: Fields


class Outgoing(NamedTuple):
    """One message, ready to be sent or spooled.

    Attributes:
        topic: where to.
        key: the series key.
        value: the encoded batch.
        rows: how many rows are in it.
    """

    topic: str
    key: bytes
    value: bytes
    rows: int


@dataclass
class Encoder:
    """Turns rows into messages, and numbers them per (kind, key).

    Attributes:
        source: who sends.
        boot: this start of the sender.
        batch_rows: rows of a message at most.
        refused: the kind of each row that the last `encode` left out, and why.
    """

    source: str
    boot: str
    batch_rows: int
    refused: list[tuple[Kind, str]] = field(default_factory=list)
    _next: dict[tuple[Kind, str], int] = field(default_factory=dict)

    def encode(self, rows: Sequence[Row]) -> list[Outgoing]:
        """The messages of some rows, in the order in which their keys first appear; each key's rows keep theirs."""
        self.refused = []
        groups: dict[tuple[Kind, str], list[Row]] = {}
        for row in rows:
            groups.setdefault((row.kind, self._key(row)), []).append(row)
        return [
            message
            for (kind, key), members in groups.items()
            for start in range(0, len(members), self.batch_rows)
            for message in self._messages(kind, key, members[start : start + self.batch_rows])
        ]

    def _key(self, row: Row) -> str:
        name = LAYOUTS[row.kind].key
        return self.source if name is None else str(row.fields.get(name, ""))

    def _messages(self, kind: Kind, key: str, rows: list[Row]) -> Iterator[Outgoing]:
        """One message of all rows; where some are at fault, of those that are not."""
        while rows:
            try:
                yield self._message(kind, key, rows)
            except InvalidMessage as error:
                if len(rows) > 1 and (error.row is None or len(rows) > _FEW):
                    middle = len(rows) // 2
                    yield from self._messages(kind, key, rows[:middle])
                    rows = rows[middle:]
                    continue
                self.refused.append((kind, str(error)))
                del rows[error.row or 0]
            else:
                return

    def _message(self, kind: Kind, key: str, rows: Sequence[Row]) -> Outgoing:
        seq = self._next.get((kind, key), 0)
        value = encode_batch(to_batch(kind, key, rows, source=self.source, boot=self.boot, seq=seq))
        # The reader's own check, so that nothing leaves which a worker would put among the dead letters.
        decode(value, kind=kind, topic_boot="", partition=0, offset=0)
        self._next[kind, key] = seq + len(rows)
        return Outgoing(TOPIC_OF[kind], key.encode(), value, len(rows))


def to_batch(kind: Kind, key: str, rows: Sequence[Row], *, source: str, boot: str, seq: int) -> Batch:
    """Rows of one series key as columns; not validated beyond what columns need.

    Raises:
        InvalidMessage: a number is no number, or a time no time.
    """
    texts_of = LAYOUTS[kind].texts
    numbers: dict[str, FloatArray] = {}
    texts: dict[str, TextColumn] = {}
    nonfinite: dict[str, NDArray[np.int8]] = {}
    fields = [row.fields for row in rows]
    for name in dict.fromkeys(chain.from_iterable(fields)):
        values = [one.get(name) for one in fields]
        if name == "payload" and kind is Kind.RUN:
            texts[name] = _column([_payload(value, row) for row, value in enumerate(values)])
        elif name in texts_of:
            if any(value is not None for value in values):
                texts[name] = _column(values)
        else:
            numbers[name] = _numbers(name, values)
            codes = _codes(numbers[name], values)
            if codes is not None:
                nonfinite[name] = codes
    try:
        timestamp = np.array([row.timestamp for row in rows], dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        raise InvalidMessage("timestamp must be whole µs since the epoch", field="timestamp") from None
    return Batch(kind, source, key, timestamp, numbers, texts, nonfinite, boot=boot, seq=seq)


def _numbers(name: str, values: list[Any]) -> FloatArray:
    try:
        return np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.array([_number(name, value, row) for row, value in enumerate(values)], dtype=np.float64)


def _number(name: str, value: Any, row: int) -> float:
    if value is None:
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidMessage(f"{name} must be a number, not {type(value).__name__}", field=name, row=row) from None


def _codes(numbers: FloatArray, values: list[Any]) -> NDArray[np.int8] | None:
    """Which values are there and not finite, by `NONFINITE_NAMES`; None where none is."""
    finite = np.isfinite(numbers)
    if finite.all():
        return None
    codes = np.zeros(len(values), dtype=np.int8)
    for row in np.flatnonzero(~finite).tolist():
        if values[row] is not None:
            codes[row] = 1 if math.isnan(numbers[row]) else 2 if numbers[row] > 0 else 3
    return codes if codes.any() else None


def _column(values: list[Any]) -> TextColumn:
    first = values[0]
    if type(first) is str and all(value == first for value in values):
        return first
    column = np.empty(len(values), dtype=np.object_)
    column[:] = values
    return column


def _payload(value: Any, row: int) -> str:
    try:
        return orjson.dumps({} if value is None else value, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    except TypeError as error:
        raise InvalidMessage(f"payload cannot be written as JSON: {error}", field="payload", row=row) from None
