"""What every figure has in common: axes, thresholds, direct labels, notes, and the words for numbers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.settings import RuleSettings
from smartlearn.dashboard import theme
from smartlearn.dashboard.format import with_unit

HEIGHT: Final = 280
"""The height of a panel's figure, px; the same in every row of cards."""

MARGIN: Final = {"l": 8, "r": 12, "t": 12, "b": 8}
_LABEL_GAP: Final = 0.075
_LABEL_LENGTH: Final = 14


def figure(height: int = HEIGHT, **layout: Any) -> go.Figure:
    """An empty figure with the ground rules: a quiet grid, one hover label a time, no legend, a stable view."""
    base = go.Figure()
    base.update_layout(
        height=height,
        margin=dict(MARGIN),
        showlegend=False,
        hovermode="x unified",
        hoversort="value descending",
        uirevision="keep",
        template=theme.LIGHT,
    )
    base.update_yaxes(nticks=6)
    base.update_layout(**layout)
    return base


def empty(message: str, height: int = HEIGHT) -> go.Figure:
    """A figure that says why there is nothing to see and what to do."""
    blank = figure(height)
    blank.update_xaxes(visible=False)
    blank.update_yaxes(visible=False)
    blank.add_annotation(
        text=message, xref="x domain", yref="y domain", x=0.5, y=0.5, showarrow=False, font={"size": 13}
    )
    return blank


def nothing(what: str, height: int = HEIGHT) -> go.Figure:
    """A figure that says that a time range has none of something, and what to do."""
    return empty(f"No {what} in this time range.<br>Choose a longer one, or run <b>smartlearn demo</b>.", height)


def too_few(minimum: int, height: int = HEIGHT) -> go.Figure:
    """A figure that says that there is data, of too few learners to show."""
    return empty(f"Fewer than {minimum} learners:<br>nothing is shown, so that nobody is recognised.", height)


def moments(time: Int64Array) -> NDArray[np.datetime64]:
    """Ns since the epoch as Plotly takes them: UTC, to the millisecond."""
    return time.astype("datetime64[ns]").astype("datetime64[ms]")


def time_axis(fig: go.Figure, start: int | None = None, stop: int | None = None) -> None:
    """The x axis as time in UTC, over the whole range asked for, so that missing data shows as missing."""
    fig.update_xaxes(type="date", hoverformat="%a %d %b %H:%M:%S", tickformatstops=_TICKS, nticks=7)
    if start is not None and stop is not None:
        fig.update_xaxes(range=moments(np.array([start, stop], dtype=np.int64)).astype(str).tolist())


_TICKS: Final = [
    {"dtickrange": [None, 60_000], "value": "%H:%M:%S"},
    {"dtickrange": [60_000, 86_400_000], "value": "%H:%M\n%d %b"},
    {"dtickrange": [86_400_000, None], "value": "%d %b\n%Y"},
]


def percent_axis(fig: go.Figure, *, ratio: bool = False) -> None:
    """The y axis as 0–100 %; of `ratio` values 0–1."""
    top = 1 if ratio else 100
    fig.update_yaxes(
        range=[0, top * 1.02],
        tick0=0,
        dtick=top / 4,
        tickformat=".0%" if ratio else "d",
        ticksuffix="" if ratio else "%",
    )


def band(fig: go.Figure, x: NDArray[np.generic], low: FloatArray, high: FloatArray, color: str) -> None:
    """A shaded band; where the bounds are NaN it is interrupted.

    Args:
        fig: gets the band.
        x: ascending, shape (n,).
        low: the lower bound, shape (n,).
        high: the upper bound, shape (n,).
        color: of the shade.
    """
    pieces = [rows for rows in _runs(np.isfinite(low) & np.isfinite(high)) if len(rows)]
    xs: list[Any] = []
    ys: list[float | None] = []
    for rows in pieces:
        around = np.concatenate([rows, rows[::-1]])
        xs += [*x[around].tolist(), None]
        ys += [*high[rows].tolist(), *low[rows[::-1]].tolist(), None]
    fig.add_scatter(
        x=xs, y=ys, fill="toself", fillcolor=color, mode="lines", line={"width": 0}, hoverinfo="skip",
        connectgaps=False, showlegend=False,
    )  # fmt: skip


def _runs(present: NDArray[np.bool_]) -> list[NDArray[np.intp]]:
    """The stretches of rows that are present."""
    rows = np.flatnonzero(present)
    return np.split(rows, np.flatnonzero(np.diff(rows) > 1) + 1)


@dataclass(frozen=True, slots=True)
class Label:
    """A word in the gutter right of a plot."""

    text: str
    value: float
    color: str


def levels(fig: go.Figure, rule: RuleSettings | None, highest: float = math.inf) -> list[Label]:
    """A rule's levels as thin lines; returns their labels for the gutter.

    A level above everything drawn is left out, so that it does not flatten the lines.
    """
    if rule is None:
        return []
    both: tuple[tuple[float, theme.Status], ...] = ((rule.warning, "warning"), (rule.critical, "critical"))
    return [level(fig, value, status, with_unit(value, rule.unit)) for value, status in both if value <= highest]


