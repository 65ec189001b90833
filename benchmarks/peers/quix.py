"""Quix Streams: a tumbling window over one field, without a sink."""

from __future__ import annotations

from benchmarks.peers import install
from benchmarks.stage import Carried, Load, Stage, inherited

_LIMIT_S = 12.0
_PROGRAM = """
import sys
from datetime import datetime, timedelta
from quixstreams import Application

kafka, topic, group, folder = sys.argv[1:]
app = Application(
    broker_address=kafka, consumer_group=group, auto_offset_reset="earliest", commit_interval=0.5, state_dir=folder
)
events = app.dataframe(
    app.topic(
        topic,
        value_deserializer="json",
        timestamp_extractor=lambda value, *_: int(datetime.fromisoformat(value["timestamp"]).timestamp() * 1000),
    )
)
events.apply(lambda event: event["cpu_usage"]).tumbling_window(timedelta(seconds=10)).mean().final()
app.run()
"""


def carry(stage: Stage, load: Load) -> Carried:
    """How many events a second it reads and folds."""
    python = install.quix()
    name = stage.name("quix")
    program = stage.folder / f"{name}.py"
    program.write_text(_PROGRAM)
    command = [str(python), str(program), stage.record.kafka, load.topic, name, str(stage.folder / name)]
    with stage.running(command, inherited(), "quix") as process:
        return stage.carried(name, load, {"Quix Streams": process}, _LIMIT_S)
