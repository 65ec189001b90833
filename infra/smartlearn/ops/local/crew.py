"""The running components of a stack, by name."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

from smartlearn.core.stack import Component
from smartlearn.ops.local.logs import rotate, tail
from smartlearn.ops.local.process import Program, Supervised

PRODUCERS = ("agent", "demo")


class Crew:
    """Starts components, keeps them running, and tells when one died or changed."""

    def __init__(self, logs: Path, changed: Callable[[], None], warn: Callable[[str], None]) -> None:
        """Start nothing yet.

        Args:
            logs: the folder of their logs.
            changed: called when a state or a pid changed.
            warn: prints a line about something that went wrong.
        """
        self._logs = logs
        self._changed = changed
        self._warn = warn
        self._parts: dict[str, Supervised] = {}
        self.on_death: Callable[[str], None] = lambda _name: None

    def __getitem__(self, name: str) -> Supervised:
        """A component that was started once."""
        return self._parts[name]

    def __contains__(self, name: str) -> bool:
        return name in self._parts

    @property
    def components(self) -> list[Component]:
        """All of them as the record tells them, in the order of their start."""
        return [part.component for part in self._parts.values()]

    @property
    def workers(self) -> list[Supervised]:
        """The workers."""
        return [part for name, part in self._parts.items() if name.startswith("worker-")]

    @property
    def producers(self) -> list[Supervised]:
        """The agent and the demo, as far as they were started."""
        return [self._parts[name] for name in PRODUCERS if name in self._parts]

    def start(self, program: Program) -> Supervised:
        """Start a program and keep it running."""
        log = self._logs / f"{program.name}.log"
        part = Supervised(program, log, changed=self._changed, died=self._died)
        self._parts[program.name] = part
        part.start()
        return part

    async def stop(self, parts: list[Supervised], grace_s: float, *, quietly: bool = False) -> None:
        """End components side by side; what has to be killed is named."""
        in_time = await asyncio.gather(*(part.stop(grace_s) for part in parts))
        for part, ended in zip(parts, in_time, strict=True):
            if not ended and not quietly:
                self._warn(f"{part.program.name} did not end within {grace_s:.1f} s and was killed")

    def kill(self) -> None:
        """SIGKILL everything."""
        for part in self._parts.values():
            part.kill()

    def rotate_logs(self) -> None:
        """Move the logs that became large aside."""
        for part in self._parts.values():
            rotate(part.log)

    def last_words(self, name: str) -> str:
        """The last line of a component's log, and where it stands."""
        log = self._logs / f"{name}.log"
        last = tail(log, 1)
        return f"{last[0].strip()[:200]!r}, see {log}" if last else f"see {log}"

    def _died(self, name: str, code: int, delay_s: float) -> None:
        how = f"was ended by signal {-code} ({signal.strsignal(-code)})" if code < 0 else f"ended with exit code {code}"
        why = f" ({self.last_words(name)})" if code > 0 else ""
        self._warn(f"{name} {how}{why}; starting it again in {delay_s:g} s")
        self.on_death(name)
