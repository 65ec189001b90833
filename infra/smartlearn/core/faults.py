"""Sentences about what is wrong with a message. None repeats a text of it, which may be a learner's."""

from __future__ import annotations

from typing import Any, NoReturn

from smartlearn.core.errors import InvalidMessage

_LONGEST_NAME = 60
_TYPE_NAMES = {str: "a text", bool: "a boolean", list: "a list", dict: "an object", type(None): "null"}


def shown(name: str) -> str:
    """A field's name as a sentence shows it: printable ASCII of bounded length."""
    text = ascii(name[: _LONGEST_NAME + 1])[1:-1]
    return text if len(text) <= _LONGEST_NAME else text[: _LONGEST_NAME - 3] + "..."


def described(value: object) -> str:
    """What a JSON value is: the number itself, else only its type."""
    if type(value) is float:
        return f"{value:.17g}"
    return str(value) if type(value) is int else _TYPE_NAMES[type(value)]


def fail(field: str, row: int, rows: int, what: str) -> NoReturn:
    """Raise the sentence about one value; a single event's row is not mentioned.

    Raises:
        InvalidMessage: always.
    """
    where = f" in row {row}" if rows > 1 else ""
    name = shown(field)
    raise InvalidMessage(f"{name}{where} {what}", field=name, row=row)


def check_length(field: str, column: list[Any], rows: int) -> None:
    """Refuse a column that is not as long as the timestamps.

    Raises:
        InvalidMessage: it is shorter or longer.
    """
    if len(column) != rows:
        name = shown(field)
        raise InvalidMessage(f"{name} has {len(column)} values where timestamp has {rows}", field=name)
