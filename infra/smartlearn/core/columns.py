"""Columns of JSON values become arrays, or a sentence that names the field, the row and what is wrong.

A message's numbers go into one (fields, rows) matrix, which is checked against the contract's bounds in
one step, whether it is one row or ten thousand. Single values are looked at only where a column holds
more than plain numbers, or a fault to be named. No sentence repeats a text: it may be a learner's.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

import numpy as np
import orjson
from numpy.typing import NDArray

from smartlearn.core.batch import NONFINITE_NAMES, FloatArray, Int64Array, TextColumn
from smartlearn.core.errors import InvalidMessage
from smartlearn.core.schemas import (
    FIRST_TIME_US,
    LAST_TIME_US,
    MAX_LABEL,
    MAX_PAYLOAD,
    MAX_TEXT,
    PSEUDONYM_PATTERN,
    WHOLE_FIELDS,
    Bounds,
)

_CODE_OF: dict[object, int] = {name: code for code, name in NONFINITE_NAMES.items()}
_TYPE_NAMES = {str: "a text", bool: "a boolean", list: "a list", dict: "an object", type(None): "null"}
_has_control = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]").search
_matches_pseudonym = re.compile(PSEUDONYM_PATTERN[:-1] + r"\Z").match
_PSEUDONYM_LENGTH = len("p1_") + 8 + 1 + 32


class Numbers(NamedTuple):
    """The numeric columns of a message.

    Attributes:
        values: per field a float64 array of shape (n,), NaN where absent or not finite.
        nonfinite: per field that has any, int8 codes of shape (n,).
    """

    values: dict[str, FloatArray]
    nonfinite: dict[str, NDArray[np.int8]]


def shown(name: str) -> str:
    """A field's name as a sentence shows it: printable and bounded."""
    return ascii(name if len(name) <= 60 else name[:57] + "...")[1:-1]


def described(value: object) -> str:
    """What a value is, without repeating a text: the number itself, or the type."""
    if type(value) in (int, float):
        return f"{value:.17g}" if isinstance(value, float) else str(value)
    return _TYPE_NAMES.get(type(value), "an unknown value")


def fail(field: str, row: int, rows: int, what: str) -> NoReturn:
    """Raise the sentence about one value.

    Raises:
        InvalidMessage: always.
    """
    where = f" in row {row}" if rows > 1 else ""
    raise InvalidMessage(f"{shown(field)}{where} {what}", field=field, row=row)


def check_length(field: str, column: list[Any], rows: int) -> None:
    """Refuse a column that is not as long as the timestamps.

    Raises:
        InvalidMessage: it is shorter or longer.
    """
    if len(column) != rows:
        raise InvalidMessage(
            f"{shown(field)} has {len(column)} values where timestamp has {rows}", field=field
        )


@lru_cache(maxsize=1024)
def _limits(bounds: tuple[Bounds, ...]) -> tuple[FloatArray, FloatArray]:
    """The lowest and the highest values as columns of shape (fields, 1)."""
    both = np.array(bounds, dtype=np.float64)
    return both[:, :1].copy(), both[:, 1:].copy()


def to_numbers(
    columns: Mapping[str, Any],
    bounds: Mapping[str, Bounds],
    required: frozenset[str],
    rows: int,
    *,
    booleans: bool,
) -> Numbers:
    """Validate numeric columns: one value for all rows, or a list of n numbers, nulls and non-finite names.

    Args:
        columns: field → its JSON value; a constant null must have been left out.
        bounds: field → (lowest, highest), of every column.
        required: fields in which no row may lack a value.
        rows: n.
        booleans: whether the message holds a JSON boolean anywhere; only then are they looked for.

    Raises:
        InvalidMessage: a value is of another type, missing or out of range.
    """
    if not columns:
        return Numbers({}, {})
    buffer = array("d")
    nonfinite: dict[str, NDArray[np.int8]] = {}
    for name, column in columns.items():
        listed = type(column) is list
        if listed:
            check_length(name, column, rows)
        if booleans:
            _refuse_booleans(name, column if listed else [column], rows)
        try:
            if listed:
                buffer.fromlist(column)
            elif rows == 1:
                buffer.append(column)
            else:
                buffer.extend(array("d", (column,)) * rows)
        except TypeError:
            values, codes = _mixed(name, column if listed else [column] * rows, rows, name in required)
            buffer.frombytes(values.tobytes())
            if codes is not None:
                nonfinite[name] = codes
    matrix = np.frombuffer(buffer, dtype=np.float64).reshape(len(columns), rows)
    names = list(columns)
    low, high = _limits(tuple(bounds[name] for name in names))
    outside = (matrix < low) | (matrix > high)
    if outside.any():
        _fail_outside(names, matrix, outside, bounds)
    for name in WHOLE_FIELDS & columns.keys():
        _require_whole(name, matrix[names.index(name)], nonfinite)
    return Numbers(dict(zip(names, matrix, strict=True)), nonfinite)


