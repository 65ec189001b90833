"""`smartlearn dead-letters`: what the workers refused, and sending it again."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Annotated, Any

import orjson
import typer
from rich.text import Text

from smartlearn.core.errors import InvalidQuery
from smartlearn.core.settings import KafkaSettings, Settings
from smartlearn.core.times import format_time
from smartlearn.core.topics import KIND_OF
from smartlearn.ops.cli.options import DataDir, Last, OutputFormat, connected, require_broker, span_of
from smartlearn.ops.dead_letters import DeadLetter, dead_letters, headers_of, letter_messages, value_of
from smartlearn.ops.render import Format, console, print_rows

_COLUMNS = ("number", "time", "topic", "partition", "offset", "size", "replayed", "reason")

# Of a longer value a terminal shows the beginning; --raw gives all of it.
_SHOWN_CHARACTERS = 20_000

OfTopic = Annotated[
    str | None, typer.Option("--topic", help="Only of this topic: performance, training, interactions, …")
]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="What the workers refused, and sending it again.", no_args_is_help=True)
    group.command("list")(list_letters)
    group.command("show")(show)
    group.command("replay")(replay)
    app.add_typer(group, name="dead-letters")


def list_letters(
    *, topic: OfTopic = None, last: Last = None, output: OutputFormat = Format.TABLE, data_dir: DataDir = None
) -> None:
    """List the refused messages that the broker still holds, the oldest first."""
    selection = _selection(topic, last)
    kafka = _kafka(data_dir)
    print_rows(map(_row, selection.of(kafka)), output, columns=_COLUMNS)


def show(
    number: Annotated[str, typer.Argument(help="Its number in the list.")],
    *,
    raw: Annotated[bool, typer.Option("--raw", help="Write the bytes of the message and nothing else.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Show one refused message with its headers. What was masked when it was refused stays masked."""
    for _, message in letter_messages(_kafka(data_dir), [number]):
        value = value_of(message)
        if raw:
            sys.stdout.buffer.write(value)
            return
        screen = console()
        for name, header in headers_of(message).items():
            screen.print(Text(f"{_printable(name)}: {_printable(header.decode('utf-8', 'backslashreplace'))}"))
        screen.print()
        screen.print(Text(_readable(value)), soft_wrap=True)
        return
    raise _unknown(number)


def replay(
    numbers: Annotated[
        list[str] | None, typer.Argument(help="Numbers of the list.", show_default="all that the options select")
    ] = None,
    *,
    topic: OfTopic = None,
    last: Last = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be sent.")] = False,
    data_dir: DataDir = None,
) -> None:
    """Send refused messages again, each once: the original bytes, to their topic, under their key.

    What is still wrong with them is refused again, as a new dead letter. Exits with 1 where a number that was given is
    left out.
    """
    selection = _selection(topic, last)
    settings, _ = connected(data_dir)
    kafka = require_broker(settings).kafka
    letters = selection.of(kafka)
    if numbers:
        known = {letter.number: letter for letter in letters}
        for number in numbers:
            if number not in known:
                raise _unknown(number)
        letters = [known[number] for number in dict.fromkeys(numbers)]
    left = [letter for letter in letters if letter.refusal is not None]
    sent = [letter for letter in letters if letter.refusal is None]
    if sent and not dry_run:
        _send(settings, sent)
    for letter in left:
        if numbers or not letter.replayed:
            typer.echo(f"smartlearn: {letter.number} is left out: {letter.refusal}", err=True)
    typer.echo(f"{'would replay' if dry_run else 'replayed'} {len(sent)} of {len(letters)} dead letters")
    if numbers and left:
        raise typer.Exit(1)


def _send(settings: Settings, letters: list[DeadLetter]) -> None:
    from smartlearn.ops import replaying
    from smartlearn.producers.ledger import Ledger
    from smartlearn.stream_processors.topology import input_partitions, topic_lives

    partitions = input_partitions(settings.kafka)
    inputs = replaying.InputTopics(partitions, topic_lives(settings.kafka, partitions))
    replaying.replay(settings.kafka, letters, inputs, Ledger(settings.data_dir))


@dataclass(frozen=True, slots=True)
class _Selection:
    """Which letters the options select."""

    topic: str | None
    last: str | None

    def of(self, kafka: KafkaSettings) -> list[DeadLetter]:
        return dead_letters(kafka, topic=self.topic, span=span_of(self.last, None, None))


def _selection(topic: str | None, last: str | None) -> _Selection:
    """The options, checked before anything is asked of the broker."""
    span_of(last, None, None)
    if topic is None:
        return _Selection(None, last)
    name = topic if topic in KIND_OF else f"smartlearn.{topic}"
    if name not in KIND_OF:
        raise InvalidQuery(f"there is no input topic {topic!r}: one of {', '.join(KIND_OF)}")
    return _Selection(name, last)


def _kafka(data_dir: Any) -> KafkaSettings:
    settings, _ = connected(data_dir)
    return require_broker(settings).kafka


def _row(letter: DeadLetter) -> dict[str, Any]:
    return {
        "number": letter.number,
        "time": format_time(letter.time_us),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "size": letter.size,
        "replayed": letter.replayed,
        "reason": _printable(letter.reason),
    }


def _unknown(number: str) -> InvalidQuery:
    return InvalidQuery(f"there is no dead letter {number}; `smartlearn dead-letters list` shows those that there are")


def _readable(value: bytes) -> str:
    """A value for a terminal: JSON indented, other texts as they are, what is no text escaped."""
    try:
        text = orjson.dumps(orjson.loads(value), option=orjson.OPT_INDENT_2).decode()
    except orjson.JSONDecodeError:
        text = value.decode("utf-8", "backslashreplace")
    shown = _printable(text[:_SHOWN_CHARACTERS], keep="\n\t")
    return shown if len(text) <= _SHOWN_CHARACTERS else f"{shown}\n… and more; --raw gives all {len(value):,} bytes"


def _printable(text: str, keep: str = "") -> str:
    """A text whose control characters do nothing to a terminal."""
    return "".join(one if one.isprintable() or one in keep else one.encode("unicode_escape").decode() for one in text)
