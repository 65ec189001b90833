"""Real-time Metrics: what happens now? Pushed, without a reload; the newest history is drawn before the first push."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import dash
import numpy as np
import plotly.graph_objects as go
from dash import ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component
from fastapi import FastAPI
from starlette.responses import JSONResponse

from smartlearn.core.batch import FloatArray
from smartlearn.core.errors import SmartLearnError
from smartlearn.core.stores.base import Series, SeriesQuery
from smartlearn.dashboard import components, queries, theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.figures.metrics import metric, rule_of
from smartlearn.dashboard.live.board import METRICS, Sample
from smartlearn.dashboard.panels import Chart, Choice, Context, Page
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.rollups import grouped
from smartlearn.dashboard.queries.window import with_gaps
from smartlearn.dashboard.view import View, parse_view
from smartlearn.dashboard.wiring import DARK_STATE

PATH: Final = "/realtime"
RECENT: Final = "/live/recent"
NAME: Final = "Real-time Metrics"

BACKFILL_S: Final = 600
"""So much history is drawn before the first push, and kept in sight."""

GAP_S: Final = 60
"""A line is interrupted where a node sent nothing for so long."""

_STEP: Final = 2 * queries.SECOND
_MOST_LINES: Final = 8
_HEIGHT: Final = 200

REFRESH: Final = Choice(
    "refresh",
    "Refresh",
    {"live": "Live", "1": "Every second", "5": "Every 5 s", "10": "Every 10 s", "30": "Every 30 s", "0": "Paused"},
)

_PAGE: Final = Page(
    PATH,
    NAME,
    "What happens now?",
    stats=lambda _context, _view: [],
    panels=(),
    pickers=("node",),
    places=7,
    icon="realtime",
    ranged=False,
    choices=(REFRESH,),
)


@dataclass(frozen=True, slots=True)
class Recent:
    """The newest values of one node.

    Attributes:
        node: its name.
        time: ns, ascending, shape (n,).
        values: metric → values, NaN where absent, shape (n,).
    """

    node: str
    time: Any
    values: Mapping[str, FloatArray]

    def before(self, moment: int) -> Recent:
        """The rows before a moment (µs)."""
        rows = self.time // 1000 < moment
        return Recent(self.node, self.time[rows], {name: column[rows] for name, column in self.values.items()})


def register(app: Dash, context: Context) -> None:
    """Serve the page, and the clientside callback that paints each push."""

    async def layout(**values: Any) -> Component:
        return await asyncio.to_thread(page_layout, context, values)

    dash.register_page(  # type: ignore[no-untyped-call]
        "smartlearn/realtime",
        path=PATH,
        name=NAME,
        title=f"{NAME} · {context.settings.dashboard.title}",
        layout=layout,
    )
    app.clientside_callback(  # type: ignore[no-untyped-call]
        ClientsideFunction("smartlearn", "paint"),
        Output(components.stats_id(PATH), "children"),
        Output("live-topics", "children"),
        Output("live-alerts", "children"),
        Output("live-advice", "children"),
        Output("live-link", "children"),
        Input("live", "data"),
        Input("second", "n_intervals"),
        State(components.view_id(PATH), "data"),
        State("live-settings", "data"),
    )


def add_route(server: FastAPI, context: Context, heard: Callable[[Sequence[str]], Sequence[Sample]]) -> None:
    """Serve the last minutes at /live/recent, in the form of a push: what a page missed while it was cut off.

    Args:
        server: gets the route.
        context: its history has what is older.
        heard: the samples of some nodes, or of all, that live views had lately: the newest is not stored yet.
    """

    @server.get(RECENT, include_in_schema=False)
    async def recent(node: str = "") -> JSONResponse:
        names = [name for name in node.split(",") if name]
        try:
            return JSONResponse(await asyncio.to_thread(recent_rows, context, names, heard(names)))
        except SmartLearnError as error:
            return JSONResponse({"error": str(error)}, 503)


def recent_rows(context: Context, nodes: Sequence[str], heard: Sequence[Sample] = ()) -> dict[str, list[Any]]:
    """The last minutes by column: node, timestamp (µs) and each metric, None where a row has none.

    A node's rows are those of the store, and from the first sample on that was heard of it, those that were heard.
    """
    since: dict[str, int] = {}
    for sample in heard:
        since.setdefault(sample.node, sample.timestamp)
    found = backfill(context.history, context.clock(), nodes)
    stored = [one.before(since[one.node]) if one.node in since else one for one in found]
    return {
        "node": [*(one.node for one in stored for _ in range(len(one.time))), *(sample.node for sample in heard)],
        "timestamp": [
            *(time for one in stored for time in (one.time // 1000).tolist()),
            *(sample.timestamp for sample in heard),
        ],
        **{
            name: [
                *(None if np.isnan(value) else value for one in stored for value in one.values[name].tolist()),
                *(sample.values.get(name) for sample in heard),
            ]
            for name in METRICS
        },
    }


def page_layout(context: Context, values: Mapping[str, Any]) -> Component:
    """The page with its newest history; where the store is down it starts empty and says so."""
    trouble: list[Component] = []
    names: list[str] = []
    recent: list[Recent] = []
    now = context.clock()
    dark = bool(values.get(DARK_STATE))
    view = parse_view(values, now, choices={REFRESH.name: REFRESH.options}, dark=dark)
    try:
        names = queries.nodes(context.history)
        view = parse_view(values, now, nodes=names, choices={REFRESH.name: REFRESH.options}, dark=dark)
        recent = backfill(context.history, now, view.nodes)
    except SmartLearnError as error:
        trouble = [components.banner("critical", f"{error}")]
    return components.frame_around(
        _PAGE,
        view,
        {"node": names},
        [
            dcc.Interval(id="second", interval=1000),
            dcc.Store(id="live-settings", data=_settings(context, view)),
            *trouble,
            html.Div(
                id=components.stats_id(PATH),
                className="stats",
                children=[components.stat_card(None) for _ in range(_PAGE.places)],
            ),
            html.Div(
                className="grid",
                children=[
                    *(_strip(name, recent, context, view) for name in METRICS),
                    _card("live-topics", "Events and lag", "events a second, messages waiting", 4),
                    _card("live-alerts", "Current alerts", "", 4),
                    _card("live-advice", "Recommendations", "", 4),
                ],
            ),
        ],
        action=html.Div(id="live-link", className="live-link"),
    )


def backfill(history: History, now: int, nodes: Sequence[str] = ()) -> list[Recent]:
    """The last minutes of the chosen nodes, or of those that reported last; raw, or panes where raw is not kept."""
    start = now - BACKFILL_S * queries.SECOND
    fields = ("cpu_usage", "memory_usage", "gpu_memory_used", "gpu_memory_total", "response_time")
    where: dict[str, str | tuple[str, ...] | None] = {"node": tuple(nodes)} if nodes else {}
    raw = history.query(SeriesQuery("performance", start, None, fields, where, every=_STEP, agg="mean"))
    if raw:
        return _first([_of_raw(name, series) for name, series in grouped(raw, "node", "").items()])
    panes = tuple(f"{name}_mean" for name in METRICS)
    stored = history.query(SeriesQuery("performance_10s", start, None, panes, where))
    return _first([_of_panes(name, series) for name, series in grouped(stored, "node", "").items()])


def strip(name: str, recent: Sequence[Recent], context: Context, view: View) -> go.Figure:
    """One metric of all nodes over the last minutes; pushes extend it."""
    what = metric(name)
    figure = style.figure(_HEIGHT, template=view.template)
    looks = theme.series_style(one.node for one in recent)
    for one in recent:
        column = one.values[name]
        has = np.isfinite(column)
        color, dash_style = looks[one.node]
        time, (values,) = with_gaps(one.time[has], GAP_S * queries.SECOND // 3, [column[has]])
        figure.add_scatter(
            x=style.moments(time).astype(str).tolist(),
            y=[None if np.isnan(value) else round(value, 3) for value in values.tolist()],
            name=one.node,
            mode="lines",
            line={"color": color, "width": 1.8, "dash": dash_style},
            hovertemplate=f"%{{y:.3~r}} {what.unit}<extra>%{{fullData.name}}</extra>",
            showlegend=True,
        )
    style.time_axis(figure, view.now - BACKFILL_S * queries.SECOND, view.now)
    if what.unit == "%":
        style.percent_axis(figure)
        low, high = 0.0, 100.0
    else:
        low, high = 0.0, 1.2 * style.bounds([one.values[name] for one in recent])[1]
        figure.update_yaxes(rangemode="tozero")
    style.gutter(figure, style.levels(figure, rule_of(name, context.settings), high), low, high)
    style.legend(figure)
    figure.update_layout(height=None, autosize=True, uirevision="live")
    return figure


def _strip(name: str, recent: Sequence[Recent], context: Context, view: View) -> Component:
    what = metric(name)
    panel = Chart(f"live-{name}", what.title, lambda _context, _view: go.Figure(), f"{what.unit}, last 10 min")
    graph = components.graph(panel.id, strip(name, recent, context, view), _HEIGHT)
    hint = f"At most {_MOST_LINES} nodes, the busiest; choose others above."
    return components.shell(panel.id, what.title, [graph], unit=panel.unit, span=6, hint=hint)


def _card(name: str, title: str, unit: str, span: int) -> Component:
    body = html.Div(
        id=name, className="live-body", style={"height": 190}, tabIndex=0, role="region",
        **components.aria(label=f"{title}: list"),
    )  # fmt: skip
    return components.shell(f"{name}-card", title, [body], unit=unit, span=span)


def _settings(context: Context, view: View) -> dict[str, Any]:
    """What the painting script needs: levels, words, colours."""
    settings = context.settings
    return {
        "rules": {
            rule.name: {"metric": rule.metric, "unit": rule.unit, "title": metric(rule.metric).title}
            for rule in settings.rules
        },
        "levels": {
            name: [rule.warning, rule.critical] for name in METRICS if (rule := rule_of(name, settings)) is not None
        },
        "metrics": {name: {"title": metric(name).title, "unit": metric(name).unit} for name in METRICS},
        "nodes": list(view.nodes),
        "series": list(theme.SERIES),
        "most_lines": _MOST_LINES,
        "window_ms": BACKFILL_S * 1000,
        "gap_ms": GAP_S * 1000,
    }


def _of_raw(node: str, series: Sequence[Series]) -> Recent:
    time, columns = _joined(series)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 100 * columns["gpu_memory_used"] / columns["gpu_memory_total"]
    columns["gpu_memory"] = np.where(np.isfinite(share), share, np.nan)
    return Recent(node, time, {name: columns[name] for name in METRICS})


def _of_panes(node: str, series: Sequence[Series]) -> Recent:
    time, columns = _joined(series)
    return Recent(node, time, {name: columns[f"{name}_mean"] for name in METRICS})


def _joined(series: Sequence[Series]) -> tuple[Any, dict[str, FloatArray]]:
    time = np.concatenate([one.time for one in series])
    order = np.argsort(time, kind="stable")
    names = series[0].fields
    columns = {
        name: np.concatenate([np.asarray(one.fields[name], dtype=np.float64) for one in series])[order]
        for name in names
    }
    return time[order], columns


def _first(found: list[Recent]) -> list[Recent]:
    """At most so many nodes: those with the highest CPU."""
    if len(found) <= _MOST_LINES:
        return sorted(found, key=lambda one: one.node)

    def weight(one: Recent) -> float:
        column = one.values["cpu_usage"]
        finite = column[np.isfinite(column)]
        return -float(finite.mean()) if len(finite) else 0.0

    return sorted(sorted(found, key=weight)[:_MOST_LINES], key=lambda one: one.node)
