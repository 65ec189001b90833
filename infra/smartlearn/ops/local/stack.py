"""A whole stack: the order in which its components start and end."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass

from smartlearn.core.errors import StackError
from smartlearn.core.settings import Settings
from smartlearn.core.stack import StackRecord
from smartlearn.core.topics import ensure_topics
from smartlearn.ops.health import unhealthy
from smartlearn.ops.http import get
from smartlearn.ops.live import drained
from smartlearn.ops.local.components import Components
from smartlearn.ops.local.crew import Crew
from smartlearn.ops.local.datadir import DataDirLock
from smartlearn.ops.local.embedded import LARGE_BYTES, EmbeddedBroker
from smartlearn.ops.local.ports import Ports
from smartlearn.ops.local.process import Supervised
from smartlearn.ops.local.threads import in_thread

PRODUCERS_AFTER_S = 10.0
"""The agent and the demo start when the stack is healthy, or after so long: Kafka keeps what they send."""

STOP_WITHIN_S = 4.6
"""All of a stop, so that nothing is left after five seconds."""

PRODUCERS_STOP_S = 1.5
"""How long the agent and the demo may take to deliver or spool what they hold."""

DRAIN_S = 1.3
"""How long the workers may take to read what the producers sent last; they say so twice a second."""

BROKER_STOP_S = 0.7
"""The broker holds nothing worth waiting for."""

HEALTH_TIMEOUT_S = 2.0
"""A dashboard that is up answers in milliseconds; one that is starting holds the connection."""

TELL_INTERVAL_S = 20.0
"""A stack is usually ready before; then it is time to say what keeps it."""

_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run.

    Attributes:
        settings: the whole tree; `kafka.bootstrap_servers` None means the embedded broker.
        workers: how many.
        agent: whether this machine is a node.
        demo: whether the demo runs.
        host: where the dashboard listens.
        port: the dashboard's port: 0 for any free one, None for the settings' or the next free after it.
        upkeep_s: how often the sizes of the logs and of the embedded broker are looked at.
        broker_bytes: an embedded broker that holds more is started anew.
    """

    settings: Settings
    workers: int = 1
    agent: bool = True
    demo: bool = False
    host: str = "127.0.0.1"
    port: int | None = None
    upkeep_s: float = 30.0
    broker_bytes: int = LARGE_BYTES


