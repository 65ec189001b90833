"""The health of a node, 0 to 100, and what it lost points for.

Every rule has a component: 100 up to three quarters of its warning level, then falling in straight lines to
75 at the warning level, 25 at the critical level and 0 at its ceiling. The score is `max(0, 100 - 0.6 *
sum(100 - component))` over the components that a pane has values for: one metric at its warning level costs
15 points, at its critical level 45, at its ceiling 60. Scores and components have 12 significant digits, as
the means that they come from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.settings import RuleSettings
from smartlearn.core.stores.base import Points
from smartlearn.core.times import format_time

Status: TypeAlias = Literal["ok", "warning", "critical"]

HEALTH = "health"
"""The measurement of scores."""

WEIGHT = 0.6
"""How many points of the score a lost point of a component costs."""

OK_FROM = 80.0
"""The lowest score that is ok."""

WARNING_FROM = 50.0
"""The lowest score that is no worse than a warning."""

STATUS_FROM: tuple[tuple[float, Status], ...] = ((OK_FROM, "ok"), (WARNING_FROM, "warning"), (0.0, "critical"))
"""The lowest score of each status."""


@dataclass(frozen=True, slots=True)
class Health:
    """A node at the end of a pane.

    Attributes:
        score: 0 to 100.
        components: rule name → 0 to 100, of the rules whose metric has values.
    """

    score: float
    components: Mapping[str, float]

    @property
    def status(self) -> Status:
        """In words. A node without fresh data is `unknown`, which only a reader can tell."""
        return status_of(self.score)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one rule took from a score.

    Attributes:
        rule: the rule's name.
        component: its component, 0 to 100.
        points: lost for it, 0 to 60.
    """

    rule: str
    component: float
    points: float


def status_of(score: float) -> Status:
    """A score in words."""
    return next(status for lowest, status in STATUS_FROM if score >= lowest)


def component(value: float, rule: RuleSettings) -> float:
    """The component of a value, 0 to 100."""
    return _round12(float(component_scores(np.array([value]), rule)[0]))


def component_scores(values: FloatArray, rule: RuleSettings) -> FloatArray:
    """The component of each value, 0 to 100, not rounded; NaN for NaN."""
    healthy = rule.warning - 0.25 * abs(rule.warning)
    levels = (healthy, rule.warning, rule.critical, rule.ceiling)
    return np.interp(values, levels, (100.0, 75.0, 25.0, 0.0))


def health_of(means: Mapping[str, float], rules: Sequence[RuleSettings]) -> Health | None:
    """The health that the means of a pane give; None where no rule has a value."""
    components = {
        rule.name: component(means[rule.metric], rule) for rule in rules if not np.isnan(means.get(rule.metric, np.nan))
    }
    if not components:
        return None
    lost = sum(_points(value) for value in components.values())
    return Health(_round12(max(0.0, 100.0 - lost)), components)


def explain(health: Health) -> list[Cost]:
    """What cost points, most first. Together it may be more than 100: a score stops at 0."""
    costs = [Cost(rule, value, _points(value)) for rule, value in health.components.items() if value < 100.0]
    return sorted(costs, key=lambda cost: (-cost.points, cost.rule))


def health_message(node: str, pane_end: int, health: Health) -> dict[str, object]:
    """The JSON object that goes to the health topic; its key is the node. `pane_end` in µs."""
    return {
        "v": 1,
        "node": node,
        "at": format_time(pane_end),
        "score": health.score,
        "status": health.status,
        "components": dict(health.components),
    }


def health_points(nodes: Sequence[str], pane_ends: Int64Array, healths: Sequence[Health]) -> Points:
    """Scores as points, one a node and pane: the score, and each component under its rule's name.

    Args:
        nodes: shape (n,).
        pane_ends: µs, shape (n,).
        healths: shape (n,).
    """
    names = dict.fromkeys(name for health in healths for name in health.components)
    fields = {name: np.array([each.components.get(name, np.nan) for each in healths]) for name in names}
    scores = np.array([each.score for each in healths], np.float64)
    return Points(HEALTH, pane_ends * 1000, {"node": list(nodes)}, {"score": scores, **fields})


def _points(value: float) -> float:
    return _round12(WEIGHT * (100.0 - value))


def _round12(value: float) -> float:
    return float(f"{value:.12g}")
