"""Faust as its documentation writes it: one event at a time into a windowed table, without a sink."""

from __future__ import annotations

import sys

from benchmarks.stage import Carried, Load, Stage, inherited

_LIMIT_S = 12.0
_PROGRAM = """
import os
import faust


class Event(faust.Record, serializer="json"):
    timestamp: str
    node: str
    cpu_usage: float


app = faust.App(
    os.environ["GROUP"],
    broker="kafka://" + os.environ["KAFKA"],
    datadir=os.environ["FOLDER"],
    topic_partitions=int(os.environ["PARTITIONS"]),
    broker_commit_interval=0.5,
    broker_session_timeout=6,
    broker_heartbeat_interval=1,
    broker_rebalance_timeout=6,
    broker_request_timeout=20,
    consumer_auto_offset_reset="earliest",
    web_enabled=False,
)
events = app.topic(os.environ["TOPIC"], value_type=Event)
counts = app.Table("counts", default=int).tumbling(10.0, expires=60.0)


@app.agent(events)
async def fold(stream):
    async for event in stream:
        counts[event.node] += 1
"""


def carry(stage: Stage, load: Load) -> Carried:
    """How many events a second it reads and folds."""
    name = stage.name("faust")
    program = stage.folder / f"{name.replace('-', '_')}.py"
    program.write_text(_PROGRAM)
    variables = {
        "GROUP": name,
        "KAFKA": stage.record.kafka,
        "TOPIC": load.topic,
        "PARTITIONS": str(len(load.ends)),
        "FOLDER": str(stage.folder / name),
        "PYTHONPATH": str(stage.folder),
    }
    command = [sys.executable, "-m", "faust", "-A", program.stem, "worker", "--without-web", "-l", "warning"]
    with stage.running(command, {**inherited(), **variables}, "faust") as process:
        return stage.carried(name, load, {"Faust": process}, _LIMIT_S)
