"""What the dashboards ask the store: plain functions that give small dataclasses of numpy arrays.

`window` says which stored tier fits a time range, `rollups` folds rows of several series into lines; the
others answer for one subject each. Nothing here knows Dash or Plotly. All raise what the store raises
(`StoreError`).
"""

from smartlearn.dashboard.queries.alerts import Note, Transition, alerts, notes, open_alerts, standing
from smartlearn.dashboard.queries.curves import Best, Curve, best, curves, gap
from smartlearn.dashboard.queries.estimates import Estimate
from smartlearn.dashboard.queries.health import NodeHealth, Status, health, scores
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.insights import Insight, insights
from smartlearn.dashboard.queries.interactions import METRICS as INTERACTION_METRICS
from smartlearn.dashboard.queries.interactions import (
    Activity,
    By,
    Group,
    Groups,
    Histogram,
    OverTime,
    activity,
    distribution,
    groups,
    over_time,
    subjects,
)
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
from smartlearn.dashboard.queries.training import Run, RunState, run, run_names, runs
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
    "Best",
    "By",
    "Change",
    "Curve",
    "Efficiency",
    "Estimate",
    "Group",
    "Groups",
    "Histogram",
    "History",
    "Insight",
    "Lines",
    "Matrix",
    "Newest",
    "NodeHealth",
    "Note",
    "OverTime",
    "Quantiles",
    "Run",
    "RunState",
    "Spread",
    "Status",
    "Transition",
    "Trend",
    "Version",
    "Window",
    "activity",
    "alerts",
    "best",
    "by_version",
    "changes",
    "curves",
    "distribution",
    "fleet",
    "gap",
    "groups",
    "health",
    "insights",
    "matrix",
    "memory_efficiency",
    "merged",
    "newest",
    "nodes",
    "notes",
    "open_alerts",
    "over_time",
    "quantiles",
    "rank",
    "run",
    "run_names",
    "runs",
    "scores",
    "spread",
    "standing",
    "subjects",
    "tier_for",
    "trends",
    "versions",
    "with_gaps",
]
