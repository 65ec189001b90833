"""The log files of the children: appended to, and kept from growing without end."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

LIMIT_BYTES = 10 << 20
"""A log beyond this size becomes `<name>.log.1`, over the one before it."""


def open_log(path: Path) -> int:
    """A descriptor that appends to the log, for a child to inherit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rotate(path)
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)


def rotate(path: Path, limit: int = LIMIT_BYTES) -> bool:
    """Move a log that is over the limit aside, under the feet of the child that writes it; True if it was.

    The child appends, so it goes on at the start of the emptied file; what it writes during the copy is lost.
    """
    try:
        if path.stat().st_size <= limit:
            return False
    except FileNotFoundError:
        return False
    shutil.copyfile(path, path.with_name(f"{path.name}.1"))
    os.truncate(path, 0)
    return True


def tail(path: Path, lines: int = 5) -> list[str]:
    """The last lines of a log; empty where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 8192))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]
