"""Summaries as rows of the store, and back.

`tier_columns` gives every field that a later merge needs. `rolling_columns` gives what charts read; such rows
merge only with `sketch=True`, which rows that are kept per shard need.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from smartlearn.core import _table
from smartlearn.core._table import COUNT, HIGH, LOW, SUMSQ, TOTAL, Table
from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.distinct import Distinct
from smartlearn.core.stores.base import Series, is_text_field
from smartlearn.core.summary import Summary, split, table_of

Column: TypeAlias = FloatArray | NDArray[np.object_]

PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
"""The quantiles that rows carry, by their suffix."""

TIER_SUFFIXES = ("count", "sum", "sumsq", "min", "max", "mean", "p50", "p95", "p99", "sketch")
"""What a tier row has of each metric."""

ROLLING_SUFFIXES = ("count", "mean", "min", "max", "p50", "p95")
"""What a rolling row has of each metric."""

_NEEDS = {"sum": ("mean",), "mean": ("sum",)} | dict.fromkeys(PERCENTILES, ("min", "max", "sketch"))

LEARNERS = "learners"
"""The field with the estimated number of distinct learners."""

DISTINCT_LEARNERS = "distinct_learners"
"""The text field that `LEARNERS` merges by."""


def tier_columns(summaries: Sequence[Summary]) -> dict[str, Column]:
    """The fields of many tier rows, by column: NaN or None where a row has no such metric."""
    return _columns(table_of(summaries), TIER_SUFFIXES, distinct=True)


def rolling_columns(summaries: Sequence[Summary], *, sketch: bool = False) -> dict[str, Column]:
    """The fields of many rolling rows, by column; with `sketch` also what merging them needs."""
    suffixes = (*ROLLING_SUFFIXES, "sketch") if sketch else ROLLING_SUFFIXES
    return _columns(table_of(summaries), suffixes, distinct=sketch)


def tier_fields(summary: Summary) -> dict[str, float | str]:
    """The fields of one tier row."""
    return _only(tier_columns([summary]))


def rolling_fields(summary: Summary, *, sketch: bool = False) -> dict[str, float | str]:
    """The fields of one rolling row; with `sketch` also what merging it needs."""
    return _only(rolling_columns([summary], sketch=sketch))


def needed_fields(fields: Iterable[str]) -> tuple[str, ...]:
    """The fields to query so that `merge_series` can compute these: a mean needs counts and sums, say."""
    needed: dict[str, None] = {}
    for field in fields:
        needed[field] = None
        name, _, suffix = field.rpartition("_")
        if field == LEARNERS:
            needed[DISTINCT_LEARNERS] = None
        elif suffix in TIER_SUFFIXES:
            parts = _NEEDS.get(suffix, ())
            needed |= dict.fromkeys(f"{name}_{part}" for part in ("count", *parts))
    return tuple(needed)


def summaries_of(series: Series) -> list[Summary]:
    """The summary of each stored row: of every metric that has a `_count` field.

    A rolling row has no `_sum` (mean · count stands in) and no `_sumsq`, and maybe no `_sketch`: what is
    merged from it has none either.

    Raises:
        ValueError: a sketch or a set of learners is not what was written.
    """
    return split(_table_of_rows(series.fields, len(series)))


def merge_series(series: Iterable[Series], drop: Collection[str]) -> list[Series]:
    """Merge the rows of rollup series that differ only in some tags, at equal times.

    Counts and sums are added, min and max taken, means, quantiles and learners computed from the sums,
    sketches and sets of the rows. A row that is alone at its time stays as it is. Where rows meet and one of
    them lacks what a field is computed from (a sketch, in rolling rows that were written without), the merged
    row lacks the field. Metrics without a `_count` field are left out: query `needed_fields`.

    Args:
        series: rows of tiers or of rolling windows, with any tags.
        drop: the tags that the result does not have, say `{"shard"}`.

    Returns:
        The merged series, sorted by their tags, with the fields that their rows had, in time order.

    Raises:
        ValueError: a sketch or a set of learners is not what was written.
    """
    groups: dict[tuple[str, tuple[tuple[str, str], ...]], list[Series]] = {}
    for each in series:
        tags = tuple(sorted((tag, value) for tag, value in each.tags.items() if tag not in drop))
        groups.setdefault((each.measurement, tags), []).append(each)
    return [
        Series(measurement, dict(tags), parts[0].time, parts[0].fields)
        if len(parts) == 1
        else _merge_parts(measurement, dict(tags), parts)
        for (measurement, tags), parts in sorted(groups.items(), key=lambda item: item[0])
    ]


def _merge_parts(measurement: str, tags: dict[str, str], parts: Sequence[Series]) -> Series:
    fields = {name: None for part in parts for name in part.fields}
    columns = {name: _stacked(name, parts) for name in fields}
    time, first, groups, rows = np.unique(
        np.concatenate([part.time for part in parts]),
        return_index=True,
        return_inverse=True,
        return_counts=True,
    )
    alone = rows == 1
    table = _table.merge_rows(_table_of_rows(columns, len(groups)), groups, len(time))
    if LEARNERS in columns and DISTINCT_LEARNERS in columns:
        table = _without_partial_sets(table, columns, groups)
    suffixes = [suffix for suffix in TIER_SUFFIXES if any(name.endswith(f"_{suffix}") for name in fields)]
    merged = _columns(table, suffixes, distinct=True)
    kept = {name: column for name, column in columns.items() if f"{name.rpartition('_')[0]}_count" in fields}
    kept |= {name: columns[name] for name in (LEARNERS, DISTINCT_LEARNERS) if name in columns}
    nothing: dict[bool, Column] = {
        True: np.full(len(time), None, np.object_),
        False: np.full(len(time), np.nan),
    }
    return Series(
        measurement,
        tags,
        time,
        {
            name: np.where(alone, column[first], merged.get(name, nothing[column.dtype == np.object_]))
            for name, column in kept.items()
        },
    )


def _stacked(name: str, parts: Sequence[Series]) -> Column:
    """A column over the rows of all parts, absent where a part does not have it."""
    absent: Column = np.full(1, None, np.object_) if is_text_field(name) else np.full(1, np.nan)
    return np.concatenate([part.fields.get(name, np.repeat(absent, len(part))) for part in parts])


def _without_partial_sets(table: Table, columns: Mapping[str, Column], groups: Int64Array) -> Table:
    """The table without the sets that miss the learners of a row, which has a number of them only."""
    texts, numbers = columns[DISTINCT_LEARNERS], columns[LEARNERS].astype(np.float64)
    partial = set(groups[np.isfinite(numbers) & (texts == np.array(None))].tolist())
    return replace(table, distinct=[None if row in partial else each for row, each in enumerate(table.distinct)])


def _table_of_rows(fields: Mapping[str, Column], rows: int) -> Table:
    names = tuple(sorted(name.removesuffix("_count") for name in fields if name.endswith("_count")))
    nothing = np.full(rows, np.nan)
    stats = np.zeros((rows, len(names), 5))
    texts = np.full((rows, len(names)), None, np.object_)
    for index, name in enumerate(names):
        count = np.nan_to_num(fields[f"{name}_count"].astype(np.float64))
        total = fields.get(f"{name}_sum", fields.get(f"{name}_mean", nothing) * count)
        stats[:, index, COUNT] = count
        stats[:, index, TOTAL] = np.where(count > 0, total, 0.0)
        stats[:, index, SUMSQ] = np.where(count > 0, fields.get(f"{name}_sumsq", nothing), 0.0)
        stats[:, index, LOW] = fields.get(f"{name}_min", nothing)
        stats[:, index, HIGH] = fields.get(f"{name}_max", nothing)
        texts[:, index] = fields.get(f"{name}_sketch", texts[:, index])
    sets = fields.get(DISTINCT_LEARNERS, np.full(rows, None, np.object_)).tolist()
    distinct = [None if text is None else Distinct.decode(text) for text in sets]
    return _table.with_sketches(names, stats, texts, distinct)


def _columns(table: Table, suffixes: Collection[str], *, distinct: bool) -> dict[str, Column]:
    stats = table.stats
    quantiles = [suffix for suffix in suffixes if suffix in PERCENTILES]
    found = _table.quantiles_of(table, [PERCENTILES[suffix] for suffix in quantiles])
    by_suffix: dict[str, Column] = dict(zip(quantiles, found, strict=True))
    absent = stats[:, :, COUNT] == 0
    by_suffix |= {
        suffix: np.where(absent | ~np.isfinite(stats[:, :, column]), np.nan, stats[:, :, column])
        for suffix, column in (
            ("count", COUNT),
            ("sum", TOTAL),
            ("sumsq", SUMSQ),
            ("min", LOW),
            ("max", HIGH),
        )
    }
    by_suffix["mean"] = _table.mean_of(table)
    if "sketch" in suffixes:
        by_suffix["sketch"] = _table.sketches_of(table)
    columns: dict[str, Column] = {
        f"{name}_{suffix}": by_suffix[suffix][:, index] for index, name in enumerate(table.names) for suffix in suffixes
    }
    if any(members is not None for members in table.distinct):
        sets = table.distinct
        columns[LEARNERS] = np.array([np.nan if each is None else each.estimate() for each in sets])
        if distinct:
            texts = np.empty(len(sets), np.object_)
            texts[:] = [None if each is None else each.encode() for each in sets]
            columns[DISTINCT_LEARNERS] = texts
    return columns


def _only(columns: Mapping[str, Column]) -> dict[str, float | str]:
    values = {name: column.tolist()[0] for name, column in columns.items()}
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, str) or (value is not None and math.isfinite(value))
    }
