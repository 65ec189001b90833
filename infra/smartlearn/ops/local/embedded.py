"""The life of the embedded broker: each start forgets everything, so each is a new epoch.

Topics are made again, and the workers start on the new epoch. The broker also never forgets while it lives (its
memory knows no retention): when it has grown large and everything in it is read, it is started anew.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable

import psutil

from smartlearn.core.errors import BrokerError, StackError
from smartlearn.core.topics import ensure_topics
from smartlearn.ops.live import drained
from smartlearn.ops.local.components import Components
from smartlearn.ops.local.crew import Crew
from smartlearn.ops.local.threads import in_thread

START_S = 20.0
"""Tansu accepts within milliseconds; a cold disk or a busy machine takes seconds."""

LARGE_BYTES = 1 << 30
"""A demo on one machine takes about two days to get there."""

PRODUCERS_STOP_S = 3.0
"""How long the agent and the demo may take to deliver what they hold."""

DRAIN_S = 5.0
"""How long the workers may take to read the rest; if they need longer, it is not the time to start anew."""

_TOPICS_AGAIN_S = 1.0


class EmbeddedBroker:
    """Starts the broker, and brings the stack back after each of its ends."""

    def __init__(self, crew: Crew, components: Components, warn: Callable[[str], None]) -> None:
        """Start nothing yet.

        Args:
            crew: where the broker and the workers run.
            components: are told the epoch.
            warn: prints a line about something that went wrong.
        """
        self._crew = crew
        self._components = components
        self._warn = warn
        self._recovery: asyncio.Task[None] | None = None

    async def start(self, port: int) -> None:
        """Start the broker on a port, and return when it answers.

        Raises:
            StackError: it does not.
        """
        update = {"bootstrap_servers": f"127.0.0.1:{port}"}
        self._components.kafka = self._components.kafka.model_copy(update=update)
        self._new_epoch()
        self._crew.on_death = self._on_death
        broker = self._crew.start(self._components.broker())
        try:
            async with asyncio.timeout(START_S):
                await broker.ready.wait()
        except TimeoutError as error:
            raise StackError(f"the broker does not start: {self._crew.last_words('broker')}") from error

    def close(self) -> None:
        """Bring nothing back any more."""
        if self._recovery is not None:
            self._recovery.cancel()

    async def renew_if_large(self, limit: int) -> None:
        """Start the broker anew if it holds more than `limit` bytes and the workers have read everything."""
        pid = self._crew["broker"].pid if "broker" in self._crew else None
        if pid is None or self._is_recovering() or _resident(pid) <= limit:
            return
        producers = [part for part in self._crew.producers if part.state == "running"]
        await self._crew.stop(producers, PRODUCERS_STOP_S)
        if await in_thread(drained, self._components.kafka, len(self._crew.workers), DRAIN_S):
            self._warn("the embedded broker has grown large and is started anew; everything in it was read")
            self._new_epoch()
            await self._crew["broker"].restart()
            await self._recover()
        for part in producers:
            part.start()

    def _on_death(self, name: str) -> None:
        if name == "broker":
            self._new_epoch()
            self.close()
            self._recovery = asyncio.create_task(self._recover())

    async def _recover(self) -> None:
        """Once the broker is back, empty: make the topics, start the workers on the new epoch."""
        await self._crew["broker"].ready.wait()
        while True:
            try:
                await in_thread(ensure_topics, self._components.kafka)
            except BrokerError as error:
                self._warn(str(error))
                await asyncio.sleep(_TOPICS_AGAIN_S)
            else:
                break
        await asyncio.gather(*(part.restart() for part in self._crew.workers))

    def _is_recovering(self) -> bool:
        return self._recovery is not None and not self._recovery.done()

    def _new_epoch(self) -> None:
        epoch = uuid.uuid4().hex[:12]
        self._components.kafka = self._components.kafka.model_copy(update={"epoch": epoch})


def _resident(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
