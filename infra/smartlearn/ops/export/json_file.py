"""The JSON format of SmartLearn's exports, from what a store holds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any, BinaryIO

from smartlearn.core.batch import Kind
from smartlearn.core.export_format import write_export
from smartlearn.core.schemas import WHOLE_FIELDS
from smartlearn.core.stores.base import MetricStore
from smartlearn.core.stores.frames import Column
from smartlearn.ops.export.records import LAYOUTS, Layout, Selection, events
from smartlearn.ops.reading import columns, listed
from smartlearn.ops.texts import naive_texts

DESCRIPTION = "SmartLearn metrics export"


def write_json(store: MetricStore, selection: Selection, target: BinaryIO, now: datetime) -> dict[Kind, int]:
    """Write the export of a selection; gives the number of records by kind."""
    blocks = {layout.section.kind: _records(store, selection, layout) for layout in LAYOUTS}
    return write_export(target, blocks, now=now, description=DESCRIPTION)


def _records(store: MetricStore, selection: Selection, layout: Layout) -> Iterator[list[dict[str, Any]]]:
    names = layout.section.fields
    stored = {name: layout.stored_name(name) for name in names if name != "timestamp"}
    fields = tuple(name for name in stored.values() if name not in layout.tags)
    for block in events(store, selection, layout, fields):
        time, found = columns(block, tuple(stored.values()))
        values = [naive_texts(time) if name == "timestamp" else _values(name, found[stored[name]]) for name in names]
        if len(time):
            yield [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _values(name: str, column: Column) -> list[Any]:
    """The values of a record's field, None where it has none."""
    found = listed(column)
    if name in WHOLE_FIELDS:
        return [int(value) if isinstance(value, float) else value for value in found]
    return found
