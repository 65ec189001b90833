"""How long what is kept: the tier of each measurement, and the retention that the settings give it."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from smartlearn.core.settings import RetentionSettings

Tier: TypeAlias = Literal["raw", "training", "interactions", "panes", "minutes", "hours", "history"]

TIERS: tuple[Tier, ...] = get_args(Tier)

_NS_PER_DAY = 86_400_000_000_000
_RAW: dict[str, Tier] = {"performance": "raw", "training": "training", "interactions": "interactions"}
_BY_SUFFIX: dict[str, Tier] = {
    "_10s": "panes",
    "_rolling": "panes",
    "_1m": "minutes",
    "_1h": "hours",
}


def tier_of(measurement: str) -> Tier:
    """The tier that a measurement belongs to; what is no raw event and no rollup is history."""
    if measurement in _RAW:
        return _RAW[measurement]
    for suffix, tier in _BY_SUFFIX.items():
        if measurement.endswith(suffix):
            return tier
    return "history"


def retention_ns(tier: Tier, retention: RetentionSettings) -> int | None:
    """How long a tier is kept, in ns; None is for ever."""
    days: float | None = getattr(retention, f"{tier}_days")
    return None if days is None else round(days * _NS_PER_DAY)
