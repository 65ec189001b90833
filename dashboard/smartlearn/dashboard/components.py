"""What pages look like: the frame, the row of figures, cards, the filter bar, and the words for nothing and for errors.

Pages declare panels (`panels`); this module turns a declaration into components. Ids:

- a chart's graph is `graph_id(panel.id)`, its message `note_id(panel.id)`;
- the row of figures is `stats_id(page.path)`; a control of the filter bar is `filter_id(name)`,
  its name that in the address.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

import dash_ag_grid as dag
import dash_mantine_components as dmc
import numpy as np
import plotly.graph_objects as go
from dash import dcc, html
from dash.development.base_component import Component

from smartlearn.core.batch import FloatArray
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.panels import Advice, Chart, Choice, Column, Insights, Page, Panel, Stat, Table
from smartlearn.dashboard.theme import Status
from smartlearn.dashboard.view import DEFAULT_RANGE, PRESETS, View

GRAPH_CONFIG: Final[Any] = {
    "displaylogo": False,
    "showSendToCloud": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
    "toImageButtonOptions": {"scale": 2},
}
CUSTOM: Final = "custom"
CUSTOM_ID: Final = {"type": "custom-range", "name": "pickers"}
_SPARK: Final = (120, 32)
_GRID_LOOK: Final = {
    "backgroundColor": "var(--surface)",
    "foregroundColor": "var(--ink)",
    "headerBackgroundColor": "var(--surface)",
    "headerTextColor": "var(--muted)",
    "headerFontSize": 12,
    "headerFontWeight": 500,
    "borderColor": "var(--edge)",
    "oddRowBackgroundColor": "var(--surface)",
    "rowHoverColor": "var(--tint)",
    "fontSize": 13,
    "fontFamily": "inherit",
    "wrapperBorder": False,
    "wrapperBorderRadius": 0,
    "cellHorizontalPadding": 10,
    "headerColumnResizeHandleColor": "transparent",
}


def graph_id(panel: str) -> dict[str, str]:
    """The id of a chart's graph."""
    return {"type": "chart", "id": panel}


def note_id(panel: str) -> dict[str, str]:
    """The id of what stands over a panel while it has nothing to show."""
    return {"type": "note", "id": panel}


def body_id(panel: str) -> dict[str, str]:
    """The id of a panel's content: a list of advice, or a table."""
    return {"type": "body", "id": panel}


def stats_id(path: str) -> dict[str, str]:
    """The id of a page's row of figures."""
    return {"type": "stats", "page": path}


def view_id(path: str) -> dict[str, str]:
    """The id of the store that holds what a page's address asks for."""
    return {"type": "view", "page": path}


def page_id(path: str) -> dict[str, str]:
    """The id of the store that says which page this is and what its defaults are."""
    return {"type": "page", "page": path}


def notice_id(path: str) -> dict[str, str]:
    """The id of a page's message about where its data is."""
    return {"type": "notice", "page": path}


def filter_id(name: str) -> dict[str, str]:
    """The id of a control whose value stands in the address under `name`."""
    return {"type": "filter", "name": name}


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
    return html.Div(
        className="page",
        children=[
            dcc.Store(id=view_id(page.path), data=view.query),
            dcc.Store(id=page_id(page.path), data={"path": page.path, "defaults": defaults}),
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
                    attributes={"input": {"aria-label": word.capitalize()}},
                )
            )
    controls += [select(choice, view) for choice in choices]
    return html.Div(controls, className="filters", role="group", **_aria(label="Filters"))


def select(choice: Choice, view: View) -> Component:
    """A choice of a page or a card."""
    control: Component = dmc.Select(
        id=filter_id(choice.name),
        data=[{"value": value, "label": word} for value, word in choice.options.items()],
        value=choice.of(view),
        allowDeselect=False,
        size="xs",
        w=150,
        attributes={"input": {"aria-label": choice.label}},
    )
    return control


def card(panel: Panel, view: View) -> Component:
    """A panel's card, as tall as it will be."""
    match panel:
        case Chart():
            return chart_card(panel, view)
        case Table():
            return table_card(panel)
        case Insights():
            return insights_card(panel)


