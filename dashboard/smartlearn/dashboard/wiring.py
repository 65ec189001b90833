"""Ties declared pages to the app: layouts from addresses, and one callback a panel that cannot break the others.

Queries block, so each callback runs its query in a thread: the server's event loop stays free for live pushes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar
from urllib.parse import urlencode

import dash
import plotly.graph_objects as go
from dash import ClientsideFunction, Dash, Input, Output, State, no_update
from dash.development.base_component import Component

from smartlearn.core.errors import SmartLearnError
from smartlearn.core.settings import Settings
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.dashboard import components, queries
from smartlearn.dashboard.format import clock, span
from smartlearn.dashboard.panels import Chart, Choice, Context, Insights, Page, Table
from smartlearn.dashboard.queries import DAY, HOUR, Window
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.view import View, parse_view

T = TypeVar("T")

_log = logging.getLogger(__name__)

_NAMES_S: Final = 20.0

DARK_STATE: Final = "dark_scheme"
"""The name under which a page's layout is told the colour scheme."""


def asks(page: Page) -> tuple[Input, Input, State]:
    """What every panel of a page is drawn by: its view, the beat, the colour scheme."""
    return Input(components.view_id(page.path), "data"), Input("beat", "data"), State("dark", "checked")


def register(app: Dash, page: Page, context: Context, *, home: bool = False) -> None:
    """Serve a page: its layout at its path, and a callback for each of its panels.

    Args:
        app: the Dash app.
        page: the declaration.
        context: what panels draw from.
        home: whether it also stands at "/".
    """

    async def layout(**values: Any) -> Component:
        return await asyncio.to_thread(page_layout, page, context, values)

    paths = [page.path, *(["/"] if home else [])]
    for path in paths:
        dash.register_page(  # type: ignore[no-untyped-call]
            f"smartlearn{path}", path=path, name=page.name, title=f"{page.name} · {context.settings.dashboard.title}",
            layout=layout,
        )  # fmt: skip
    _stats(app, page, context)
    _notice(app, page, context)
    for panel in page.panels:
        match panel:
            case Chart():
                _chart(app, page, panel, context)
            case Table():
                _table(app, page, panel, context)
            case Insights():
                _insights(app, page, panel, context)


def page_layout(page: Page, context: Context, values: Mapping[str, Any]) -> Component:
    """A page for an address; where the store is down the pickers hold what the address names."""
    dark = bool(values.get(DARK_STATE))
    pickers: dict[str, list[str]] = {
        name: found for name in page.pickers if (found := _known(context, name)) is not None
    }
    with contextlib.suppress(SmartLearnError):  # the panels say that the store is down
        page = page.resolved(context.history)
    refresh = refresh_choice(context.settings)
    choices = page.all_options | {refresh.name: refresh.options}
    view = parse_view(
        values, context.clock(), nodes=pickers.get("node"), runs=pickers.get("run"), choices=choices, dark=dark
    )
    return components.frame(page, view, pickers, refresh)


def _known(context: Context, picker: Literal["node", "run"]) -> list[str] | None:
    """What can be picked; None where the store does not say, which the panels tell."""
    try:
        return queries.nodes(context.history) if picker == "node" else queries.run_names(context.history)
    except SmartLearnError:
        return None
    except Exception:  # a defect here must not keep the whole page from opening: it is logged, with its trace
        _log.exception("what can be picked is not known")
        return None


def refresh_choice(settings: Settings) -> Choice:
    """How often pages are drawn anew: a few usual times and the one of the settings."""
    start = f"{settings.dashboard.refresh_s:g}"
    seconds = sorted({5.0, 10.0, 30.0, 60.0, settings.dashboard.refresh_s})
    return Choice("refresh", "Refresh", {"0": "No refresh"} | {f"{s:g}": f"Every {span(s)}" for s in seconds}, start)


def register_pickers(app: Dash, context: Context) -> None:
    """Keep what can be picked up to date on open pages."""
    for name, names in (("node", _Names(context, queries.nodes)), ("run", _Names(context, queries.run_names))):
        _picker(app, name, names)


def where_data_is(page: Page, context: Context, view: View) -> Component | None:
    """A sentence where a range holds nothing: the newest data and the way there, or what to run."""
    tag = {"node": view.nodes} if view.nodes and page.measurement.startswith("performance") else {}
    inside = SeriesQuery(page.measurement, view.window.start - HOUR, view.window.stop, where=tag, limit=1)
    if context.history.query(inside):
        return None
    times = [int(series.time[-1]) for series in context.history.latest(page.measurement)]
    if not times:
        return components.banner(
            "unknown", "Nothing is stored yet. Start an agent, import a file, or run smartlearn demo."
        )
    stop = min(max(times) + HOUR, context.clock())
    if view.window.start <= stop <= view.window.stop:
        return None
    there = View(Window(stop - DAY, stop), view.now, view.nodes, view.runs, None, view.choices)
    return components.banner(
        "unknown",
        f"Nothing in this time range; the newest data is of {clock(max(times))}.",
        ("Show the 24 hours before it", f"{page.path}?{urlencode(there.query)}"),
    )


