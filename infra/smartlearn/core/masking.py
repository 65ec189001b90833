"""What a dead letter of an interaction may show: the allowed fields' values, and that the others were there.

A rejected message keeps its shape (field names, column lengths), so that the fault can be found, but
nothing that may identify a learner.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson

from smartlearn.core.faults import shown
from smartlearn.core.text_columns import label_fault

MASK = "***"
"""What stands for a value that is not shown."""

_ENVELOPE_NUMBERS = frozenset({"v", "seq"})
_ENVELOPE_LABELS = frozenset({"kind", "source", "boot"})


def masked(value: bytes | None, allow: Collection[str]) -> bytes:
    """A message of the interactions topic with every value masked whose field is not allowed.

    Args:
        value: the message as it came: an event, a batch, or anything else.
        allow: the fields whose texts and numbers are kept.

    Returns:
        A JSON object. Of bytes that are no JSON object only their number is told.
    """
    data = value or b""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        message = None
    if type(message) is not dict:
        return orjson.dumps({"masked_bytes": len(data)})
    columns = message.get("columns")
    if type(columns) is not dict:
        return orjson.dumps(_fields(message, allow))
    envelope = {shown(name): _envelope_value(name, part) for name, part in message.items() if name != "columns"}
    return orjson.dumps(envelope | {"columns": _fields(columns, allow)})


def _fields(values: dict[str, Any], allow: Collection[str]) -> dict[str, Any]:
    return {shown(name): _value(value, allowed=name in allow) for name, value in values.items()}


def _value(value: object, *, allowed: bool) -> Any:
    """A value, or a column of them, as it may be shown; null says nothing about anyone."""
    if type(value) is list:
        return [_scalar(element, allowed=allowed) for element in value]
    return _scalar(value, allowed=allowed)


def _scalar(value: object, *, allowed: bool) -> Any:
    return value if value is None or (allowed and not isinstance(value, dict | list)) else MASK


def _envelope_value(name: str, value: object) -> Any:
    """Who sent a batch, and where it belongs, is no learner's; in the form of the contract only."""
    if name in _ENVELOPE_NUMBERS and type(value) is int:
        return value
    if name in _ENVELOPE_LABELS and label_fault(value) is None:
        return value
    return _value(value, allowed=False)
