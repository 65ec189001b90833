"""`smartlearn status`: what runs, where, and how far it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from smartlearn.core.errors import BrokerError, SettingsError
from smartlearn.core.settings import Settings
from smartlearn.core.topics import KIND_OF
from smartlearn.ops.cli.options import DataDir, OutputFormat, connected, stored
from smartlearn.ops.render import Format, console, print_json, print_rows
from smartlearn.ops.state import LEDGER, StackState, stack_state

if TYPE_CHECKING:
    from smartlearn.ops.ledger import LedgerReport


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(status)


def status(
    *,
    check: Annotated[bool, typer.Option("--check", help="Exit with 1 when something is down.")] = False,
    ledger: Annotated[
        bool, typer.Option("--ledger", help="Hold what was delivered against what was stored, to the last row.")
    ] = False,
    output: OutputFormat = Format.TABLE,
    data_dir: DataDir = None,
) -> None:
    """Show the components, the endpoints, the lag of the workers and what they counted."""
    settings, record = connected(data_dir)
    if ledger:
        report = _ledger(settings)
        _print_ledger(report, output)
        if check and report.problems:
            raise typer.Exit(1)
        return
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


def _ledger(settings: Settings) -> LedgerReport:
    from smartlearn.ops.ledger import added_up, announced_pages, is_settled, ledger_report, stored_progress
    from smartlearn.producers.ledger import Ledger
    from smartlearn.stream_processors.topology import input_partitions, topic_lives

    partitions, settled = dict.fromkeys(KIND_OF, settings.kafka.partitions), None
    pages = [Ledger(settings.data_dir).read()]
    with stored(settings) as store:
        try:
            partitions = input_partitions(settings.kafka)
            lives = topic_lives(settings.kafka, partitions)
            progress = stored_progress(store, partitions)
            settled = is_settled(settings.kafka, progress, partitions, lives)
            pages += announced_pages(settings.kafka)
        except (BrokerError, SettingsError):
            progress = stored_progress(store, partitions)
    return ledger_report(added_up(pages), progress, settled)


def _print_ledger(report: LedgerReport, output: Format) -> None:
    rows = [
        {
            "topic": topic or "(before a topic)",
            **one.sent,
            **one.arrived,
            "unaccounted": one.unaccounted,
            "extra": one.extra,
        }
        for topic, one in report.topics.items()
    ]
    if output is Format.JSON:
        print_json(report.model_dump())
    elif output is Format.CSV:
        print_rows(rows, output)
    else:
        _show_ledger(report, rows)


def _show_ledger(report: LedgerReport, rows: Sequence[Mapping[str, Any]]) -> None:
    """Two tables for people: what the producers say, and what the workers say; with every digit."""
    from smartlearn.ops.ledger import ARRIVED, SENT

    screen = console()
    for names in (SENT, (*ARRIVED, "unaccounted", "extra")):
        texts = [[f"{row[name]:,}" for name in names] for row in rows]
        widths = [max(len(name), *(len(row[at]) for row in texts)) for at, name in enumerate(names)]
        heads = [name.rjust(width) for name, width in zip(names, widths, strict=True)]
        print_rows(
            [
                {"topic": row["topic"], **dict(zip(heads, map(str.rjust, text, widths), strict=True))}
                for row, text in zip(rows, texts, strict=True)
            ],
            Format.TABLE,
        )
        screen.print()
    for problem in report.problems:
        screen.print(f"✗ {problem}", style="red")
    if report.settled is None:
        screen.print("the broker does not answer: what the workers have not read yet is not known")
    elif not report.settled:
        screen.print("… messages are still on their way, or their panes are open: the sums are exact afterwards")
    elif not report.problems:
        screen.print("✓ delivered = stored + duplicate + dead + expired", style="green")
