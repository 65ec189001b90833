"""`smartlearn query`: what the store holds, as rows."""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated, Any

import numpy as np
import typer

from smartlearn.core.errors import InvalidQuery
from smartlearn.core.stores.base import MetricStore
from smartlearn.ops.catalog import RAW, TAGS_OF
from smartlearn.ops.cli.options import DataDir, Last, OutputFormat, Start, Stop, connected, span_of, stored
from smartlearn.ops.filters import parse_where
from smartlearn.ops.reading import Request, read, rows
from smartlearn.ops.render import Format, print_rows
from smartlearn.ops.texts import utc_texts
from smartlearn.ops.timespan import parse_duration


class Aggregate(StrEnum):
    """How the rows of a window become one."""

    MEAN = "mean"
    MIN = "min"
    MAX = "max"
    COUNT = "count"
    SUM = "sum"
    LAST = "last"


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(query)


def query(
    measurement: Annotated[str, typer.Argument(help=f"One of {', '.join(TAGS_OF)}.", show_default=False)],
    *,
    field: Annotated[list[str] | None, typer.Option(help="A field to show; all without.", metavar="F")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(help="Only these series; the same tag twice is either.", metavar="TAG=VALUE"),
    ] = None,
    last: Last = None,
    start: Start = None,
    stop: Stop = None,
    every: Annotated[str | None, typer.Option(help="Windows of this width.", metavar="DURATION")] = None,
    agg: Annotated[Aggregate | None, typer.Option(help="What to do in a window.")] = None,
    output: OutputFormat = Format.TABLE,
    data_dir: DataDir = None,
) -> None:
    """Show what the store holds, in time order; the shards of a measurement are merged."""
    if (every is None) != (agg is None):
        raise InvalidQuery("--every and --agg go together: a window's width, and what to do in it")
    request = Request(
        measurement,
        span_of(last, start, stop),
        tuple(dict.fromkeys(field or ())),
        parse_where(where or ()),
        None if every is None else parse_duration(every, "--every"),
        None if agg is None else agg.value,
    )
    settings, _ = connected(data_dir)
    with stored(settings) as store:
        print_rows(_rows(store, request), output)


def _rows(store: MetricStore, request: Request) -> Iterator[dict[str, Any]]:
    exact = request.measurement in RAW and request.every is None
    for block in read(store, request):
        found = rows(block)
        texts = utc_texts(np.array([time for time, _ in found], dtype=np.int64), exact=exact)
        for text, (_, values) in zip(texts, found, strict=True):
            yield {"time": text, **values}
