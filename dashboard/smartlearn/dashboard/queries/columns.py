"""A series' fields as arrays that are there for every name asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.stores.base import Series


def numbers(series: Series, name: str) -> FloatArray:
    """A numeric field; NaN where it is absent, also where no row has it."""
    column = series.fields.get(name)
    return np.full(len(series), np.nan) if column is None else np.asarray(column, dtype=np.float64)


def texts(series: Series, name: str) -> list[str]:
    """A text field; "" where it is absent."""
    column = series.fields.get(name)
    return [""] * len(series) if column is None else [str(text or "") for text in column.tolist()]


def times(series: Sequence[Series]) -> Int64Array:
    """The times of several series, one after the other."""
    return np.concatenate([one.time for one in series]) if series else np.empty(0, np.int64)


def joined(series: Sequence[Series], name: str) -> FloatArray:
    """A numeric field of several series, one after the other."""
    return np.concatenate([numbers(one, name) for one in series]) if series else np.empty(0)


def joined_texts(series: Sequence[Series], name: str) -> list[str]:
    """A text field of several series, one after the other."""
    return [text for one in series for text in texts(one, name)]
