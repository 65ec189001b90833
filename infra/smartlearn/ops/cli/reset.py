"""`smartlearn reset`: the demo away, or everything that a stack keeps."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from smartlearn.core.errors import InvalidQuery, StackError
from smartlearn.core.settings import Settings
from smartlearn.core.stack import StackRecord
from smartlearn.ops import servers
from smartlearn.ops.cli.options import DataDir, Yes, connected, stored
from smartlearn.ops.local.components import require_services
from smartlearn.ops.local.datadir import workers_held

WORKER_STOP_S = 10.0
"""A worker that is told to stop flushes first; one that takes longer is killed, and reads again what it held."""

KEPT_BY_US = (
    "logs",
    "spool",
    "ledger.db",
    "ledger.db-journal",
    "stack.json",
    "up.lock",
    "hold.lock",
    "servers",
    "servers.json",
)
"""What a stack puts into its data directory beside the store's files, the pseudonym key and the workers' folders."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(reset)


def reset(
    *,
    demo: Annotated[bool, typer.Option("--demo", help="Only what the demo sent, and what derived from it.")] = False,
    yes: Yes = False,
    data_dir: DataDir = None,
) -> None:
    """Remove the demo's data, or everything that the stack of a data directory keeps (it must be stopped then)."""
    settings, record = connected(data_dir)
    if demo:
        _reset_demo(settings, record, yes=yes)
    else:
        _reset_everything(settings, record, yes=yes)


def _reset_demo(settings: Settings, record: StackRecord | None, *, yes: bool) -> None:
    require_services()
    from smartlearn.ops.forgetting import forget_demo

    running = [part for part in record.components if part.name == "demo"] if record is not None else []
    if any(part.pid is not None for part in running):
        raise StackError("the demo is running in this stack: stop it, start it without --demo, then reset")
    with stored(settings) as store:
        _confirm("Remove all that the demo sent, and what derived from it?", yes=yes)
        with _without_workers(settings, record):
            gone = forget_demo(store, settings)
    typer.echo(f"removed {gone.events:,} events of {len(gone.nodes)} demo nodes and {len(gone.runs)} demo runs")


def _reset_everything(settings: Settings, record: StackRecord | None, *, yes: bool) -> None:
    folder = settings.data_dir
    if record is not None:
        raise StackError(f"a stack runs on {folder} (pid {record.pid}): stop it first, or give --demo")
    if any(state.state == "running" for state in servers.status(folder)):
        raise StackError(f"servers run on {folder}: stop them first with `smartlearn servers down`")
    doomed = _ours(settings)
    if not doomed:
        typer.echo(f"there is nothing to remove in {folder}")
        return
    _confirm(f"Remove the whole history, the key of the pseudonyms and the logs in {folder}?", yes=yes)
    for path in doomed:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
    typer.echo(f"removed everything in {folder}")
    if settings.store.kind == "influxdb":
        typer.echo(f"the history in {settings.store.influx.url} was left as it is", err=True)


def _ours(settings: Settings) -> list[Path]:
    """What is there that we made; nothing else in the directory is touched."""
    folder = settings.data_dir
    database = settings.sqlite_path
    candidates = [
        *(folder / name for name in KEPT_BY_US),
        *(database.with_name(database.name + suffix) for suffix in ("", "-wal", "-shm")),
        settings.spool_path,
        settings.key_file,
        *folder.glob("worker-*"),
    ]
    return list(dict.fromkeys(path for path in candidates if path.exists()))


def _confirm(question: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise InvalidQuery("reset asks before it removes anything: give --yes where nobody can answer")
    typer.confirm(question, abort=True)


@contextmanager
def _without_workers(settings: Settings, record: StackRecord | None) -> Iterator[None]:
    """Stop the workers of a running stack meanwhile; the supervisor starts them again afterwards."""
    if record is None:
        yield
        return
    with workers_held(settings.data_dir):
        pids = [part.pid for part in record.components if part.name.startswith("worker-") and part.pid is not None]
        for number in (signal.SIGTERM, signal.SIGKILL):
            pids = [pid for pid in pids if _signal(pid, number)]
            deadline = time.monotonic() + WORKER_STOP_S
            while time.monotonic() < deadline and any(_signal(pid, 0) for pid in pids):
                time.sleep(0.05)
        yield


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True
