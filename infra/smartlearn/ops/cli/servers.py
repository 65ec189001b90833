"""`smartlearn servers`: Apache Kafka and InfluxDB on this machine, without containers."""

from __future__ import annotations

from typing import Annotated

import typer

from smartlearn.core.errors import StackError
from smartlearn.ops import servers
from smartlearn.ops.cli.options import DataDir, OutputFormat, settings_of
from smartlearn.ops.render import Format, print_rows

Brokers = Annotated[int, typer.Option(min=1, max=9, help="How many Kafka brokers.")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="Apache Kafka and InfluxDB on this machine, without containers.", no_args_is_help=True)
    for command in (build, up, down, status, env):
        group.command()(command)
    app.add_typer(group, name="servers")


def build() -> None:
    """Build both servers into a cache, if they are not there; the first time takes minutes."""
    places = servers.build(say=_progress)
    typer.echo(f"kafka     {places.kafka}")
    typer.echo(f"influxdb  {places.influxd}")


def up(*, brokers: Brokers = 1, data_dir: DataDir = None) -> None:
    """Start the servers on loopback, detached; `smartlearn up --servers` runs a stack on them."""
    settings = settings_of(data_dir)
    record = servers.up(settings.data_dir, brokers, retention=settings.store.retention)
    typer.echo(f"kafka     {record.kafka}")
    typer.echo(f"influxdb  {record.influxdb_url}")


def down(*, data_dir: DataDir = None) -> None:
    """Stop the servers; their data stays."""
    servers.down(settings_of(data_dir).data_dir)


def status(*, output: OutputFormat = Format.TABLE, data_dir: DataDir = None) -> None:
    """Show which of the servers run, and where."""
    states = [state.model_dump(mode="json") for state in servers.status(settings_of(data_dir).data_dir)]
    print_rows(states, output, columns=("name", "state", "pid", "address", "log"))


def env(*, data_dir: DataDir = None) -> None:
    """Print the settings that point other programs at the servers, for a shell to `eval`; they hold a token."""
    folder = settings_of(data_dir).data_dir
    record = servers.ServersRecord.read(folder)
    if record is None:
        raise StackError(f"{folder} has no servers: start them with `smartlearn servers up`")
    for name, value in servers.environment(record).items():
        typer.echo(f"export {name}={value}")


def _progress(line: str) -> None:
    typer.echo(line, err=True)
