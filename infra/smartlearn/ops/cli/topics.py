"""`smartlearn topics`: the topics as they should be, and as they are."""

from __future__ import annotations

from typing import Any

import typer
from confluent_kafka import Consumer, KafkaException, TopicPartition

from smartlearn.core.errors import BrokerUnavailable
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import REQUEST_TIMEOUT_S, client_config, ensure_topics, topics, verify_topics
from smartlearn.ops.cli.options import DataDir, OutputFormat, connected, require_broker
from smartlearn.ops.render import Format, print_rows

_DAY_MS = 86_400_000


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="The topics of the installation.", no_args_is_help=True)
    group.command("list")(list_topics)
    group.command("create")(create)
    app.add_typer(group, name="topics")


def list_topics(*, output: OutputFormat = Format.TABLE, data_dir: DataDir = None) -> None:
    """Show every topic of ours: its partitions, how many messages it holds and how long it keeps them."""
    settings, _ = connected(data_dir)
    print_rows(_described(require_broker(settings).kafka), output)


def create(*, data_dir: DataDir = None) -> None:
    """Create the topics that are missing, and check the others; exits with 1 where one differs."""
    settings, _ = connected(data_dir)
    kafka = require_broker(settings).kafka
    for name in ensure_topics(kafka):
        typer.echo(f"created {name}")
    problems = verify_topics(kafka)
    for problem in problems:
        typer.echo(f"smartlearn: {problem}", err=True)
    if problems:
        raise typer.Exit(1)
    typer.echo("all topics are as they should be")


def _described(kafka: KafkaSettings) -> list[dict[str, Any]]:
    consumer = Consumer(client_config(kafka) | {"group.id": "smartlearn-cli", "log_level": 0})
    try:
        existing = consumer.list_topics(timeout=REQUEST_TIMEOUT_S).topics
        found = []
        for topic in topics(kafka):
            partitions = sorted(existing[topic.name].partitions) if topic.name in existing else []
            marks = [
                consumer.get_watermark_offsets(TopicPartition(topic.name, partition), timeout=REQUEST_TIMEOUT_S)
                for partition in partitions
            ]
            found.append(
                {
                    "topic": topic.name,
                    "partitions": len(partitions),
                    "messages": sum(high - low for low, high in marks),
                    "retention": _kept(int(topic.config["retention.ms"])),
                    "policy": topic.config["cleanup.policy"],
                }
            )
    except KafkaException as error:
        raise BrokerUnavailable(f"no Kafka broker answers at {kafka.bootstrap_servers}") from error
    finally:
        consumer.close()
    return found


def _kept(retention_ms: int) -> str:
    if retention_ms < 0:
        return "for ever"
    if retention_ms < _DAY_MS:
        return f"{retention_ms // 60_000} min"
    return f"{retention_ms // _DAY_MS} d"
