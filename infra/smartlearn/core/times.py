"""Times as text: RFC 3339 in, ISO 8601 UTC out; a time without a zone is UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]+)?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})?"
)


def parse_time(text: str) -> int:
    """The µs since the epoch of an RFC 3339 time; without a zone it is UTC, digits below the µs are cut.

    Raises:
        ValueError: the text is no such time.
    """
    if _RFC3339.fullmatch(text) is None:
        raise ValueError("must be an RFC 3339 time such as 2026-01-31T12:00:00.250Z")
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError as error:
        raise ValueError("must be a time that exists, such as 2026-01-31T12:00:00.250Z") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return (moment - _EPOCH) // _MICROSECOND


def format_time(time_us: int) -> str:
    """The ISO 8601 UTC text of µs since the epoch, with a `Z` and no more digits than it needs (0, 3 or 6).

    Raises:
        OverflowError: the time is outside the years 1 to 9999.
    """
    moment = _EPOCH + timedelta(microseconds=time_us)
    if time_us % 1000:
        digits = "microseconds"
    elif time_us % 1_000_000:
        digits = "milliseconds"
    else:
        digits = "seconds"
    return moment.isoformat(timespec=digits)[:-6] + "Z"
