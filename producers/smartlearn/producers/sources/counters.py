"""Disk and network: what the system counts since its start, as rates."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import psutil

_MB: Final = 1e6


class Counters:
    """Turns counters into rates over the time between two looks.

    A counter that went back (a disk or an interface left, or the counter began anew) has no rate for that time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()
        self._before = _counters()

    def rates(self) -> dict[str, float]:
        """The rates since the last call: MB/s, operations/s, lost and broken packets/s."""
        at, counters = self._clock(), _counters()
        seconds, before = at - self._at, self._before
        self._at, self._before = at, counters
        if seconds <= 0:
            return {}
        return {
            name: (value - before[name]) / seconds
            for name, value in counters.items()
            if name in before and value >= before[name]
        }


def _counters() -> dict[str, float]:
    """Rate's name → its counter, in the rate's unit."""
    found: dict[str, float] = {}
    try:
        disk = psutil.disk_io_counters()
    except (OSError, RuntimeError):
        disk = None
    if disk is not None:
        found |= {"disk_read_mb_s": disk.read_bytes / _MB, "disk_write_mb_s": disk.write_bytes / _MB}
        found |= {"disk_reads_s": float(disk.read_count), "disk_writes_s": float(disk.write_count)}
    try:
        network = psutil.net_io_counters()
    except OSError:
        return found
    if network is not None:
        found |= {"network_in_mb_s": network.bytes_recv / _MB, "network_out_mb_s": network.bytes_sent / _MB}
        found |= {"network_errors_s": float(network.errin + network.errout + network.dropin + network.dropout)}
    return found
