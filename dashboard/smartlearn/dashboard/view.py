"""What a page is asked to show: the time range, nodes, runs and choices that its address says.

The same flat mapping stands in the address, in the page's store and in `View.query`, so that a view can be shared,
reloaded and gone back to. A value that cannot be is replaced by its default and said in one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from smartlearn.dashboard import theme
from smartlearn.dashboard.queries.window import SECOND, Window

DEFAULT_RANGE: Final = "24h"

PRESETS: Final[tuple[tuple[str, str], ...]] = (
    ("15m", "Last 15 minutes"),
    ("1h", "Last hour"),
    ("6h", "Last 6 hours"),
    ("24h", "Last 24 hours"),
    ("7d", "Last 7 days"),
    ("30d", "Last 30 days"),
    ("365d", "Last year"),
)

_UNIT_S: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_RANGE: Final = re.compile(r"([1-9]\d{0,4})([smhdw])")
_LONGEST_S: Final = 50 * 365 * 86_400
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class View:
    """What one page shows now.

    Attributes:
        window: the time range, ns.
        now: ns; what ages are measured against.
        nodes: the nodes chosen; empty is all.
        runs: the runs chosen; empty is the page's default.
        range: the preset or span that the window follows ("24h"); None where start and stop are fixed.
        choices: the page's own choices, by name.
        problems: a sentence for each value of the address that was not understood.
        dark: whether figures are drawn for the dark scheme.
    """

    window: Window
    now: int
    nodes: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()
    range: str | None = DEFAULT_RANGE
    choices: Mapping[str, str] = field(default_factory=dict)
    problems: tuple[str, ...] = ()
    dark: bool = False

    @property
    def template(self) -> str:
        """The plotly template to draw with."""
        return theme.template_name(dark=self.dark)

    @property
    def query(self) -> dict[str, str]:
        """The values as they stand in the address; defaults are left out."""
        values: dict[str, str] = {}
        if self.range is None:
            values |= {"start": _iso(self.window.start), "stop": _iso(self.window.stop)}
        elif self.range != DEFAULT_RANGE:
            values["range"] = self.range
        if self.nodes:
            values["node"] = ",".join(self.nodes)
        if self.runs:
            values["run"] = ",".join(self.runs)
        return values | dict(self.choices)


def parse_view(
    values: Mapping[str, Any],
    now: int,
    *,
    nodes: Collection[str] | None = None,
    runs: Collection[str] | None = None,
    choices: Mapping[str, Collection[str]] | None = None,
    dark: bool = False,
) -> View:
    """Read a view from an address or a page's store; never raises.

    Args:
        values: name → text, or a list of texts for node and run.
        now: ns.
        nodes: the nodes there are; None does not check.
        runs: the runs there are; None does not check.
        choices: the page's own choices, name → what may be chosen.
        dark: the colour scheme.
    """
    problems: list[str] = []
    window, chosen_range = _window(values, now, problems)
    own = {}
    for name, allowed in (choices or {}).items():
        value = _text(values.get(name))
        if value in allowed:
            own[name] = value
        elif value:
            problems.append(f"{name}={_quoted(value)} is none of {', '.join(allowed)}: the default is shown.")
    return View(
        window,
        now,
        _names("node", values.get("node"), nodes, problems),
        _names("run", values.get("run"), runs, problems),
        chosen_range,
        own,
        tuple(problems),
        dark,
    )


def _window(values: Mapping[str, Any], now: int, problems: list[str]) -> tuple[Window, str | None]:
    default = Window.last(_seconds(DEFAULT_RANGE) or 0, now)
    first, last = _text(values.get("start")), _text(values.get("stop"))
    if first or last:
        start, stop = _moment("start", first, problems), _moment("stop", last, problems)
        if problems:
            return default, DEFAULT_RANGE
        stop = now if stop is None else stop
        start = stop - default.span if start is None else start
        if start < stop:
            return Window(start, stop), None
        problems.append("start must lie before stop: the last 24 hours are shown.")
        return default, DEFAULT_RANGE
    wanted = _text(values.get("range")) or DEFAULT_RANGE
    seconds = _seconds(wanted)
    if seconds is None:
        problems.append(
            f"range={_quoted(wanted)} is not a time range: use a number and s, m, h, d or w, such as 6h. "
            "The last 24 hours are shown."
        )
        return default, DEFAULT_RANGE
    return Window.last(seconds, now), wanted


def _seconds(text: str) -> int | None:
    """How many seconds a span such as "24h" has; None where it is none."""
    match = _RANGE.fullmatch(text)
    if match is None:
        return None
    seconds = int(match[1]) * _UNIT_S[match[2]]
    return seconds if seconds <= _LONGEST_S else None


def _moment(name: str, text: str, problems: list[str]) -> int | None:
    """ISO 8601 as ns; a time without a zone is UTC."""
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
        zoned = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return int(zoned.timestamp()) * SECOND
    except (ValueError, OverflowError):
        problems.append(
            f"{name}={_quoted(text)} is not a time: use ISO 8601, such as 2026-01-31T08:00. "
            "The last 24 hours are shown."
        )
        return None


def _names(kind: str, value: Any, known: Collection[str] | None, problems: list[str]) -> tuple[str, ...]:
    given = value if isinstance(value, list | tuple) else _text(value).split(",")
    names = tuple(dict.fromkeys(name for one in given if (name := _text(one).strip())))
    if known is None:
        return names
    unknown = [name for name in names if name not in known]
    if unknown:
        listed = ", ".join(_quoted(name) for name in unknown[:5])
        problems.append(
            f"There is no {kind} {listed} in the store: {'it is' if len(unknown) == 1 else 'they are'} left out."
        )
    return tuple(name for name in names if name in known)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _quoted(text: str) -> str:
    return f"“{text if len(text) <= _SHOWN else text[:_SHOWN] + '…'}”"


def _iso(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns / SECOND, UTC):%Y-%m-%dT%H:%M:%S}"
