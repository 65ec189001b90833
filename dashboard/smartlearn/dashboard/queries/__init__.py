"""What the dashboards ask the store: plain functions that give small dataclasses of numpy arrays.

`window` says which stored tier fits a time range, `rollups` folds rows of several series into lines; the
others answer for one subject each. Nothing here knows Dash or Plotly. All raise what the store raises
(`StoreError`).
"""

from smartlearn.dashboard.queries.alerts import Note, Transition, alerts, notes, open_alerts, standing
from smartlearn.dashboard.queries.attempts import (
    Answers,
    Attempts,
    Funnel,
    Risk,
    at_risk,
    funnel,
    learning,
    read_answers,
)
from smartlearn.dashboard.queries.clocks import Clock, clock
from smartlearn.dashboard.queries.cohorts import Retention, retention
from smartlearn.dashboard.queries.curves import Best, Curve, best, curves, difference, gap, speed
from smartlearn.dashboard.queries.diagnosis import Finding, findings
from smartlearn.dashboard.queries.estimates import Estimate
from smartlearn.dashboard.queries.groups import may_be_shown, whole
from smartlearn.dashboard.queries.health import NodeHealth, Status, health, scores
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.insights import Insight, insights
from smartlearn.dashboard.queries.interactions import METRICS as INTERACTION_METRICS
from smartlearn.dashboard.queries.interactions import (
    Activity,
    By,
    Group,
    Groups,
    OverTime,
    activity,
    groups,
    over_time,
    subjects,
)
from smartlearn.dashboard.queries.lives import Checkpoint, Life, checkpoints, lives
from smartlearn.dashboard.queries.matrix import Matrix, matrix
from smartlearn.dashboard.queries.memory import Efficiency, memory_efficiency
from smartlearn.dashboard.queries.models import Spread, Version, spread, versions
from smartlearn.dashboard.queries.performance import (
    FLEET,
    Change,
    Lines,
    Newest,
    Quantiles,
    by_version,
    changes,
    fleet,
    merged,
    newest,
    nodes,
    quantiles,
    rank,
    trends,
)
from smartlearn.dashboard.queries.rollups import Trend
from smartlearn.dashboard.queries.smoothing import Smoothing
from smartlearn.dashboard.queries.spreads import Box, Boxes, Histogram, boxes, distribution
from smartlearn.dashboard.queries.summaries import Summary, summaries
from smartlearn.dashboard.queries.training import Heard, Run, RunState, heard, run, run_names, runs, states
from smartlearn.dashboard.queries.window import (
    DAY,
    HOUR,
    MAX_POINTS,
    MINUTE,
    SECOND,
    Window,
    tier_for,
    with_gaps,
)

__all__ = [
    "DAY",
    "FLEET",
    "HOUR",
    "INTERACTION_METRICS",
    "MAX_POINTS",
    "MINUTE",
    "SECOND",
    "Activity",
    "Answers",
    "Attempts",
    "Best",
    "Box",
    "Boxes",
    "By",
    "Change",
    "Checkpoint",
    "Clock",
    "Curve",
    "Efficiency",
    "Estimate",
    "Finding",
    "Funnel",
    "Group",
    "Groups",
    "Heard",
    "Histogram",
    "History",
    "Insight",
    "Life",
    "Lines",
    "Matrix",
    "Newest",
    "NodeHealth",
    "Note",
    "OverTime",
    "Quantiles",
    "Retention",
    "Risk",
    "Run",
    "RunState",
    "Smoothing",
    "Spread",
    "Status",
    "Summary",
    "Transition",
    "Trend",
    "Version",
    "Window",
    "activity",
    "alerts",
    "at_risk",
    "best",
    "boxes",
    "by_version",
    "changes",
    "checkpoints",
    "clock",
    "curves",
    "difference",
    "distribution",
    "findings",
    "fleet",
    "funnel",
    "gap",
    "groups",
    "health",
    "heard",
    "insights",
    "learning",
    "lives",
    "matrix",
    "may_be_shown",
    "memory_efficiency",
    "merged",
    "newest",
    "nodes",
    "notes",
    "open_alerts",
    "over_time",
    "quantiles",
    "rank",
    "read_answers",
    "retention",
    "run",
    "run_names",
    "runs",
    "scores",
    "speed",
    "spread",
    "standing",
    "states",
    "subjects",
    "summaries",
    "tier_for",
    "trends",
    "versions",
    "whole",
    "with_gaps",
]
