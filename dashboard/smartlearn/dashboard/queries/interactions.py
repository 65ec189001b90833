"""Learners as groups: how well, how fast and how engaged, by subject, difficulty and time; never one learner.

A group of fewer learners than `settings.privacy.minimum_group` leaves this module as a number of hidden
groups only, and so do groups by which it could be had by subtraction (`queries.groups`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.distinct import Distinct
from smartlearn.core.stores.base import Series, SeriesQuery
from smartlearn.dashboard.queries.columns import joined, numbers, texts, times
from smartlearn.dashboard.queries.estimates import Estimate, estimate, share
from smartlearn.dashboard.queries.groups import may_be_shown
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.rollups import Trend, fold
from smartlearn.dashboard.queries.window import DAY, HOUR, MINUTE, Tier, Window, bucket_width, pieces, tier_for

By: TypeAlias = Literal["all", "subject", "difficulty", "subject_difficulty"]

METRICS: Final = ("accuracy", "response_time", "engagement_score")
_SHOWN_SHARE: Final = 0.6
_BY_MINUTE: Final = 6 * HOUR
_STATS: Final = ("count", "sum", "sumsq", "min", "max")


@dataclass(frozen=True, slots=True)
class Group:
    """What the learners of one subject, difficulty or both did in a window.

    Attributes:
        subject: or "" where the group is not about one.
        difficulty: or "".
        count: interactions.
        learners: different learners (exact below 1024).
        accuracy: share of right answers, 0–1.
        response_time: ms.
        engagement_score: 1–10.
    """

    subject: str
    difficulty: str
    count: int
    learners: float
    accuracy: Estimate
    response_time: Estimate
    engagement_score: Estimate


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups, the most interactions first, and how many were too small to show."""

    shown: list[Group]
    hidden: int


@dataclass(frozen=True, slots=True)
class OverTime:
    """A metric of all learners over time.

    Attributes:
        line: the means.
        low: start of each mean's 95 % interval, shape (n,); NaN where a row holds one value.
        high: its end.
        hidden: how many rows were too small to show.
    """

    line: Trend
    low: FloatArray
    high: FloatArray
    hidden: int


@dataclass(frozen=True, slots=True)
class Activity:
    """Interactions an hour by weekday and hour of the day, UTC.

    Attributes:
        per_hour: mean interactions in that hour of that weekday, Monday first, shape (7, 24); NaN where the
            window has no such hour.
        hidden: whether there are interactions, of too few learners.
    """

    per_hour: FloatArray
    hidden: bool


def subjects(store: History) -> list[str]:
    """Every subject with interactions, sorted."""
    return store.tag_values("interactions_1h", "subject")


def groups(store: History, window: Window, by: By, minimum: int) -> Groups:
    """The groups of a window, each over all its shards; those that may not be shown are only counted."""
    fields = (*(f"{metric}_{stat}" for metric in METRICS for stat in _STATS), "distinct_learners")
    gathered: dict[tuple[str, str], list[Series]] = {}
    for series in read_groups(store, window, fields, by):
        key = series.tags.get("subject", ""), series.tags.get("difficulty", "")
        gathered.setdefault(key, []).append(series)
    sets = {key: _learners(series) for key, series in gathered.items()}
    found = [_group(*key, series, sets[key].estimate()) for key, series in gathered.items()]
    allowed = _allowed(sets, minimum)
    shown = [group for group in found if (group.subject, group.difficulty) in allowed]
    shown.sort(key=lambda group: (-group.count, group.subject, group.difficulty))
    return Groups(shown, len(found) - len(shown))


def over_time(
    store: History, window: Window, minimum: int, metric: str = "engagement_score", buckets: int = 150
) -> OverTime:
    """A metric over time, all learners together.

    Rows start at what cuts the window in `buckets` and grow until most of the rows hold at least `minimum`
    learners; rows that still do not are left out.
    """
    series = read_groups(store, window, (*(f"{metric}_{stat}" for stat in _STATS), "distinct_learners"), "all")
    width = bucket_width(window, buckets, HOUR if window.span > _BY_MINUTE else MINUTE)
    while True:
        line = fold(series, metric, "all learners", width)
        enough = may_be_shown(_learners_by_row(series, width, line.time), minimum)
        wider = bucket_width(window, buckets, width + 1)
        if not len(line) or enough.mean() >= _SHOWN_SHARE or wider > window.span // 2 or wider == width:
            break
        width = wider
    kept = Trend(
        metric,
        line.name,
        line.time[enough],
        width,
        line.mean[enough],
        line.low[enough],
        line.high[enough],
        line.count[enough],
    )
    low, high = _interval(series, metric, kept)
    return OverTime(kept, low, high, int(len(line) - enough.sum()))


