"""`smartlearn store`: what a server needs before it keeps metrics."""

from __future__ import annotations

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
    data_dir: DataDir = None,
) -> None:
    """Make the buckets with their retention, and two tokens: one that writes, one that reads.

    What is there already is brought in line with the settings. The tokens go to standard output.
    """
    settings, _ = connected(data_dir)
    if settings.store.kind != "influxdb":
        raise SettingsError("the store is a SQLite file, which needs nothing: set SMARTLEARN_STORE__KIND=influxdb")
    from smartlearn.core.stores.influx_setup import init_influx

    tokens = init_influx(settings.store.influx, settings.store.retention, admin_token)
    for change in tokens.changes:
        typer.echo(change, err=True)
    typer.echo("# workers, imports and resets")
    typer.echo(f"SMARTLEARN_STORE__INFLUX__TOKEN={tokens.write}")
    typer.echo("# dashboards and queries")
    typer.echo(f"SMARTLEARN_STORE__INFLUX__TOKEN={tokens.read}")
