"""Which metrics nodes have."""

from __future__ import annotations

from typing import Final

from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.window import TIERS

_COUNT: Final = "_count"


def metric_names(store: History) -> list[str]:
    """Every metric of performance that has a stored pane, also those that sources added, sorted."""
    found: set[str] = set()
    for tier in TIERS:
        names = store.fields(f"performance_{tier}")
        found.update(name.removesuffix(_COUNT) for name in names if name.endswith(_COUNT))
    return sorted(found)