def _refuse_booleans(name: str, values: list[Any], rows: int) -> None:
    for row, value in enumerate(values):
        if type(value) is bool:
            fail(name, row, rows, "must be a number, not a boolean")


def _mixed(
    name: str, values: list[Any], rows: int, required: bool
) -> tuple[FloatArray, NDArray[np.int8] | None]:
    """A column with nulls and non-finite names among its numbers: its values, and its codes if it has any."""
    types = set(map(type, values))
    if not types <= {float, int, str, type(None)}:
        row = next(i for i, value in enumerate(values) if type(value) not in {float, int, str, type(None)})
        fail(name, row, rows, f"must be a number, not {described(values[row])}")
    if required and type(None) in types:
        fail(name, values.index(None), rows, "must not be null")
    codes = None
    if str in types:
        codes = np.zeros(rows, dtype=np.int8)
        values = list(values)
        for row, value in enumerate(values):
            if type(value) is str:
                code = _CODE_OF.get(value)
                if code is None:
                    fail(name, row, rows, "must be a number, or one of the texts NaN, Infinity and -Infinity")
                codes[row] = code
                values[row] = None
    return np.array(values, dtype=np.float64), codes


def _fail_outside(
    names: list[str], matrix: FloatArray, outside: NDArray[np.bool_], bounds: Mapping[str, Bounds]
) -> NoReturn:
    at, row = (int(i) for i in np.argwhere(outside)[0])
    low, high = bounds[names[at]]
    span = f"at least {low:g}" if high >= 2**53 - 1 else f"between {low:g} and {high:g}"
    fail(names[at], row, matrix.shape[1], f"is {matrix[at, row]:.17g} and must be {span}")


def _require_whole(name: str, values: FloatArray, nonfinite: Mapping[str, NDArray[np.int8]]) -> None:
    fraction = np.trunc(values) != values
    if fraction.any():
        row = int(np.argmax(fraction))
        code = int(nonfinite[name][row]) if name in nonfinite else 0
        fail(
            name, row, len(values), f"is {NONFINITE_NAMES.get(code, values[row])} and must be a whole number"
        )


def to_times(column: object, *, booleans: bool) -> Int64Array:
    """Validate a list of µs since the epoch, shape (n,).

    Raises:
        InvalidMessage: it is no list of whole numbers, or a time lies outside the years 1970 to 2199.
    """
    if type(column) is not list:
        raise InvalidMessage("timestamp must be a list of µs since the epoch", field="timestamp")
    times = to_whole("timestamp", column, booleans=booleans)
    if len(times) and (times.min() < FIRST_TIME_US or times.max() >= LAST_TIME_US):
        row = int(np.argmax((times < FIRST_TIME_US) | (times >= LAST_TIME_US)))
        fail_time(row, len(times), f"{times[row]} µs")
    return times


def fail_time(row: int, rows: int, value: str) -> NoReturn:
    """Raise the sentence about a time outside the contract's range.

    Raises:
        InvalidMessage: always.
    """
    fail("timestamp", row, rows, f"is {value} and must be between 1970-01-01 and 2199-12-31")


