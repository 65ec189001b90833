"""Exports as tables: every column of every kind, node and run included."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.batch import FloatArray
from smartlearn.core.errors import InvalidQuery
from smartlearn.core.schemas import WHOLE_FIELDS
from smartlearn.core.stores.base import MetricStore, is_text_field
from smartlearn.core.stores.frames import Column, is_absent
from smartlearn.ops.export.records import LAYOUTS, Layout, Selection, events
from smartlearn.ops.reading import Reading, columns, listed
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
    table = columns_of(store, selection)
    text = io.TextIOWrapper(target, encoding="utf-8", newline="", write_through=True)
    count = 0
    try:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(table.names)
        for layout, block in _blocks(store, selection):
            time, found = columns(block, [layout.stored_name(name) for name in table.names[2:]])
            cells = [_cells(name, found[layout.stored_name(name)]) for name in table.names[2:]]
            writer.writerows(zip([layout.measurement] * len(time), naive_texts(time), *cells, strict=True))
            count += len(time)
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

    table = columns_of(store, selection)
    schema = pa.schema(
        [
            ("kind", pa.string()),
            ("timestamp", pa.timestamp("us", tz="UTC")),
            *((name, pa.string()) for name in table.texts),
            *((name, pa.float64()) for name in table.numbers),
        ]
    )
    count = 0
    with pq.ParquetWriter(target, schema) as writer:
        for layout, block in _blocks(store, selection):
            time, found = columns(block, [layout.stored_name(name) for name in table.names[2:]])
            texts = [_texts(found[layout.stored_name(name)]) for name in table.texts]
            numbers = [_numbers(found[layout.stored_name(name)]) for name in table.numbers]
            arrays = [
                pa.array([layout.measurement] * len(time), pa.string()),
                pa.array(time, pa.int64()).cast(pa.timestamp("us", tz="UTC")),
                *(pa.array(column, pa.string()) for column in texts),
                *(pa.array(values, pa.float64(), mask=absent) for values, absent in numbers),
            ]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(time)
    return count


def _blocks(store: MetricStore, selection: Selection) -> Iterator[tuple[Layout, list[Reading]]]:
    for layout in LAYOUTS:
        for block in events(store, selection, layout):
            if block:
                yield layout, block


def _cells(name: str, column: Column) -> list[Any]:
    """The cells of a CSV column; the writer leaves a cell without a value empty."""
    values = listed(column)
    if name in WHOLE_FIELDS:
        return [int(value) if isinstance(value, float) else value for value in values]
    return values


def _texts(column: Column) -> list[str | None]:
    """A text column, in which no number can be."""
    return column.tolist() if column.dtype == np.object_ else [None] * len(column)


def _numbers(column: Column) -> tuple[FloatArray, NDArray[np.bool_]]:
    """The values of a column of numbers, and where none is; NaN and the infinities are values."""
    if column.dtype != np.object_:
        values = column.astype(np.float64, copy=False)
        return values, np.isnan(values)
    absent = is_absent(column)
    numbers = np.array([_NAMED.get(value, value) for value in column.tolist()], dtype=np.float64)
    return numbers, absent


_NAMED: dict[Any, float] = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
