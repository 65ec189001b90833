"""Health per node: the newest score with its components, and the score over time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from smartlearn.core.health import status_of
from smartlearn.core.settings import Settings
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.rollups import Trend
from smartlearn.dashboard.queries.window import MAX_POINTS, SECOND, Window, bucket_width

Status: TypeAlias = Literal["critical", "warning", "unknown", "ok"]

WORST_FIRST: Final[tuple[Status, ...]] = ("critical", "warning", "unknown", "ok")
_STALE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class NodeHealth:
    """The newest health of a node.

    Attributes:
        node: the node.
        status: from the score; "unknown" where the newest pane is too old to say anything about now.
        score: 0–100, of the newest pane, however old.
        components: rule name → component score 0–100, the lowest first; a metric the node lacks has none.
        at: end of the newest pane, ns.
        age_s: how old it is.
    """

    node: str
    status: Status
    score: float
    components: dict[str, float]
    at: int
    age_s: float


def stale_after_s(settings: Settings) -> float:
    """How old (s) the newest pane may be before health is unknown."""
    return max(_STALE_S, 3 * settings.collection.interval_s)


def health(store: History, settings: Settings, now: int, chosen: Sequence[str] = ()) -> list[NodeHealth]:
    """The newest health of the chosen nodes or all, worst first; `now` in ns decides what is unknown."""
    found: list[NodeHealth] = []
    for series in store.latest("health"):
        node = series.tags.get("node", "")
        if chosen and node not in chosen:
            continue
        values = {name: float(column[-1]) for name, column in series.fields.items()}
        score = values.pop("score", float("nan"))
        at = int(series.time[-1])
        age = (now - at) / SECOND
        status: Status = "unknown" if age > stale_after_s(settings) or np.isnan(score) else status_of(score)
        components = {name: value for name, value in values.items() if not np.isnan(value)}
        ordered = dict(sorted(components.items(), key=lambda pair: pair[1]))
        found.append(NodeHealth(node, status, score, ordered, at, age))
    return sorted(found, key=lambda one: (WORST_FIRST.index(one.status), one.score, one.node))


def scores(
    store: History, window: Window, chosen: Sequence[str] = (), field: str = "score", points: int = 500
) -> list[Trend]:
    """The score (or one component) of the chosen nodes or all over time, the lowest average first."""
    width = bucket_width(window, min(points, MAX_POINTS))
    where = {"node": tuple(chosen)} if chosen else {}
    lines: list[Trend] = []
    series_by_stat = [
        store.query(SeriesQuery("health", window.start, window.stop, (field,), where, every=width, agg=agg))
        for agg in ("mean", "min", "max", "count")
    ]  # fmt: skip
    for mean, low, high, count in zip(*series_by_stat, strict=True):
        columns = [np.asarray(one.fields[field], dtype=np.float64) for one in (mean, low, high, count)]
        lines.append(Trend(field, mean.tags.get("node", ""), mean.time, width, *columns))
    return sorted(lines, key=lambda line: (line.average, line.name))
