"""What a store does to points before it writes them: check, convert, and find the series they belong to.

A point is refused, with a reason, where no store could hold it:

- the measurement, a tag or a field is not named like `performance_10s` (`NAME`), or is named `time`;
- a tag's value has a control character, ends in a backslash, or is longer than `MAX_TAG_LENGTH`;
- a numeric field holds text or an infinity, a text field holds a number or more than `MAX_TEXT_LENGTH`;
- its time is one of the two outermost int64 values, which servers keep for themselves.

A row without any field is dropped: it says nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.stores.base import FieldColumn, Points, Refused, TagColumn, is_text_field

ObjectArray: TypeAlias = NDArray[np.object_]
Mask: TypeAlias = NDArray[np.bool_]

NAME = re.compile(r"[a-z][a-z0-9_]{0,127}")
MAX_TAG_LENGTH = 4096
MAX_TEXT_LENGTH = 1_000_000

_BAD_TAG_VALUE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]|\\\Z")
_OUTERMOST = 2


def is_name(name: str) -> bool:
    """Whether a store takes this as the name of a measurement, a tag or a field."""
    return NAME.fullmatch(name) is not None and name != "time"


@dataclass(frozen=True, slots=True)
class Prepared:
    """Points that a store can hold, by column.

    Attributes:
        measurement: the measurement's name.
        tags: the tags of each distinct series.
        series: the index into `tags` of each row, shape (n,).
        time: int64 ns since the epoch, shape (n,).
        numbers: float64 per numeric field, NaN where absent, shape (n,).
        texts: str or None per text field, shape (n,).
    """

    measurement: str
    tags: list[dict[str, str]]
    series: Int64Array
    time: Int64Array
    numbers: dict[str, FloatArray]
    texts: dict[str, ObjectArray]

    def __len__(self) -> int:
        return len(self.time)

    def rows(self, start: int, stop: int) -> Prepared:
        """The rows from `start` to before `stop`."""
        return self.where(slice(start, stop))

    def where(self, rows: slice | Mask) -> Prepared:
        """Some of the rows."""
        return Prepared(
            self.measurement,
            self.tags,
            self.series[rows],
            self.time[rows],
            {name: column[rows] for name, column in self.numbers.items()},
            {name: column[rows] for name, column in self.texts.items()},
        )


@dataclass(slots=True)
class _Faults:
    """Which rows cannot be written, and the first reason of each."""

    rows: int
    reasons: dict[int, str] = field(default_factory=dict)

    def add(self, where: Mask, reason: str) -> None:
        for row in np.flatnonzero(where).tolist():
            self.reasons.setdefault(row, reason)

    def mask(self) -> Mask:
        mask = np.zeros(self.rows, dtype=np.bool_)
        mask[list(self.reasons)] = True
        return mask


def prepare(points: Points) -> tuple[Prepared, list[Refused]]:
    """Check and convert points; give those that can be written, and the refused.

    Raises:
        ValueError: a column is not as long as the times; a mistake of the caller, not of the data.
    """
    rows = len(points)
    faults = _Faults(rows)
    time = np.ascontiguousarray(points.time, dtype=np.int64)
    limits = np.iinfo(np.int64)
    faults.add((time < limits.min + _OUTERMOST) | (time > limits.max - 1), "its time is out of range")
    tag_columns = {name: _tag_column(name, column, rows) for name, column in points.tags.items()}
    codes, values = _tag_codes(tag_columns, rows, faults)
    numbers: dict[str, FloatArray] = {}
    texts: dict[str, ObjectArray] = {}
    filled = np.zeros(rows, dtype=np.bool_)
    for name, column in points.fields.items():
        if is_text_field(name):
            texts[name], present = _text_column(name, column, rows, faults)
        else:
            numbers[name], present = _number_column(name, column, rows, faults)
        if not is_name(name):
            faults.add(present, f"{name!r} is not a field name (small letters, digits and _, not time)")
        filled |= present
    if not is_name(points.measurement):
        reason = f"{points.measurement!r} is not a measurement's name (small letters, digits and _, not time)"
        faults.add(np.ones(rows, dtype=np.bool_), reason)
    refused = [
        Refused(points.measurement, _tags_of(tag_columns, row), int(time[row]), reason)
        for row, reason in sorted(faults.reasons.items())
    ]
    keep = filled & ~faults.mask()
    if not keep.all():
        time, codes = time[keep], codes[:, keep]
        numbers = {name: column[keep] for name, column in numbers.items()}
        texts = {name: column[keep] for name, column in texts.items()}
    tags, series = _distinct(codes, values)
    numbers = {name: column for name, column in numbers.items() if not np.isnan(column).all()}
    texts = {name: column for name, column in texts.items() if any(value is not None for value in column)}
    return Prepared(points.measurement, tags, series, time, numbers, texts), refused


def _tag_column(name: str, column: TagColumn, rows: int) -> str | Sequence[str | None] | None:
    if column is None or isinstance(column, str):
        return column or None
    if len(column) != rows:
        raise ValueError(f"tag {name!r} has {len(column)} values for {rows} points")
    return column


def _tags_of(columns: dict[str, str | Sequence[str | None] | None], row: int) -> dict[str, str]:
    values = (
        (name, column if column is None or isinstance(column, str) else column[row]) for name, column in columns.items()
    )
    return {name: value for name, value in values if value}


def _tag_codes(
    columns: dict[str, str | Sequence[str | None] | None], rows: int, faults: _Faults
) -> tuple[Int64Array, list[tuple[str, list[str]]]]:
    """Each tag as numbers: codes (tags, n), and per tag its name and the value of each code; 0 is none."""
    codes = np.zeros((len(columns), rows), dtype=np.int64)
    values: list[tuple[str, list[str]]] = []
    for index, (name, column) in enumerate(columns.items()):
        numbering: dict[str | None, int] = {None: 0, "": 0}
        if column is None or isinstance(column, str):
            if column is not None:
                numbering[column] = 1
                codes[index] = 1
        else:
            following = iter(range(1, rows + 1))
            for value in column:
                if value not in numbering:
                    numbering[value] = next(following)
            codes[index] = [numbering[value] for value in column]
        known = [value or "" for value in numbering][1:]
        values.append((name, known))
        for code, value in enumerate(known):
            if code and (reason := _tag_fault(name, value)):
                faults.add(codes[index] == code, reason)
    return codes, values


def _tag_fault(name: str, value: object) -> str | None:
    if not is_name(name):
        return f"{name!r} is not a tag's name (small letters, digits and _, not time)"
    if not isinstance(value, str):
        return f"tag {name} is {value!r}, which is not text"
    if len(value) > MAX_TAG_LENGTH:
        return f"tag {name} is longer than {MAX_TAG_LENGTH} characters"
    if _BAD_TAG_VALUE.search(value):
        return f"tag {name} is {value!r}: control characters and a backslash at the end cannot be stored"
    return None


def _distinct(codes: Int64Array, values: list[tuple[str, list[str]]]) -> tuple[list[dict[str, str]], Int64Array]:
    """The distinct combinations of tags, and which of them each row is."""
    rows = codes.shape[1]
    combined = np.zeros(rows, dtype=np.int64)
    if not rows:
        return [], combined
    for column, (_, known) in zip(codes, values, strict=True):
        if (column == column[0]).all():
            continue
        _, dense = np.unique(combined * len(known) + column, return_inverse=True)
        combined = dense.reshape(rows).astype(np.int64)
    _, first, series = np.unique(combined, return_index=True, return_inverse=True)
    tags = [
        {name: known[code] for (name, known), code in zip(values, codes[:, row], strict=True) if code}
        for row in first.tolist()
    ]
    return tags, series.reshape(rows).astype(np.int64)


def _number_column(name: str, column: FieldColumn, rows: int, faults: _Faults) -> tuple[FloatArray, Mask]:
    """The column as floats, and where a value (a wrong one too) stands."""
    if isinstance(column, np.ndarray) and column.dtype.kind in "fiu":
        array = column.astype(np.float64, copy=False)
    elif column is None or isinstance(column, int | float):
        array = np.full(rows, np.nan if column is None else float(column))
    else:
        values = [column] * rows if isinstance(column, str) else list(column)
        wrong = np.array([isinstance(value, str | bytes) for value in values], dtype=np.bool_)
        faults.add(wrong, f"field {name} holds numbers, and this is text")
        array = np.array(
            [np.nan if value is None or isinstance(value, str | bytes) else value for value in values],
            dtype=np.float64,
        )
        _same_length(name, array, rows)
        return array, wrong | _finite(name, array, faults)
    _same_length(name, array, rows)
    return array, _finite(name, array, faults)


def _finite(name: str, array: FloatArray, faults: _Faults) -> Mask:
    infinite = np.isinf(array)
    if infinite.any():
        faults.add(infinite, f"field {name} is infinite; the field {name}_nonfinite says such a thing")
    return ~np.isnan(array)


def _text_column(name: str, column: FieldColumn, rows: int, faults: _Faults) -> tuple[ObjectArray, Mask]:
    values: list[object]
    if column is None or isinstance(column, str | int | float):
        values = [column] * rows
    else:
        values = list(cast("Sequence[object]", column))
    absent = np.array([v is None or (isinstance(v, float) and isnan(v)) for v in values], dtype=np.bool_)
    _same_length(name, absent, rows)
    present = ~absent
    wrong = np.array([not isinstance(v, str) for v in values], dtype=np.bool_) & present
    faults.add(wrong, f"field {name} holds text, and this is a number")
    array = np.empty(rows, dtype=np.object_)
    array[:] = [v if isinstance(v, str) else None for v in values]
    faults.add(
        np.array([not _is_storable(v) for v in array], dtype=np.bool_),
        f"field {name} is longer than {MAX_TEXT_LENGTH} characters, or not Unicode text",
    )
    return array, present


def _is_storable(text: str | None) -> bool:
    if text is None or text.isascii():
        return text is None or len(text) <= MAX_TEXT_LENGTH
    try:
        return len(text.encode()) <= MAX_TEXT_LENGTH
    except UnicodeEncodeError:
        return False


def _same_length(name: str, array: NDArray[np.generic], rows: int) -> None:
    if array.shape != (rows,):
        raise ValueError(f"field {name!r} has {len(array)} values for {rows} points")
