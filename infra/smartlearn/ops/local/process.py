"""One supervised program: started, watched, started again for ever, and stopped with all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from smartlearn.core.stack import Component, ComponentState
from smartlearn.ops.local import leash
from smartlearn.ops.local.logs import open_log

PROBE_INTERVAL_S = 0.05
"""How often a starting program is asked whether it is ready."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How long to wait before the next start.

    Attributes:
        first_s: after the first death.
        ceiling_s: at most; each wait doubles up to it.
        healthy_s: a program that lived so long starts over at `first_s`.
    """

    first_s: float = 0.2
    ceiling_s: float = 30.0
    healthy_s: float = 30.0

    def after(self, previous_s: float | None, lived_s: float) -> float:
        """The wait after a death, given the one before (None: the first) and how long the program lived."""
        if previous_s is None or lived_s >= self.healthy_s:
            return self.first_s
        return min(previous_s * 2, self.ceiling_s)


@dataclass(frozen=True, slots=True)
class Program:
    """What to run.

    Attributes:
        name: the component's name, and that of its log.
        command: program and arguments.
        environment: read at each start; over the supervisor's own.
        ready: whether it answers; None where running is enough.
        held: whether it may not be started now.
        once: whether an exit with 0 is its end rather than a death.
        grace_s: how long SIGTERM may take before SIGKILL follows, when it is restarted.
    """

    name: str
    command: Sequence[str]
    environment: Callable[[], Mapping[str, str]] = field(default=dict)
    ready: Callable[[], Awaitable[bool]] | None = None
    held: Callable[[], bool] = field(default=lambda: False)
    once: bool = False
    grace_s: float = 3.0


class Supervised:
    """Keeps one program running until it is stopped.

    Each start is its own session and process group; when the program ends, whatever is left of the group is
    killed. Must be used inside a running event loop on the main thread (the leash is tied to the thread that
    starts a child).
    """

    def __init__(
        self,
        program: Program,
        log: Path,
        *,
        changed: Callable[[], None] = lambda: None,
        died: Callable[[str, int, float], None] = lambda _name, _code, _delay: None,
        backoff: Backoff | None = None,
    ) -> None:
        """Prepare, start nothing.

        Args:
            program: what to run.
            log: where its output goes.
            changed: called when the state or the pid changed.
            died: called after an unwanted end with the name, the exit code and the wait until the next start.
            backoff: the waits.
        """
        self.program = program
        self.log = log
        self.state: ComponentState = "stopped"
        self.pid: int | None = None
        self.ready = asyncio.Event()
        self._changed = changed
        self._died = died
        self._backoff = backoff or Backoff()
        self._ending = asyncio.Event()
        self._again = False
        self._task: asyncio.Task[None] | None = None

    @property
    def component(self) -> Component:
        """The entry of the stack's record."""
        return Component(name=self.program.name, pid=self.pid, state=self.state)

    def start(self) -> None:
        """Start the program and keep it running."""
        self._ending.clear()
        self._set("starting", None)
        self._task = asyncio.create_task(self._keep_running(), name=self.program.name)

    async def stop(self, grace_s: float) -> bool:
        """End the program: SIGTERM, after `grace_s` SIGKILL; returns when nothing of its group is left.

        Returns:
            Whether it ended by itself.
        """
        if self._task is None:
            return True
        self._ending.set()
        if self.pid is not None:
            self._set("stopping", self.pid)
        in_time = await self._end(grace_s)
        await self._task
        self._set("stopped", None)
        return in_time

    async def restart(self) -> None:
        """End the program and start it at once, with its environment read anew."""
        self._again = True
        if self.pid is not None:
            await self._end(self.program.grace_s)

    def kill(self) -> None:
        """SIGKILL the whole group now."""
        if self.pid is not None:
            _signal_group(self.pid, signal.SIGKILL)

    async def _end(self, grace_s: float) -> bool:
        pid = self.pid
        if pid is None:
            return True
        _signal_group(pid, signal.SIGTERM)
        deadline = asyncio.get_running_loop().time() + grace_s
        in_time = True
        while self.pid == pid:
            if asyncio.get_running_loop().time() >= deadline:
                in_time = False
                _signal_group(pid, signal.SIGKILL)
            await asyncio.sleep(0.02)
        return in_time

    async def _keep_running(self) -> None:
        loop = asyncio.get_running_loop()
        delay: float | None = None
        while not self._ending.is_set():
            self._again = False
            while self.program.held() and not self._ending.is_set():  # noqa: ASYNC110  another process holds it
                await asyncio.sleep(PROBE_INTERVAL_S)
            started = loop.time()
            code = await self._run_once()
            if self._ending.is_set() or (self.program.once and code == 0):
                break
            if self._again:
                continue
            delay = self._backoff.after(delay, loop.time() - started)
            self._set("restarting", None)
            self._died(self.program.name, code, delay)
            await self._pause(delay)
        self._set("stopped", None)

    async def _pause(self, delay: float) -> None:
        deadline = asyncio.get_running_loop().time() + delay
        while not self._ending.is_set() and not self._again:
            left = deadline - asyncio.get_running_loop().time()
            if left <= 0:
                return
            await asyncio.sleep(min(left, 0.1))

    async def _run_once(self) -> int:
        try:
            process = await self._spawn()
        except OSError as error:
            with self.log.open("a") as log:
                log.write(f"{self.program.name} cannot be started: {error.strerror}\n")
            return 127
        self._set("starting", process.pid)
        if self._ending.is_set():
            # stop() came while the program was being started, and found no pid to end.
            self.kill()
        probe = asyncio.create_task(self._await_ready(process.pid))
        code = await process.wait()
        probe.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await probe
        _signal_group(process.pid, signal.SIGKILL)
        self.ready.clear()
        self.pid = None
        return code

    async def _await_ready(self, pid: int) -> None:
        if self.program.ready is not None:
            while not await self.program.ready():  # noqa: ASYNC110  another process tells no event
                await asyncio.sleep(PROBE_INTERVAL_S)
        self.ready.set()
        if not self._ending.is_set():
            self._set("running", pid)

    async def _spawn(self) -> asyncio.subprocess.Process:
        output = open_log(self.log)
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable, "-I", "-S", leash.__file__, str(os.getpid()), "--",
                *self.program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.program.environment()},
                start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(output)

    def _set(self, state: ComponentState, pid: int | None) -> None:
        if (state, pid) != (self.state, self.pid):
            self.state, self.pid = state, pid
            self._changed()


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
