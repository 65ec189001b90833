"""The options that several commands share, and what they mean."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from smartlearn.core.errors import StackError
from smartlearn.core.settings import Settings, load_settings
from smartlearn.core.stack import StackRecord
from smartlearn.core.stores import open_store
from smartlearn.core.stores.base import MetricStore
from smartlearn.ops.local.datadir import running_stack
from smartlearn.ops.render import Format
from smartlearn.ops.servers import ServersRecord, environment
from smartlearn.ops.timespan import Span, parse_span

DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        envvar="SMARTLEARN_DATA_DIR",
        help="The directory of the stack.",
        show_default="./.smartlearn",
        show_envvar=True,
    ),
]
OutputFormat = Annotated[Format, typer.Option("--format", help="How to print.")]
Last = Annotated[str | None, typer.Option(help="The newest part: 15m, 24h, 7d.", metavar="DURATION")]
Start = Annotated[str | None, typer.Option(help="From this time on; UTC without a zone.", metavar="TIME")]
Stop = Annotated[str | None, typer.Option(help="Before this time; UTC without a zone.", metavar="TIME")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def settings_of(data_dir: Path | None, **values: Any) -> Settings:
    """The settings with their data directory absolute; the option goes over file and environment."""
    settings = load_settings(data_dir=data_dir, **values)
    return settings.model_copy(update={"data_dir": settings.data_dir.expanduser().absolute()})


def connected(data_dir: Path | None) -> tuple[Settings, StackRecord | None]:
    """The settings, pointed at the stack or the servers that run on the data directory, and the stack's record."""
    settings = settings_of(data_dir)
    record = running_stack(settings.data_dir)
    if settings.kafka.bootstrap_servers is None and (record is None or record.mode == "servers"):
        settings = on_servers(settings)
    if record is None or settings.kafka.bootstrap_servers is not None:
        return settings, record
    update = {"bootstrap_servers": record.kafka, "epoch": record.kafka_epoch}
    return settings.model_copy(update={"kafka": settings.kafka.model_copy(update=update)}), record


def on_servers(settings: Settings) -> Settings:
    """The settings, pointed at the native servers that run on their data directory, if any do.

    The environment is changed with them: services read it for themselves.
    """
    record = ServersRecord.read(settings.data_dir)
    if record is None or not any(server.process() for server in record.servers):
        return settings
    os.environ.update(environment(record))
    return settings_of(settings.data_dir)


@contextmanager
def stored(settings: Settings) -> Iterator[MetricStore]:
    """The store of the settings, closed afterwards.

    Raises:
        StackError: it is a file, and there is none.
    """
    if settings.store.kind == "sqlite" and not settings.sqlite_path.exists():
        raise StackError(
            f"nothing is stored in {settings.data_dir}: start a stack with `smartlearn up`, "
            "or give the --data-dir of one"
        )
    store = open_store(settings)
    try:
        yield store
    finally:
        store.close()


def require_broker(settings: Settings) -> Settings:
    """The settings, if they name a broker.

    Raises:
        StackError: no stack runs on the data directory and no broker is configured.
    """
    if settings.kafka.bootstrap_servers is None:
        raise StackError(
            f"no stack runs on {settings.data_dir}: start one with `smartlearn up`, give its --data-dir, "
            "or name a broker in SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS"
        )
    return settings


def span_of(last: str | None, start: str | None, stop: str | None) -> Span:
    """The part of time that the options name, as of now."""
    return parse_span(last, start, stop, time.time_ns())


def pass_to_services(settings: Settings) -> None:
    """Put what the flags decided into the environment, where a service that loads its own finds it."""
    os.environ["SMARTLEARN_DATA_DIR"] = str(settings.data_dir)
    if settings.kafka.bootstrap_servers is not None:
        os.environ["SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS"] = settings.kafka.bootstrap_servers
    if settings.kafka.epoch is not None:
        os.environ["SMARTLEARN_KAFKA__EPOCH"] = settings.kafka.epoch
