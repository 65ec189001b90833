"""Times and durations as people type them, to integers; a time without a zone is UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from smartlearn.core.errors import InvalidQuery

_UNITS_NS = {
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60 * 1_000_000_000,
    "h": 3600 * 1_000_000_000,
    "d": 86_400 * 1_000_000_000,
    "w": 7 * 86_400 * 1_000_000_000,
}
_PART = re.compile(r"([0-9]+(?:[.][0-9]+)?)(ms|s|m|h|d|w)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST_NS = 200 * 366 * _UNITS_NS["d"]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of time, in ns since the epoch: from `start` on, before `stop`; None is without an end."""

    start: int | None = None
    stop: int | None = None


def parse_duration(text: str, flag: str) -> int:
    """The ns of a duration such as `90s`, `15m`, `1h30m`, `7d`.

    Args:
        text: what was typed.
        flag: the option it was typed for, to name in the error.

    Raises:
        InvalidQuery: it is no duration, or none that is longer than nothing and shorter than 200 years.
    """
    if _DURATION.fullmatch(text) is None:
        raise InvalidQuery(f"{flag} {text!r} is not a duration: write 30s, 15m, 24h, 7d or 1h30m")
    length = sum(round(float(number) * _UNITS_NS[unit]) for number, unit in _PART.findall(text))
    if not 0 < length <= _LONGEST_NS:
        raise InvalidQuery(f"{flag} {text!r} must be longer than nothing and shorter than 200 years")
    return length


def parse_moment(text: str, flag: str) -> int:
    """The ns since the epoch of an ISO 8601 time; a date alone is its midnight.

    Raises:
        InvalidQuery: it is no such time.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidQuery(
            f"{flag} {text!r} is not a time: write 2026-01-31, 2026-01-31T12:00 or 2026-01-31T12:00:00.5Z"
        ) from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND * 1000


def parse_span(last: str | None, start: str | None, stop: str | None, now: int) -> Span:
    """What `--last`, `--start` and `--stop` mean at `now` (ns).

    Raises:
        InvalidQuery: one of them cannot be read, or they contradict each other.
    """
    if last is not None:
        if start is not None or stop is not None:
            raise InvalidQuery("--last and --start/--stop exclude each other: give one of them")
        return Span(now - parse_duration(last, "--last"))
    begin = None if start is None else parse_moment(start, "--start")
    end = None if stop is None else parse_moment(stop, "--stop")
    if begin is not None and end is not None and begin >= end:
        raise InvalidQuery(f"--start {start} must be before --stop {stop}")
    return Span(begin, end)
