"""The export format: SmartLearn's JSON file of performance, training and user metrics, and how it is written.

    {"export_timestamp": …, "demo_info": {description, generated_at, total_performance_metrics, …},
     "performance_metrics": [{…}], "training_metrics": [{…}], "user_metrics": [{…}]}

Times are ISO 8601 without a zone and mean UTC. What is not finite is written as the text NaN, Infinity or -Infinity;
the bare words that Python's json writes are read as well (export_reading.py).
"""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import IO, Any, BinaryIO, Final

import orjson

from smartlearn.core.batch import NONFINITE_NAMES, Kind
from smartlearn.core.schemas import NUMERIC_FIELDS

Record = Mapping[str, Any]

_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001  the format's times have no zone
_IN_MEMORY_BYTES: Final = 16 << 20
_BEFORE_ITEMS: Final = b'{\n  "": [\n'
_AFTER_ITEMS: Final = b"\n  ]\n}"


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


def format_export_time(time_us: int) -> str:
    """A time as the format writes it: ISO 8601 in UTC, without a zone, with 6 digits or none below the second."""
    return (_EPOCH + timedelta(microseconds=time_us)).isoformat()


def write_export(
    file: BinaryIO,
    records: Mapping[Kind, Iterable[Sequence[Record]]],
    *,
    now: datetime,
    description: str = "SmartLearn metrics",
) -> dict[Kind, int]:
    """Write an export, block by block.

    The totals stand before the records in the format, so the records wait in a temporary file.

    Args:
        file: where to.
        records: per kind the records in blocks, each with the fields of its section.
        now: when the export is made.
        description: what it is, for people.

    Returns:
        How many records of each kind were written.
    """
    moment = format_export_time((now.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    with tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as body:
        counts = {kind: _write_array(body, section, records.get(kind, ())) for kind, section in SECTIONS.items()}
        totals = {section.total: counts[kind] for kind, section in SECTIONS.items()}
        info = {"description": description, "generated_at": moment, **totals}
        head = orjson.dumps({"export_timestamp": moment, "demo_info": info}, option=orjson.OPT_INDENT_2)
        file.write(head[: head.rindex(b"\n")])
        body.seek(0)
        shutil.copyfileobj(body, file)
    file.write(b"\n}\n")
    return counts


def _write_array(file: IO[bytes], section: Section, blocks: Iterable[Sequence[Record]]) -> int:
    file.write(f',\n  "{section.name}": ['.encode())
    count = 0
    for block in blocks:
        if block:
            file.write(b",\n" if count else b"\n")
            file.write(_items([_writable(section, record) for record in block]))
            count += len(block)
    file.write(b"\n  ]" if count else b"]")
    return count


def _items(records: list[dict[str, Any]]) -> bytes:
    """Records as the items of an array one level deep, without its brackets."""
    text = orjson.dumps({"": records}, option=orjson.OPT_INDENT_2)
    return text[len(_BEFORE_ITEMS) : -len(_AFTER_ITEMS)]


def _writable(section: Section, record: Record) -> dict[str, Any]:
    """A record in the order of the format, with names for what is not finite."""
    found = {name: record.get(name) for name in section.fields}
    for name in section.numbers:
        value = found[name]
        if type(value) is float and not math.isfinite(value):
            found[name] = NONFINITE_NAMES[1 if math.isnan(value) else 2 if value > 0 else 3]
    return found
