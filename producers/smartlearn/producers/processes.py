"""What has to be closed when its process ends, and made anew in a forked child."""

from __future__ import annotations

import atexit
import os
import sys
import weakref
from typing import Any, Protocol


class ProcessBound(Protocol):
    """Something with threads and connections."""

    def close(self) -> object:
        """End it; called again, it does nothing."""
        ...

    def after_fork(self) -> None:
        """In a forked child: leave to the parent what is the parent's."""
        ...


_alive: weakref.WeakSet[Any] = weakref.WeakSet()


def register(one: ProcessBound) -> None:
    """Close something at the end of the process, and tell it of forks."""
    _alive.add(one)


def close_with_multiprocessing(one: ProcessBound) -> None:
    """Close something at the end of a forked worker of multiprocessing, which calls no atexit function.

    To be called in that worker: what was arranged before the fork is forgotten there.
    """
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, one.close, exitpriority=0)


def _close_all() -> None:
    for one in list(_alive):
        one.close()


def _after_fork() -> None:
    for one in list(_alive):
        one.after_fork()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
