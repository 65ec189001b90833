"""Times of user code: a datetime without a zone is local time, as `datetime.now()` gives it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def moment_us(moment: datetime) -> int:
    """The µs since the epoch of a moment; without a zone it is local time."""
    return (moment.astimezone(UTC) - _EPOCH) // _MICROSECOND


def from_us(time_us: int) -> datetime:
    """The moment of µs since the epoch, in UTC."""
    return _EPOCH + timedelta(microseconds=time_us)


def now_local() -> datetime:
    """The present as user code writes it down: local time without a zone."""
    return datetime.now()  # noqa: DTZ005  the SDK's times have no zone, as the application's
