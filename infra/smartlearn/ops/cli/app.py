"""The command tree: every group registers its commands here."""

from __future__ import annotations

import os
from importlib.metadata import version
from typing import Annotated

import typer

from smartlearn.ops.cli import (
    alerts,
    dead_letters,
    demo,
    doctor,
    export,
    importing,
    query,
    reset,
    servers,
    services,
    status,
    store,
    topics,
    up,
)
from smartlearn.ops.cli.options import DataDir

app = typer.Typer(
    name="smartlearn",
    help="Metrics for AI tutors: machines, models and learners in one stream.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for group in (
    up, status, doctor, demo, importing, query, export, alerts, dead_letters, reset, topics, services, servers, store,
):  # fmt: skip
    group.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(version("smartlearn-metrics"))
        raise typer.Exit


@app.callback()
def root(
    *,
    data_dir: DataDir = None,
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Metrics for AI tutors: machines, models and learners in one stream."""
    if data_dir is not None:
        os.environ["SMARTLEARN_DATA_DIR"] = str(data_dir)
