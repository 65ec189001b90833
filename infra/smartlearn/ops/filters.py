"""Conditions on tags, as people type them."""

from __future__ import annotations

from collections.abc import Sequence

from smartlearn.core.errors import InvalidQuery

Where = dict[str, str | tuple[str, ...] | None]


def parse_where(conditions: Sequence[str]) -> Where:
    """What `--where tag=value …` means: the same tag twice is either value, `tag=` is without the tag.

    Raises:
        InvalidQuery: a condition has no `=` or no tag.
    """
    wanted: dict[str, list[str]] = {}
    for condition in conditions:
        tag, equals, value = condition.partition("=")
        if not equals or not tag.strip():
            raise InvalidQuery(f"--where {condition!r} is not a condition: write tag=value")
        wanted.setdefault(tag.strip(), []).append(value)
    return {tag: tuple(values) if len(values) > 1 else values[0] or None for tag, values in wanted.items()}
