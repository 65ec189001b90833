"""What a store holds, compared with what `tests.reference` computed: every difference, in a sentence each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from tests.reference import Key, Rows

QUANTILE_ERROR = 0.01
"""What a stored quantile may be off, relative to the exact one."""

LEARNERS_EXACT_BELOW = 1024
LEARNERS_ERROR = 0.1
"""Three standard errors of the estimate from there on."""


class StoredRows(Protocol):
    """What a store's series looks like from here; times in ns."""

    @property
    def measurement(self) -> str: ...
    @property
    def tags(self) -> Mapping[str, str]: ...
    @property
    def time(self) -> Any: ...
    @property
    def fields(self) -> Mapping[str, Any]: ...


def stored_rows(series: Iterable[StoredRows]) -> Rows:
    """The numbers of stored series as rows; fields that hold text are left out."""
    rows: Rows = {}
    for each in series:
        tags = tuple(sorted(each.tags.items()))
        columns = {name: list(column) for name, column in each.fields.items()}
        for index, time in enumerate(each.time):
            row = {
                name: float(column[index])
                for name, column in columns.items()
                if isinstance(column[index], int | float) and not math.isnan(column[index])
            }
            rows[Key(each.measurement, tags, int(time) // 1000)] = row
    return rows


def differences(actual: Rows, expected: Rows) -> list[str]:
    """What differs, a sentence each: nothing when every row is there once, with equal fields.

    Counts, extremes, first and last values are equal; sums and means to 11 digits, quantiles to the stated
    error.
    """
    found = [f"missing: {key}" for key in expected.keys() - actual.keys()]
    found += [f"unexpected: {key}" for key in actual.keys() - expected.keys()]
    for key in sorted(expected.keys() & actual.keys()):
        have, want = actual[key], expected[key]
        found += [f"{key} lacks {name}" for name in sorted(want.keys() - have.keys())]
        found += [f"{key} has an unexpected {name}" for name in sorted(have.keys() - want.keys())]
        found += [
            f"{key} {name}: {have[name]!r}, expected {want[name]!r}"
            for name in sorted(want.keys() & have.keys())
            if not close(name, have[name], want[name])
        ]
    return found


EXACT = frozenset({"learners", "step_start", "anchor"})


def close(name: str, value: float, expected: float) -> bool:
    """Whether a stored field is as near to the exact one as its kind promises."""
    if name.endswith(("_p50", "_p95", "_p99")):
        return math.isclose(value, expected, rel_tol=QUANTILE_ERROR)
    if name == "learners" and expected >= LEARNERS_EXACT_BELOW:
        return math.isclose(value, expected, rel_tol=LEARNERS_ERROR)
    if name.endswith(("_count", "_min", "_max", "_first", "_last")) or name in EXACT:
        return value == expected
    return math.isclose(value, expected, rel_tol=1e-11, abs_tol=1e-9)
