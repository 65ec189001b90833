"""The data directory of a stack: who holds it, and whether what it records still runs."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from smartlearn.core.errors import StackError
from smartlearn.core.stack import StackRecord

_LOCK = "up.lock"
_HOLD = "hold.lock"

LOCK_PATIENCE_S = 0.5
"""A command that looks whether a stack runs holds the lock for an instant; a start waits so long for it."""


class DataDirLock:
    """The exclusive hold of one supervisor on a data directory; the system drops it when the process dies."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the directory, creating it if needed.

        Raises:
            StackError: another stack runs on it, or it cannot be written.
        """
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self._data_dir / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StackError(
                f"the data directory {self._data_dir} cannot be used: {error.strerror}; give another with --data-dir"
            ) from error
        deadline = time.monotonic() + LOCK_PATIENCE_S
        while not _lock(descriptor, fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise StackError(_already_runs(self._data_dir))
            time.sleep(0.05)
        self._descriptor = descriptor

    def release(self) -> None:
        """Let another stack have the directory."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def is_held(data_dir: Path) -> bool:
    """Whether a supervisor runs on the directory now."""
    return _is_locked(data_dir / _LOCK)


@contextmanager
def workers_held(data_dir: Path) -> Iterator[None]:
    """While it lasts, the supervisor of the directory starts no worker."""
    descriptor = os.open(data_dir / _HOLD, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def are_workers_held(data_dir: Path) -> bool:
    """Whether somebody wants no worker to be started now."""
    return _is_locked(data_dir / _HOLD)


def running_stack(data_dir: Path) -> StackRecord | None:
    """The record of the stack that runs on the directory; None where none does, whatever a dead one left.

    Raises:
        StackError: the record cannot be read.
    """
    if not is_held(data_dir):
        return None
    return StackRecord.read(data_dir)


def _is_locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _lock(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def _lock(descriptor: int, mode: int) -> bool:
    try:
        fcntl.flock(descriptor, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _already_runs(data_dir: Path) -> str:
    try:
        record = StackRecord.read(data_dir)
    except StackError:
        record = None
    where = f" (pid {record.pid}, {record.dashboard})" if record else ""
    return f"a stack already runs on {data_dir}{where}; stop it first, or give another --data-dir"