def chart_card(panel: Chart, view: View) -> Component:
    """A card with a graph that `wiring` fills."""
    blank = style.figure(panel.height, template=view.template)
    blank.update_xaxes(visible=False).update_yaxes(visible=False)
    return shell(
        panel.id,
        panel.title,
        [
            graph(panel.id, blank, panel.height),
            waiting(panel.id),
        ],
        unit=panel.unit,
        span=panel.span,
        action=select(panel.choice, view) if panel.choice else None,
        hint=panel.help,
    )


def graph(panel: str, figure: go.Figure, height: int) -> Component:
    """A graph of a fixed height, with the one configuration that all have."""
    return dcc.Graph(
        id=graph_id(panel),
        figure=figure,
        config=GRAPH_CONFIG,
        responsive=True,
        style={"height": height},
        clear_on_unhover=True,
    )


def table_card(panel: Table) -> Component:
    """A card with an AG Grid that `wiring` fills."""
    grid = dag.AgGrid(
        id=body_id(panel.id),
        columnDefs=[_column(column) for column in panel.columns],
        rowData=[],
        defaultColDef={
            "sortable": True,
            "resizable": True,
            "suppressHeaderMenuButton": True,
            "wrapHeaderText": True,
            "autoHeaderHeight": True,
        },
        dashGridOptions={
            "theme": {"function": f"themeQuartz.withParams({json.dumps(_GRID_LOOK)})"},
            "animateRows": False,
            "suppressCellFocus": True,
            "rowHeight": 32,
            "suppressNoRowsOverlay": True,
            "tooltipShowDelay": 200,
        },
        style={"height": panel.height},
        className="table",
    )
    return shell(panel.id, panel.title, [grid, waiting(panel.id)], unit=panel.unit, span=panel.span)


def insights_card(panel: Insights) -> Component:
    """A card with a list of advice that `wiring` fills."""
    body = html.Div(id=body_id(panel.id), className="advice", style={"height": panel.height})
    return shell(panel.id, panel.title, [body, waiting(panel.id)], span=panel.span)


def shell(
    name: str,
    title: str,
    children: Sequence[Component],
    *,
    unit: str = "",
    span: int = 6,
    action: Component | None = None,
    hint: str = "",
) -> Component:
    """A card around anything: title, unit, an action on the right, the content."""
    head = [html.H2([title, html.Span(unit, className="unit")], title=hint or None)]
    return html.Section(
        [
            html.Header([*head, *([action] if action is not None else [])], className="card-head"),
            html.Div(list(children), className="card-body"),
        ],
        id=f"card-{name}",
        className=f"card span-{span}",
        **_aria(label=title),
    )


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
            html.Span(theme.STATUS_ICONS[status], className="icon", **_aria(hidden="true")),
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


def empty_note(text: str) -> Component:
    """Why a panel is empty, and what to run."""
    return html.Div([html.Span("○", className="big", **_aria(hidden="true")), html.P(text)], className="message")


def error_note(text: str) -> Component:
    """What is down, in one sentence."""
    return html.Div(
        [html.Span("✕", className="big critical", **_aria(hidden="true")), html.P(text)],
        className="message error",
        role="alert",
    )


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


def _column(column: Column) -> dict[str, Any]:
    definition: dict[str, Any] = {"field": column.field, "headerName": column.title, "headerTooltip": column.title}
    if column.width:
        definition |= {"width": column.width, "minWidth": min(column.width, 70), "flex": column.width}
    else:
        definition |= {"flex": 140, "minWidth": 120}
    if column.sort:
        definition["sort"] = column.sort
    match column.kind:
        case "number":
            definition |= {"type": "rightAligned", "valueFormatter": {"function": "smartlearnNumber(params.value)"}}
        case "percent":
            definition |= {"type": "rightAligned", "valueFormatter": {"function": "smartlearnPercent(params.value)"}}
        case "time":
            definition |= {"valueFormatter": {"function": "smartlearnTime(params.value)"}}
        case "status":
            definition |= {"cellRenderer": "SmartlearnStatus"}
        case "bar":
            definition |= {"cellRenderer": "SmartlearnBar"}
        case "link":
            definition |= {"cellRenderer": "SmartlearnLink"}
        case "text":
            definition |= {"tooltipField": column.field}
    return definition


def _aria(**values: str) -> dict[str, Any]:
    """Attributes for screen readers: label="…" becomes aria-label."""
    return {f"aria-{name}": value for name, value in values.items()}
