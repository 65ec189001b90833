"""Reading the export format: a whole file is checked, record by record, before anything of it is used."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.batch import NONFINITE_NAMES, FloatArray, Int64Array, Kind
from smartlearn.core.errors import InvalidExport
from smartlearn.core.export_format import SECTIONS, Section, format_export_time
from smartlearn.core.json_stream import read_object
from smartlearn.core.schemas import FIRST_TIME_US, LARGEST, LAST_TIME_US, MAX_WHOLE, NUMERIC_FIELDS, WHOLE_FIELDS
from smartlearn.core.text_columns import label_fault
from smartlearn.core.times import parse_time

_CODE_OF: Final = {name: code for code, name in NONFINITE_NAMES.items()}
_BY_NAME: Final = {section.name: section for section in SECTIONS.values()}
_HEAD: Final = frozenset({"export_timestamp", "demo_info"})


@dataclass
class Table:
    """The records of one array by column, n of them.

    Attributes:
        section: which array.
        timestamp: µs since the epoch, shape (n,).
        numbers: every numeric field, NaN where null or not finite, shape (n,).
        nonfinite: of fields that have any, codes of `NONFINITE_NAMES`, shape (n,).
        texts: every text field, a list of n.
    """

    section: Section
    timestamp: Int64Array
    numbers: dict[str, FloatArray]
    nonfinite: dict[str, NDArray[np.int8]]
    texts: dict[str, list[str]]

    def __len__(self) -> int:
        return len(self.timestamp)

    def records(self) -> Iterator[dict[str, Any]]:
        """The records as the format writes them."""
        for row in range(len(self)):
            yield {name: self._value(name, row) for name in self.section.fields}

    def _value(self, name: str, row: int) -> Any:
        if name == "timestamp":
            return format_export_time(int(self.timestamp[row]))
        if name in self.texts:
            return self.texts[name][row]
        value = float(self.numbers[name][row])
        if math.isnan(value):
            code = int(self.nonfinite[name][row]) if name in self.nonfinite else 0
            return NONFINITE_NAMES.get(code)
        return int(value) if name in WHOLE_FIELDS else value


def read_export(path: Path) -> dict[Kind, Table]:
    """Read and check a whole export file; all three kinds are in the answer.

    Raises:
        InvalidExport: the file cannot be read or does not follow the format; names the record and the field.
    """
    try:
        with path.open("rb") as file:
            return _read(file)
    except OSError as error:
        raise InvalidExport(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InvalidExport(f"{path} is not an export: {error}") from error


def _read(file: BinaryIO) -> dict[Kind, Table]:
    builders = {name: _Builder(section) for name, section in _BY_NAME.items()}
    seen: set[str] = set()
    for name, index, value in read_object(file, _BY_NAME.keys()):
        if index is not None and index >= 0:
            builders[name].add(index, value)
            continue
        if name in seen:
            raise ValueError(f"{name} is there twice")
        seen.add(name)
        if name in _BY_NAME and index is None:
            raise ValueError(f"{name} must be an array")
        if name not in _BY_NAME and name not in _HEAD:
            raise ValueError(f"it has no member {name[:60]!r} in this format")
    missing = [name for name in _BY_NAME if name not in seen]
    if missing:
        raise ValueError(f"the array {missing[0]} is missing")
    return {builder.section.kind: builder.table() for builder in builders.values()}


@dataclass
class _Builder:
    """Collects the records of an array, checking each."""

    section: Section
    times: array[int] = field(default_factory=lambda: array("q"))
    numbers: dict[str, array[float]] = field(init=False)
    codes: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.numbers = {name: array("d") for name in self.section.numbers}
        self.texts = {name: [] for name in self.section.texts}

    def add(self, index: int, record: Any) -> None:
        """Take a record.

        Raises:
            ValueError: it does not follow the format.
        """
        where = f"{self.section.name}[{index}] (record {index + 1})"
        if type(record) is not dict:
            raise ValueError(f"{where} must be an object")
        if record.keys() - self.section.fields:
            raise ValueError(f"{where} has an unknown field {min(record.keys() - set(self.section.fields))[:60]!r}")
        for name in self.section.fields:
            if name in self.section.required and name not in record:
                raise ValueError(f"{where}: {name} is missing")
        self.times.append(_time(where, record["timestamp"]))
        for name, text in self.texts.items():
            text.append(_text(where, name, record[name]))
        present = 0
        for name, column in self.numbers.items():
            value = record.get(name)
            if value is None:
                if name not in self.section.nullable:
                    raise ValueError(f"{where}: {name} must not be null")
                column.append(math.nan)
                continue
            present += 1
            column.append(self._number(where, index, name, value))
        if not present:
            raise ValueError(f"{where} holds no number: cpu_usage and the others are null")

    def _number(self, where: str, index: int, name: str, value: Any) -> float:
        if type(value) is str and value in _CODE_OF:
            code = _CODE_OF[value]
        elif type(value) is not float and type(value) is not int:
            raise ValueError(f"{where}: {name} must be a number, not {_described(value)}")
        else:
            low, high = NUMERIC_FIELDS[self.section.kind][name]
            if low <= value <= high:
                if name in WHOLE_FIELDS and value != int(value):
                    raise ValueError(f"{where}: {name} is {value} and must be a whole number")
                return value
            if type(value) is int or math.isfinite(value):
                raise ValueError(f"{where}: {name} is {_described(value)} and must be {_span(low, high)}")
            code = 1 if math.isnan(value) else 2 if value > 0 else 3
        if name in WHOLE_FIELDS:
            raise ValueError(f"{where}: {name} must be a whole number, not {NONFINITE_NAMES[code]}")
        self.codes.setdefault(name, []).append((index, code))
        return math.nan

    def table(self) -> Table:
        """What was collected."""
        nonfinite = {}
        for name, found in self.codes.items():
            codes = nonfinite[name] = np.zeros(len(self.times), dtype=np.int8)
            for row, code in found:
                codes[row] = code
        return Table(
            self.section,
            np.frombuffer(self.times, dtype=np.int64) if self.times else np.zeros(0, dtype=np.int64),
            {name: np.array(column, dtype=np.float64) for name, column in self.numbers.items()},
            nonfinite,
            self.texts,
        )


def _time(where: str, value: Any) -> int:
    if type(value) is not str:
        raise ValueError(f"{where}: timestamp must be an ISO 8601 time, not {_described(value)}")
    try:
        time_us = parse_time(value)
    except ValueError:
        raise ValueError(f"{where}: timestamp is not an ISO 8601 time such as 2025-08-15T13:10:52") from None
    if not FIRST_TIME_US <= time_us < LAST_TIME_US:
        raise ValueError(f"{where}: timestamp must lie in the years 1970 to 2199")
    return time_us


def _text(where: str, name: str, value: Any) -> str:
    reason = label_fault(value)
    if reason is not None:
        raise ValueError(f"{where}: {name} {reason}")
    return str(value)


def _described(value: Any) -> str:
    if type(value) in {int, float}:
        return f"{value:.6g}" if abs(value) < LARGEST else "too large a number"
    if type(value) is str:
        return "a text"
    return {bool: "true or false", list: "an array", dict: "an object"}.get(type(value), "null")


def _span(low: float, high: float) -> str:
    if high == LARGEST:
        return "a finite number" if low == -LARGEST else f"at least {low:g}"
    return f"between {low:g} and {'2**53' if high == MAX_WHOLE - 1 else f'{high:g}'}"
