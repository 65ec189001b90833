"""Cards: a chart, a table, advice, or anything else in the same frame, as tall as it will be."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import dash_ag_grid as dag
import dash_mantine_components as dmc
import plotly.graph_objects as go
from dash import dcc, html
from dash.development.base_component import Component

from smartlearn.dashboard.components.ids import aria, body_id, filter_id, graph_id
from smartlearn.dashboard.components.marks import waiting
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.panels import Chart, Choice, Column, Entry, Insights, Only, Panel, Table
from smartlearn.dashboard.view import View

GRAPH_CONFIG: Final[Any] = {
    "displaylogo": False,
    "showSendToCloud": False,
    "responsive": True,
    "modeBarButtonsToRemove": ["select2d", "lasso2d", "zoomIn2d", "zoomOut2d", "autoScale2d"],
    "toImageButtonOptions": {"scale": 2},
}


def _formatted(function: str) -> dict[str, Any]:
    return {"type": "rightAligned", "valueFormatter": {"function": f"{function}(params.value)"}}


_SHOWN_AS: Final[dict[str, dict[str, Any]]] = {
    "number": _formatted("smartlearnNumber"),
    "percent": _formatted("smartlearnPercent"),
    "integer": _formatted("smartlearnInteger"),
    "duration": _formatted("smartlearnDuration"),
    "time": {"valueFormatter": {"function": "smartlearnTime(params.value)"}},
    "status": {"cellRenderer": "SmartlearnStatus"},
    "bar": {"cellRenderer": "SmartlearnBar"},
    "link": {"cellRenderer": "SmartlearnLink"},
    "spark": {"cellRenderer": "SmartlearnSpark", "sortable": False, "cellDataType": False},
    "shown": {"cellRenderer": "SmartlearnShown", "pinned": "left", "sortable": False, "resizable": False},
}
_NUMERIC: Final = frozenset({"number", "percent", "integer", "duration", "bar"})
_UNFILTERED: Final = frozenset({"spark", "shown", "time"})
_SEARCHED: Final = 12
"""A list of more options can be searched."""

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
        only=panel.only,
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
        columnDefs=column_defs(panel, ()),
        rowData=[],
        defaultColDef={
            "sortable": True,
            "resizable": True,
            "suppressHeaderMenuButton": True,
            "wrapHeaderText": True,
            "autoHeaderHeight": True,
        },
        getRowId=f"params.data.{panel.key}" if panel.key else None,
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
    return shell(panel.id, panel.title, [grid, waiting(panel.id)], unit=panel.unit, span=panel.span, only=panel.only)


def column_defs(panel: Table, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The columns of a table, as the grid takes them, for some rows."""
    return [_column(column, filters=panel.filters) for column in panel.columns_of(rows)]


def insights_card(panel: Insights) -> Component:
    """A card with a list of advice that `wiring` fills."""
    body = html.Div(
        id=body_id(panel.id), className="advice", style={"height": panel.height}, tabIndex=0, role="region",
        **aria(label=f"{panel.title}: list"),
    )  # fmt: skip
    return shell(panel.id, panel.title, [body, waiting(panel.id)], span=panel.span, only=panel.only)


def shell(
    name: str,
    title: str,
    children: Sequence[Component],
    *,
    unit: str = "",
    span: int = 6,
    action: Component | None = None,
    hint: str = "",
    only: Only = "",
) -> Component:
    """A card around anything: title, unit, an action on the right, the content."""
    head = [html.H2([title, html.Span(unit, className="unit")], title=hint or None)]
    return html.Section(
        [
            html.Header([*head, *([action] if action is not None else [])], className="card-head"),
            html.Div(list(children), className="card-body"),
        ],
        id=f"card-{name}",
        className=f"card span-{span}" + (f" only-{only}" if only else ""),
        **aria(label=title),
    )


def select(choice: Choice, view: View) -> Component:
    """A choice of a page or a card."""
    control: Component = dmc.Select(
        id=filter_id(choice.name),
        data=[{"value": value, "label": word} for value, word in choice.options.items()],
        value=choice.of(view),
        allowDeselect=False,
        searchable=len(choice.options) > _SEARCHED,
        size="xs",
        w=170,
        attributes={"input": {"aria-label": choice.label}},
    )
    return control


def text_entry(entry: Entry, view: View) -> Component:
    """An entry of the filter bar; it takes effect on Enter, or when it is left."""
    control: Component = dmc.TextInput(
        id=filter_id(entry.name),
        value=entry.of(view),
        placeholder=entry.placeholder,
        debounce=True,
        size="xs",
        w=150,
        attributes={"input": {"aria-label": entry.label, "title": f"{entry.label}: {entry.meaning}"}},
    )
    return control


def _column(column: Column, *, filters: bool = False) -> dict[str, Any]:
    definition: dict[str, Any] = {"field": column.field, "headerName": column.title, "headerTooltip": column.title}
    if column.width and filters:
        definition |= {"width": column.width, "minWidth": min(column.width, 70)}
        if column.kind == "link":
            definition["pinned"] = "left"
    elif column.width:
        definition |= {"width": column.width, "minWidth": min(column.width, 70), "flex": column.width}
    else:
        definition |= {"flex": 140, "minWidth": 120}
    if column.sort:
        definition["sort"] = column.sort
    if filters and column.kind not in _UNFILTERED:
        numeric = column.kind in _NUMERIC
        definition |= {
            "filter": "agNumberColumnFilter" if numeric else "agTextColumnFilter",
            "floatingFilter": True,
            "suppressHeaderFilterButton": True,
            "suppressFloatingFilterButton": not numeric,
        }
    definition |= _SHOWN_AS.get(column.kind, {"tooltipField": column.field})
    return definition
