"""Runs a program that dies with the process that started it, however that ends.

Started by path, before the program: `python -I -S leash.py PARENT_PID -- COMMAND…`. It imports nothing
of ours and becomes the command (same pid). Linux is asked to kill it when the parent dies; elsewhere a
process in the same group watches the parent and kills the group.
"""

from __future__ import annotations

import os
import signal
import sys
import time

_PR_SET_PDEATHSIG = 1

WATCH_INTERVAL_S = 0.5
"""How often a watcher looks for the parent: so long may a child outlive it where the kernel gives no help."""


def ask_kernel() -> bool:
    """Have the kernel kill this process when its parent dies; False where it cannot."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        import ctypes
    except ImportError:
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    return bool(libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) == 0)


def watch(parent: int) -> None:
    """Fork a watcher that kills this process group when `parent` is gone, and ends when this process does."""
    command = os.getpid()
    if os.fork():
        return
    for descriptor in range(3):
        os.close(descriptor)
    while os.getppid() == command:
        try:
            os.kill(parent, 0)
        except OSError:
            os.killpg(os.getpgrp(), signal.SIGKILL)
        time.sleep(WATCH_INTERVAL_S)
    os._exit(0)


def main(arguments: list[str]) -> None:
    """Leash this process to the parent, then become the command."""
    parent, command = int(arguments[0]), arguments[2:]
    if not ask_kernel():
        watch(parent)
    # The parent may have died before the leash was on.
    if os.getppid() != parent:
        raise SystemExit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        raise SystemExit(127) from None


if __name__ == "__main__":
    main(sys.argv[1:])
