"""The Dash application: shell, pages, live push, health. `create_app` makes it; `MetricsDashboard` serves it."""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, cast

from dash import Dash, State
from dash.backends._fastapi import FastAPIDashServer
from fastapi import FastAPI

from smartlearn.core.settings import Settings
from smartlearn.core.stores import open_store
from smartlearn.dashboard import api, shell, wiring
from smartlearn.dashboard.health import Checked, Health
from smartlearn.dashboard.live import LiveHub
from smartlearn.dashboard.live.push import add_route
from smartlearn.dashboard.pages import PAGES, realtime
from smartlearn.dashboard.panels import Context
from smartlearn.dashboard.queries.history import History

_ASSETS: Final = Path(__file__).parent / "assets"


def create_app(settings: Settings, history: History | None = None, *, clock: Callable[[], int] = time.time_ns) -> Dash:
    """The five dashboards over a store; `app.server` is the ASGI application to serve.

    Args:
        settings: the whole tree; with a broker set, live views follow it.
        history: what to read; None opens the store that the settings name, and closes it at the end.
        clock: ns; the present.

    Raises:
        StoreUnavailable: the store cannot be opened.
    """
    store = None if history is not None else open_store(settings)
    source: History = cast("History", history or store)
    hub = LiveHub(settings, source, clock)
    context = Context(settings, source, clock)
    policy = api.Policy()

    @asynccontextmanager
    async def lifespan(_server: FastAPI) -> AsyncIterator[None]:
        await warm_up(app)
        policy.script_hashes = tuple(app.csp_hashes())
        hub.start()
        yield
        hub.stop()
        if store is not None:
            store.close()

    server = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app = _dash(server, settings)
    app.layout = shell.layout(settings)
    shell.register(app, hub)
    for page in PAGES:
        wiring.register(app, page, context, home=page is PAGES[0])
    realtime.register(app, context)
    add_route(server, hub)
    api.add_routes(server, app, Health(cast("Checked", store or _Always()), hub, settings.data_dir))
    server.add_middleware(api.SecurityHeaders, policy=policy)
    return app


async def warm_up(app: Dash) -> None:
    """Do now what Dash does at the first request to "/": otherwise a cold deep link finds half an application."""
    # Private, so Dash is pinned, and a test opens a cold link.
    for hook in cast("Any", app.backend)._before_request_funcs:  # noqa: SLF001
        result = hook()
        if inspect.isawaitable(result):
            await result


def _dash(server: FastAPI, settings: Settings) -> Dash:
    # A socket that nothing here uses, and that fails at each reload.
    FastAPIDashServer.websocket_capability = False
    app = Dash(
        __name__,
        server=cast("Any", server),
        backend="fastapi",
        use_pages=True,
        pages_folder="",
        assets_folder=str(_ASSETS),
        assets_path_ignore=["worker"],
        title=settings.dashboard.title,
        update_title="",
        compress=True,
        include_pages_meta=False,
        suppress_callback_exceptions=True,
        routing_callback_inputs={wiring.DARK_STATE: State("dark", "checked")},
        add_log_handler=False,
    )
    app.enable_dev_tools(debug=False, dev_tools_disable_version_check=True)
    app.logger.setLevel(logging.WARNING)
    return app


class _Always:
    """A history in memory answers as long as the process does."""

    def check(self) -> str:
        return "in memory"


def serve(app: Any, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    import uvicorn

    uvicorn.Server(api.server_config(app, settings.dashboard.host, settings.dashboard.port)).run()
