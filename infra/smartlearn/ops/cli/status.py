"""`smartlearn status`: what runs, where, and how far it is."""

from __future__ import annotations

from typing import Annotated

import typer

from smartlearn.ops.cli.options import DataDir, OutputFormat, connected
from smartlearn.ops.render import Format, console, print_json, print_rows
from smartlearn.ops.state import LEDGER, StackState, stack_state


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    *,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 when something is down.")] = False,
    output: OutputFormat = Format.TABLE,
    data_dir: DataDir = None,
) -> None:
    """Show the components, the endpoints, the lag of the workers and what they counted."""
    settings, record = connected(data_dir)
    state = stack_state(settings, record)
    if output is Format.JSON:
        print_json(state.model_dump())
    elif output is Format.CSV:
        print_rows([part.model_dump() for part in state.components], output, columns=("name", "pid", "state"))
    else:
        _show(state)
    if check and state.problems:
        raise typer.Exit(1)


def _show(state: StackState) -> None:
    screen = console()
    for name, address in state.endpoints.items():
        screen.print(f"{name:<10} {address}")
    if state.components:
        screen.print()
        parts = [
            {"component": part.name, "pid": str(part.pid or "–"), "state": part.state} for part in state.components
        ]
        print_rows(parts, Format.TABLE)
    if state.topics:
        screen.print()
        ledger = [
            {"topic": topic, "lag": state.lag.get(topic, 0), **{name: counts.get(name, 0) for name in LEDGER}}
            for topic, counts in state.topics.items()
        ]
        print_rows(ledger, Format.TABLE)
    screen.print()
    for problem in state.problems:
        screen.print(f"✗ {problem}", style="red")
    if not state.problems:
        screen.print("✓ all is well", style="green")
