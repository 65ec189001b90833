"""Numbers, spans and times as people read them: three significant figures and a unit that fits."""

from __future__ import annotations

import math
from datetime import UTC, datetime

NOTHING = "–"
"""What stands where there is no value."""

_SPANS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s"))
_PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def number(value: float | None, digits: int = 3) -> str:
    """A number with so many significant figures and a prefix where it is large: 0.0213, 87.4, 1.24 k; "–" for none."""
    if value is None or math.isnan(value):
        return NOTHING
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{_significant(value / size, digits)} {prefix}"
    return _significant(value, digits)


def with_unit(value: float | None, unit: str) -> str:
    """A value and its unit as one text: 87.4 %, 340 ms, 1.2 s, 1.2 GB, 71 % of a fraction; "–" for none.

    Units known: "%", "ms" (becomes s and min as it grows), "GB", "fraction" (drawn as %), "/10", "" and any
    other, which is put after the number.
    """
    text, shown = split_unit(value, unit)
    return f"{text} {shown}".strip() if text != NOTHING else text


def split_unit(value: float | None, unit: str) -> tuple[str, str]:
    """The number and the unit of a value, apart; ("–", "") for none."""
    if value is None or math.isnan(value):
        return NOTHING, ""
    if unit == "fraction":
        return _significant(100 * value, 3), "%"
    if unit == "ms" and abs(value) >= 60_000:
        return _significant(value / 60_000, 3), "min"
    if unit == "ms" and abs(value) >= 1000:
        return _significant(value / 1000, 3), "s"
    text = number(value)
    head, _, prefix = text.partition(" ")
    return head, f"{prefix}{unit}"


def signed(value: float | None, unit: str) -> str:
    """A difference with its sign: +3.2 pp (of %), −120 ms; "–" for none."""
    if value is None or math.isnan(value):
        return NOTHING
    sign = "+" if value > 0 else "−" if value < 0 else "±"
    return f"{sign}{with_unit(abs(value), 'pp' if unit == '%' else unit)}"


def span(seconds: float | None) -> str:
    """A length of time in its two largest units: 3 d 4 h, 2 min 5 s, 0.4 s; "–" for none."""
    if seconds is None or math.isnan(seconds):
        return NOTHING
    if seconds < 10:
        return f"{round(seconds, 1):g} s"
    rest = round(seconds)
    parts: list[str] = []
    for size, unit in _SPANS:
        count, rest = divmod(rest, int(size))
        if count or parts:
            parts.append(f"{count} {unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if not part.startswith("0 "))


def ago(seconds: float | None) -> str:
    """How long since: "now", "12 s ago", "3 h ago"; "never" for none."""
    if seconds is None or math.isnan(seconds):
        return "never"
    if seconds < 1:
        return "now"
    return f"{span(seconds).split(' ', 2)[0]} {span(seconds).split(' ', 2)[1]} ago"


def clock(time_ns: int) -> str:
    """The exact UTC time of a moment: 2026-11-24 13:05:10 UTC."""
    return f"{datetime.fromtimestamp(time_ns / 1e9, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _significant(value: float, digits: int) -> str:
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if exponent < -4:
        return f"{value:.{digits - 1}e}"
    text = f"{value:.{max(digits - 1 - exponent, 0)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
