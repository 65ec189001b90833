"""Numbers and times as text."""

from __future__ import annotations

import numpy as np

from smartlearn.core.batch import Int64Array

_SECOND_US = 1_000_000


def utc_texts(time_us: Int64Array, *, exact: bool) -> list[str]:
    """ISO 8601 UTC texts of equal length, to the microsecond; to the second if all are whole ones and not `exact`."""
    fine = exact or bool((time_us % _SECOND_US).any())
    texts = np.datetime_as_string(time_us.astype("datetime64[us]"), unit="us" if fine else "s")
    return [f"{text}Z" for text in texts.tolist()]


def naive_texts(time_us: Int64Array) -> list[str]:
    """The same without a zone and, at a whole second, without a fraction: what `datetime.isoformat` gives."""
    texts = np.datetime_as_string(time_us.astype("datetime64[us]"), unit="us")
    return [text.removesuffix(".000000") for text in texts.tolist()]


def ago(seconds: float) -> str:
    """How long ago, as people say it."""
    if seconds < 1:
        return "now"
    for unit, length in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit} ago"
    return "now"


def short_number(value: float) -> str:
    """A number with as many digits as people read."""
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if 1e4 <= abs(value) < 1e15 else f"{value:.4g}"
