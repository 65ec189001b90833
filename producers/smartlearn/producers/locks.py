"""A lock that a process holds as long as it lives: how one process knows that another's spool is nobody's."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


class ProcessLock:
    """An exclusive lock on a file, released by the system when its process ends, however it ends."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file

    @classmethod
    def take(cls, path: Path) -> ProcessLock | None:
        """Lock a file, made if need be; None where another process holds it.

        Raises:
            OSError: the file can be neither opened nor made.
        """
        file = os.open(path, os.O_CREAT | os.O_RDWR | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            _lock(file)
        except OSError:
            os.close(file)
            return None
        return cls(path, file)

    def release(self, *, remove: bool = False) -> None:
        """Let go of the lock; `remove` deletes its file as well."""
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink(missing_ok=True)
        os.close(self._file)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
