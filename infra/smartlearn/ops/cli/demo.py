"""`smartlearn demo`: 24 hours of a small school, and on from there."""

from __future__ import annotations

import signal
import threading
from typing import Annotated

import typer

from smartlearn.ops.cli.importing import progress_bar, wait_stored
from smartlearn.ops.cli.options import DataDir, connected, require_broker
from smartlearn.producers.simulator import DEFAULT_SEED, run_demo


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(demo)


def demo(
    *,
    seed: Annotated[int, typer.Option(help="Which demo: equal seeds give equal events.")] = DEFAULT_SEED,
    live: Annotated[bool, typer.Option("--live", help="Go on with what happens every few seconds.")] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Until the history is stored, rollups and alerts included.")
    ] = False,
    data_dir: DataDir = None,
) -> None:
    """Fill in 24 hours of demo nodes, runs and learners. Again, it adds what is new and nothing twice."""
    settings, _ = connected(data_dir)
    require_broker(settings)
    stop = threading.Event()
    if live:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: stop.set())
    with progress_bar("sending") as progress:
        report = run_demo(settings, seed=seed, live=live, stop=stop, progress=progress)
    if wait and not live:
        wait_stored(settings.kafka, report.offsets)
    typer.echo(f"sent {sum(report.rows.values()):,} events of the demo; `smartlearn reset --demo` removes them")
