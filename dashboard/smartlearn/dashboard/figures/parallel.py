"""Parallel coordinates: which settings make a good run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from smartlearn.core.batch import FloatArray
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.format import number

MOST_AXES: Final = 8

_SHADES: Final = 12
_LOG_FROM: Final = 30.0
_MOST_WORDS: Final = 12
_IN_A_ROW: Final = 4
_ROW: Final = 14


@dataclass(frozen=True, slots=True)
class Setup:
    """A run as its settings and what came of it.

    Attributes:
        run: its name.
        settings: name → number or word.
        result: the loss; lower is better, NaN is not known.
        color: its colour where it is drawn in the other charts.
    """

    run: str
    settings: Mapping[str, Any]
    result: float
    color: str | None = None


@dataclass(frozen=True, slots=True)
class _Scale:
    """One upright axis: where each run lies on it, 0–1, and its ticks."""

    title: str
    place: FloatArray
    ticks: Sequence[tuple[float, str]]


def varying(setups: Sequence[Setup]) -> list[str]:
    """The settings that differ between runs and say something, those with a number first."""
    names = dict.fromkeys(name for setup in setups for name in setup.settings)
    found = []
    for name in names:
        values = [setup.settings.get(name) for setup in setups]
        plain = [value for value in values if isinstance(value, int | float | str)]
        words = {value for value in plain if isinstance(value, str)}
        if len(set(map(str, plain))) > 1 and len(plain) * 2 >= len(values) and len(words) <= _MOST_WORDS:
            found.append((bool(words), name))
    return [name for _, name in sorted(found, key=lambda one: one[0])]


def parallel(
    setups: Sequence[Setup], result: str, height: int = style.HEIGHT, *, surface: str | None = None
) -> go.Figure:
    """A line a run over its settings, which ends at its loss; the better, the stronger, and drawn last.

    Args:
        setups: the runs.
        result: what the last axis is called.
        height: px.
        surface: the colour behind ticks, so that lines do not cross them.
    """
    known = [setup for setup in setups if np.isfinite(setup.result)]
    names = varying(known)[: MOST_AXES - 1]
    if len(known) < 3 or not names:
        return style.empty(
            "Three runs or more that differ in a setting show here which settings do well.<br>"
            "Tell them with <b>track_training(settings={…})</b>.",
            height,
        )
    scales = [_scale(name, [setup.settings.get(name) for setup in known]) for name in names]
    scales.append(_scale(result, [setup.result for setup in known]))
    fig = style.figure(height, margin={"l": 50, "r": 50, "t": 46, "b": 12}, hovermode="closest")
    table = np.stack([scale.place for scale in scales], axis=1)
    _lines(fig, known, table)
    words = []
    for place, scale in enumerate(scales):
        words += _upright(place, scale, surface, _ROW if len(scales) > _IN_A_ROW and place % 2 else 0)
    line = {"color": theme.GREY, "width": 1}
    axes = [
        {"type": "line", "x0": at, "x1": at, "y0": 0, "y1": 1, "layer": "below", "line": line}
        for at in range(len(scales))
    ]
    fig.update_layout(annotations=words, shapes=axes)
    fig.update_xaxes(range=[-0.15, len(scales) - 0.85], visible=False, fixedrange=True)
    fig.update_yaxes(range=[-0.04, 1.04], visible=False, fixedrange=True)
    return fig


def _lines(fig: go.Figure, setups: Sequence[Setup], table: FloatArray) -> None:
    rank = np.argsort(np.argsort([-setup.result for setup in setups])) / max(len(setups) - 1, 1)
    shade = np.minimum((rank * _SHADES).astype(int), _SHADES - 1)
    faint = min(0.6, max(0.1, 8 / len(setups)))
    for one in range(_SHADES):
        members = [place for place in np.flatnonzero(shade == one).tolist() if setups[place].color is None]
        if members:
            share = one / (_SHADES - 1)
            _trace(fig, setups, table, members, (theme.BLUE, 0.8 + 0.8 * share**4, faint + (0.85 - faint) * share**4))
    for place, setup in enumerate(setups):
        if setup.color is not None:
            _trace(fig, setups, table, [place], (setup.color, 2.6, 1.0))


def _trace(
    fig: go.Figure,
    setups: Sequence[Setup],
    table: FloatArray,
    members: Sequence[int],
    look: tuple[str, float, float],
) -> None:
    """Some runs as one trace: a gap parts their lines."""
    x: list[float | None] = []
    y: list[float | None] = []
    names: list[str | None] = []
    words: list[str] = []
    for place in members:
        setup = setups[place]
        x += [*range(table.shape[1]), None]
        y += [*(None if np.isnan(one) else one for one in table[place].tolist()), None]
        names += [setup.run] * table.shape[1] + [None]
        words += [number(setup.result)] * table.shape[1] + [""]
    color, width, opacity = look
    fig.add_scatter(
        x=x, y=y, mode="lines+markers", customdata=names, text=words, name="runs", showlegend=False, connectgaps=False,
        hovertemplate="<b>%{customdata}</b><br>loss %{text}<extra></extra>",
        line={"color": color, "width": width, "shape": "spline", "smoothing": 0.6}, marker={"size": 3},
        opacity=opacity,
    )  # fmt: skip


def _upright(place: int, scale: _Scale, surface: str | None, raised: int) -> list[dict[str, Any]]:
    """The words of an axis; its title stands `raised` px higher, so that neighbours' do not touch on a phone."""
    title = {
        "text": f"<b>{style.shorten(style.readable(scale.title), 16)}</b>", "x": place, "y": 1, "xanchor": "center",
        "yanchor": "bottom", "yshift": 10 + raised, "showarrow": False, "font": {"size": 11},
    }  # fmt: skip
    ticks = [
        {
            "text": style.shorten(word, 12), "x": place, "y": at, "xanchor": "right", "xshift": -6, "showarrow": False,
            "font": {"size": 10}, "bgcolor": surface, "borderpad": 1,
        }
        for at, word in scale.ticks
    ]  # fmt: skip
    return [title, *ticks]


def _scale(title: str, values: Sequence[Any]) -> _Scale:
    if any(isinstance(value, str) for value in values):
        words = sorted({str(value) for value in values if value is not None})
        spot = {word: (index + 0.5) / len(words) for index, word in enumerate(words)}
        place = np.array([np.nan if value is None else spot[str(value)] for value in values])
        return _Scale(title, place, [(at, word) for word, at in spot.items()])
    raw = np.array([float(value) if isinstance(value, int | float) else np.nan for value in values])
    low, high = float(np.nanmin(raw)), float(np.nanmax(raw))
    logarithmic = low > 0 and high / low >= _LOG_FROM
    ends = np.log10([low, high]) if logarithmic else np.array([low, high])
    scaled = np.log10(raw) if logarithmic else raw
    span = float(ends[1] - ends[0]) or 1.0
    marks = np.unique(np.round(_ticks(low, high, raw), 12)) if not logarithmic else np.geomspace(low, high, 4)
    places = ((np.log10(marks) if logarithmic else marks) - ends[0]) / span
    return _Scale(
        title,
        (scaled - ends[0]) / span,
        [(float(at), _word(float(mark))) for at, mark in zip(places, marks, strict=True)],
    )


def _ticks(low: float, high: float, values: FloatArray) -> FloatArray:
    """The values themselves where there are few, else four even ones."""
    there = np.unique(values[~np.isnan(values)])
    return there if len(there) <= 5 else np.linspace(low, high, 4)


def _word(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return style.shorten(str(value), 24)
    return f"{value:.2g}" if value and abs(value) < 1e-2 else number(float(value))
