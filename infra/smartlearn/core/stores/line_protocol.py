"""Points as InfluxDB line protocol, a column at a time."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter

import numpy as np
import orjson

from smartlearn.core.batch import FloatArray
from smartlearn.core.stores.prepare import ObjectArray, Prepared

_TAG_SPECIAL = re.compile(r"[,= ]")
_TEXT_SPECIAL = re.compile(r'["\\]')


def series_key(measurement: str, tags: Mapping[str, str]) -> str:
    """The measurement and the tags, sorted and escaped; `prepare` keeps out what no escape can say."""
    pairs = (f",{name}={_TAG_SPECIAL.sub(_escaped, value)}" for name, value in sorted(tags.items()))
    return measurement + "".join(pairs)


def text_value(text: str) -> str:
    """A text field's value."""
    return f'"{_TEXT_SPECIAL.sub(_escaped, text)}"'


def encode(prepared: Prepared) -> bytes:
    """One line a point, in the points' order, without a newline at the end.

    Numbers are written in the shortest form that reads back as the same float64. Rows that hold the same fields are
    formatted together.
    """
    keys = np.array([series_key(prepared.measurement, tags).encode() for tags in prepared.tags], dtype=np.object_)
    series = keys[prepared.series].tolist() if len(keys) else []
    time = _split(orjson.dumps(prepared.time, option=orjson.OPT_SERIALIZE_NUMPY))
    names = [*prepared.numbers, *prepared.texts]
    columns = [*map(_numbers, prepared.numbers.values()), *map(_texts, prepared.texts.values())]
    present = [~np.isnan(column) for column in prepared.numbers.values()]
    present += [np.array([value != b"" for value in column], dtype=np.bool_) for column in columns[len(present) :]]
    if all(mask.all() for mask in present):
        return b"\n".join(_formatted(names, [series, *columns, time]))
    lines: list[bytes] = [b""] * len(prepared)
    masks = np.packbits(np.stack(present), axis=0)
    _, pattern = np.unique(masks, axis=1, return_inverse=True)
    order = np.argsort(pattern.reshape(-1), kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(pattern.reshape(-1)[order])) + 1):
        held = [index for index, mask in enumerate(present) if mask[rows[0]]]
        take = itemgetter(*rows.tolist()) if len(rows) > 1 else _only(int(rows[0]))
        some = [take(column) for column in (series, *(columns[index] for index in held), time)]
        for row, line in zip(rows.tolist(), _formatted([names[index] for index in held], some), strict=True):
            lines[row] = line
    return b"\n".join(lines)


def _formatted(names: Sequence[str], columns: Sequence[Sequence[bytes]]) -> list[bytes]:
    """Lines of rows that all hold the named fields; `columns` are the series, the fields and the times."""
    template = b"%b " + b",".join(f"{name}=%b".encode() for name in names) + b" %b"
    return [template % row for row in zip(*columns, strict=True)]


def _only(row: int) -> Callable[[Sequence[bytes]], tuple[bytes, ...]]:
    return lambda column: (column[row],)


def _escaped(match: re.Match[str]) -> str:
    return "\\" + match[0]


def _split(array: bytes) -> list[bytes]:
    return array[1:-1].split(b",") if len(array) > 2 else []


def _numbers(column: FloatArray) -> list[bytes]:
    return _split(orjson.dumps(np.ascontiguousarray(column), option=orjson.OPT_SERIALIZE_NUMPY))


def _texts(column: ObjectArray) -> list[bytes]:
    return [b"" if text is None else text_value(text).encode() for text in column]
