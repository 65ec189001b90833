"""The Faust application of a worker, and its settings.

Faust reads, spreads partitions over workers and keeps their membership. It acknowledges nothing: its topics are
declared without acks, and offsets are committed here once all before them is durable (see `lane`). Why its own
acknowledgements, tables and web server are not used stands in docs/decisions.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import faust
from faust.streams import Stream
from faust.transport.consumer import Consumer
from faust.types import TP, AppT, EventT

from smartlearn.core.errors import BrokerUnavailable, StoreUnavailable
from smartlearn.core.settings import KafkaSettings
from smartlearn.stream_processors.lane import Lane
from smartlearn.stream_processors.live import LiveTable, live_message
from smartlearn.stream_processors.publisher import KafkaPublisher
from smartlearn.stream_processors.records import Record

logger = logging.getLogger(__name__)

# How many messages are taken at once, and how long a take waits for them: raw events are durable well within a second.
_TAKE_MESSAGES: Final = 2000
_TAKE_S: Final = 0.1
_FLUSH_S: Final = 0.25
_FLUSH_ROWS: Final = 20_000

# A partition that nothing came from for so long is not being caught up with, whatever the broker says of its end.
_READING_S: Final = 60.0

# A store or broker that is away for longer than this is somebody's work: the worker stops, and reads again when it
# is started again.
_OUTAGE_S: Final = 120.0
_RETRY_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)

_LOG_APPEND_TIME: Final = 1


def create_app(kafka: KafkaSettings, data_dir: str) -> faust.App:
    """The Faust app, with the group timeouts that let a worker join and leave within seconds."""
    servers = (kafka.bootstrap_servers or "").replace(",", ";")
    broker = ";".join(f"kafka://{server}" for server in servers.split(";"))
    return faust.App(
        kafka.group,
        broker=broker,
        broker_credentials=_credentials(kafka),
        datadir=data_dir,
        key_serializer="raw",
        value_serializer="raw",
        topic_partitions=kafka.partitions,
        topic_disable_leader=True,
        topic_allow_declare=False,
        broker_rebalance_timeout=6,
        broker_session_timeout=6,
        broker_heartbeat_interval=1,
        broker_request_timeout=20,
        broker_commit_interval=3600,
        broker_commit_livelock_soft_timeout=0,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=8 << 20,
        stream_wait_empty=False,
        stream_buffer_maxsize=8192,
        web_enabled=False,
        worker_redirect_stdouts=False,
    )


def _credentials(kafka: KafkaSettings) -> Any:
    encrypted = ssl.create_default_context(cafile=kafka.ssl_ca_location) if "SSL" in kafka.security_protocol else None
    if kafka.sasl_username is None or kafka.sasl_password is None:
        return None if encrypted is None else faust.SSLCredentials(encrypted)
    return faust.SASLCredentials(
        username=kafka.sasl_username,
        password=kafka.sasl_password.get_secret_value(),
        mechanism=kafka.sasl_mechanism or "PLAIN",
        ssl_context=encrypted,
    )


class WorkerLanes:
    """The lanes of a worker on the event loop: what Faust hands over goes in, what is durable is committed."""

    def __init__(self, app: AppT, lanes: Mapping[str, Lane], publisher: KafkaPublisher, name: str) -> None:
        """Attach lanes to an app; `name` is how the worker is called in heartbeats."""
        self._app = app
        self._lanes = lanes
        self._publisher = publisher
        self._name = name
        self._locks = {topic: asyncio.Lock() for topic in lanes}
        self._flushed = dict.fromkeys(lanes, 0.0)
        self._positions: dict[TP, int] = {}
        self._read_at: dict[TP, float] = {}
        self._live = LiveTable()
        self._generation = -1
        self._assigned = asyncio.Condition()

    async def consume(self, topic: str, stream: Stream[bytes]) -> None:
        """Feed a topic's stream into its lane; never returns."""
        try:
            async for events in stream.noack_take(_TAKE_MESSAGES, within=_TAKE_S):
                await self._assignment_settled()
                async with self._locks[topic]:
                    await self._take(topic, cast("Sequence[EventT[Any]]", events))
        except Exception as error:
            # Faust would start the agent again behind the records that it held, and they would be missing. What is half
            # taken in must not pass with the last flush either.
            lane = self._lanes[topic]
            lane.revoke(lane.partitions)
            await self._app.crash(error)
            raise

    async def flush_due(self) -> None:
        """Flush every lane that has not been for a while; called a few times a second."""
        for topic in self._lanes:
            if time.monotonic() - self._flushed[topic] >= _FLUSH_S and not self._locks[topic].locked():
                async with self._locks[topic]:
                    await self._flush(topic)

    async def assigned(self, partitions: Iterable[TP]) -> None:
        """Take partitions over; what was held of others, or of these before, is dropped and read again."""
        owned = _by_topic(partitions)
        for topic, lane in self._lanes.items():
            numbers = owned.get(topic, set())
            async with self._locks[topic]:
                await asyncio.to_thread(lane.revoke, set(lane.partitions))
                await self._retry(topic, lambda lane=lane, numbers=numbers: lane.assign(numbers))
                await self._seek_back(topic, numbers)
        async with self._assigned:
            self._generation = self._app.consumer_generation_id
            self._assigned.notify_all()
        logger.info("%s owns %s", self._name, self._assignment())

    async def _seek_back(self, topic: str, numbers: Iterable[int]) -> None:
        """Read from where the stored progress ends, should the group have committed past it.

        A worker that was frozen may have stored an older progress over its successor's: it is still one consistent
        state, if reading goes on from there.
        """
        for number in numbers:
            tp = TP(topic, number)
            position, passed = await self._app.consumer.position(tp), self._lanes[topic].passed(number)
            if position is not None and passed is not None and passed < position:
                await self._app.consumer.seek(tp, passed)

    async def revoked(self, partitions: Iterable[TP]) -> None:
        """Let partitions go: their next owner reads again what is not committed."""
        for topic, numbers in _by_topic(partitions).items():
            async with self._locks[topic]:
                await asyncio.to_thread(self._lanes[topic].revoke, numbers)

    async def close(self) -> None:
        """Store what was taken in, once and without insisting: what fails is read again."""
        for topic, lane in self._lanes.items():
            async with self._locks[topic]:
                try:
                    await self._commit(topic, await asyncio.to_thread(lane.flush, time.time()))
                    await asyncio.to_thread(lane.release)
                except (StoreUnavailable, BrokerUnavailable) as error:
                    logger.warning("%s: %s; what was not stored is read again", topic, error)

    def beat(self) -> None:
        """Send the heartbeat with what moved since the last one."""
        now = time.time_ns() // 1000
        counts = {topic: lane.counts() for topic, lane in self._lanes.items()}
        message = live_message(
            self._name, os.getpid(), now, self._assignment(), counts, self._lag(), self._live.drain()
        )
        self._publisher.send(message)

    async def _assignment_settled(self) -> None:
        """Wait until the lanes hold what the current generation was assigned: a record before that would be lost."""
        async with self._assigned:
            await self._assigned.wait_for(lambda: self._generation == self._app.consumer_generation_id)

    async def _take(self, topic: str, events: Sequence[EventT[Any]]) -> None:
        lane = self._lanes[topic]
        now = time.time()
        batches = lane.receive(self._records(events), now)
        await self._seek_back(topic, lane.ahead())
        self._live.update(batches, round(now * 1e6))
        if lane.rows_held() >= _FLUSH_ROWS:
            await self._flush(topic)

    def _records(self, events: Sequence[EventT[Any]]) -> list[Record]:
        records = []
        now = time.monotonic()
        generation = self._app.consumer_generation_id
        for event in events:
            message = event.message
            if message.generation_id != generation:
                continue
            self._positions[message.tp] = message.offset + 1
            self._read_at[message.tp] = now
            appended = message.timestamp_type == _LOG_APPEND_TIME and message.timestamp
            records.append(
                Record(
                    message.topic,
                    message.partition,
                    message.offset,
                    message.key,
                    message.value or b"",
                    round(message.timestamp * 1e6) if appended else 0,
                    dict(message.headers or ()),
                )
            )
        return records

    async def _flush(self, topic: str) -> None:
        lane = self._lanes[topic]
        generation = self._app.consumer_generation_id
        behind = self._behind(topic)
        offsets = dict(await self._retry(topic, lambda: lane.flush(time.time(), behind)))
        self._flushed[topic] = time.monotonic()
        written = lane.written()
        for message in written:
            passed = lane.passed(cast("int", message.partition))
            if passed is not None:
                offsets.setdefault(cast("int", message.partition), passed)
        committed = await self._commit(topic, offsets)
        if written and not (committed and generation == self._app.consumer_generation_id):
            logger.warning("%s: partitions moved during a flush; %d owners are computed again", topic, len(written))
            await self._retry(topic, lambda: self._publisher.publish(written))

    async def _commit(self, topic: str, offsets: Mapping[int, int]) -> bool:
        """Commit; whether the group still counts this worker as the owner of all these partitions."""
        if not offsets:
            return True
        positions = {TP(topic, number): at for number, at in offsets.items()}
        consumer = cast("Consumer", self._app.consumer)
        held = positions.keys() <= consumer.assignment()
        return bool(await consumer._commit(positions)) and held  # noqa: SLF001

    async def _retry(self, topic: str, call: Any) -> Any:
        """Call blocking code off the loop until store and broker answer, or an outage has lasted too long."""
        started, attempt = time.monotonic(), 0
        while True:
            try:
                result = await asyncio.to_thread(call)
            except (StoreUnavailable, BrokerUnavailable) as error:
                waited = time.monotonic() - started
                if waited > _OUTAGE_S:
                    logger.exception("%s: giving up after %.0f s, stopping to read again", topic, waited)
                    await self._app.crash(error)
                    raise
                pause = _RETRY_S[min(attempt, len(_RETRY_S) - 1)]
                logger.warning("%s: %s; trying again in %.1f s", topic, error, pause)
                attempt += 1
                await asyncio.sleep(pause)
            else:
                if attempt:
                    logger.warning("%s: going on after %.0f s", topic, time.monotonic() - started)
                return result

    def _assignment(self) -> dict[str, list[int]]:
        return {topic: lane.partitions for topic, lane in self._lanes.items()}

    def _behind(self, topic: str) -> set[int]:
        """The partitions of a topic of which more lies with the broker, and that were read from just now."""
        since = time.monotonic() - _READING_S
        return {
            tp.partition
            for tp, position in self._positions.items()
            if tp.topic == topic and self._read_at.get(tp, 0.0) > since and (self._highwater(tp) or 0) > position
        }

    def _highwater(self, tp: TP) -> int | None:
        """The end of a held partition as the last answer to a fetch told it."""
        held = tp in self._app.assignor.assigned_actives()
        return self._app.consumer.highwater(tp) if held else None

    def _lag(self) -> dict[str, int]:
        lag = dict.fromkeys(self._lanes, 0)
        for tp, position in self._positions.items():
            highwater = self._highwater(tp)
            if highwater:
                lag[tp.topic] += max(0, highwater - position)
        return lag


def _by_topic(partitions: Iterable[TP]) -> dict[str, set[int]]:
    topics: dict[str, set[int]] = {}
    for tp in partitions:
        topics.setdefault(tp.topic, set()).add(tp.partition)
    return topics
