"""The frame of a page: title and question, the filter bar, messages, figures, cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import dash_mantine_components as dmc
from dash import dcc, html
from dash.development.base_component import Component

from smartlearn.dashboard.components.cards import card, select, text_entry
from smartlearn.dashboard.components.ids import (
    CUSTOM_ID,
    aria,
    filter_id,
    notice_id,
    page_id,
    root_id,
    stats_id,
    view_id,
)
from smartlearn.dashboard.components.marks import banner, stat_card
from smartlearn.dashboard.panels import Choice, Page
from smartlearn.dashboard.view import DEFAULT_RANGE, PRESETS, View

CUSTOM: Final = "custom"
"""The value of the range control while fixed times are picked."""

# Of thousands of names the list shows so many at once; what is typed searches all of them.
_MOST_OPTIONS: Final = 100


def frame(page: Page, view: View, pickers: Mapping[str, Sequence[str]], refresh: Choice) -> Component:
    """A whole page: title and question, filter bar, messages, figures, cards.

    Args:
        page: its declaration.
        view: what its address asks for.
        pickers: "node" and "run" → what can be picked.
        refresh: how often it is drawn anew.
    """
    content: list[Component] = [
        html.Div(id=notice_id(page.path)),
        html.Div(id=stats_id(page.path), className="stats", children=[stat_card(None) for _ in range(page.places)]),
        html.Div(className="grid", children=[card(panel, view) for panel in page.panels]),
    ]
    return frame_around(page, view, pickers, content, refresh=refresh)


def frame_around(
    page: Page,
    view: View,
    pickers: Mapping[str, Sequence[str]],
    content: Sequence[Component],
    *,
    refresh: Choice | None = None,
    action: Component | None = None,
) -> Component:
    """The head that every page has, around any content; `action` stands beside the filters."""
    choices = [*page.all_choices, *([refresh] if refresh else [])]
    defaults = {"range": DEFAULT_RANGE, **{choice.name: choice.default for choice in choices}}
    filters = filter_bar(page, view, pickers, [*page.choices, *([refresh] if refresh else [])])
    alone = len(pickers.get("node", ())) == 1
    return html.Div(
        id=root_id(page.path),
        className=f"page {'one-node' if len(view.nodes) == 1 or (alone and not view.nodes) else 'fleet'}",
        children=[
            dcc.Store(id=view_id(page.path), data=view.query),
            dcc.Store(id=page_id(page.path), data={"path": page.path, "defaults": defaults, "alone": alone}),
            html.Div(
                className="page-head",
                children=[
                    html.Div([html.H1(page.name), html.P(page.question, className="question")]),
                    html.Div([*([action] if action is not None else []), filters], className="page-tools"),
                ],
            ),
            html.Div([banner("warning", text) for text in view.problems]),
            *content,
        ],
    )


def filter_bar(page: Page, view: View, pickers: Mapping[str, Sequence[str]], choices: Sequence[Choice]) -> Component:
    """Time range, pickers and choices; `wiring` keeps their values in the address."""
    controls: list[Component] = []
    if page.ranged:
        controls += _range_controls(view)
    for name, word, chosen in (("node", "nodes", view.nodes), ("run", "runs", view.runs)):
        if name in page.pickers:
            controls.append(
                dmc.MultiSelect(
                    id=filter_id(name),
                    data=sorted({*pickers.get(name, ()), *chosen}),
                    value=list(chosen),
                    placeholder="" if chosen else f"All {word}",
                    searchable=True,
                    clearable=True,
                    size="xs",
                    className="picker",
                    nothingFoundMessage=f"No such {name}",
                    limit=_MOST_OPTIONS,
                    **aria(label=word.capitalize()),
                )
            )
    controls += [text_entry(entry, view) for entry in page.entries]
    controls += [select(choice, view) for choice in choices]
    return html.Div(controls, className="filters", role="group", **aria(label="Filters"))


def _range_controls(view: View) -> list[Component]:
    options = [{"value": value, "label": word} for value, word in PRESETS]
    if view.range is not None and view.range not in dict(PRESETS):
        options.append({"value": view.range, "label": f"Last {view.range}"})
    fixed = view.range is None
    query = view.query if fixed else {}
    pickers = [
        dmc.DateTimePicker(
            id=filter_id(name),
            value=query.get(name, "").replace("T", " ") or None,
            valueFormat="YYYY-MM-DD HH:mm",
            placeholder=word,
            size="xs",
            w=150,
            clearable=True,
            attributes={"input": {"aria-label": f"{word}, UTC"}},
        )
        for name, word in (("start", "From (UTC)"), ("stop", "To (UTC)"))
    ]
    return [
        html.Div(pickers, id=CUSTOM_ID, className="custom-range", hidden=not fixed),
        dmc.Select(
            id=filter_id("range"),
            data=[*options, {"value": CUSTOM, "label": "From … to …"}],
            value=CUSTOM if fixed else view.range or DEFAULT_RANGE,
            allowDeselect=False,
            size="xs",
            w=150,
            maxDropdownHeight=320,
            attributes={"input": {"aria-label": "Time range"}},
        ),
    ]
