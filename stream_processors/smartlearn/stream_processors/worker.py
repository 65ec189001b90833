"""A worker process: the app, its lanes, and the end of both."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, cast

import faust
import mode.loop
from faust.streams import Stream
from faust.types import TP, AppT, StreamT

from smartlearn.core.errors import SmartLearnError, StoreUnavailable
from smartlearn.core.settings import Settings, load_settings
from smartlearn.core.stack import with_stack
from smartlearn.core.stores import open_store
from smartlearn.core.stores.base import MetricStore
from smartlearn.stream_processors.app import WorkerLanes, create_app
from smartlearn.stream_processors.lanes import build_lanes
from smartlearn.stream_processors.publisher import KafkaPublisher
from smartlearn.stream_processors.topology import input_partitions, topic_lives

logger = logging.getLogger(__name__)

# What is still on its way when a worker ends gets so long.
_CLOSE_S = 2.0
# A worker that is told to end while its store or broker is away ends all the same, as if it were killed.
_END_S = 4.0
# A lane is flushed a few times a second, a viewer sees a value at most half a second old.
_FLUSH_CHECK_S = 0.1
_BEAT_S = 0.5
# Retention counts in days.
_EXPIRE_S = 600.0


def run(settings: Settings, name: str) -> None:
    """Work until SIGTERM or SIGINT; exits the process.

    Raises:
        SettingsError: no broker is set.
        BrokerUnavailable: no broker answers, or the topics do not exist.
        StoreUnavailable: the store does not answer.
    """
    mode.loop.use("uvloop")
    store = open_store(settings)
    store.check()
    publisher = KafkaPublisher(settings.kafka)
    counts = input_partitions(settings.kafka)
    lanes = build_lanes(settings, store, publisher, counts, topic_lives(settings.kafka, counts))
    app = create_app(settings.kafka, str(settings.data_dir / name))
    workers = WorkerLanes(app, lanes, publisher, name)
    _declare(app, workers, counts)
    _expire(app, store)

    @app.on_before_shutdown.connect
    async def _close(*_args: object, **_kwargs: object) -> None:
        _end_within(_END_S)
        await workers.close()
        publisher.close(_CLOSE_S)

    worker = faust.Worker(app, loglevel=logging.WARNING, quiet=True, redirect_stdouts=False)
    worker.spinner = None
    worker.execute_from_commandline()


def _declare(app: faust.App, workers: WorkerLanes, topics: Mapping[str, int]) -> None:
    """Attach one agent a topic, the flush and beat timers, and the hand-over of partitions."""

    def agent(topic: str) -> None:
        async def consume(stream: StreamT[Any]) -> None:
            await workers.consume(topic, cast("Stream[bytes]", stream))

        channel = app.topic(
            topic, key_type=bytes, value_type=bytes, key_serializer="raw", value_serializer="raw", acks=False
        )
        app.agent(channel, name=topic, concurrency=1)(consume)

    for topic in topics:
        agent(topic)

    async def flush() -> None:
        while not app.should_stop:
            await workers.flush_due()
            await app.sleep(_FLUSH_CHECK_S)

    async def beat() -> None:
        while not app.should_stop:
            workers.beat()
            await app.sleep(_BEAT_S)

    async def assigned(_app: AppT, assigned: set[TP], **_kwargs: Any) -> None:
        await workers.assigned(assigned)

    async def revoked(_app: AppT, revoked: set[TP], **_kwargs: Any) -> None:
        await workers.revoked(revoked)

    app.task(flush)
    app.task(beat)
    # mode types a receiver more narrowly than it calls one.
    app.on_partitions_assigned.connect(cast("Any", assigned))
    app.on_partitions_revoked.connect(cast("Any", revoked))


def _end_within(seconds: float) -> None:
    """End the process after a while, whatever still waits; what was not passed is read again."""
    timer = threading.Timer(seconds, os._exit, (0,))
    timer.daemon = True
    timer.start()


def _expire(app: faust.App, store: MetricStore) -> None:
    """Have the store drop what is beyond its retention, now and then."""

    async def expire() -> None:
        while not app.should_stop:
            try:
                await asyncio.to_thread(store.expire, time.time_ns())
            except StoreUnavailable as error:
                logger.warning("what is beyond its retention is dropped later: %s", error)
            await app.sleep(_EXPIRE_S)

    app.task(expire)


def main() -> None:
    """The entry point: settings from the environment, one sentence on stderr when it cannot work."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        run(
            with_stack(load_settings()),
            os.environ.get("SMARTLEARN_WORKER_NAME") or f"{socket.gethostname()}-{os.getpid()}",
        )
    except SmartLearnError as error:
        sys.stderr.write(f"smartlearn worker: {error}\n")
        sys.exit(error.exit_code)
