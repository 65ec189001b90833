"""The export format: SmartLearn's JSON file of performance, training and user metrics, read and written.

    {"export_timestamp": …, "demo_info": {description, generated_at, total_performance_metrics, …},
     "performance_metrics": [{…}], "training_metrics": [{…}], "user_metrics": [{…}]}

Times are ISO 8601 without a zone and mean UTC. What is not finite is written as the text NaN, Infinity or -Infinity;
the bare words that Python's json writes are read as well.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from smartlearn.core.batch import NONFINITE_NAMES, FloatArray, Int64Array, Kind
from smartlearn.core.errors import InvalidExport
from smartlearn.core.json_stream import read_object
from smartlearn.core.schemas import (
    FIRST_TIME_US,
    LARGEST,
    LAST_TIME_US,
    MAX_WHOLE,
    NUMERIC_FIELDS,
    WHOLE_FIELDS,
)
from smartlearn.core.text_columns import label_fault
from smartlearn.core.times import parse_time

Record = Mapping[str, Any]

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  the format's times have no zone
_CODE_OF: Final = {name: code for code, name in NONFINITE_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Section:
    """One of the three arrays.

    Attributes:
        kind: what its records are.
        name: the array's name.
        total: the name of its count in `demo_info`.
        fields: the fields of a record, in the order in which they are written.
        required: those that every record names; the others may be left out.
        nullable: those that may be null.
    """

    kind: Kind
    name: str
    total: str
    fields: tuple[str, ...]
    required: frozenset[str]
    nullable: frozenset[str]

    @property
    def numbers(self) -> tuple[str, ...]:
        """The numeric fields."""
        return tuple(name for name in self.fields if name in NUMERIC_FIELDS[self.kind])

    @property
    def texts(self) -> tuple[str, ...]:
        """The text fields, the timestamp not among them."""
        return tuple(name for name in self.fields if name not in NUMERIC_FIELDS[self.kind] and name != "timestamp")


_PERFORMANCE = Section(
    Kind.PERFORMANCE,
    "performance_metrics",
    "total_performance_metrics",
    (
        "timestamp", "cpu_usage", "memory_usage", "gpu_memory_used", "gpu_memory_total", "response_time",
        "model_accuracy", "user_engagement",
    ),
    frozenset({"timestamp", "cpu_usage", "memory_usage"}),
    frozenset(NUMERIC_FIELDS[Kind.PERFORMANCE]),
)  # fmt: skip
_TRAINING = Section(
    Kind.TRAINING,
    "training_metrics",
    "total_training_metrics",
    ("epoch", "step", "training_loss", "validation_loss", "learning_rate", "accuracy", "timestamp"),
    frozenset({"epoch", "step", "training_loss", "learning_rate", "timestamp"}),
    frozenset({"validation_loss", "accuracy"}),
)
_USER = Section(
    Kind.INTERACTION,
    "user_metrics",
    "total_user_metrics",
    (
        "timestamp", "user_id", "action", "subject", "difficulty", "response_time", "accuracy",
        "engagement_score",
    ),
    frozenset(
        {"timestamp", "user_id", "action", "subject", "difficulty", "response_time", "accuracy",
         "engagement_score"}
    ),
    frozenset(),
)  # fmt: skip
SECTIONS: Mapping[Kind, Section] = MappingProxyType(
    {section.kind: section for section in (_PERFORMANCE, _TRAINING, _USER)}
)
"""The three arrays, in the order in which they are written."""

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


def format_export_time(time_us: int) -> str:
    """A time as the format writes it: ISO 8601 in UTC, without a zone, with 6 digits or none below the second."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat()


def write_export(
    file: BinaryIO,
    records: Mapping[Kind, Iterable[Record]],
    totals: Mapping[Kind, int],
    *,
    now: datetime,
    description: str = "SmartLearn metrics",
) -> None:
    """Write an export, record by record.

    Args:
        file: where to.
        records: per kind the records, each with the fields of its section; numbers that are not finite are named.
        totals: how many records each kind will have; they stand before the records.
        now: when the export is made.
        description: what it is, for people.
    """
    moment = format_export_time((now.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    info = {"description": description, "generated_at": moment}
    info |= {section.total: totals.get(kind, 0) for kind, section in SECTIONS.items()}  # type: ignore[misc]
    head = orjson.dumps({"export_timestamp": moment, "demo_info": info}, option=orjson.OPT_INDENT_2)
    file.write(head[: head.rindex(b"\n")])
    for kind, section in SECTIONS.items():
        file.write(f',\n  "{section.name}": ['.encode())
        separator = b"\n    "
        for record in records.get(kind, ()):
            file.write(separator + orjson.dumps(_writable(section, record)))
            separator = b",\n    "
        file.write(b"]" if separator == b"\n    " else b"\n  ]")
    file.write(b"\n}\n")


def _writable(section: Section, record: Record) -> dict[str, Any]:
    """A record in the order of the format, with names for what is not finite."""
    found = {name: record.get(name) for name in section.fields}
    for name in section.numbers:
        value = found[name]
        if type(value) is float and not math.isfinite(value):
            found[name] = NONFINITE_NAMES[1 if math.isnan(value) else 2 if value > 0 else 3]
    return found
