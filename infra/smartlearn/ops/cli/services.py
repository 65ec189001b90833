"""`smartlearn agent`, `worker` and `dashboard`: one service each, against the configured servers or a running stack."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from smartlearn.ops.cli.options import DataDir, connected, pass_to_services, require_broker
from smartlearn.ops.cli.up import check_host
from smartlearn.ops.local.components import require_services


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(agent)
    app.command()(worker)
    app.command()(dashboard)


def agent(*, data_dir: DataDir = None) -> None:
    """Measure this machine and send it, until stopped. Needs no broker to start: what it cannot send it keeps."""
    _run("smartlearn.producers.__main__", data_dir, needs_broker=False)


def worker(
    *,
    name: Annotated[str | None, typer.Option(help="How the worker calls itself.", show_default="host-pid")] = None,
    data_dir: DataDir = None,
) -> None:
    """Run one worker of the consumer group, until stopped."""
    require_services("faust")
    if name is not None:
        os.environ["SMARTLEARN_WORKER_NAME"] = name
    _run("smartlearn.stream_processors.__main__", data_dir)


def dashboard(
    *,
    host: Annotated[str | None, typer.Option(help="Where to listen.", show_default="127.0.0.1")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="The port.", show_default="8050")] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let --host be an address that other machines reach.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Serve the dashboards, until stopped."""
    require_services("dash")
    settings, _ = connected(data_dir)
    os.environ["SMARTLEARN_DASHBOARD__HOST"] = check_host(host or settings.dashboard.host, allow_remote=allow_remote)
    port = settings.dashboard.port if port is None else port
    os.environ["SMARTLEARN_DASHBOARD__PORT"] = str(port)
    if port:
        typer.echo(f"dashboard  http://{os.environ['SMARTLEARN_DASHBOARD__HOST']}:{port}")
    _run("smartlearn.dashboard.__main__", data_dir)


def _run(module: str, data_dir: Path | None, *, needs_broker: bool = True) -> None:
    settings, _ = connected(data_dir)
    pass_to_services(require_broker(settings) if needs_broker else settings)
    import_module(module).main()
