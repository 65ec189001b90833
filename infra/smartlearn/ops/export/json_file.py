"""The JSON format of SmartLearn's exports, written in pieces."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import IO, Any, BinaryIO

import numpy as np
import orjson

from smartlearn.core.schemas import WHOLE_FIELDS
from smartlearn.core.stores.base import MetricStore
from smartlearn.ops.export.records import LAYOUTS, Layout, Selection, events
from smartlearn.ops.reading import Reading, rows
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
    fields = tuple(
        layout.stored_name(name) for name in layout.section.fields if name not in ("timestamp", *layout.tags)
    )
    for block in events(store, selection, layout, fields):
        found = [_record(layout, time, values) for time, values in _stamped(block)]
        if found:
            yield found


def _stamped(block: list[Reading]) -> Iterator[tuple[str, dict[str, Any]]]:
    found = rows(block)
    texts = naive_texts(np.array([time for time, _ in found], dtype=np.int64))
    return zip(texts, (values for _, values in found), strict=True)


def _record(layout: Layout, time: str, values: dict[str, Any]) -> dict[str, Any]:
    record = {name: values.get(layout.stored_name(name)) for name in layout.section.fields}
    record["timestamp"] = time
    for name in WHOLE_FIELDS.intersection(record):
        value = record[name]
        record[name] = int(value) if isinstance(value, float) else value
    return record
