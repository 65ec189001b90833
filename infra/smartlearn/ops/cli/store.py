"""`smartlearn store`: what a server needs before it keeps metrics."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from smartlearn.core.errors import SettingsError
from smartlearn.ops.cli.options import DataDir, connected


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="What InfluxDB needs before it keeps metrics.", no_args_is_help=True)
    group.callback()(_group)
    group.command()(init)
    app.add_typer(group, name="store")


def _group() -> None:
    """What InfluxDB needs before it keeps metrics."""


def init(
    *,
    admin_token: Annotated[
        str,
        typer.Option(
            envvar="SMARTLEARN_ADMIN_TOKEN",
            prompt="InfluxDB admin token",
            hide_input=True,
            help="A token that may make buckets and tokens; it is used once and kept nowhere.",
        ),
    ],
    write_token_file: Annotated[
        Path | None, typer.Option(help="Write the token that writes here, instead of printing it.")
    ] = None,
    read_token_file: Annotated[
        Path | None, typer.Option(help="Write the token that reads here, instead of printing it.")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Make the buckets with their retention, and two tokens: one that writes, one that reads.

    What is there already is brought in line with the settings. The tokens go to standard output, or into files that
    their owner alone may read.
    """
    settings, _ = connected(data_dir)
    if settings.store.kind != "influxdb":
        raise SettingsError("the store is a SQLite file, which needs nothing: set SMARTLEARN_STORE__KIND=influxdb")
    from smartlearn.core.stores.influx_setup import init_influx

    tokens = init_influx(settings.store.influx, settings.store.retention, admin_token)
    for change in tokens.changes:
        typer.echo(change, err=True)
    _hand_out("workers, imports and resets", tokens.write, write_token_file)
    _hand_out("dashboards and queries", tokens.read, read_token_file)


def _hand_out(users: str, token: str, file: Path | None) -> None:
    """Print a token as the setting it is for, or put it into a file that is whole at any moment."""
    if file is None:
        typer.echo(f"# {users}")
        typer.echo(f"SMARTLEARN_STORE__INFLUX__TOKEN={token}")
        return
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(f"{token}\n")
    temporary.replace(file)
    typer.echo(f"the token for {users} is in {file}", err=True)