def activity(store: History, window: Window, minimum: int) -> Activity:
    """When learners are active: the mean number of interactions in each hour of the week."""
    everyone = groups(store, window, "all", minimum)
    occurs = _occurrences(window)
    if not everyone.shown:
        return Activity(np.full((7, 24), np.nan), bool(everyone.hidden))
    fields = tuple(f"{metric}_count" for metric in METRICS)
    total = np.zeros((7, 24))
    for series in read_groups(store, window, fields, "all"):
        count = np.fmax.reduce([np.nan_to_num(numbers(series, name)) for name in fields])
        np.add.at(total, _hour_of_week(series.time), count)
    return Activity(np.divide(total, occurs, out=np.full((7, 24), np.nan), where=occurs > 0), hidden=False)


def read_groups(store: History, window: Window, fields: tuple[str, ...], by: By) -> list[Series]:
    """The rows of a grouping, as few as cover the window: sets of learners are large.

    Up to six hours are read by the minute, whole hours of a longer window by the hour.
    """
    finest: Tier = "1m" if tier_for(window, store, "interactions") == "10s" else tier_for(window, store, "interactions")
    parts = [(finest, window)] if window.span <= _BY_MINUTE else pieces(window, finest)
    return [
        series
        for tier, part in parts
        for series in store.query(SeriesQuery(f"interactions_{tier}", part.start, part.stop, fields, {"by": by}))
    ]


def _interval(series: Sequence[Series], metric: str, line: Trend) -> tuple[FloatArray, FloatArray]:
    """The 95 % interval of each mean of a line."""
    time, sumsq = times(series), joined(series, f"{metric}_sumsq")
    rows = np.searchsorted(line.time, time - time % line.width)
    known = (rows < len(line)) & ~np.isnan(sumsq)
    known[known] = line.time[rows[known]] == (time - time % line.width)[known]
    squares = np.bincount(rows[known], sumsq[known], minlength=len(line))
    n, total = line.count, line.count * line.mean
    found = [_estimated(metric)(*one) for one in zip(n.tolist(), total.tolist(), squares.tolist(), strict=True)]
    return np.array([one.low for one in found]), np.array([one.high for one in found])


def _estimated(metric: str) -> Callable[[float, float, float], Estimate]:
    return share if metric == "accuracy" else estimate


def _group(subject: str, difficulty: str, series: Sequence[Series], learners: float) -> Group:
    sums = {
        metric: [float(np.nansum(joined(series, f"{metric}_{stat}"))) for stat in ("count", "sum", "sumsq")]
        for metric in METRICS
    }
    estimates = [_estimated(metric)(*sums[metric]) for metric in METRICS]
    return Group(subject, difficulty, max(one.n for one in estimates), learners, *estimates)


def _allowed(sets: Mapping[tuple[str, str], Distinct], minimum: int) -> set[tuple[str, str]]:
    """The groups that may be shown beside the whole; cells of a table also beside their row and their column."""
    allowed, before = set(sets), -1
    while len(allowed) != before:
        before = len(allowed)
        for line in _lines(sets):
            hidden = [number for number, key in enumerate(line) if key not in allowed]
            shown = may_be_shown([sets[key] for key in line], minimum, hidden)
            allowed -= {key for key, show in zip(line, shown, strict=True) if not show}
    return allowed


def _lines(sets: Mapping[tuple[str, str], Distinct]) -> list[list[tuple[str, str]]]:
    """The rows and the columns of a table by subject and difficulty; of groups by one of them, all."""
    lines: dict[tuple[int, str], list[tuple[str, str]]] = {}
    for key in sets:
        for place in (0, 1):
            if key[1 - place]:
                lines.setdefault((place, key[place]), []).append(key)
    return list(lines.values()) or [list(sets)]


def _learners(series: Sequence[Series]) -> Distinct:
    return Distinct.union(members for one in series for _, members in _sets(one))


def _sets(series: Series) -> list[tuple[int, Distinct]]:
    members = texts(series, "distinct_learners")
    return [(int(time), Distinct.decode(text)) for time, text in zip(series.time, members, strict=True) if text]


def _learners_by_row(series: Sequence[Series], width: int, rows: Int64Array) -> list[Distinct]:
    sets: dict[int, list[Distinct]] = {}
    for one in series:
        for time, members in _sets(one):
            sets.setdefault(time - time % width, []).append(members)
    return [Distinct.union(sets.get(int(row), [])) for row in rows]


def _occurrences(window: Window) -> FloatArray:
    hours = np.arange(window.start - window.start % HOUR, window.stop, HOUR, dtype=np.int64)
    occurs = np.zeros((7, 24))
    np.add.at(occurs, _hour_of_week(hours), 1.0)
    return occurs


def _hour_of_week(time: Int64Array) -> tuple[Int64Array, Int64Array]:
    # 1970-01-01 was a Thursday: the third day after a Monday.
    return (time // DAY + 3) % 7, time % DAY // HOUR
