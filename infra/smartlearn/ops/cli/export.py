"""`smartlearn export`: stored events as a file."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from smartlearn.core.errors import InvalidQuery
from smartlearn.core.stores.base import MetricStore
from smartlearn.ops.cli.options import DataDir, Last, Start, Stop, connected, span_of, stored
from smartlearn.ops.export.json_file import write_json
from smartlearn.ops.export.records import ExportKind, Selection
from smartlearn.ops.export.tables import write_csv, write_parquet


class ExportFormat(StrEnum):
    """The format of the file."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)


def export(
    *,
    last: Last = None,
    start: Start = None,
    stop: Stop = None,
    kind: Annotated[ExportKind, typer.Option(help="Which events.")] = ExportKind.ALL,
    node: Annotated[str | None, typer.Option(help="Only of this node (interactions have none).")] = None,
    run: Annotated[str | None, typer.Option(help="Only of this run (interactions have none).")] = None,
    output: Annotated[ExportFormat, typer.Option("--format", help="The format.")] = ExportFormat.JSON,
    file: Annotated[
        Path | None, typer.Option("-o", "--output", help="Where to write.", show_default="standard output")
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Write stored events: everything, or a part of it. JSON is the format that `smartlearn import` reads."""
    selection = Selection(kind, span_of(last, start, stop), node, run)
    settings, _ = connected(data_dir)
    if output is ExportFormat.PARQUET and file is None and sys.stdout.isatty():
        raise InvalidQuery("Parquet is not for a terminal: give -o FILE, or send it to another program")
    with stored(settings) as store:
        if file is None:
            _write(store, selection, output, sys.stdout.buffer)
            return
        partial = file.with_name(f".{file.name}.partial")
        try:
            with partial.open("wb") as target:
                _write(store, selection, output, target)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)


def _write(store: MetricStore, selection: Selection, output: ExportFormat, target: BinaryIO) -> None:
    if output is ExportFormat.JSON:
        write_json(store, selection, target, datetime.now(UTC))
    elif output is ExportFormat.CSV:
        write_csv(store, selection, target)
    else:
        write_parquet(store, selection, target)
