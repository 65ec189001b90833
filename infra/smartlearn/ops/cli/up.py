"""`smartlearn up`: the whole stack on this machine."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Annotated

import typer

from smartlearn.core.errors import SettingsError
from smartlearn.core.settings import Settings
from smartlearn.ops import servers
from smartlearn.ops.cli.options import DataDir, settings_of
from smartlearn.ops.local.components import require_services
from smartlearn.ops.local.stack import Plan, Stack


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(up)


def up(
    *,
    demo: Annotated[bool, typer.Option("--demo", help="Fill in 24 h of demo history, and go on.")] = False,
    no_agent: Annotated[bool, typer.Option("--no-agent", help="Do not measure this machine.")] = False,
    workers: Annotated[int, typer.Option(min=1, max=48, help="How many workers.")] = 1,
    host: Annotated[str | None, typer.Option(help="Where the dashboard listens.", show_default="127.0.0.1")] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65535,
            help="The dashboard's port; 0 for any free one.",
            show_default="8050 or the next free",
        ),
    ] = None,
    allow_remote: Annotated[
        bool, typer.Option("--allow-remote", help="Let --host be an address that other machines reach.")
    ] = False,
    on_native: Annotated[
        bool, typer.Option("--servers", help="On Kafka and InfluxDB of `smartlearn servers build`.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Start the stack on this machine, and keep it running until Ctrl-C."""
    settings = settings_of(data_dir)
    host = check_host(host or settings.dashboard.host, allow_remote=allow_remote)
    require_services()
    with _servers(settings) if on_native else nullcontext(settings) as where:
        plan = Plan(where, workers=workers, agent=not no_agent, demo=demo, host=host, port=port)
        code = asyncio.run(_run(plan))
    raise typer.Exit(code)


@contextmanager
def _servers(settings: Settings) -> Iterator[Settings]:
    """Settings that point at the native servers; those that did not run before are stopped at the end."""
    ran = any(state.state == "running" for state in servers.status(settings.data_dir))
    # Until the stack listens for it itself, SIGTERM must not leave the servers behind.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        record = servers.up(settings.data_dir, retention=settings.store.retention)
        os.environ.update(servers.environment(record))
        yield settings_of(settings.data_dir)
    finally:
        if not ran:
            servers.down(settings.data_dir)


async def _run(plan: Plan) -> int:
    return await Stack(plan, say=_say, warn=warn).run()


def _say(line: str) -> None:
    # Whoever reads may have had enough: the stack goes on.
    with suppress(BrokenPipeError):
        typer.echo(line)


def check_host(host: str, *, allow_remote: bool) -> str:
    """The address, if the dashboard may listen on it; warns where others reach it.

    Raises:
        SettingsError: other machines reach it, and nobody said that they may.
    """
    if is_loopback(host):
        return host
    if not allow_remote:
        raise SettingsError(
            f"host {host} can be reached from other machines, and the dashboard asks for no password; "
            "give --allow-remote if that is what you want"
        )
    warn(
        f"the dashboard listens on {host}: whoever reaches this machine can read every metric and the learners' "
        "pseudonyms, nobody is asked for a password; the broker and the store stay on loopback"
    )
    return host


def warn(sentence: str) -> None:
    """Say on stderr what a user should know."""
    typer.echo(f"smartlearn: {sentence}", err=True)


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own and no other machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
