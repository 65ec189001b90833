"""The JSON format of SmartLearn's exports, written in pieces."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any, BinaryIO

import orjson

from smartlearn.core.schemas import WHOLE_FIELDS
from smartlearn.core.stores.base import MetricStore
from smartlearn.core.stores.frames import Column
from smartlearn.ops.export.records import LAYOUTS, Layout, Selection, events
from smartlearn.ops.reading import columns, listed
from smartlearn.ops.texts import naive_texts

DESCRIPTION = "SmartLearn metrics export"

_IN_MEMORY_BYTES = 16 << 20
_KEY = b'{\n  "":'


def write_json(store: MetricStore, selection: Selection, target: BinaryIO, now: datetime) -> dict[str, int]:
    """Write the export of a selection; gives the number of records by array.

    The totals stand before the records in the format, so the records go to a temporary file first.
    """
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as records:
        counts = {}
        totals = {}
        for layout in LAYOUTS:
            totals[layout.section.total] = counts[layout.section.name] = _write_array(store, selection, layout, records)
        stamp = now.astimezone(UTC).replace(tzinfo=None).isoformat()
        header = {
            "export_timestamp": stamp,
            "demo_info": {"description": DESCRIPTION, "generated_at": stamp, **totals},
        }
        target.write(orjson.dumps(header, option=orjson.OPT_INDENT_2)[:-2])
        records.seek(0)
        shutil.copyfileobj(records, target)
        target.write(b"\n}\n")
    return counts


def _write_array(store: MetricStore, selection: Selection, layout: Layout, target: IO[bytes]) -> int:
    target.write(f',\n  "{layout.section.name}": ['.encode())
    count = 0
    for records in _records(store, selection, layout):
        target.write(b",\n" if count else b"\n")
        target.write(_items(records))
        count += len(records)
    target.write(b"\n  ]" if count else b"]")
    return count


def _items(records: list[dict[str, Any]]) -> bytes:
    """Records as the items of an array one level deep, without its brackets."""
    text = orjson.dumps({"": records}, option=orjson.OPT_INDENT_2)
    return text[len(_KEY) + len(b" [\n") : -len(b"\n  ]\n}")]


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