def level(fig: go.Figure, value: float, status: theme.Status, word: str) -> Label:
    """A thin line at a level; returns its label for the gutter."""
    color = theme.STATUS_COLORS[status]
    fig.add_shape(
        type="line", xref="x domain", x0=0, x1=1, yref="y", y0=value, y1=value, layer="below",
        line={"color": color, "width": 1, "dash": "dot"},
    )  # fmt: skip
    return Label(f"{theme.STATUS_ICONS[status]} {word}", value, color)


def gutter(fig: go.Figure, labels: Sequence[Label], low: float, high: float) -> None:
    """Words right of the plot at their values, pushed apart where they would overlap.

    Args:
        fig: gets a right margin that holds them.
        labels: where two have equal values, the later one stands above.
        low: bottom of the y axis.
        high: top of the y axis.
    """
    if not labels:
        return
    places = spread([label.value for label in labels], _LABEL_GAP * ((high - low) or 1.0), low, high)
    for label, place in zip(labels, places, strict=True):
        fig.add_annotation(
            text=label.text, xref="x domain", x=1, xanchor="left", xshift=6, yref="y", y=place,
            yanchor="middle", showarrow=False, font={"size": 11, "color": label.color}, align="left",
        )  # fmt: skip
    longest = max(len(label.text) for label in labels)
    fig.update_layout(margin={**fig.layout.margin.to_plotly_json(), "r": 14 + 7 * longest})


def upright(fig: go.Figure, value: float, status: theme.Status, unit: str) -> None:
    """A thin line at a level of a horizontal value axis, with the status' icon on top."""
    color = theme.STATUS_COLORS[status]
    fig.add_shape(
        type="line", xref="x", x0=value, x1=value, yref="y domain", y0=0, y1=1, layer="below",
        line={"color": color, "width": 1, "dash": "dot"},
    )  # fmt: skip
    fig.add_annotation(
        text=theme.STATUS_ICONS[status], hovertext=f"{theme.STATUS_WORDS[status]} above {with_unit(value, unit)}",
        xref="x", x=value, yref="y domain", y=1, yanchor="bottom", showarrow=False,
        font={"size": 11, "color": color},
    )  # fmt: skip


def spread(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The values moved as little as needed to be `gap` apart, in the same order, within the axis."""
    order = np.argsort(np.array(values), kind="stable")
    places = np.clip(np.array(values, dtype=np.float64)[order], low, high)
    for index in range(1, len(places)):
        places[index] = max(places[index], places[index - 1] + gap)
    overshoot = places[-1] - high if len(places) else 0.0
    if overshoot > 0:
        places[-1] = high
        for index in range(len(places) - 2, -1, -1):
            places[index] = min(places[index], places[index + 1] - gap)
    result = np.empty(len(places))
    result[order] = places
    return result.tolist()


def shorten(name: str, length: int = _LABEL_LENGTH) -> str:
    """A name that fits beside a figure: its middle gives way."""
    if len(name) <= length:
        return name
    head = (length - 1) // 2
    return f"{name[:head]}…{name[len(name) - (length - 1 - head) :]}"


def labels(names: Sequence[str], length: int = _LABEL_LENGTH) -> dict[str, str]:
    """Names that fit beside a figure and differ: without the words that all begin with, then without their ends.

    Args:
        names: as the data has them.
        length: the most characters of a label.
    """
    if all(len(name) <= length for name in names):
        return {name: name for name in names}
    start = _common_words(names) if len(set(names)) > 1 else 0
    cut = {name: name[start:] if len(name[start:]) <= length else f"{name[start:][: length - 1]}…" for name in names}
    return cut if len(set(cut.values())) == len(set(names)) else {name: shorten(name[start:], length) for name in names}


def _common_words(names: Sequence[str]) -> int:
    """How many characters the words have that all names begin with."""
    words = [re.split(r"(?<=[-_./ ])", name)[:-1] for name in names]
    same = takewhile(lambda column: len(set(column)) == 1, zip(*words, strict=False))
    return sum(len(column[0]) for column in same)


def readable(name: str) -> str:
    """A name of the data (computer_science) as words."""
    return name.replace("_", " ")


def bounds(columns: Sequence[FloatArray]) -> tuple[float, float]:
    """The smallest and largest finite value of several columns; (0, 1) where there is none."""
    finite = [column[np.isfinite(column)] for column in columns]
    filled = [column for column in finite if len(column)]
    if not filled:
        return 0.0, 1.0
    return float(min(column.min() for column in filled)), float(max(column.max() for column in filled))


def legend(fig: go.Figure, rows: int = 1) -> None:
    """A legend above the plot, over the figure's whole width, with room for some rows."""
    fig.update_layout(
        showlegend=True,
        legend={"xref": "container", "x": 0, "yref": "container", "y": 1, "yanchor": "top"},
        margin={**fig.layout.margin.to_plotly_json(), "t": 8 + 20 * rows},
    )


def corner(fig: go.Figure, text: str) -> None:
    """A quiet remark in the upper right corner of the plot."""
    fig.add_annotation(
        text=text, xref="x domain", x=1, xanchor="right", yref="y domain", y=1, yanchor="bottom", showarrow=False,
        font={"size": 10, "color": theme.GREY},
    )  # fmt: skip
    margin = fig.layout.margin.to_plotly_json()
    fig.update_layout(margin={**margin, "t": max(margin["t"], 22)})