def to_whole(name: str, column: list[Any], *, booleans: bool) -> Int64Array:
    """Validate a list of whole numbers that fit int64, shape (n,).

    Raises:
        InvalidMessage: a value is something else.
    """
    if booleans:
        _refuse_booleans(name, column, len(column))
    buffer = array("q")
    try:
        buffer.fromlist(column)
    except (TypeError, OverflowError):
        limit = 2**63
        row = next(i for i, v in enumerate(column) if type(v) is not int or not -limit <= v < limit)
        fail(name, row, len(column), f"must be a whole number below 2**63, not {described(column[row])}")
    return np.frombuffer(buffer, dtype=np.int64)


def label_fault(value: object) -> str | None:
    """Why a value is no label, as the end of a sentence, or None."""
    if type(value) is not str:
        return f"must be a text, not {described(value)}"
    if not 0 < len(value) <= MAX_LABEL:
        return f"must have 1 to {MAX_LABEL} characters, and has {len(value)}"
    if not value.isprintable() and _has_control(value):
        return "must not hold control characters"
    return None


def text_fault(value: object) -> str | None:
    """Why a value is no text of an annotation, as the end of a sentence, or None."""
    if type(value) is not str:
        return f"must be a text, not {described(value)}"
    if not 0 < len(value) <= MAX_TEXT:
        return f"must have 1 to {MAX_TEXT} characters, and has {len(value)}"
    return None


def pseudonym_fault(value: object) -> str | None:
    """Why a value is no pseudonym, as the end of a sentence that does not repeat it, or None."""
    if type(value) is str and len(value) == _PSEUDONYM_LENGTH and _is_pseudonym(value):
        return None
    return "must be a pseudonym (p1_<key id>_<digest>), never a user id"


@lru_cache(maxsize=1 << 14)
def _is_pseudonym(value: str) -> bool:
    return _matches_pseudonym(value) is not None


def run_type_fault(value: object) -> str | None:
    """Why a value is no type of a run event, as the end of a sentence, or None."""
    if type(value) is str and value in {"start", "settings", "checkpoint", "end"}:
        return None
    return "must be start, settings, checkpoint or end"


def to_text(
    name: str, column: object, fault: Callable[[object], str | None], rows: int, *, required: bool
) -> TextColumn:
    """Validate a text column: one value for all rows, or a list of n; equal values become one.

    Raises:
        InvalidMessage: a value is refused by `fault`, or null where it is required.
    """
    if type(column) is not list:
        reason = fault(column)
        if reason is not None:
            fail(name, 0, 1, reason)
        return str(column)
    check_length(name, column, rows)
    try:
        distinct = set(column)
    except TypeError:
        _fail_text(name, column, fault, rows, required=required)
    for value in distinct:
        if (required or value is not None) and fault(value) is not None:
            _fail_text(name, column, fault, rows, required=required)
    if len(distinct) == 1 and None not in distinct:
        return str(column[0])
    return np.array(column, dtype=np.object_)


def _fail_text(
    name: str, column: list[Any], fault: Callable[[object], str | None], rows: int, *, required: bool
) -> NoReturn:
    for row, value in enumerate(column):
        reason = fault(value) if required or value is not None else None
        if reason is not None:
            fail(name, row, rows, reason)
    raise AssertionError(f"{name} holds a value that is refused once and taken once")


def to_payload(column: object, rows: int) -> TextColumn:
    """Validate a column of JSON objects, and give it as JSON texts.

    Raises:
        InvalidMessage: a value is no object, or too large.
    """
    if type(column) is not list:
        return _payload(column, 0, 1)
    check_length("payload", column, rows)
    return np.array([_payload(value, row, rows) for row, value in enumerate(column)], dtype=np.object_)


def _payload(value: object, row: int, rows: int) -> str:
    if type(value) is not dict:
        fail("payload", row, rows, f"must be an object, not {described(value)}")
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        fail("payload", row, rows, "must not be nested deeper than 254 levels")
    if len(text) > MAX_PAYLOAD:
        fail("payload", row, rows, f"must have at most {MAX_PAYLOAD} characters as JSON, and has {len(text)}")
    return text
