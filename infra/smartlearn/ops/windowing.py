"""Windows over series that are in memory, as a store would make them."""

from __future__ import annotations

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.stores.base import Aggregation, Series
from smartlearn.core.stores.frames import Column


def window_series(series: Series, every: int, agg: Aggregation) -> Series:
    """One row for each window of `every` ns that has rows, stamped with its start.

    Text fields take their last value, for `count` their number; a field without a value in a window stays absent.
    """
    starts, groups = np.unique(series.time // every * every, return_inverse=True)
    fields = {name: _window(column, groups, len(starts), agg) for name, column in series.fields.items()}
    return Series(series.measurement, series.tags, starts, fields)


def _window(column: Column, groups: Int64Array, windows: int, agg: Aggregation) -> Column:
    if column.dtype == np.object_:
        present = np.array([value is not None for value in column], dtype=np.bool_)
        if agg != "count":
            last = np.full(windows, None, dtype=np.object_)
            last[groups[present]] = column[present]
            return last
        return _count(groups[present], windows)
    values = column.astype(np.float64, copy=False)
    present = ~np.isnan(values)
    return _numbers(values[present], groups[present], windows, agg)


def _numbers(values: FloatArray, groups: Int64Array, windows: int, agg: Aggregation) -> FloatArray:
    count = _count(groups, windows)
    if agg == "count":
        return count
    result = np.full(windows, np.nan)
    if agg == "last":
        result[groups] = values
    elif agg in ("sum", "mean"):
        total = np.bincount(groups, weights=values, minlength=windows)
        result = total / count if agg == "mean" else np.where(np.isnan(count), np.nan, total)
    else:
        (np.fmin if agg == "min" else np.fmax).at(result, groups, values)
    return result


def _count(groups: Int64Array, windows: int) -> FloatArray:
    count = np.bincount(groups, minlength=windows).astype(np.float64)
    count[count == 0] = np.nan
    return count
