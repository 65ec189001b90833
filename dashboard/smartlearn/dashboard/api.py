"""What is served beside Dash: `/health`, the pages' own addresses, a plain 404 for all others, security headers."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final, cast

import dash
import uvicorn
from dash import Dash
from dash.backends._fastapi import reset_current_request, set_current_request
from fastapi import FastAPI, Request
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from smartlearn.dashboard.health import Health

# Open pages hold sockets; at the end they are closed rather than waited for.
_SHUTDOWN_S: Final = 1


@dataclass(slots=True)
class Policy:
    """The content security policy; the hashes of Dash's inline scripts are known after the warm-up.

    Attributes:
        script_hashes: as `Dash.csp_hashes` gives them.
    """

    script_hashes: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The header's value: nothing is loaded from, or sent to, any other address."""
        scripts = " ".join(("'self'", *self.script_hashes))
        return "; ".join(
            (
                "default-src 'none'",
                f"script-src {scripts}",
                "style-src 'self' 'unsafe-inline'",
                "img-src 'self' data: blob:",
                "font-src 'self' data:",
                "connect-src 'self'",
                "worker-src 'self'",
                "manifest-src 'self'",
                "base-uri 'none'",
                "form-action 'none'",
                "frame-ancestors 'self'",
            )
        )


class SecurityHeaders:
    """Pure ASGI middleware that adds the policy and its kin to every HTTP answer."""

    def __init__(self, app: ASGIApp, policy: Policy) -> None:
        self._app = app
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = self._policy.text
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "same-origin"
            await send(message)

        await self._app(scope, receive, dressed)


def add_routes(server: FastAPI, app: Dash, health: Health) -> None:
    """Serve health, the pages and the 404; call it after all pages are registered and before the server starts.

    Dash answers any unknown address with its index page and 200; the last route here comes before that one.
    """

    @server.get("/health", include_in_schema=False)
    async def report() -> JSONResponse:
        state = await asyncio.to_thread(health.report)
        return JSONResponse(state, 200 if state["status"] == "ok" else 503)

    async def index(request: Request) -> Response:
        token = set_current_request(request)  # type: ignore[no-untyped-call]
        try:
            return Response(app.index(), media_type="text/html")  # type: ignore[no-untyped-call]
        finally:
            reset_current_request(token)  # type: ignore[no-untyped-call]

    paths = [str(page["path"]) for page in dash.page_registry.values()]
    for path in paths:
        server.add_api_route(path, index, methods=["GET", "HEAD"], include_in_schema=False)

    @server.api_route("/{path:path}", methods=["GET", "HEAD"], include_in_schema=False)
    async def nothing(path: str) -> PlainTextResponse:
        shown = path if len(path) <= 100 else f"{path[:100]}…"
        listed = " ".join(sorted(paths))
        return PlainTextResponse(f"There is no page /{shown} here. The dashboards are at: {listed}\n", 404)


def server_config(app: Dash) -> uvicorn.Config:
    """How uvicorn serves the app: quiet, and quick to end."""
    return uvicorn.Config(
        cast("Any", app.server),
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_SHUTDOWN_S,
        ws_max_size=1 << 16,
        server_header=False,
    )
