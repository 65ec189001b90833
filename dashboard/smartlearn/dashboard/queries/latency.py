"""How models answer: latencies as a histogram over time, answers a minute, errors, speed against accuracy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.sketch import values_of
from smartlearn.core.stores.base import Series, SeriesQuery
from smartlearn.dashboard.queries.columns import joined, numbers
from smartlearn.dashboard.queries.estimates import Estimate, estimate, share
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.performance import UNVERSIONED, grain, of_nodes
from smartlearn.dashboard.queries.rollups import Trend, fold, fold_sketches, grouped, read_sketches
from smartlearn.dashboard.queries.window import MINUTE, WIDTH, Window, bucket_width, pieces, tier_for

ERRORS: Final = "model_errors"
"""0 or 1 an answer, or a share: what `time_model` records."""

RATE: Final = "answers_per_min"
"""What a server says of itself that is sampled and does not send each answer."""

_A_COLUMN: Final = 25
_FEWEST_COLUMNS: Final = 24
_STEPS: Final = (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)


@dataclass(frozen=True, slots=True)
class Density:
    """How many values of a metric fall into each range and time.

    Attributes:
        time: start of each column, ns, shape (c,); columns without values are left out.
        width: the length of a column, ns.
        edges: of the ranges, ascending, shape (r + 1,).
        counts: shape (r, c); a column adds up to its number of values.
    """

    metric: str
    time: Int64Array
    width: int
    edges: FloatArray
    counts: FloatArray

    def __len__(self) -> int:
        return len(self.time)


@dataclass(frozen=True, slots=True)
class VersionPoint:
    """A model version's speed against its accuracy.

    Attributes:
        version: its name.
        latency: the mean response time, ms, with its 95 % interval.
        accuracy: 0–1, with its 95 % interval.
        errors: the share of answers that failed, with its interval; of no values where it sends none.
    """

    version: str
    latency: Estimate
    accuracy: Estimate
    errors: Estimate


def density(store: History, metric: str, window: Window, chosen: Sequence[str] = (), columns: int = 96) -> Density:
    """The values of a metric by range and time, from the stored sketches, over the chosen nodes or the fleet.

    Ranges are 1, 1.5, 2, 3, 5, 7 times powers of ten. A value is known to 1 %, so one that close to an edge may be
    counted on its other side. Columns are wide enough to hold `_A_COLUMN` values on average: a histogram of three
    values says nothing.
    """
    tier, width = grain(store, window, columns)
    family = "performance" if chosen else "performance_fleet"
    series = read_sketches(store, f"{family}_{tier}", window, metric, of_nodes(chosen))
    total = sum(float(np.nansum(numbers(one, f"{metric}_count"))) for one in series)
    width = bucket_width(window, int(np.clip(total / _A_COLUMN, _FEWEST_COLUMNS, columns)), width)
    found = fold_sketches(series, metric, width)
    values = values_of(found.codes)
    positive = values > 0
    if not positive.any():
        return Density(metric, np.empty(0, np.int64), width, np.empty(0), np.empty((0, 0)))
    edges = _edges(float(values[positive].min()), float(values[positive].max()))
    column = np.repeat(np.arange(len(found)), np.diff(found.bounds))
    row = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
    counts = np.zeros((len(edges) - 1, len(found)))
    np.add.at(counts, (row, column), found.counts)
    return Density(metric, found.time, width, edges, counts)


def throughput(store: History, window: Window, chosen: Sequence[str] = (), rows: int = 60) -> list[Trend]:
    """Answers a minute by model version, the busiest first.

    Where servers say their rate (`answers_per_min`), their means are added up; of other versions the response times in
    each row are counted. A row that is not over at the window's end counts the time that it has had.
    """
    width, series = _summed(store, window, RATE, chosen, rows)
    lines = {version: _added(group, version, width) for version, group in _by_version(series).items()}
    width, series = _summed(store, window, "response_time", chosen, rows)
    for version, group in _by_version(series).items():
        line = fold(group, "response_time", version, width)
        if len(line) and version not in lines:
            begin, end = np.maximum(line.time, window.start), np.minimum(line.time + width, window.stop)
            lines[version] = _line(version, line.time, width, line.count * MINUTE / np.maximum(end - begin, 1))
    found = [line for line in lines.values() if len(line)]
    return sorted(found, key=lambda line: (-float(line.mean.sum()), line.name))


def _added(series: Sequence[Series], version: str, width: int) -> Trend:
    """The sum over nodes of each node's mean rate."""
    nodes = [fold(group, RATE, version, width) for group in grouped(series, "node", "").values()]
    time, place = np.unique(np.concatenate([line.time for line in nodes]), return_inverse=True)
    total = np.bincount(place, np.concatenate([line.mean for line in nodes]))
    return _line(version, time, width, total.astype(np.float64))


