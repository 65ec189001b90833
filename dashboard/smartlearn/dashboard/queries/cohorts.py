"""Who comes back: learners by the week they were first seen, and the share seen again in each week after."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.distinct import Distinct, K
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.dashboard.queries.columns import texts
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.window import DAY

WEEKS: Final = 12
WEEK: Final = 7 * DAY
# 1970-01-01 was a Thursday: weeks begin on Mondays.
_MONDAY: Final = 4 * DAY


@dataclass(frozen=True, slots=True)
class Retention:
    """Cohorts by weeks.

    Attributes:
        start: Monday 00:00 UTC of the week in which each cohort was first seen, ns, shape (c,).
        learners: how many each cohort has, shape (c,).
        share: of the cohort seen k weeks later, shape (c, w); NaN where the week has not begun, and where
            fewer than the smallest group came.
        open: whether the first cohort may hold learners of weeks before it.
        hidden: how many cohorts are too small to show.
        exact: whether each week had fewer than 1024 learners; above, shares are estimated from a sample.
    """

    start: Int64Array
    learners: FloatArray
    share: FloatArray
    open: bool
    hidden: int
    exact: bool


def retention(store: History, stop: int, minimum: int, weeks: int = WEEKS) -> Retention:
    """The cohorts of the weeks up to `stop` (ns), from the stored sets of learners.

    A set holds the smallest hashes of its learners. Below the largest hash of the fullest set all sets are complete, so
    that the learners below it are a sample drawn by nothing but a hash; shares of it are those of all (Dasgupta, Lang,
    Rhodes and Thaler, A framework for estimating stream expression cardinalities, ICDT 2016). With fewer than 1024
    learners a week the sample is everyone.
    """
    last = week_of(stop - 1)
    first = last - (weeks - 1) * WEEK
    sets = _weekly(store, first, stop)
    full = [int(one.hashes[-1]) for one in sets.values() if len(one.hashes) >= K]
    limit = np.uint64(min(full)) if full else None
    members = {
        week: set((one.hashes if limit is None else one.hashes[one.hashes < limit]).tolist())
        for week, one in sets.items()
    }
    scale = 2.0**64 / float(limit) if limit is not None else 1.0
    seen: set[int] = set()
    rows: list[tuple[int, float, FloatArray]] = []
    hidden = 0
    for week in range(first, last + 1, WEEK):
        new = members.get(week, set()) - seen
        seen |= new
        if len(new) < minimum:
            hidden += bool(new)
            continue
        later = np.full(weeks, np.nan)
        for number, other in enumerate(range(week, last + 1, WEEK)):
            back = len(new & members.get(other, set()))
            later[number] = back / len(new) if back == 0 or back >= minimum else np.nan
        rows.append((week, len(new) * scale, later))
    began = bool(store.query(SeriesQuery("interactions_1h", None, first, where={"by": "all"}, limit=1)))
    return Retention(
        np.array([week for week, _, _ in rows], dtype=np.int64),
        np.array([size for _, size, _ in rows], dtype=np.float64),
        np.array([later for _, _, later in rows], dtype=np.float64).reshape(len(rows), weeks),
        began and bool(rows) and rows[0][0] == first,
        hidden,
        limit is None,
    )


def week_of(time: int) -> int:
    """Monday 00:00 UTC of the week that a time (ns) lies in."""
    return (time - _MONDAY) // WEEK * WEEK + _MONDAY


def _weekly(store: History, start: int, stop: int) -> dict[int, Distinct]:
    query = SeriesQuery("interactions_1h", start, stop, ("distinct_learners",), {"by": "all"})
    parts: dict[int, list[Distinct]] = {}
    for series in store.query(query):
        for time, text in zip(series.time.tolist(), texts(series, "distinct_learners"), strict=True):
            if text:
                parts.setdefault(week_of(time), []).append(Distinct.decode(text))
    return {week: Distinct.union(found) for week, found in parts.items()}
