"""Learners as groups: how well, how fast and how engaged, by subject, difficulty and time; never one learner.

A group of fewer learners than `settings.privacy.minimum_group` leaves this module as a number of hidden
groups only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.distinct import Distinct
from smartlearn.core.sketch import values_of
from smartlearn.core.stores.base import Series, SeriesQuery
from smartlearn.dashboard.queries.columns import joined, numbers, texts, times
from smartlearn.dashboard.queries.estimates import Estimate, estimate, student_t
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.rollups import Trend, fold, fold_sketches
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
class Histogram:
    """How values are spread.

    Attributes:
        edges: of the bins, shape (b + 1,).
        share: of all values in each bin, shape (b,); sums to 1.
        count: how many values there are; 0 where there are none, or too few learners to show them.
        p50: the median; NaN without values. p95 likewise.
        hidden: whether there are values, of too few learners.
    """

    edges: FloatArray
    share: FloatArray
    count: int
    p50: float
    p95: float
    hidden: bool


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
    """The groups of a window, each over all its shards; those under `minimum` learners are only counted."""
    fields = (*(f"{metric}_{stat}" for metric in METRICS for stat in _STATS), "distinct_learners")
    gathered: dict[tuple[str, str], list[Series]] = {}
    for series in _read(store, window, fields, by):
        key = series.tags.get("subject", ""), series.tags.get("difficulty", "")
        gathered.setdefault(key, []).append(series)
    found = [_group(*key, series) for key, series in gathered.items()]
    shown = [group for group in found if group.learners >= minimum]
    shown.sort(key=lambda group: (-group.count, group.subject, group.difficulty))
    return Groups(shown, len(found) - len(shown))


def over_time(
    store: History, window: Window, minimum: int, metric: str = "engagement_score", buckets: int = 150
) -> OverTime:
    """A metric over time, all learners together.

    Rows start at what cuts the window in `buckets` and grow until most of the rows hold at least `minimum`
    learners; rows that still do not are left out.
    """
    series = _read(store, window, (*(f"{metric}_{stat}" for stat in _STATS), "distinct_learners"), "all")
    width = bucket_width(window, buckets, HOUR if window.span > _BY_MINUTE else MINUTE)
    while True:
        line = fold(series, metric, "all learners", width)
        enough = _learners_by_row(series, width, line.time) >= minimum
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
    half = _half_interval(series, metric, kept)
    return OverTime(kept, kept.mean - half, kept.mean + half, int(len(line) - enough.sum()))


def distribution(
    store: History, window: Window, minimum: int, metric: str = "response_time", bins: int = 40
) -> Histogram:
    """How a metric is spread, from the stored sketches: bin edges are exact within 1 % of their value."""
    everyone = groups(store, window, "all", minimum)
    nothing = Histogram(np.empty(0), np.empty(0), 0, math.nan, math.nan, bool(everyone.hidden))
    if not everyone.shown:
        return nothing
    series = _read(store, window, (f"{metric}_sketch",), "all")
    sketches = fold_sketches(series, metric, 1 << 62)
    if not len(sketches):
        return nothing
    p50, p95 = (float(value[0]) for value in sketches.quantiles(0.5, 0.95))
    edges, share = _histogram(sketches.codes, sketches.counts, bins)
    return Histogram(edges, share, int(sketches.counts.sum()), p50, p95, hidden=False)


def activity(store: History, window: Window, minimum: int) -> Activity:
    """When learners are active: the mean number of interactions in each hour of the week."""
    everyone = groups(store, window, "all", minimum)
    occurs = _occurrences(window)
    if not everyone.shown:
        return Activity(np.full((7, 24), np.nan), bool(everyone.hidden))
    fields = tuple(f"{metric}_count" for metric in METRICS)
    total = np.zeros((7, 24))
    for series in _read(store, window, fields, "all"):
        count = np.fmax.reduce([np.nan_to_num(numbers(series, name)) for name in fields])
        np.add.at(total, _hour_of_week(series.time), count)
    return Activity(np.divide(total, occurs, out=np.full((7, 24), np.nan), where=occurs > 0), hidden=False)


def _read(store: History, window: Window, fields: tuple[str, ...], by: By) -> list[Series]:
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


def _half_interval(series: Sequence[Series], metric: str, line: Trend) -> FloatArray:
    """Half the width of the 95 % interval of each mean of a line."""
    time, sumsq = times(series), joined(series, f"{metric}_sumsq")
    rows = np.searchsorted(line.time, time - time % line.width)
    known = (rows < len(line)) & ~np.isnan(sumsq)
    known[known] = line.time[rows[known]] == (time - time % line.width)[known]
    squares = np.bincount(rows[known], sumsq[known], minlength=len(line))
    n = line.count
    with np.errstate(invalid="ignore", divide="ignore"):
        deviation = np.sqrt(np.maximum(squares - n * line.mean**2, 0.0) / (n - 1))
        points = np.array([student_t(int(one) - 1) if one > 1 else np.nan for one in n], dtype=np.float64)
        return np.asarray(points * deviation / np.sqrt(n), dtype=np.float64)


def _group(subject: str, difficulty: str, series: Sequence[Series]) -> Group:
    sums = {
        metric: [float(np.nansum(joined(series, f"{metric}_{stat}"))) for stat in ("count", "sum", "sumsq")]
        for metric in METRICS
    }
    estimates = [estimate(*sums[metric]) for metric in METRICS]
    learners = Distinct.union(set_ for one in series for _, set_ in _sets(one)).estimate()
    return Group(subject, difficulty, max(one.n for one in estimates), learners, *estimates)


def _sets(series: Series) -> list[tuple[int, Distinct]]:
    members = texts(series, "distinct_learners")
    return [(int(time), Distinct.decode(text)) for time, text in zip(series.time, members, strict=True) if text]


def _learners_by_row(series: Sequence[Series], width: int, rows: Int64Array) -> FloatArray:
    sets: dict[int, list[Distinct]] = {}
    for one in series:
        for time, members in _sets(one):
            sets.setdefault(time - time % width, []).append(members)
    return np.array([Distinct.union(sets.get(int(row), [])).estimate() for row in rows], dtype=np.float64)


def _histogram(codes: Int64Array, counts: Int64Array, bins: int) -> tuple[FloatArray, FloatArray]:
    """Sketch cells as even bins: each cell's count is spread evenly over the range of the cell."""
    middle = values_of(codes)
    low, high = middle * 0.9901, middle * 1.0099
    edges = np.linspace(_nice_floor(float(low[0]), float(high[-1]), bins), float(high[-1]), bins + 1)
    share = np.zeros(bins)
    width = np.maximum(high - low, 1e-12)
    for number in range(bins):
        overlap = np.minimum(high, edges[number + 1]) - np.maximum(low, edges[number])
        share[number] = float((np.clip(overlap, 0, None) / width * counts).sum())
    return edges, share / share.sum()


def _nice_floor(low: float, high: float, bins: int) -> float:
    """0 where the values reach near it, so that the axis starts there; else the lowest value."""
    return 0.0 if low <= 3 * (high - low) / bins else low


def _occurrences(window: Window) -> FloatArray:
    hours = np.arange(window.start - window.start % HOUR, window.stop, HOUR, dtype=np.int64)
    occurs = np.zeros((7, 24))
    np.add.at(occurs, _hour_of_week(hours), 1.0)
    return occurs


def _hour_of_week(time: Int64Array) -> tuple[Int64Array, Int64Array]:
    # 1970-01-01 was a Thursday: the third day after a Monday.
    return (time // DAY + 3) % 7, time % DAY // HOUR
