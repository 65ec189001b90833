"""What moved since the last look: the newest values of every key, and the worker's heartbeat."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import numpy as np
import orjson

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.topics import LIVE
from smartlearn.stream_processors.records import Outgoing

_TABLE_OF: Final = {
    Kind.PERFORMANCE: "performance",
    Kind.TRAINING: "training",
    Kind.INTERACTION: "interactions",
}
_LABELS_OF: Final = {
    Kind.PERFORMANCE: ("node", "gpu", "model_version"),
    Kind.TRAINING: ("run", "node"),
    Kind.INTERACTION: ("source", "subject", "difficulty", "action"),
}

# Imports bring the past: what is live moved within the last minutes.
FRESH_US: Final = 10 * 60 * 1_000_000

Row = dict[str, Any]


class LiveTable:
    """The newest row of each key since the last `drain`. Learners are never in it."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[tuple[str, ...], Row]] = {name: {} for name in _TABLE_OF.values()}

    def update(self, batches: Iterable[Batch], now: int) -> None:
        """Take the newest row of each batch in, if it is fresh at `now` (µs).

        A key's values merge, so that two sources of one node both show; where both have a value, the newer one shows.
        """
        for batch in batches:
            table = _TABLE_OF.get(batch.kind)
            if table is None or not len(batch):
                continue
            index = int(np.argmax(batch.timestamp))
            time = int(batch.timestamp[index])
            if time < now - FRESH_US:
                continue
            labels = {"source": batch.source}
            for name, column in batch.texts.items():
                value = column if isinstance(column, str) else column[index]
                if value:
                    labels[name] = value
            known = {name: labels[name] for name in _LABELS_OF[batch.kind] if name in labels}
            key = (batch.key, *known.values()) if batch.kind is Kind.PERFORMANCE else (batch.key,)
            row: Row = {"timestamp": time, **known}
            for name, values in batch.numbers.items():
                value = float(values[index])
                if not np.isnan(value):
                    row[name] = value
            shown = self._rows[table].get(key, {})
            self._rows[table][key] = {**row, **shown} if shown.get("timestamp", time) > time else {**shown, **row}

    def drain(self) -> dict[str, dict[str, list[Any]]]:
        """The rows by table and column, None where a row has no such value; the tables start anew."""
        tables = {}
        for name, rows in self._rows.items():
            columns = sorted({column for row in rows.values() for column in row})
            tables[name] = {column: [row.get(column) for row in rows.values()] for column in columns}
            rows.clear()
        return tables


def live_message(
    worker: str,
    pid: int,
    now: int,
    assigned: Mapping[str, list[int]],
    counts: Mapping[str, Mapping[str, int]],
    lag: Mapping[str, int],
    tables: Mapping[str, Mapping[str, list[Any]]],
) -> Outgoing:
    """The message of one beat; `now` in µs."""
    value = {
        "v": 1,
        "kind": "live",
        "worker": worker,
        "pid": pid,
        "sent": now,
        "assigned": assigned,
        "counts": counts,
        "lag": lag,
        **tables,
    }
    return Outgoing(LIVE, worker.encode(), orjson.dumps(value))
