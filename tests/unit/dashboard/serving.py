"""ASGI applications served for tests, on a free port of this machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import uvicorn
from websockets.sync.client import ClientConnection, connect

from smartlearn.dashboard.app import listen

PATIENCE_S = 20.0


@dataclass(frozen=True)
class Serving:
    """A running server.

    Attributes:
        address: host and port.
    """

    address: str

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{self.address}"

    def get(self, path: str, **more: Any) -> httpx.Response:
        """GET a path, past any proxy."""
        return self.ask("GET", path, **more)

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Any request, past any proxy."""
        with httpx.Client(trust_env=False, timeout=PATIENCE_S) as client:
            return client.request(method, self.url + path, **more)

    def socket(self, path: str, origin: str | None = "") -> ClientConnection:
        """A WebSocket; from a page of this server where no other origin is given."""
        given: Any = self.url if origin == "" else origin
        return connect(f"ws://{self.address}{path}", origin=given, proxy=None, open_timeout=PATIENCE_S)


@contextmanager
def serving(app: Any) -> Iterator[Serving]:
    """Serve an ASGI application until the context ends."""
    listener = listen("127.0.0.1", 0)
    config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not server.started:
            assert thread.is_alive()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield Serving("{}:{}".format(*listener.getsockname()))
    finally:
        server.should_exit = True
        thread.join(PATIENCE_S)
        listener.close()
