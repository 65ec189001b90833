"""The Dash application: shell, pages, live push, health. `create_app` makes it; `MetricsDashboard` serves it."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import signal
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol, cast

import uvicorn
from dash import Dash, State
from dash.backends._fastapi import FastAPIDashServer
from fastapi import FastAPI

from smartlearn.core.errors import SettingsError, StackError
from smartlearn.core.settings import Settings, load_settings
from smartlearn.core.stack import with_stack
from smartlearn.core.stores import open_store
from smartlearn.dashboard import api, shell, wiring
from smartlearn.dashboard.collector import CollectorFeed, CollectorHistory, above_levels
from smartlearn.dashboard.figures import VisualizationEngine
from smartlearn.dashboard.health import Checked, Health
from smartlearn.dashboard.live import LiveFeed, LiveHub
from smartlearn.dashboard.live.push import add_route, stored_standing
from smartlearn.dashboard.pages import PAGES, realtime
from smartlearn.dashboard.panels import Context
from smartlearn.dashboard.queries.history import History

_ASSETS: Final = Path(__file__).parent / "assets"
_READY_S: Final = 30.0
_STEP_S: Final = 0.02


class Readable(History, Checked, Protocol):
    """What the dashboards read: a metric store, or what stands in for one."""


def create_app(
    settings: Settings,
    history: Readable | None = None,
    *,
    hub: LiveHub | None = None,
    clock: Callable[[], int] = time.time_ns,
) -> Dash:
    """The five dashboards over a store; `app.server` is the ASGI application to serve.

    Args:
        settings: the whole tree.
        history: what to read; None opens the store that the settings name, and closes it at the end.
        hub: what live views follow; None follows the topics of the settings' broker.
        clock: ns; the present.

    Raises:
        StoreUnavailable: the store cannot be opened.
        SettingsError: a setting that the store needs is missing.
    """
    store = open_store(settings) if history is None else None
    source = cast("Readable", history or store)
    present = hub or LiveHub(partial(stored_standing, source), clock, partial(LiveFeed, settings.kafka))
    context = Context(settings, source, clock)
    policy = api.Policy()

    @asynccontextmanager
    async def lifespan(_server: FastAPI) -> AsyncIterator[None]:
        await warm_up(app)
        policy.script_hashes = tuple(app.csp_hashes())
        present.start()
        yield
        await asyncio.to_thread(present.stop)
        if store is not None:
            store.close()

    server = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    app = _dash(server, settings)
    app.layout = shell.layout(settings)
    shell.register(app)
    for page in PAGES:
        wiring.register(app, page, context, home=page is PAGES[0])
    realtime.register(app, context)
    wiring.register_pickers(app, context)
    add_route(server, present)
    realtime.add_route(server, context, present.recent)
    api.add_routes(server, app, Health(source, present, settings.data_dir))
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
        index_string=shell.INDEX,
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


def serve(app: Dash, settings: Settings) -> None:
    """Say where the dashboards are, and serve them until SIGTERM or SIGINT.

    Raises:
        StackError: the address cannot be listened on.
    """
    listener = listen(settings.dashboard.host, settings.dashboard.port)
    announce(listener)
    run(uvicorn.Server(api.server_config(app)), listener)


def run(server: uvicorn.Server, listener: socket.socket) -> None:
    """Serve in this thread until the server is told to end, by a signal too; then go on."""
    if threading.current_thread() is threading.main_thread():
        # The server ends by itself at a signal, and raises it again afterwards for whoever stood there before.
        signal.signal(signal.SIGTERM, lambda *_: None)
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[listener])


def announce(listener: socket.socket) -> str:
    """Print the address of a listening socket, and return it."""
    name, number = listener.getsockname()[:2]
    address = f"http://{f'[{name}]' if ':' in name else name}:{number}"
    print(f"dashboard  {address}", flush=True)  # noqa: T201  # the person at the keyboard opens it
    return address


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0 is any free one.

    Raises:
        StackError: the address is taken, or is none of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise StackError(
            f"the dashboard cannot listen on {host}:{port}: {error.strerror}; "
            "set another SMARTLEARN_DASHBOARD__PORT, 0 for any free one"
        ) from error
    return listener


class MetricsDashboard:
    """The five dashboards, served from this process.

    Args:
        source: a metrics collector (an object with the lists `performance_metrics`, `training_metrics` and
            `user_metrics`): shows what it holds, without a broker or a store. Or settings: shows their store and
            follows their broker. None reads the settings from the environment, and finds a running local stack.
        settings: host, port, colours and levels for a collector; the environment's where not given.

    Attributes:
        metrics_collector: the collector, or None.
        visualization_engine: draws single figures from the collector; None without one.
    """

    def __init__(self, source: object | None = None, settings: Settings | None = None) -> None:
        """Prepare; nothing is opened before `render_dashboard`."""
        if isinstance(source, Settings):
            source, settings = None, source
        self.settings = settings or with_stack(load_settings())
        self.metrics_collector: Any = source
        self.visualization_engine = None if source is None else VisualizationEngine(source, self.settings)
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def render_dashboard(self, *, host: str | None = None, port: int | None = None, block: bool = True) -> str:
        """Serve the dashboards, say where on stdout, and return the address.

        A collector that does not collect yet is started.

        Args:
            host: default `dashboard.host` of the settings.
            port: default `dashboard.port`; 0 is any free one.
            block: serve until Ctrl-C; otherwise a thread serves until `close`.

        Raises:
            StackError: the address cannot be listened on, or the server does not start.
            StoreUnavailable: the store cannot be opened.
        """
        if self._thread is not None:
            raise SettingsError("this dashboard is being served already: close it first")
        collector = self.metrics_collector
        if collector is not None and not getattr(collector, "is_collecting", True):
            collector.start_collection()
        app = self.app()
        shown = self.settings.dashboard
        listener = listen(host or shown.host, shown.port if port is None else port)
        address = announce(listener)
        server = self._server = uvicorn.Server(api.server_config(app))
        if block:
            run(server, listener)
            return address
        self._thread = threading.Thread(
            target=server.run, kwargs={"sockets": [listener]}, name="dashboard", daemon=True
        )
        self._thread.start()
        deadline = time.monotonic() + _READY_S
        while not server.started:
            if not self._thread.is_alive() or time.monotonic() > deadline:
                raise StackError("the dashboard did not start; its log says why")
            time.sleep(_STEP_S)
        return address

    def app(self) -> Dash:
        """The application, to be served by another ASGI server."""
        collector = self.metrics_collector
        if collector is None:
            return create_app(self.settings)
        node = str(getattr(collector, "node", None) or self.settings.node)
        history = CollectorHistory(collector, self.settings)
        hub = LiveHub(
            partial(above_levels, collector, node, self.settings.rules),
            time.time_ns,
            partial(CollectorFeed, collector, node),
            reread_s=1.0,
        )
        return create_app(self.settings, history, hub=hub)

    def close(self) -> None:
        """Stop what `render_dashboard(block=False)` started."""
        if self._server is not None:
            self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(_READY_S)
            self._thread = None
