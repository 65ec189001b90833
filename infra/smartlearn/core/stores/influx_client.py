"""Requests to an InfluxDB 2 server: bounded retries, and errors in words."""

from __future__ import annotations

import datetime as dt
import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson
import stamina
import urllib3
from influxdb_client.client.influxdb_client import InfluxDBClient
from influxdb_client.client.write_api import SYNCHRONOUS, PointSettings
from influxdb_client.rest import ApiException

from smartlearn.core.errors import SettingsError, StoreError, StoreRejected, StoreUnavailable
from smartlearn.core.settings import InfluxSettings
from smartlearn.core.stores.influxql import Answer, Statement, series_of

PATIENCE_S = 30.0
"""How long one call is tried again: a restart of the server fits in, and a worker that waits is still alive."""

_FIRST_WAIT_S = 0.1
_LONGEST_WAIT_S = 5.0
_JITTER_S = 0.2
_CONNECTIONS = 32
_TRY_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class PartlyWritten(StoreRejected):
    """Some points of a request were refused, the others are written."""


class TooLarge(StoreRejected):
    """A request holds more than the server takes at once."""


_PARTLY: dict[int, type[StoreRejected]] = {413: TooLarge, 422: PartlyWritten}

T = TypeVar("T")

_log = logging.getLogger(__name__)

# What it would say of each retry, without a sentence, is said here or raised in the end.
logging.getLogger("stamina").setLevel(logging.ERROR)


class InfluxClient:
    """One server and token. Threads may share it."""

    def __init__(self, settings: InfluxSettings, *, token: str | None = None, patience_s: float = PATIENCE_S) -> None:
        if settings.url is None:
            raise SettingsError("setting store.influx.url is missing: where InfluxDB is, as http://host:8086")
        if token is None:
            if settings.token is None:
                raise SettingsError("setting store.influx.token is missing: `smartlearn store init` makes one")
            token = settings.token.get_secret_value()
        self.url = settings.url
        self._org = settings.org
        self._patience_s = patience_s
        # Bytes are cheaper than processor time on the way to the same machine.
        remote = urlsplit(settings.url).hostname not in _LOOPBACK
        self._api = InfluxDBClient(
            settings.url,
            token=token,
            org=settings.org,
            timeout=round(settings.timeout_s * 1000),
            enable_gzip=remote,
            connection_pool_maxsize=_CONNECTIONS,
        )
        self._write_api = self._api.write_api(write_options=SYNCHRONOUS, point_settings=PointSettings())

    def write(self, bucket: str, lines: bytes) -> None:
        """Write line protocol.

        Raises:
            PartlyWritten: some lines were refused.
            TooLarge: nothing was written; send less at once.
        """
        self.call(lambda: self._write_api.write(bucket, record=lines), f"bucket {bucket}")

    def select(self, bucket: str, statement: Statement) -> Answer:
        """The series that answer a statement."""
        parameters = {
            "db": bucket,
            "epoch": "ns",
            "q": statement.text,
            "params": orjson.dumps(statement.parameters).decode(),
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        answer = self.call(
            lambda: self._call_api("/query", "POST", header_params=headers, post_params=parameters),
            f"bucket {bucket}",
        )
        return series_of(orjson.loads(answer))

    def delete(self, bucket: str, predicate: str, start: str, stop: str) -> None:
        """Delete what matches a predicate, from `start` to `stop` (RFC 3339)."""
        api = self._api.delete_api()
        self.call(lambda: api.delete(start, stop, predicate, bucket=bucket, org=self._org), f"bucket {bucket}")

    def version(self) -> str:
        """The server's version."""
        return str(self.call(self._api.version, self.url))

    def close(self) -> None:
        """Close the connections."""
        api: Any = self._api
        api.close()

    def call(self, request: Callable[[], T], subject: str) -> T:
        """Make a request, again where that may help; raise what it comes to."""
        deadline = time.monotonic() + self._patience_s
        try:
            for attempt in stamina.retry_context(
                on=partial(self._again_after, deadline),
                attempts=None,
                timeout=self._patience_s,
                wait_initial=_FIRST_WAIT_S,
                wait_max=_LONGEST_WAIT_S,
                wait_jitter=_JITTER_S,
            ):
                with attempt:
                    return request()
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            raise self._in_words(error, subject) from error
        raise AssertionError("unreachable")

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        body: Mapping[str, Any] | None = None,
        subject: str,
    ) -> dict[str, Any]:
        """One request of the management API; its JSON answer, {} where there is none."""
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        answer = self.call(
            lambda: self._call_api(path, method, query_params=query, header_params=headers, body=body), subject
        )
        return orjson.loads(answer) if answer else {}

    def _call_api(self, path: str, method: str, **details: Any) -> bytes:
        api: Any = self._api.api_client
        response = api.call_api(path, method, auth_settings=[], _preload_content=False, **details)
        data: bytes = response[0].data
        return data

    def _again_after(self, deadline: float, error: Exception) -> bool | dt.timedelta:
        """Whether to try again, or after how long where the server says so and the deadline leaves time for it."""
        if not isinstance(error, ApiException | urllib3.exceptions.HTTPError):
            return False
        if isinstance(error, ApiException) and error.status not in _TRY_AGAIN:
            return False
        wait = _retry_after(error) if isinstance(error, ApiException) else None
        if wait is not None and time.monotonic() + wait >= deadline:
            return False
        _log.info("%s", self._in_words(error, "a request"))
        return True if wait is None else dt.timedelta(seconds=wait)

    def _in_words(self, error: ApiException | urllib3.exceptions.HTTPError, subject: str) -> StoreError:
        if not isinstance(error, ApiException) or not error.status:
            return StoreUnavailable(f"InfluxDB does not answer at {self.url}; is it running? ({_brief(str(error))})")
        status, message = error.status, _message(error)
        if status in _TRY_AGAIN:
            reason = f"InfluxDB at {self.url} cannot do it now (status {status}: {message}); try again"
            return StoreUnavailable(reason, retry_after=_retry_after(error))
        if status in _PARTLY:
            return _PARTLY[status](f"InfluxDB refuses it: {message}")
        if status in {401, 403}:
            advice = "check store.influx.token"
        elif status == 404:
            advice = f"`smartlearn store init` makes the buckets of organisation {self._org}"
        else:
            advice = "this is not a matter of trying again"
        return StoreRejected(f"InfluxDB at {self.url} refused {subject} (status {status}: {message}); {advice}")


def _retry_after(error: ApiException) -> float | None:
    headers: Mapping[str, str] = error.headers or {}
    value = headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else None


def _message(error: ApiException) -> str:
    try:
        content = orjson.loads(error.body or b"")
        return _brief(str(content.get("message") or content.get("error")))
    except (orjson.JSONDecodeError, AttributeError):
        return _brief(str(error.body or error.reason))


def _brief(text: str) -> str:
    return text if len(text) <= 300 else text[:300] + "…"
