"""The processes of this machine: how many, and how much the largest take."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import psutil

_EVERY_S: Final = 30.0
"""To look at every process costs milliseconds: it is done so often, and what was found holds in between."""

_MB: Final = 1e6


class ProcessSource:
    """Counts processes, and looks for the largest now and then.

    Names are no part of it: they would be without bound, and may tell more than a metric should.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._looked: float | None = None
        self._cpu: dict[int, float] = {}
        self._largest: dict[str, float] = {}

    def sample(self) -> dict[str, float]:
        """How many processes there are, the memory of the largest in MB, and the CPU of the busiest in % of a core."""
        now = self._clock()
        if self._looked is None or now - self._looked >= _EVERY_S:
            self._largest = self._look(None if self._looked is None else now - self._looked)
            self._looked = now
        return {"processes": float(len(psutil.pids())), **self._largest}

    def _look(self, seconds: float | None) -> dict[str, float]:
        memory, cpu = 0.0, {}
        for process in psutil.process_iter():
            try:
                with process.oneshot():
                    memory = max(memory, float(process.memory_info().rss))
                    times = process.cpu_times()
            except (psutil.Error, OSError):  # it has ended, or is not ours to look at
                continue
            cpu[process.pid] = times.user + times.system
        before, self._cpu = self._cpu, cpu
        found = {"process_memory_mb": memory / _MB} if memory else {}
        if seconds:
            used = [value - before[pid] for pid, value in cpu.items() if value >= before.get(pid, float("inf"))]
            found |= {"process_cpu": 100 * max(used, default=0.0) / seconds}
        return found