class Stack:
    """Runs a plan until it is told to stop."""

    def __init__(
        self,
        plan: Plan,
        say: Callable[[str], None],
        warn: Callable[[str], None],
        components: Callable[..., Components] = Components,
    ) -> None:
        """Prepare, start nothing.

        Args:
            plan: what to run.
            say: prints a line for the user, at once.
            warn: prints a line about something that went wrong.
            components: makes the programs.
        """
        self._plan = plan
        self._say = say
        self._warn = warn
        self._data_dir = plan.settings.data_dir
        self._components = components(self._data_dir, plan.settings.kafka, plan.host, 0)
        self._stop = asyncio.Event()
        self._signals = 0
        self._crew = Crew(self._data_dir / "logs", self._record, warn)
        embedded = plan.settings.kafka.bootstrap_servers is None
        self._broker = EmbeddedBroker(self._crew, self._components, warn) if embedded else None
        self._broker_port = 0

    async def run(self) -> int:
        """Start everything, keep it running, and stop it on SIGINT, SIGTERM or SIGHUP.

        Returns:
            The exit code: 0, or 130 where a second signal cut the stop short.

        Raises:
            StackError: the stack cannot start.
        """
        lock, ports = DataDirLock(self._data_dir), Ports()
        lock.acquire()
        try:
            self._choose_ports(ports)
            self._listen()
            await self._run_until_stopped()
        finally:
            await self._shut_down()
            ports.close()
            StackRecord.path(self._data_dir).unlink(missing_ok=True)
            lock.release()
        return _INTERRUPTED if self._signals > 1 else 0

    def _choose_ports(self, ports: Ports) -> None:
        host, port = self._plan.host, self._plan.port
        preferred = self._plan.settings.dashboard.port
        if port is None and preferred:
            port = ports.first_free(preferred, host)
        elif not port:
            port = ports.any_free(host)
        elif not ports.take(port, host):
            raise StackError(f"port {port} is in use on {host}; give another with --port, or 0 for any free one")
        self._components.port = port
        if self._broker is not None:
            self._broker_port = ports.any_free()

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Under nohup the end of the terminal is not the end of the stack.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, self._on_signal)

    def _on_signal(self) -> None:
        self._signals += 1
        self._stop.set()
        if self._signals > 1:
            self._crew.kill()

    async def _run_until_stopped(self) -> None:
        work = {asyncio.create_task(self._bring_up()), asyncio.create_task(self._keep_up())}
        stop = asyncio.create_task(self._stop.wait())
        try:
            while not stop.done():
                done, _ = await asyncio.wait({stop, *work}, return_when=asyncio.FIRST_COMPLETED)
                for task in done & work:
                    work.discard(task)
                    task.result()
        finally:
            for task in (stop, *work):
                task.cancel()
            await asyncio.gather(stop, *work, return_exceptions=True)

    async def _bring_up(self) -> None:
        components = self._components
        self._say(f"dashboard  {components.url}")
        if self._broker is not None:
            await self._broker.start(self._broker_port)
        await in_thread(ensure_topics, components.kafka)
        self._say(f"kafka      {components.kafka.bootstrap_servers}")
        self._say(f"data       {self._data_dir}")
        for number in range(1, self._plan.workers + 1):
            self._crew.start(components.worker(f"worker-{number}"))
        self._crew.start(components.dashboard())
        healthy = asyncio.create_task(self._await_healthy())
        try:
            await asyncio.wait({healthy}, timeout=PRODUCERS_AFTER_S)
            if self._plan.agent:
                self._crew.start(components.agent())
            if self._plan.demo:
                self._crew.start(components.demo())
            await healthy
        finally:
            healthy.cancel()
        self._say("ready")

    async def _await_healthy(self) -> None:
        loop = asyncio.get_running_loop()
        told = loop.time()
        while True:
            problem = unhealthy(await in_thread(get, f"{self._components.url}/health", HEALTH_TIMEOUT_S))
            if problem is None:
                return
            if loop.time() - told > TELL_INTERVAL_S:
                told = loop.time()
                self._warn(f"still waiting: {problem}; logs are in {self._data_dir / 'logs'}")
            await asyncio.sleep(0.1)

    async def _keep_up(self) -> None:
        while True:
            await asyncio.sleep(self._plan.upkeep_s)
            self._crew.rotate_logs()
            if self._broker is not None:
                await self._broker.renew_if_large(self._plan.broker_bytes)

    async def _shut_down(self) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STOP_WITHIN_S
        if self._broker is not None:
            self._broker.close()
        crew = self._crew
        await self._stop_parts(crew.producers, PRODUCERS_STOP_S)
        if any(part.state == "running" for part in crew.workers) and self._signals < 2:
            await in_thread(drained, self._components.kafka, len(crew.workers), DRAIN_S)
        rest = [*crew.workers, *([crew["dashboard"]] if "dashboard" in crew else [])]
        await self._stop_parts(rest, max(0.1, deadline - loop.time() - BROKER_STOP_S))
        if "broker" in crew:
            await self._stop_parts([crew["broker"]], BROKER_STOP_S)

    async def _stop_parts(self, parts: list[Supervised], grace_s: float) -> None:
        await self._crew.stop(parts, grace_s, quietly=self._signals > 1)

    def _record(self) -> None:
        kafka = self._components.kafka
        StackRecord(
            pid=os.getpid(),
            mode="servers" if self._broker is None else "embedded",
            kafka=kafka.bootstrap_servers or "",
            kafka_epoch=kafka.epoch,
            dashboard=self._components.url,
            workers=self._plan.workers,
            components=self._crew.components,
        ).write(self._data_dir)
