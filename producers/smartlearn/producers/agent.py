"""The node agent: this machine's metrics, every few seconds, for as long as it runs."""

from __future__ import annotations

import threading
from typing import Final

from smartlearn.core.batch import Kind
from smartlearn.core.settings import Settings
from smartlearn.producers.client import EventProducer
from smartlearn.producers.sources.machine import Machine

SOURCE: Final = "agent"

# The first sample of a machine needs a moment of CPU time to be about.
_FIRST_SAMPLE_S: Final = 1.0


def run(settings: Settings, stop: threading.Event) -> None:
    """Sample this machine until told to stop; then deliver, or spool, what is left.

    The agent also sends what producers of this data directory that ended have left in their spools.
    """
    if not settings.collection.performance:
        stop.wait()
        return
    interval = settings.collection.interval_s
    with EventProducer(settings, source=SOURCE) as producer:
        machine = Machine(settings.node)
        wait = min(_FIRST_SAMPLE_S, interval)
        while not stop.wait(wait):
            wait = interval
            for fields in machine.sample().events:
                producer.emit(Kind.PERFORMANCE, fields)
