"""What a time range says about each rule: how long its levels were crossed, when, and what else was high then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smartlearn.core.batch import Int64Array
from smartlearn.core.settings import RuleSettings
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.performance import TOP, trends
from smartlearn.dashboard.queries.rollups import Trend
from smartlearn.dashboard.queries.window import MAX_POINTS, Window

_TOGETHER_FROM = 0.5
_OFTEN = 0.01


@dataclass(frozen=True, slots=True)
class Insight:
    """A rule that a node crossed in a time range.

    Attributes:
        rule: its levels and its action.
        node: where.
        above_warning: the share of the node's rows whose mean was above the warning level, 0–1.
        above_critical: the same of the critical level.
        peak: the highest row.
        peak_at: its time, ns.
        last_at: time of the last row above the warning level, ns.
        newest: the newest row's value.
        together: the other rules that were crossed in at least half of those rows, with their shares.
    """

    rule: RuleSettings
    node: str
    above_warning: float
    above_critical: float
    peak: float
    peak_at: int
    last_at: int
    newest: float
    together: Mapping[str, float]

    @property
    def critical(self) -> bool:
        """Whether the critical level is crossed now, or was for at least 1 % of the time."""
        return self.newest > self.rule.critical or self.above_critical >= _OFTEN

    @property
    def standing(self) -> bool:
        """Whether the newest row is above the warning level still."""
        return self.newest > self.rule.warning


def insights(
    store: History, rules: Sequence[RuleSettings], window: Window, chosen: Sequence[str] = ()
) -> list[Insight]:
    """The rules that were crossed in the window, node by node: critical first, then by the time spent above.

    Of many nodes, those with the highest averages of each metric are looked at.
    """
    metrics = [rule.metric for rule in rules]
    lines = trends(store, metrics, window, chosen, TOP, rows=MAX_POINTS)
    high = {
        (rule.name, line.name): line.time[line.mean > rule.warning]
        for rule in rules
        for line in lines[rule.metric].lines
    }
    found = [
        _insight(rule, line, _together(rules, high, rule, line))
        for rule in rules
        for line in lines[rule.metric].lines
        if len(high[rule.name, line.name])
    ]
    return sorted(found, key=lambda one: (not one.critical, not one.standing, -one.above_warning, one.node))


def _insight(rule: RuleSettings, line: Trend, together: Mapping[str, float]) -> Insight:
    above = line.mean > rule.warning
    peak = int(np.argmax(line.mean))
    return Insight(
        rule,
        line.name,
        float(above.mean()),
        float((line.mean > rule.critical).mean()),
        float(line.mean[peak]),
        int(line.time[peak]),
        int(line.time[above][-1]),
        float(line.mean[-1]),
        together,
    )


def _together(
    rules: Sequence[RuleSettings], high: Mapping[tuple[str, str], Int64Array], rule: RuleSettings, line: Trend
) -> dict[str, float]:
    own = high[rule.name, line.name]
    shares = {
        other.name: float(np.isin(own, high.get((other.name, line.name), ())).mean())
        for other in rules
        if other.name != rule.name and len(own)
    }
    return {name: share for name, share in shares.items() if share >= _TOGETHER_FROM}
