"""`smartlearn doctor`: what is reachable, which versions, and what to do."""

from __future__ import annotations

from dataclasses import asdict

import typer
from rich.table import Table

from smartlearn.ops.checkup import Finding, check_up
from smartlearn.ops.cli.options import DataDir, OutputFormat, connected
from smartlearn.ops.render import Format, console, print_rows

_MARKS = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "failed": ("✗", "red")}


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def doctor(*, output: OutputFormat = Format.TABLE, data_dir: DataDir = None) -> None:
    """Look at versions, broker, store, workers, clocks and lag, and say what to do; exits with 1 if one failed."""
    settings, record = connected(data_dir)
    findings = list(check_up(settings, record))
    if output is Format.TABLE:
        _show(findings)
    else:
        print_rows([asdict(finding) for finding in findings], output)
    if any(finding.state == "failed" for finding in findings):
        raise typer.Exit(1)


def _show(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for finding in findings:
        mark, colour = _MARKS[finding.state]
        advice = f"\n→ {finding.advice}" if finding.advice else ""
        table.add_row(f"[{colour}]{mark}[/]", finding.check, f"{finding.detail}{advice}")
    console().print(table)
