"""`smartlearn alerts`: the transitions of the threshold rules."""

from __future__ import annotations

import sys
from typing import Annotated

import orjson
import typer

from smartlearn.ops.cli.options import (
    DataDir,
    Last,
    OutputFormat,
    Start,
    Stop,
    connected,
    require_broker,
    span_of,
    stored,
)
from smartlearn.ops.render import Format, print_rows
from smartlearn.ops.transitions import COLUMNS, follow_transitions, stored_transitions

_PEOPLE_READ = ("at", "node", "rule", "previous", "state", "value", "threshold", "action")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="The transitions of the threshold rules.", no_args_is_help=True)
    group.command("list")(list_alerts)
    group.command("tail")(tail)
    app.add_typer(group, name="alerts")


def list_alerts(
    *,
    last: Last = None,
    start: Start = None,
    stop: Stop = None,
    output: OutputFormat = Format.TABLE,
    data_dir: DataDir = None,
) -> None:
    """Show the transitions that hold, in the order of their events."""
    span = span_of(last, start, stop)
    settings, _ = connected(data_dir)
    with stored(settings) as store:
        found = stored_transitions(store, span)
    print_rows(found, output, columns=_PEOPLE_READ if output is Format.TABLE else COLUMNS)


def tail(
    *,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="First what the topic holds already.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Print each transition as it comes on the topic, a JSON object a line.

    An odd revision takes back what was said with the same id; keep the highest revision of each.
    """
    settings, _ = connected(data_dir)
    for transition in follow_transitions(require_broker(settings).kafka, from_beginning=from_beginning):
        sys.stdout.write(orjson.dumps(transition).decode() + "\n")
        sys.stdout.flush()
