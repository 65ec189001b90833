"""Free ports on loopback, held for as long as their owner lives so that two stacks never pick the same."""

from __future__ import annotations

import fcntl
import os
import random
import socket
import tempfile
from pathlib import Path

from smartlearn.core.errors import StackError

_RANGE = range(20_000, 32_000)
"""Below what systems hand to outgoing connections: nobody takes a port while its component restarts."""


class Ports:
    """The ports this process has picked; other stacks of this user skip them until it closes or dies."""

    def __init__(self) -> None:
        self._locks: list[int] = []
        self._folder = Path(tempfile.gettempdir()) / f"smartlearn-ports-{os.getuid()}"

    def take(self, port: int, host: str = "127.0.0.1") -> bool:
        """Reserve one port; False where another stack holds it or something listens on it."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(self._folder / str(port), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return False
        if not _is_free(host, port):
            os.close(lock)
            return False
        self._locks.append(lock)
        return True

    def first_free(self, start: int, host: str = "127.0.0.1", tries: int = 100) -> int:
        """Reserve `start`, or the first free port after it.

        Raises:
            StackError: none of `tries` ports is free.
        """
        for port in range(start, min(start + tries, 65_536)):
            if self.take(port, host):
                return port
        raise StackError(f"no port from {start} on is free on {host}; give another with --port, or 0 for any")

    def any_free(self, host: str = "127.0.0.1") -> int:
        """Reserve any free port.

        Raises:
            StackError: no port of the range is free.
        """
        candidates = random.sample(_RANGE, 200)
        for port in candidates:
            if self.take(port, host):
                return port
        raise StackError(f"no free port found on {host} between {_RANGE.start} and {_RANGE.stop}")

    def close(self) -> None:
        """Let others have the ports."""
        for lock in self._locks:
            os.close(lock)
        self._locks.clear()


def _is_free(host: str, port: int) -> bool:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
