"""Numeric columns of JSON values become float64 and int64 arrays, or a sentence about the value at fault.

A message's numbers go into one (fields, rows) matrix, which is checked against the bounds of the contract in
one step, whether it is one row or ten thousand. Single values are looked at only where a column holds more
than plain numbers, or a fault to be named.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.batch import NONFINITE_NAMES, FloatArray, Int64Array, Kind
from smartlearn.core.errors import InvalidMessage
from smartlearn.core.faults import check_length, described, fail
from smartlearn.core.schemas import (
    FIRST_TIME_US,
    LARGEST,
    LAST_TIME_US,
    MAX_WHOLE,
    METRIC_BOUNDS,
    NUMERIC_FIELDS,
    REQUIRED_FIELDS,
    WHOLE_FIELDS,
)

_CODE_OF: Mapping[object, int] = {name: code for code, name in NONFINITE_NAMES.items()}
_NUMBER_LIKE = frozenset({float, int, str, type(None)})


class Numbers(NamedTuple):
    """The numeric columns of a message.

    Attributes:
        values: per field a float64 array of shape (n,), NaN where absent or not finite.
        nonfinite: per field that has any, int8 codes of shape (n,).
        gaps: the fields in which some row has no value, also those that were left out since none has any.
    """

    values: dict[str, FloatArray]
    nonfinite: dict[str, NDArray[np.int8]]
    gaps: frozenset[str]


@lru_cache(maxsize=1024)
def _limits(kind: Kind, names: tuple[str, ...]) -> tuple[FloatArray, FloatArray]:
    """The lowest and the highest values of fields as columns of shape (fields, 1)."""
    both = np.array([NUMERIC_FIELDS[kind].get(name, METRIC_BOUNDS) for name in names])
    return both[:, :1].copy(), both[:, 1:].copy()


def to_numbers(kind: Kind, columns: Mapping[str, Any], rows: int) -> Numbers:
    """Validate the numeric columns of a kind: fields of the contract, and metrics by their bare names.

    Args:
        kind: whose bounds and required fields hold.
        columns: field → one value for all rows, but null, or a list of n numbers, nulls, non-finite names.
        rows: n.

    Raises:
        InvalidMessage: a value is of another type, missing or out of range.
    """
    if not columns:
        return Numbers({}, {}, frozenset())
    buffer = array("d")
    nonfinite: dict[str, NDArray[np.int8]] = {}
    gaps: list[str] = []
    for name, column in columns.items():
        try:
            _append(buffer, name, column, rows)
        except TypeError:
            values = column if type(column) is list else [column] * rows
            buffer.frombytes(_mixed(name, values, rows, nonfinite).tobytes())
            if None in values:
                gaps.append(name)
                if name in REQUIRED_FIELDS[kind]:
                    fail(name, values.index(None), rows, "must not be null")
    names = tuple(columns)
    matrix = np.frombuffer(buffer, dtype=np.float64).reshape(len(names), rows)
    low, high = _limits(kind, names)
    outside = (matrix < low) | (matrix > high)
    if np.count_nonzero(outside):
        _fail_outside(kind, names, matrix, outside)
    if rows > 1:
        _refuse_booleans(columns, matrix)
    for name in WHOLE_FIELDS & columns.keys():
        _require_whole(name, matrix[names.index(name)], name in nonfinite)
    fields = dict(zip(names, matrix, strict=True))
    for name in gaps:
        if name not in nonfinite and np.isnan(fields[name]).all():
            del fields[name]
    return Numbers(fields, nonfinite, frozenset(gaps))


def _append(buffer: array[float], name: str, column: Any, rows: int) -> None:
    """Append a column of plain numbers; leave the buffer as it is and raise TypeError where it is none."""
    if type(column) is list:
        check_length(name, column, rows)
        buffer.fromlist(column)
    elif type(column) is bool:
        fail(name, 0, 1, "must be a number, not a boolean")
    elif rows == 1:
        buffer.append(column)
    else:
        buffer.extend(array("d", (column,)) * rows)


def _refuse_booleans(columns: Mapping[str, Any], matrix: FloatArray) -> None:
    """Booleans pass for 0 and 1 above: look for them in the columns that hold such numbers."""
    like = (matrix == 0.0) | (matrix == 1.0)
    if np.count_nonzero(like):
        for (name, column), suspect in zip(columns.items(), like, strict=True):
            if type(column) is list and np.count_nonzero(suspect):
                _refuse_boolean_in(name, column)


def _refuse_boolean_in(name: str, column: list[Any]) -> None:
    if bool in set(map(type, column)):
        row = next(i for i, value in enumerate(column) if type(value) is bool)
        fail(name, row, len(column), "must be a number, not a boolean")


def _mixed(name: str, values: list[Any], rows: int, nonfinite: dict[str, NDArray[np.int8]]) -> FloatArray:
    """A column with nulls and non-finite names among its numbers; its codes, if any, go into `nonfinite`."""
    types = set(map(type, values))
    if not types <= _NUMBER_LIKE:
        row = next(i for i, value in enumerate(values) if type(value) not in _NUMBER_LIKE)
        fail(name, row, rows, f"must be a number, not {described(values[row])}")
    if str not in types:
        return np.array(values, dtype=np.float64)
    codes = np.zeros(rows, dtype=np.int8)
    numbers = list(values)
    for row, value in enumerate(values):
        if type(value) is str:
            code = _CODE_OF.get(value)
            if code is None:
                fail(name, row, rows, "must be a number, or one of the texts NaN, Infinity and -Infinity")
            codes[row] = code
            numbers[row] = None
    nonfinite[name] = codes
    return np.array(numbers, dtype=np.float64)


def _fail_outside(kind: Kind, names: tuple[str, ...], matrix: FloatArray, outside: NDArray[np.bool_]) -> NoReturn:
    at, row = (int(i) for i in np.argwhere(outside)[0])
    low, high = NUMERIC_FIELDS[kind].get(names[at], METRIC_BOUNDS)
    if high == LARGEST:
        span = f"at least {low:g}"
    elif high == MAX_WHOLE - 1:
        span = f"between {low:g} and 2**53"
    else:
        span = f"between {low:g} and {high:g}"
    fail(names[at], row, matrix.shape[1], f"is {matrix[at, row]:.17g} and must be {span}")


def _require_whole(name: str, values: FloatArray, nonfinite: bool) -> None:
    if nonfinite:
        row = int(np.argmax(np.isnan(values)))
        fail(name, row, len(values), "must be a whole number, not NaN or infinite")
    fraction = np.trunc(values) != values
    if np.count_nonzero(fraction):
        row = int(np.argmax(fraction))
        fail(name, row, len(values), f"is {values[row]:.17g} and must be a whole number")


def to_times(column: object) -> Int64Array:
    """Validate a list of µs since the epoch, shape (n,).

    Raises:
        InvalidMessage: it is no list of whole numbers, or a time lies outside the years 1970 to 2199.
    """
    if type(column) is not list:
        raise InvalidMessage("timestamp must be a list of µs since the epoch", field="timestamp")
    times = to_whole("timestamp", column)
    if len(times) and (times.min() < FIRST_TIME_US or times.max() >= LAST_TIME_US):
        row = int(np.argmax((times < FIRST_TIME_US) | (times >= LAST_TIME_US)))
        fail("timestamp", row, len(times), f"is {times[row]} µs and must lie in the years 1970 to 2199")
    return times


def to_whole(name: str, column: list[Any]) -> Int64Array:
    """Validate a list of whole numbers that fit int64, shape (n,).

    Raises:
        InvalidMessage: a value is something else.
    """
    buffer = array("q")
    try:
        buffer.fromlist(column)
    except (TypeError, OverflowError):
        row = next(i for i, v in enumerate(column) if type(v) is not int or not -(2**63) <= v < 2**63)
        fail(name, row, len(column), f"must be a whole number below 2**63, not {described(column[row])}")
    values = np.frombuffer(buffer, dtype=np.int64)
    if np.count_nonzero((values == 0) | (values == 1)):
        _refuse_boolean_in(name, column)
    return values
