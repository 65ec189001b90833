"""What a producer says to the person at the keyboard: on stderr, each thing once."""

from __future__ import annotations

import contextlib
import sys


class Notices:
    """Says each thing once in a process' life; a library in someone's program may not do more."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def once(self, what: str, sentence: str) -> None:
        """Say a sentence on stderr, unless one about `what` was said before."""
        if what in self._said:
            return
        self._said.add(what)
        # A closed or full stderr is no reason to end anything.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            sys.stderr.write(f"smartlearn: {sentence}\n")
            sys.stderr.flush()
