"""What the store holds by contract: each measurement and its tags."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from smartlearn.core.errors import InvalidQuery
from smartlearn.core.stores.base import MetricStore

_NODE = ("node", "gpu", "model_version")
_GROUP = ("shard", "by", "subject", "difficulty")

TAGS_OF: Mapping[str, tuple[str, ...]] = {
    "performance": ("node", "source", "gpu", "run", "model_version"),
    "training": ("run", "node", "source"),
    "interactions": ("subject", "difficulty", "action", "source", "shard"),
    "runs": ("run", "node", "source", "type"),
    "annotations": ("scope", "source"),
    **dict.fromkeys(("performance_10s", "performance_1m", "performance_1h"), _NODE),
    **dict.fromkeys(("performance_fleet_10s", "performance_fleet_1m", "performance_fleet_1h"), ("shard",)),
    **dict.fromkeys(("interactions_10s", "interactions_1m", "interactions_1h"), _GROUP),
    "performance_rolling": (*_NODE, "window"),
    "interactions_rolling": (*_GROUP, "window"),
    "training_steps": ("run", "level"),
    "health": ("node",),
    "alerts": ("rule", "scope", "state"),
}
"""Measurement → the tags its points may have."""

RAW = frozenset({"performance", "training", "interactions", "runs", "annotations"})
"""The measurements whose points are events, at times that `core.identity` made unique."""

SHARD = "shard"


def check_names(store: MetricStore, measurement: str, fields: tuple[str, ...], tags: tuple[str, ...]) -> None:
    """Check that a query names what there is, or could be.

    A measurement of the contract that holds no points yet has nothing to compare fields with: any may come.

    Raises:
        InvalidQuery: says which name is unknown, and which there are.
    """
    stored = store.measurements()
    if measurement not in TAGS_OF and measurement not in stored:
        raise InvalidQuery(_unknown("measurement", measurement, sorted({*TAGS_OF, *stored})))
    if measurement in TAGS_OF:
        for tag in tags:
            if tag not in TAGS_OF[measurement]:
                raise InvalidQuery(_unknown(f"tag of {measurement}", tag, TAGS_OF[measurement]))
    # A field whose every value is NaN or infinite is stored as the name of what it is.
    found = store.fields(measurement) if fields and measurement in stored else []
    known = sorted({*found, *(name.removesuffix("_nonfinite") for name in found)})
    for name in fields:
        if known and name not in known:
            raise InvalidQuery(_unknown(f"field of {measurement}", name, _sketchless(known)))


def _sketchless(fields: list[str]) -> list[str]:
    return [name for name in fields if not name.endswith(("_sketch", "_nonfinite")) and name != "at"]


def _unknown(what: str, name: str, known: tuple[str, ...] | list[str]) -> str:
    close = get_close_matches(name, known, n=3)
    if close:
        return f"there is no {what} {name!r}; did you mean {' or '.join(close)}?"
    return f"there is no {what} {name!r}; there are {', '.join(known)}"
