"""Rows as a table for people, JSON or CSV for programs, on stdout."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import islice
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from smartlearn.ops.texts import short_number

TABLE_ROWS = 500
"""A table for people ends here; whoever wants all of them wants JSON or CSV."""

_PIPED_WIDTH = 10_000
_GAP = 1
_IDENTIFIERS = frozenset({"pid", "port", "partition", "offset", "number", "revision"})
"""Columns whose numbers name something: they are written digit by digit."""


class Format(StrEnum):
    """How a command prints its result."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


def console() -> Console:
    """A console on stdout that does not fold tables where there is no terminal."""
    width = None if sys.stdout.isatty() else _PIPED_WIDTH
    return Console(file=sys.stdout, width=width, highlight=False)


def errors() -> Console:
    """A console on stderr: for progress, and for what is not the result."""
    return Console(file=sys.stderr, highlight=False)


def print_json(value: Any) -> None:
    """A value as indented JSON."""
    sys.stdout.write(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode() + "\n")


def print_rows(rows: Iterable[Mapping[str, Any]], output: Format, *, columns: Sequence[str] | None = None) -> None:
    """Print rows: as an array with a row a line, with a header line, or as a table.

    Args:
        rows: values by column; JSON is written as they come.
        output: how.
        columns: the columns of CSV and table, in order; None is those of the rows, as they first appear.
    """
    if output is Format.JSON:
        _print_array(rows)
        return
    kept = list(rows)
    names = list(columns) if columns is not None else list(dict.fromkeys(name for row in kept for name in row))
    if output is Format.CSV:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(names)
        writer.writerows([_plain(row.get(name)) for name in names] for row in kept)
    else:
        _print_table(kept, names)


def _print_array(rows: Iterable[Mapping[str, Any]]) -> None:
    """An array with a row a line, written in pieces."""
    iterator = iter(rows)
    before = "[\n"
    while piece := list(islice(iterator, 1000)):
        sys.stdout.write(before + ",\n".join(orjson.dumps(row).decode() for row in piece))
        before = ",\n"
    sys.stdout.write("[]\n" if before == "[\n" else "\n]\n")


def _print_table(rows: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    if not rows:
        errors().print("nothing found")
        return
    screen = console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    cells = {name: [_readable(name, row.get(name)) for row in rows[:TABLE_ROWS]] for name in names}
    shown = _fitting(cells, screen.width)
    for name in shown:
        numeric = all(isinstance(row.get(name), int | float | None) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", no_wrap=True)
    for row in zip(*(cells[name] for name in shown), strict=True):
        table.add_row(*row)
    screen.print(table)
    if len(shown) < len(names):
        left_out = ", ".join(names[len(shown) :])
        errors().print(f"… and the columns {left_out}; a wider terminal, --format json or csv show them")
    if len(rows) > TABLE_ROWS:
        errors().print(f"… and {len(rows) - TABLE_ROWS:,} more rows; --format json or csv gives all of them")


def _fitting(cells: Mapping[str, Sequence[Text]], width: int) -> list[str]:
    """The first columns that fit side by side; at least one."""
    shown: list[str] = []
    left = width
    for name, column in cells.items():
        left -= max(len(name), *(cell.cell_len for cell in column)) + _GAP
        if left < -_GAP and shown:
            break
        shown.append(name)
    return shown


def _readable(name: str, value: Any) -> Text:
    if value is None:
        return Text("–", style="dim")
    if name in _IDENTIFIERS or isinstance(value, bool) or not isinstance(value, int | float):
        return Text(str(value))
    return Text(short_number(value))


def _plain(value: Any) -> Any:
    return "" if value is None else orjson.dumps(value).decode() if isinstance(value, dict | list) else value
