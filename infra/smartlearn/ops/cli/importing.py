"""`smartlearn import`: SmartLearn's JSON exports into the stack."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from smartlearn.core.errors import StackError
from smartlearn.core.settings import KafkaSettings
from smartlearn.ops.cli.options import DataDir, connected, require_broker
from smartlearn.ops.render import errors
from smartlearn.producers.bulk import Offsets, wait_until_processed
from smartlearn.producers.importer import DEFAULT_NODE, DEFAULT_RUN, import_files

WAIT_S = 900.0
"""Workers store 100,000 events a second, and derive a year of panes in minutes; longer means that none works."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(import_)


def import_(
    files: Annotated[list[Path], typer.Argument(help="Exports of SmartLearn, JSON.", show_default=False)],
    *,
    node: Annotated[str, typer.Option(help="The node that the samples are put down to.")] = DEFAULT_NODE,
    run: Annotated[str, typer.Option(help="The run that the training steps are put down to.")] = DEFAULT_RUN,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until everything is stored, rollups and alerts included.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Import exports; of all files or, where one is at fault, of none. Importing twice changes nothing."""
    settings, _ = connected(data_dir)
    require_broker(settings)
    with progress_bar("sending") as progress:
        report = import_files(settings, files, node=node, run=run, now_us=time.time_ns() // 1000, progress=progress)
    if wait:
        wait_stored(settings.kafka, report.offsets)
    counts = ", ".join(f"{rows:,} {kind.value}" for kind, rows in report.rows.items())
    typer.echo(f"imported {counts} events")


def wait_stored(kafka: KafkaSettings, offsets: Offsets) -> None:
    """Wait until the workers have stored what was sent, and all that derives from it.

    Raises:
        StackError: they have not within `WAIT_S`.
    """
    with progress_bar("storing") as progress:
        done = wait_until_processed(kafka, offsets, WAIT_S, progress)
    if not done:
        raise StackError(
            f"the workers have not stored everything within {WAIT_S:g} s: `smartlearn doctor` says what is wrong"
        )


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, where that is a terminal; gives what it is told by: how much is done, of how much."""
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=errors(),
        transient=True,
        disable=not errors().is_terminal,
    )
    with bar:
        task = bar.add_task(what, total=None)

        def show(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield show
