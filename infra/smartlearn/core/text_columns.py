"""Text columns of JSON values become a str or an object array, or a sentence about the value at fault."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias, get_args

import numpy as np
import orjson

from smartlearn.core.batch import TextColumn
from smartlearn.core.faults import check_length, described, fail
from smartlearn.core.names import MAX_LABEL
from smartlearn.core.schemas import MAX_PAYLOAD, MAX_TEXT, PSEUDONYM_PATTERN, RunType

Check: TypeAlias = Callable[[object], str | None]
"""Why a JSON value is refused, as the end of a sentence; None where it is taken."""

_RUN_TYPES = frozenset(get_args(RunType))
_PSEUDONYM_LENGTH = len("p1_") + 8 + len("_") + 32
_has_control = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]").search
_matches_pseudonym = re.compile(PSEUDONYM_PATTERN).fullmatch


def label_fault(value: object) -> str | None:
    """Why a value is no label."""
    if type(value) is not str:
        return f"must be a text, not {described(value)}"
    if not 0 < len(value) <= MAX_LABEL:
        return f"must have 1 to {MAX_LABEL} characters, and has {len(value)}"
    if not value.isprintable() and _has_control(value):
        return "must not hold control characters"
    if value.endswith("\\"):
        return "must not end in a backslash"
    return None


def text_fault(value: object) -> str | None:
    """Why a value is no text of an annotation."""
    if type(value) is not str:
        return f"must be a text, not {described(value)}"
    if not 0 < len(value) <= MAX_TEXT:
        return f"must have 1 to {MAX_TEXT} characters, and has {len(value)}"
    return None


def pseudonym_fault(value: object) -> str | None:
    """Why a value is no pseudonym."""
    if type(value) is str and is_pseudonym(value):
        return None
    return "must be a pseudonym (p1_<key id>_<digest>), never a user id"


def is_pseudonym(text: str) -> bool:
    """Whether a text has the form of a pseudonym, of whatever key."""
    return len(text) == _PSEUDONYM_LENGTH and _is_pseudonym(text)


@lru_cache(maxsize=1 << 14)
def _is_pseudonym(text: str) -> bool:
    # A newline at the end, which `$` lets pass, makes the text too long.
    return _matches_pseudonym(text) is not None


def run_type_fault(value: object) -> str | None:
    """Why a value is no type of a run event."""
    if type(value) is str and value in _RUN_TYPES:
        return None
    return "must be start, settings, checkpoint or end"


def to_text(name: str, column: object, check: Check, rows: int, *, required: bool) -> TextColumn | None:
    """Validate a text column: one value for all rows, or a list of n.

    Returns:
        One text where all rows have the same, None where none has any, else an object array of shape (n,).

    Raises:
        InvalidMessage: `check` refuses a value, or it is null where one is required.
    """
    if type(column) is not list:
        reason = check(column)
        if reason is not None:
            fail(name, 0, 1, reason)
        return str(column)
    check_length(name, column, rows)
    try:
        distinct = set(column)
    except TypeError:
        _fail_text(name, column, check, required=required)
    for value in distinct:
        if (required or value is not None) and check(value) is not None:
            _fail_text(name, column, check, required=required)
    if len(distinct) == 1:
        return None if column[0] is None else str(column[0])
    return np.array(column, dtype=np.object_)


def _fail_text(name: str, column: list[Any], check: Check, *, required: bool) -> NoReturn:
    row, reason = next(
        (row, reason)
        for row, value in enumerate(column)
        if (required or value is not None) and (reason := check(value)) is not None
    )
    fail(name, row, len(column), reason)


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
        fail("payload", row, rows, "must not be nested so deeply")
    if len(text) > MAX_PAYLOAD:
        fail("payload", row, rows, f"must have at most {MAX_PAYLOAD} characters, and has {len(text)}")
    return text
