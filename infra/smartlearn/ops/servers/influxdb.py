"""InfluxDB 2: its command, when it is ready, and what it needs once."""

from __future__ import annotations

import json
import secrets
import urllib.error
import urllib.request
from pathlib import Path

from smartlearn.core.errors import StackError
from smartlearn.core.settings import InfluxSettings, RetentionSettings
from smartlearn.ops.servers.recipes import Built
from smartlearn.ops.servers.record import Server, ServersRecord

_TIMEOUT_S = 5.0
_ALREADY_SET_UP = 422
_TOKEN_BYTES = 32


def command(server: Server, folder: Path, built: Built) -> list[str]:
    """The command that runs the server with its data in a folder."""
    return [
        str(built.influxd),
        *("--bolt-path", str(folder / "influxd.bolt")),
        *("--sqlite-path", str(folder / "influxd.sqlite")),
        *("--engine-path", str(folder / "engine")),
        *("--http-bind-address", f"127.0.0.1:{server.port}"),
        "--reporting-disabled",
    ]


def is_ready(url: str) -> bool:
    """Whether the server answers that it is healthy."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=_TIMEOUT_S) as answer:  # noqa: S310 - ours
            return bool(json.load(answer)["status"] == "pass")
    except (OSError, ValueError):
        return False


def set_up(record: ServersRecord, url: str, retention: RetentionSettings) -> ServersRecord:
    """Make the user, the organisation, the buckets and the tokens, where they are not there yet.

    Raises:
        StackError: the server was set up by someone else, and its admin token is not in the record.
    """
    # A node that only sends has no client for InfluxDB, and its `smartlearn` command loads this module.
    from smartlearn.core.stores.influx_setup import init_influx

    token = record.admin_token
    if token is None:
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        _onboard(url, record.org, token)
    tokens = init_influx(InfluxSettings(url=url, org=record.org), retention, token)
    changed = {"admin_token": token, "write_token": tokens.write, "read_token": tokens.read}
    return record.model_copy(update=changed)


def _onboard(url: str, org: str, token: str) -> None:
    asked = {
        "username": "admin",
        "password": secrets.token_urlsafe(_TOKEN_BYTES),
        "org": org,
        "bucket": "first",
        "token": token,
    }
    request = urllib.request.Request(f"{url}/api/v2/setup", data=json.dumps(asked).encode(), method="POST")  # noqa: S310 - ours
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S):  # noqa: S310 - ours
            return
    except urllib.error.HTTPError as error:
        if error.code == _ALREADY_SET_UP:
            raise StackError(
                f"InfluxDB at {url} is set up already and its admin token is lost; move its folder away"
            ) from error
        raise StackError(f"InfluxDB at {url} refused its set-up with status {error.code}") from error