def _line(version: str, time: Int64Array, width: int, rate: FloatArray) -> Trend:
    return Trend(RATE, version, time, width, rate, rate, rate, np.ones(len(time)))


def errors(store: History, window: Window, chosen: Sequence[str] = (), rows: int = 60) -> list[Trend]:
    """The share of answers that failed over time by model version, the most failing first."""
    width, series = _summed(store, window, ERRORS, chosen, rows)
    lines = [fold(group, ERRORS, version, width) for version, group in _by_version(series).items()]
    return sorted((line for line in lines if len(line)), key=lambda line: (-line.average, line.name))


def version_points(store: History, window: Window, chosen: Sequence[str] = ()) -> list[VersionPoint]:
    """Speed, accuracy and errors of each version that has both a speed and an accuracy; the fastest first."""
    metrics = ("response_time", "model_accuracy", ERRORS)
    fields = tuple(f"{metric}_{stat}" for metric in metrics for stat in ("count", "sum", "sumsq"))
    series = [
        one
        for tier, part in pieces(window, tier_for(window, store))
        for one in store.query(
            SeriesQuery(
                f"performance_{tier}", part.start, part.stop, fields, of_nodes(chosen),
                every=max(part.span, WIDTH[tier]), agg="sum",
            )
        )
    ]  # fmt: skip
    found = []
    for version, group in _by_version(series).items():
        latency, accuracy, failed = (
            make(*(float(np.nansum(joined(group, f"{metric}_{stat}"))) for stat in ("count", "sum", "sumsq")))
            for metric, make in zip(metrics, (estimate, share, share), strict=True)
        )
        if latency.n and accuracy.n:
            found.append(VersionPoint(version, latency, accuracy, failed))
    return sorted(found, key=lambda one: (one.latency.mean, one.version))


def _summed(store: History, window: Window, metric: str, chosen: Sequence[str], rows: int) -> tuple[int, list[Series]]:
    """The counts and sums of a metric in rows of a width (ns), added up by the store; their range is their mean."""
    tier, width = grain(store, window, rows)
    names = f"{metric}_count", f"{metric}_sum"
    query = SeriesQuery(
        f"performance_{tier}", window.start, window.stop, names, of_nodes(chosen), every=width, agg="sum"
    )
    found = []
    for one in store.query(query):
        count, total = (numbers(one, name) for name in names)
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = {f"{metric}_{end}": total / count for end in ("min", "max")}
        found.append(Series(one.measurement, one.tags, one.time, {names[0]: count, names[1]: total, **ends}))
    return width, found


def _by_version(series: Sequence[Series]) -> dict[str, list[Series]]:
    return grouped(series, "model_version", UNVERSIONED)


def _edges(low: float, high: float) -> FloatArray:
    """The round edges around some values, one below the lowest and one above the highest."""
    powers = range(int(np.floor(np.log10(low))) - 1, int(np.ceil(np.log10(high))) + 2)
    all_ = np.array([step * 10.0**power for power in powers for step in _STEPS])
    first = max(int(np.searchsorted(all_, low, side="right")) - 1, 0)
    last = int(np.searchsorted(all_, high, side="right"))
    return all_[first : last + 1]
