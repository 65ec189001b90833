"""The frame of the application: header, navigation, colour scheme, the beat that refreshes, the state of the system."""

from __future__ import annotations

from typing import Any, Final

import dash
import dash_mantine_components as dmc
import plotly.io as pio
from dash import ALL, ClientsideFunction, Dash, Input, Output, State, dcc, html
from dash.development.base_component import Component

from smartlearn.core.settings import Settings
from smartlearn.dashboard import components, theme
from smartlearn.dashboard.pages import NAVIGATION

INDEX: Final = """<!DOCTYPE html>
<html lang="en">
<head>
{%metas%}
<title>{%title%}</title>
<link rel="icon" type="image/svg+xml" href="/assets/icons/logo.svg">
{%css%}
</head>
<body>
<noscript>The dashboards need JavaScript. The state of the system is at <a href="/health">/health</a>.</noscript>
{%app_entry%}
<footer>
{%config%}
{%scripts%}
{%renderer%}
</footer>
</body>
</html>
"""
"""The page around the application; without any script of its own, so that the policy needs no exception."""

NAVBAR: Final = 208
HEADER: Final = 52


def layout(settings: Settings) -> Component:
    """The application around the pages."""
    refresh_ms = round(settings.dashboard.refresh_s * 1000)
    provider: Component = dmc.MantineProvider(
        id="mantine",
        forceColorScheme="light",
        theme={
            "fontFamily": theme.FONT,
            "primaryColor": "blue",
            "defaultRadius": "sm",
            "fontSizes": {"xs": "0.75rem", "sm": "0.8125rem", "md": "0.875rem"},
        },
        children=[
            dcc.Store(id="templates", data={name: pio.templates[name].to_plotly_json() for name in _TEMPLATES}),
            dcc.Store(id="beat"),
            dcc.Store(id="live"),
            dcc.Store(id="socket"),
            dcc.Store(id="system"),
            dcc.Interval(id="tick", interval=refresh_ms),
            dmc.AppShell(
                id="shell",
                header={"height": HEADER},
                navbar={"width": NAVBAR, "breakpoint": "md", "collapsed": {"mobile": True}},
                padding=0,
                children=[
                    dmc.AppShellHeader(_header(settings)),
                    dmc.AppShellNavbar(_navigation(), className="navbar"),
                    dmc.AppShellMain(dash.page_container),
                ],
            ),
        ],
    )
    return provider


def register(app: Dash) -> None:
    """The callbacks that all pages share."""
    every: Any = ALL
    controls, graphs = components.filter_id(every), components.graph_id(every)
    views, pages, roots = components.view_id(every), components.page_id(every), components.root_id(every)
    custom, links = {**components.CUSTOM_ID, "name": ALL}, {"type": "nav", "path": ALL}
    path = Input("_pages_location", "pathname")
    functions: dict[str, tuple[Any, ...]] = {
        "view": (
            Output(views, "data"), Output(custom, "hidden"), Input(controls, "value"), State(controls, "id"),
            State(pages, "data"), State(views, "data"), State(custom, "id"),
        ),
        "scheme": (
            Output("mantine", "forceColorScheme"), Output(graphs, "figure"), Input("dark", "checked"),
            State("templates", "data"), State(graphs, "id"),
        ),
        "beat": (Output("beat", "data"), Input("tick", "n_intervals")),
        "extent": (Output(roots, "className"), Input(views, "data"), State(pages, "data")),
        "interval": (
            Output("tick", "interval"), Output("tick", "disabled"), Input(views, "data"), State(pages, "data"),
        ),
        "navigate": (Output(links, "active"), Output(links, "href"), path, Input(views, "data"), State(links, "id")),
        "menu": (
            Output("shell", "navbar"), Output("burger", "opened"), Input("burger", "opened"), path,
            State("shell", "navbar"),
        ),
        "socket": (Output("socket", "data"), path, Input(views, "data")),
        "system": (Output("state", "children"), Input("system", "data")),
    }  # fmt: skip
    for name, arguments in functions.items():
        app.clientside_callback(ClientsideFunction("smartlearn", name), *arguments)  # type: ignore[no-untyped-call]


_TEMPLATES: Final = (theme.LIGHT, theme.DARK)


def _header(settings: Settings) -> Component:
    group: Component = html.Div(
        [
            dmc.Burger(
                id="burger", opened=False, hiddenFrom="md", size="sm", attributes={"root": {"aria-label": "Menu"}}
            ),
            html.Span(className="logo", **{"aria-hidden": "true"}),  # type: ignore[arg-type]
            html.Span(settings.dashboard.title, className="brand"),
            html.Span(className="spring"),
            html.A(
                id="state",
                href="/health",
                title="Open alerts and workers; leads to the state of every component",
                className="state",
            ),
            dmc.Switch(
                id="dark",
                persistence=True,
                size="sm",
                label="Dark",
                labelPosition="left",
                className="dark-switch",
            ),
        ],
        className="header",
    )
    return group


def _navigation() -> list[Component]:
    return [
        dmc.NavLink(
            id={"type": "nav", "path": path},
            label=name,
            href=path,
            leftSection=html.Span(className=f"nav-icon {icon}"),
            className="nav",
        )
        for path, name, icon in NAVIGATION
    ]
