"""Exports as tables: every column of every kind, node and run included."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from smartlearn.core.errors import InvalidQuery
from smartlearn.core.schemas import WHOLE_FIELDS
from smartlearn.core.stores.base import MetricStore, is_text_field
from smartlearn.ops.export.records import LAYOUTS, Layout, Selection, events
from smartlearn.ops.reading import rows
from smartlearn.ops.texts import naive_texts

_HIDDEN_SUFFIX = "_nonfinite"


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a table.

    Attributes:
        texts: the ones that hold text, first in the table after `timestamp`.
        numbers: the ones that hold numbers.
    """

    texts: tuple[str, ...]
    numbers: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, in order."""
        return ("kind", "timestamp", *self.texts, *self.numbers)


def columns_of(store: MetricStore, selection: Selection) -> Columns:
    """The columns that a table of these events has: those of the contract, then what sources added."""
    texts: dict[str, None] = {}
    numbers: dict[str, None] = {}
    added: dict[str, None] = {}
    for layout in LAYOUTS:
        if not selection.holds(layout):
            continue
        texts |= dict.fromkeys(layout.tags)
        shown = {stored: name for name, stored in layout.stored.items()}
        for name in layout.section.fields:
            stored = layout.stored_name(name)
            if stored not in layout.tags and name != "timestamp":
                (texts if is_text_field(stored) else numbers)[name] = None
        for name in store.fields(layout.measurement):
            if name != "at" and not name.endswith(_HIDDEN_SUFFIX):
                added[shown.get(name, name)] = None
    numbers |= {name: None for name in added if name not in texts}
    return Columns(tuple(texts), tuple(numbers))


def write_csv(store: MetricStore, selection: Selection, target: BinaryIO) -> int:
    """Write a selection as CSV with a header; gives the number of rows."""
    columns = columns_of(store, selection)
    text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns.names)
        count = 0
        for layout, times, values in _tables(store, selection):
            stamps = naive_texts(np.array(times, dtype=np.int64))
            writer.writerows(
                (layout.measurement, stamp, *(_csv(layout, name, row) for name in columns.names[2:]))
                for stamp, row in zip(stamps, values, strict=True)
            )
            count += len(times)
    finally:
        text.detach()
    return count


def write_parquet(store: MetricStore, selection: Selection, target: BinaryIO | Path) -> int:
    """Write a selection as Parquet; gives the number of rows. Times are UTC, what was not finite is a float.

    Raises:
        InvalidQuery: the `parquet` extra is not installed.
    """
    if find_spec("pyarrow") is None:
        raise InvalidQuery("--format parquet needs pyarrow: pip install 'smartlearn-metrics[parquet]'")
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = columns_of(store, selection)
    schema = pa.schema(
        [
            ("kind", pa.string()),
            ("timestamp", pa.timestamp("us", tz="UTC")),
            *((name, pa.string()) for name in columns.texts),
            *((name, pa.float64()) for name in columns.numbers),
        ]
    )
    count = 0
    with pq.ParquetWriter(target, schema) as writer:
        for layout, times, values in _tables(store, selection):
            arrays = [
                pa.array([layout.measurement] * len(times), pa.string()),
                pa.array(times, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
                *(pa.array([_value(layout, n, row) for row in values], pa.string()) for n in columns.texts),
                *(pa.array([_float(layout, n, row) for row in values], pa.float64()) for n in columns.numbers),
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(times)
    return count


def _tables(store: MetricStore, selection: Selection) -> Iterator[tuple[Layout, list[int], Sequence[dict[str, Any]]]]:
    for layout in LAYOUTS:
        for block in events(store, selection, layout):
            found = rows(block)
            if found:
                yield layout, [time for time, _ in found], [values for _, values in found]


def _value(layout: Layout, name: str, row: dict[str, Any]) -> Any:
    return row.get(layout.stored_name(name))


def _csv(layout: Layout, name: str, row: dict[str, Any]) -> Any:
    value = _value(layout, name, row)
    if value is None:
        return ""
    return int(value) if name in WHOLE_FIELDS and isinstance(value, float) else value


def _float(layout: Layout, name: str, row: dict[str, Any]) -> float | None:
    value = _value(layout, name, row)
    return None if value is None else float(value) if isinstance(value, float) else _NAMED[value]


_NAMED = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