def answer(draw: Callable[[Context, View], T], context: Context, view: View) -> T | Component:
    """What a panel's function gives, or the message that stands in its place."""
    try:
        return draw(context, view)
    except SmartLearnError as error:
        return components.error_note(f"{error}")
    except Exception:  # a bug in one panel must neither break the page nor hide: it is logged, with its trace
        _log.exception("a panel of the dashboard failed")
        return components.error_note("This panel failed; the dashboard's log says why.")


def _view(page: Page, context: Context, values: Any, dark: Any) -> View:
    given = values if isinstance(values, dict) else {}
    return parse_view(given, context.clock(), choices=page.all_options, dark=bool(dark))


async def _ask(
    page: Page, draw: Callable[[Context, View], T], context: Context, values: Any, dark: Any
) -> tuple[T | Component, View]:
    view = _view(page, context, values, dark)
    return await asyncio.to_thread(answer, draw, context, view), view


def _stats(app: Dash, page: Page, context: Context) -> None:
    @app.callback(Output(components.stats_id(page.path), "children"), *asks(page))
    async def figures(values: Any, beat: Any, dark: Any) -> Sequence[Component]:
        found, _ = await _ask(page, page.stats, context, values, dark)
        if isinstance(found, Component):
            return [found]
        return [components.stat_card(stat) for stat in found]


def _notice(app: Dash, page: Page, context: Context) -> None:
    # The second input never changes: with the first alone, which another callback may leave as it is, Dash does not
    # call this one when the page opens.
    unchanging = Input(components.page_id(page.path), "data")

    @app.callback(Output(components.notice_id(page.path), "children"), asks(page)[0], unchanging)
    async def notice(values: Any, page_is: Any) -> Component | None:
        try:
            return await asyncio.to_thread(where_data_is, page, context, _view(page, context, values, False))
        except SmartLearnError as error:
            return components.banner("critical", str(error))


class _Names:
    """Names of nodes or runs, asked once for all pages."""

    def __init__(self, context: Context, ask: Callable[[History], Sequence[str]]) -> None:
        self._context = context
        self._ask = ask
        self._known: list[str] = []
        self._asked = float("-inf")
        self._lock = threading.Lock()

    def get(self) -> list[str]:
        with self._lock:
            if time.monotonic() - self._asked > _NAMES_S:
                self._known = list(self._ask(self._context.history))
                self._asked = time.monotonic()
            return self._known


def _picker(app: Dash, name: str, names: _Names) -> None:
    control = components.filter_id(name)

    @app.callback(Output(control, "data"), Input("beat", "data"), State(control, "value"), prevent_initial_call=True)
    async def options(beat: Any, chosen: Any) -> Any:
        try:
            known = await asyncio.to_thread(names.get)
        except SmartLearnError:
            return no_update
        return sorted({*known, *(chosen or [])})


def _chart(app: Dash, page: Page, panel: Chart, context: Context) -> None:
    @app.callback(
        Output(components.graph_id(panel.id), "figure"), Output(components.note_id(panel.id), "children"), *asks(page)
    )
    async def chart(values: Any, beat: Any, dark: Any) -> tuple[Any, Any]:
        found, view = await _ask(page, panel.draw, context, values, dark)
        if isinstance(found, Component):
            return no_update, found
        return dressed(found, view), components.absent() if panel.optional and not found.data else None

    if panel.click:
        app.clientside_callback(  # type: ignore[no-untyped-call]
            ClientsideFunction("smartlearn", "choose"),
            Output(components.filter_id(panel.click), "value", allow_duplicate=True),
            Input(components.graph_id(panel.id), "clickData"),
            prevent_initial_call=True,
        )
    if panel.zoom:
        app.clientside_callback(  # type: ignore[no-untyped-call]
            ClientsideFunction("smartlearn", "zoom"),
            Output(components.filter_id(panel.zoom), "value", allow_duplicate=True),
            Input(components.graph_id(panel.id), "relayoutData"),
            State(components.graph_id(panel.id), "figure"),
            prevent_initial_call=True,
        )


def _table(app: Dash, page: Page, panel: Table, context: Context) -> None:
    body = components.body_id(panel.id)

    @app.callback(
        Output(body, "rowData"), Output(body, "columnDefs"), Output(components.note_id(panel.id), "children"),
        *asks(page),
    )  # fmt: skip
    async def table(values: Any, beat: Any, dark: Any) -> tuple[Any, Any, Any]:
        found, _ = await _ask(page, panel.rows, context, values, dark)
        if isinstance(found, Component):
            return no_update, no_update, found
        columns = components.column_defs(panel, found) if panel.more else no_update
        return found, columns, None if found else components.empty_note(panel.empty)


def _insights(app: Dash, page: Page, panel: Insights, context: Context) -> None:
    @app.callback(
        Output(components.body_id(panel.id), "children"), Output(components.note_id(panel.id), "children"), *asks(page)
    )
    async def insights(values: Any, beat: Any, dark: Any) -> tuple[Any, Any]:
        found, _ = await _ask(page, panel.items, context, values, dark)
        if isinstance(found, Component):
            return no_update, found
        return components.advice_list(found), None if found else components.empty_note(panel.empty)


def dressed(figure: go.Figure, view: View) -> go.Figure:
    """A figure as its card shows it: the scheme's template, the card's size, a zoom that outlives a refresh."""
    revision = "|".join(f"{name}={value}" for name, value in sorted(view.query.items()))
    figure.update_layout(template=view.template, height=None, autosize=True, uirevision=revision)
    return figure
