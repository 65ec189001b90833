"""Aggregates that merge: of events, of panes, of stored rows of several shards.

The summary of a union is the merge of the summaries, so windows, tiers and shards are all merges of panes. A
mean is rounded to 12 significant digits, because a sum of floats depends on its order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from smartlearn.core import _table
from smartlearn.core._table import HIGH, LOW, Table
from smartlearn.core.batch import FloatArray, Int64Array, TextColumn
from smartlearn.core.distinct import Distinct, distinct_by_group
from smartlearn.core.rollup_rows import (
    DISTINCT_LEARNERS,
    LEARNERS,
    merge_series,
    needed_fields,
    rolling_columns,
    rolling_fields,
    summaries_of,
    tier_columns,
    tier_fields,
)
from smartlearn.core.sketch import counted
from smartlearn.core.summary import EMPTY, Aggregate, Summary, split, table_of

__all__ = [
    "DISTINCT_LEARNERS",
    "EMPTY",
    "LEARNERS",
    "Aggregate",
    "Summary",
    "merge",
    "merge_groups",
    "merge_series",
    "needed_fields",
    "rolling_columns",
    "rolling_fields",
    "summaries_of",
    "summarize",
    "tier_columns",
    "tier_fields",
]


def summarize(
    groups: Int64Array,
    n_groups: int,
    columns: Mapping[str, FloatArray],
    learners: TextColumn | Sequence[str | None] | None = None,
) -> list[Summary]:
    """Aggregate events by group.

    Args:
        groups: the group of each event, 0 … n_groups - 1, int64, shape (n,), in any order.
        n_groups: how many summaries to return.
        columns: float64 of shape (n,) per metric; values that are not finite are skipped.
        learners: who each event is about, to be counted; None counts nobody.

    Returns:
        The summary of each group. One without any value is empty.
    """
    table = _table.from_values(groups, n_groups, columns)
    if learners is None:
        return split(table)
    texts = [learners] * len(groups) if isinstance(learners, str) else learners
    distinct = distinct_by_group(groups, n_groups, texts)
    return split(Table(table.names, table.stats, table.cells, table.counts, distinct))


def merge(summaries: Iterable[Summary]) -> Summary:
    """The summary of all events that any of the summaries is of."""
    parts = [part for part in summaries if part.names or part.distinct is not None]
    if len(parts) <= 1:
        return parts[0] if parts else EMPTY
    names = parts[0].names
    if any(part.names != names for part in parts):
        return merge_groups(np.zeros(len(parts), np.int64), 1, parts)[0]
    cells = np.concatenate([part.cells for part in parts])
    cells, counts = counted(cells, np.concatenate([part.counts for part in parts]))
    return Summary(names, merged_stats(parts), cells, counts, merged_learners(parts))


def merged_stats(parts: Sequence[Summary]) -> FloatArray:
    """The `stats` of the merge of summaries that all have the same metrics, at least one, shape (m, 5)."""
    return union_stats(np.array([part.stats for part in parts]))


def union_stats(every: FloatArray) -> FloatArray:
    """The `stats` of a union from those of its n parts, shape (n, m, 5), n at least 1."""
    stats: FloatArray = np.empty_like(every[0])
    with np.errstate(over="ignore", invalid="ignore"):
        every[:, :, :LOW].sum(axis=0, out=stats[:, :LOW])
    every[:, :, LOW].min(axis=0, out=stats[:, LOW])
    every[:, :, HIGH].max(axis=0, out=stats[:, HIGH])
    return stats


def merged_learners(parts: Iterable[Summary]) -> Distinct | None:
    """The learners that any of the summaries saw; None where none of them counted any."""
    return union_learners(part.distinct for part in parts)


def union_learners(parts: Iterable[Distinct | None]) -> Distinct | None:
    """The union of sets of learners; None where there is none."""
    sets = [part for part in parts if part is not None]
    return Distinct.union(sets) if sets else None


def merge_groups(groups: Int64Array, n_groups: int, summaries: Sequence[Summary]) -> list[Summary]:
    """Merge many sets of summaries at once.

    Args:
        groups: the group of each summary, 0 … n_groups - 1, shape (len(summaries),).
        n_groups: how many merged summaries to return.
        summaries: what to merge.
    """
    return split(_table.merge_rows(table_of(summaries), groups, n_groups))
