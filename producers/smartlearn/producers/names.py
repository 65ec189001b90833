"""Names that nobody has to think of."""

from __future__ import annotations

import secrets

from smartlearn.producers.moments import now_local


def new_run(node: str) -> str:
    """A run id that no other process has: node, time and some letters."""
    return f"{node[:150]}-{now_local():%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
