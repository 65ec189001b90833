"""One small HTTP GET for loopback and named servers, past any proxy of the environment."""

from __future__ import annotations

import email.utils
import http.client
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import orjson

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said.

    Attributes:
        status: the HTTP status.
        body: the parsed JSON; None where it is none.
        date: the server's clock, seconds since the epoch, of its Date header; None without one.
    """

    status: int
    body: Any
    date: float | None


def get(url: str, timeout_s: float) -> Answer | None:
    """The answer of a server, whatever its status; None where there is none within the timeout."""
    try:
        with _OPENER.open(url, timeout=timeout_s) as response:
            return _answer(response.status, response.read(), response.headers.get("Date"))
    except urllib.error.HTTPError as error:
        with error:
            return _answer(error.code, error.read(), error.headers.get("Date"))
    except (OSError, http.client.HTTPException, ValueError):
        return None


def _answer(status: int, body: bytes, date: str | None) -> Answer:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        parsed = None
    return Answer(status, parsed, email.utils.parsedate_to_datetime(date).timestamp() if date else None)
