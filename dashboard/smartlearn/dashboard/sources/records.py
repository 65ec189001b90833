"""Plain records, of a collector or an export, as the points that workers would have stored of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.aggregates import summarize, tier_columns
from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.health import WEIGHT, component_scores
from smartlearn.core.settings import RuleSettings
from smartlearn.core.stores.base import Points
from smartlearn.dashboard.queries.window import TIERS, WIDTH

PERFORMANCE: Final = (
    "cpu_usage", "memory_usage", "gpu_memory_used", "gpu_memory_total", "response_time", "model_accuracy",
    "user_engagement",
)  # fmt: skip
TRAINING: Final = ("epoch", "step", "training_loss", "learning_rate", "validation_loss", "accuracy")
INTERACTIONS: Final = ("response_time", "accuracy", "engagement_score")

_GROUPINGS: Final[dict[str, tuple[str, ...]]] = {
    "all": (),
    "subject": ("subject",),
    "difficulty": ("difficulty",),
    "subject_difficulty": ("subject", "difficulty"),
}


@dataclass(frozen=True, slots=True)
class Records:
    """The three lists of a collector or an export; each record maps field names to values.

    Attributes:
        performance: samples of a machine.
        training: steps of a training.
        users: interactions.
        node: whose they are where a record does not say.
        run: of which run they are where a record does not say.
    """

    performance: Sequence[Mapping[str, Any]]
    training: Sequence[Mapping[str, Any]]
    users: Sequence[Mapping[str, Any]]
    node: str
    run: str


def points_of(records: Records, rules: Sequence[RuleSettings]) -> Iterator[Points]:
    """The points of all records: tiers of nodes, fleet and interactions, health, and the steps themselves."""
    if records.performance:
        yield from _performance(records, rules)
    if records.training:
        yield _training(records)
    if records.users:
        yield from _interactions(records)


def times_of(records: Sequence[Mapping[str, Any]]) -> Int64Array:
    """The records' times in ns since the epoch; one without a zone is UTC.

    Raises:
        ValueError: a text is not a time.
    """
    return np.array([_time_us(record["timestamp"]) * 1000 for record in records], dtype=np.int64)


def _time_us(value: datetime | str) -> int:
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    passed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (passed.days * 86_400 + passed.seconds) * 1_000_000 + passed.microseconds


def _performance(records: Records, rules: Sequence[RuleSettings]) -> Iterator[Points]:
    rows = records.performance
    time = times_of(rows)
    names = dict.fromkeys([*PERFORMANCE, *(name for row in rows for name in row.get("metrics") or {})])
    columns = {name: _metric(rows, name) for name in names}
    with np.errstate(divide="ignore", invalid="ignore"):
        columns["gpu_memory"] = np.where(
            columns["gpu_memory_total"] > 0, 100 * columns["gpu_memory_used"] / columns["gpu_memory_total"], np.nan
        )
    columns = {name: column for name, column in columns.items() if not np.isnan(column).all()}
    tags = {
        "node": _texts(rows, "node", records.node),
        "model_version": _texts(rows, "model_version", ""),
    }
    yield from _tiers("performance", time, tags, columns)
    yield from _tiers("performance_fleet", time, {"shard": _constant("0", len(rows))}, columns)
    yield _health(time, tags["node"], columns, rules)


def _interactions(records: Records) -> Iterator[Points]:
    rows = records.users
    time = times_of(rows)
    columns = {name: _numbers(rows, name) for name in INTERACTIONS}
    learners = [str(row.get("learner") or row.get("user_id")) for row in rows]
    labels = {name: _texts(rows, name, "").tolist() for name in ("subject", "difficulty", "action")}
    yield Points("interactions", time, labels, {**columns, "learner": np.array(learners, dtype=np.object_)})
    for by, wanted in _GROUPINGS.items():
        tags = {"shard": _constant("0", len(rows)), "by": _constant(by, len(rows))}
        tags |= {name: _texts(rows, name, "") for name in wanted}
        yield from _tiers("interactions", time, tags, columns, learners)


def _training(records: Records) -> Points:
    rows = records.training
    return Points(
        "training",
        times_of(rows),
        {"run": _texts(rows, "run", records.run).tolist(), "node": _texts(rows, "node", records.node).tolist()},
        {name: _numbers(rows, name) for name in TRAINING},
    )


def _tiers(
    family: str,
    time: Int64Array,
    tags: Mapping[str, NDArray[np.object_]],
    columns: Mapping[str, FloatArray],
    learners: Sequence[str] | None = None,
) -> Iterator[Points]:
    labels = list(zip(*(column.tolist() for column in tags.values()), strict=True))
    known = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    owner = np.array([known[label] for label in labels], dtype=np.int64)
    for tier in TIERS:
        width = WIDTH[tier]
        cells, first, groups = np.unique(
            np.stack([owner, time - time % width]), axis=1, return_index=True, return_inverse=True
        )
        summaries = summarize(groups.reshape(-1).astype(np.int64), cells.shape[1], columns, learners)
        yield Points(
            f"{family}_{tier}",
            cells[1].astype(np.int64),
            {name: column[first].tolist() for name, column in tags.items()},
            tier_columns(summaries),
        )


def _health(
    time: Int64Array, node: NDArray[np.object_], columns: Mapping[str, FloatArray], rules: Sequence[RuleSettings]
) -> Points:
    """The score of each pane and node, defined in docs/health.md."""
    width = WIDTH["10s"]
    names, owner = np.unique(node.astype(str), return_inverse=True)
    cells, groups = np.unique(np.stack([owner, time - time % width]), axis=1, return_inverse=True)
    groups = groups.reshape(-1)
    lost = np.zeros(cells.shape[1])
    fields: dict[str, FloatArray] = {}
    for rule in rules:
        column = columns.get(rule.metric)
        if column is None:
            continue
        has = ~np.isnan(column)
        count = np.bincount(groups[has], minlength=len(lost))
        total = np.bincount(groups[has], column[has], minlength=len(lost))
        with np.errstate(invalid="ignore", divide="ignore"):
            component = component_scores(np.where(count > 0, total / count, np.nan), rule)
        fields[rule.name] = component
        lost += np.nan_to_num(100.0 - component)
    fields["score"] = np.maximum(0.0, 100.0 - WEIGHT * lost)
    return Points("health", cells[1].astype(np.int64) + width, {"node": names[cells[0]].tolist()}, fields)


def _numbers(rows: Sequence[Mapping[str, Any]], name: str) -> FloatArray:
    values = [row.get(name) for row in rows]
    return np.array([float("nan") if value is None else float(value) for value in values], dtype=np.float64)


def _metric(rows: Sequence[Mapping[str, Any]], name: str) -> FloatArray:
    """A field of the contract, or one of a record's own metrics; values that are not finite are absent."""
    own = [row.get(name) if row.get(name) is not None else (row.get("metrics") or {}).get(name) for row in rows]
    column = np.array([float("nan") if value is None else float(value) for value in own], dtype=np.float64)
    return np.where(np.isfinite(column), column, np.nan)


def _texts(rows: Sequence[Mapping[str, Any]], name: str, default: str) -> NDArray[np.object_]:
    return np.array([str(row.get(name) or default) for row in rows], dtype=np.object_)


def _constant(text: str, rows: int) -> NDArray[np.object_]:
    return np.full(rows, text, dtype=np.object_)
