"""Small things: a figure of the first row, a state with its icon, a sparkline, messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import dash_mantine_components as dmc
import numpy as np
from dash import dcc, html
from dash.development.base_component import Component

from smartlearn.core.batch import FloatArray
from smartlearn.dashboard import theme
from smartlearn.dashboard.components.ids import aria, note_id
from smartlearn.dashboard.panels import Advice, Stat
from smartlearn.dashboard.theme import Status

_SPARK: Final = (120, 32)


def stat_card(stat: Stat | None) -> Component:
    """A figure of the first row; None is one that has not come yet, of the same size."""
    if stat is None:
        return html.Div(dmc.Skeleton(height=84), className="stat")
    change = html.Span(stat.change, className=f"change {stat.verdict or ''}".strip()) if stat.change else None
    line = [status_mark(stat.status) if stat.status else None, html.Span(stat.note, className="note")]
    return html.Div(
        [
            html.Div([html.Span(stat.label), *([change] if change is not None else [])], className="stat-label"),
            html.Div(
                [
                    html.Span(stat.value, className="value"),
                    html.Span(stat.unit, className="unit"),
                    sparkline(stat.spark, stat.color) if stat.spark is not None else None,
                ],
                className="stat-value",
            ),
            html.Div([part for part in line if part is not None], className="stat-line"),
        ],
        className=f"stat {stat.status or ''}".strip(),
        title=stat.hint or None,
    )


def status_mark(status: Status, word: str | None = None) -> Component:
    """A status as icon and word; never as a colour alone."""
    return html.Span(
        [
            html.Span(theme.STATUS_ICONS[status], className="icon", **aria(hidden="true")),
            word or theme.STATUS_WORDS[status],
        ],
        className=f"status {status}",
    )


def sparkline(values: FloatArray, color: str) -> Component | None:
    """A small line without axes, as an image; None where there are fewer than two values."""
    width, height = _SPARK
    finite = values[np.isfinite(values)]
    if len(finite) < 2:
        return None
    low, high = float(finite.min()), float(finite.max())
    scale = (height - 4) / (high - low) if high > low else 0.0
    x = np.linspace(1, width - 1, len(values))
    y = height - 2 - (values - low) * scale if scale else np.full(len(values), height / 2)
    parts: list[str] = []
    pen_down = False
    for px, py in zip(x.tolist(), y.tolist(), strict=True):
        if not np.isfinite(py):
            pen_down = False
            continue
        parts.append(f"{'L' if pen_down else 'M'}{px:.1f} {py:.1f}")
        pen_down = True
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" preserveAspectRatio="none">'
        f'<path d="{"".join(parts)}" fill="none" stroke="{color}" stroke-width="1.6" '
        'vector-effect="non-scaling-stroke" stroke-linejoin="round"/></svg>'
    )
    return html.Img(src=f"data:image/svg+xml,{quote(svg)}", className="spark", alt="")


def advice_list(items: Sequence[Advice]) -> list[Component]:
    """The lines of an advice card."""
    return [
        html.Div(
            [
                status_mark(item.status),
                html.Div(
                    [html.Div(item.title, className="advice-title"), html.Div(item.text, className="advice-text")],
                    className="advice-body",
                ),
                html.Span(item.when, className="note"),
            ],
            className="advice-line",
        )
        for item in items
    ]


def banner(status: Status, text: str, link: tuple[str, str] | None = None) -> Component:
    """One sentence above the figures, with a link (words, address) where there is something to do."""
    action = dcc.Link(link[0], href=link[1], className="banner-link") if link else None
    parts = [status_mark(status), html.Span(text), action]
    return html.Div([part for part in parts if part is not None], className=f"banner {status}", role="alert")


def waiting(panel: str) -> Component:
    """What stands in a card until its content comes."""
    return html.Div(dmc.Skeleton(height="100%", animate=True), id=note_id(panel), className="over")


def absent() -> Component:
    """Marks a card that goes where one node is shown that has nothing for it."""
    return html.Div(className="absent")


def empty_note(text: str) -> Component:
    """Why a panel is empty, and what to run."""
    return html.Div([html.Span("○", className="big", **aria(hidden="true")), html.P(text)], className="message")


def error_note(text: str) -> Component:
    """What is down, in one sentence."""
    return html.Div(
        [html.Span("✕", className="big critical", **aria(hidden="true")), html.P(text)],
        className="message error",
        role="alert",
    )
