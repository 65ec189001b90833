"""A small HTTP proxy that stands in front of InfluxDB and does what networks and busy servers do."""

from __future__ import annotations

import contextlib
import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TypeAlias
from urllib.parse import urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server", "host"}
_BACKEND_S = 30.0
_HANG_S = 15.0


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it came in; `body` of a write is line protocol."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def writes(self) -> bool:
        """Whether it writes points."""
        return self.target.startswith("/api/v2/write")


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, of the server or of a fault."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


Forward: TypeAlias = Callable[[Request], Answer]
Fault: TypeAlias = Callable[[Request, Forward], Answer | None]
"""What becomes of a request: an answer, or None for a connection that is closed without one."""


def refuses(status: int, *, retry_after_s: int | None = None) -> Fault:
    """The server does nothing and answers with a status."""
    headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}

    def fault(_request: Request, _forward: Forward) -> Answer:
        return Answer(status, b'{"code":"unavailable","message":"busy"}', headers)

    return fault


def loses_answers(request: Request, forward: Forward) -> None:
    """The server does what it is asked; nobody hears of it."""
    forward(request)


def hangs(_request: Request, _forward: Forward) -> None:
    """The server does nothing and says nothing for longer than any client waits."""
    time.sleep(_HANG_S)


def writes_half(request: Request, forward: Forward) -> Answer:
    """Of each write of several points, the server takes the first half, and answers 422."""
    lines = request.body.split(b"\n")
    if not request.writes or len(lines) < 2:
        return forward(request)
    half = b"\n".join(lines[: len(lines) // 2])
    forward(Request(request.method, request.target, request.headers, half))
    return Answer(422, b'{"code":"unprocessable entity","message":"partial write"}')


class FaultyProxy:
    """The proxy; `fault` is applied to every request while it is set.

    Attributes:
        url: where it listens.
        fault: what to do, or None to pass everything on.
        faults: how many requests each fault met, by the fault's name.
    """

    def __init__(self, backend: str) -> None:
        self._backend = urlsplit(backend).netloc
        self.fault: Fault | None = None
        self.faults: Counter[str] = Counter()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    @contextmanager
    def failing(self, name: str, fault: Fault) -> Iterator[None]:
        """Apply a fault while the body runs."""

        def counted(request: Request, forward: Forward) -> Answer | None:
            self.faults[name] += 1
            return fault(request, forward)

        self.fault = counted
        try:
            yield
        finally:
            self.fault = None

    def answer(self, request: Request) -> Answer | None:
        """What becomes of a request."""
        fault = self.fault
        return self.forward(request) if fault is None else fault(request, self.forward)

    def forward(self, request: Request) -> Answer:
        """Have the server answer."""
        connection = http.client.HTTPConnection(self._backend, timeout=_BACKEND_S)
        try:
            headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
            connection.request(request.method, request.target, request.body, headers)
            response = connection.getresponse()
            kept = {name: value for name, value in response.getheaders() if name.lower() not in _HOP_BY_HOP}
            return Answer(response.status, response.read(), kept)
        except OSError:
            return Answer(502, b'{"message":"no server"}')
        finally:
            connection.close()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(proxy: FaultyProxy) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_one_request(self) -> None:
            # A client that gave up has closed its connection.
            with contextlib.suppress(ConnectionError):
                super().handle_one_request()
                return
            self.close_connection = True

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length)
            answer = proxy.answer(Request(self.command, self.path, dict(self.headers.items()), body))
            if answer is None:
                self.close_connection = True
                return
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_DELETE = do_PUT = do_PATCH = _serve  # noqa: N815 - http.server's names

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as it is called there
            """Nothing is logged."""

    return Handler
