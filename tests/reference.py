"""The pipeline's answers computed another way: offline, in plain Python, over the final set of events.

Nothing here is shared with the product. Sums are exact (`math.fsum`), quantiles are exact order statistics,
windows are found by looking at every pane. Tests compare what the product stored with `rows_of` and
`alerts_of`.

An event is a dict. Times are µs since the epoch, or RFC 3339 text (without a zone it is UTC). Performance
events have a `node` (and `gpu`, `model_version`), training events a `run`, interactions a `learner` and a
`key` that decides their shard. `metrics` holds further numbers.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import pytest

Event: TypeAlias = Mapping[str, Any]

SECOND = 1_000_000
PANE = 10 * SECOND
TIERS = {"1m": 60 * SECOND, "1h": 3600 * SECOND}
ROLLING = {"1m": 60 * SECOND, "5m": 300 * SECOND, "15m": 900 * SECOND}
STEP_LEVELS = (64, 1024, 16384)
INTERACTION_METRICS = ("response_time", "accuracy", "engagement_score")
_TEXTS = frozenset(
    {"timestamp", "node", "source", "gpu", "run", "model_version", "metrics"}
    | {"learner", "user_id", "action", "subject", "difficulty", "key", "epoch", "step"}
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Key(NamedTuple):
    """Which row: the measurement, its tags in order of their names, and the time it is stamped with, µs."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    time: int


Tags: TypeAlias = tuple[tuple[str, str], ...]
Rows: TypeAlias = dict[Key, dict[str, float]]


@dataclass(frozen=True)
class Rule:
    """A threshold rule, with the original's levels as `RULES`."""

    name: str
    warning: float
    critical: float
    ceiling: float
    action: str
    metric: str = ""

    @property
    def of(self) -> str:
        return self.metric or self.name


RULES = (
    Rule("cpu_usage", 70, 90, 100, "Optimize processes"),
    Rule("memory_usage", 75, 85, 100, "Clear cache"),
    Rule("gpu_memory", 60, 80, 100, "Reduce batch size"),
    Rule("response_time", 2000, 5000, 10000, "Optimize model"),
)


@dataclass(frozen=True)
class Alert:
    """A transition, as `alerts list` shows it; `at` in µs."""

    id: str
    fingerprint: str
    rule: str
    node: str
    state: str
    previous: str
    value: float
    threshold: float
    action: str
    at: int


@dataclass
class Events:
    """All events of a history."""

    performance: list[Event] = field(default_factory=list)
    training: list[Event] = field(default_factory=list)
    interactions: list[Event] = field(default_factory=list)


def micros(time: int | str) -> int:
    """A time in µs since the epoch."""
    if isinstance(time, int):
        return time
    moment = datetime.fromisoformat(time)
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def load_export(path: Path, *, node: str, run: str, key: str = "import") -> Events:
    """The events of an export file, as an import under these names makes them.

    Learners keep their user ids: counts of them are the same as of their pseudonyms.
    """
    document = json.loads(path.read_text(encoding="utf-8"))
    return Events(
        [{**record, "node": node} for record in document["performance_metrics"]],
        [{**record, "node": node, "run": run} for record in document["training_metrics"]],
        [{**record, "learner": record["user_id"], "key": key} for record in document["user_metrics"]],
    )


def demo_export() -> Path:
    """The export of the original's demo that lies beside the checkout; without it the test is skipped."""
    path = Path(__file__).resolve().parents[2] / "shared" / "data" / "smartlearn_demo_export.json"
    if not path.is_file():
        pytest.skip(f"the demo export is not at {path}: put one there to run this test")
    return path


def rows_of(events: Events, rules: Sequence[Rule] = RULES, *, shards: bool = True) -> Rows:
    """Every derived row: of nodes, of the fleet, of learners, of training steps, of health.

    With `shards` as the rows are stored, without as readers merge them.
    """
    return (
        performance_rows(events.performance, shards=shards)
        | interaction_rows(events.interactions, shards=shards)
        | step_rows(events.training)
        | health_rows(events.performance, rules)
    )


def numbers_of(event: Event) -> dict[str, float]:
    """The finite numbers of an event, and `gpu_memory` in percent where there is a total."""
    given = {name: value for name, value in event.items() if name not in _TEXTS}
    given |= event.get("metrics") or {}
    numbers = {
        name: float(value) for name, value in given.items() if isinstance(value, int | float) and math.isfinite(value)
    }
    if "gpu_memory_used" in numbers and numbers.get("gpu_memory_total", 0.0) > 0:
        numbers["gpu_memory"] = 100.0 * numbers["gpu_memory_used"] / numbers["gpu_memory_total"]
    return numbers


def twelve(value: float) -> float:
    """At 12 significant digits."""
    return float(f"{value:.12g}")


def quantile(ordered: Sequence[float], percent: int) -> float:
    """The nearest rank: of n values the ceil(percent * n / 100)-th smallest."""
    return ordered[max(math.ceil(Fraction(percent, 100) * len(ordered)), 1) - 1]


def aggregate(values: Iterable[float]) -> dict[str, float]:
    """Everything about a set of numbers, at least one."""
    ordered = sorted(values)
    total = math.fsum(ordered)
    return {
        "count": float(len(ordered)),
        "sum": total,
        "sumsq": math.fsum(value * value for value in ordered),
        "min": ordered[0],
        "max": ordered[-1],
        "mean": twelve(total / len(ordered)),
        "p50": quantile(ordered, 50),
        "p95": quantile(ordered, 95),
        "p99": quantile(ordered, 99),
    }


def fields_of(events: Iterable[Event]) -> dict[str, float]:
    """The fields of a tier row over these events."""
    columns: dict[str, list[float]] = {}
    for event in events:
        for name, value in numbers_of(event).items():
            columns.setdefault(name, []).append(value)
    return {
        f"{name}_{suffix}": value for name, values in columns.items() for suffix, value in aggregate(values).items()
    }


def interaction_fields_of(events: Iterable[Event]) -> dict[str, float]:
    """The fields of a tier row over these interactions."""
    events = list(events)
    fields = fields_of({name: event.get(name) for name in INTERACTION_METRICS} for event in events)
    return fields | {"learners": float(len({event["learner"] for event in events}))}


def rolling_only(fields: Mapping[str, float]) -> dict[str, float]:
    """The fields that a rolling row has."""
    return {name: value for name, value in fields.items() if not name.endswith(("_sum", "_sumsq", "_p99"))}


def windows(
    prefix: str,
    series: Mapping[Tags, list[Event]],
    fields: Callable[[list[Event]], dict[str, float]],
    *,
    rolling: bool = True,
) -> Rows:
    """Panes, tiers and, if wanted, rolling windows of some series of events."""
    rows: Rows = {}
    for tags, events in series.items():
        for name, length in {"10s": PANE, **TIERS}.items():
            for start, inside in by_window(events, length).items():
                if row := fields(inside):
                    rows[Key(f"{prefix}_{name}", tags, start)] = row
        panes = by_window(events, PANE)
        for name, length in ROLLING.items() if rolling else ():
            tagged = tuple(sorted([*tags, ("window", name)]))
            for start in (start for start, inside in panes.items() if fields(inside)):
                end = start + PANE
                covered = [other for other in range(end - length, end, PANE) if other in panes]
                row = rolling_only(fields([event for other in covered for event in panes[other]]))
                rows[Key(f"{prefix}_rolling", tagged, end)] = row
    return rows


def start_of(event: Event, length: int) -> int:
    """The start of the window that holds an event."""
    return micros(event["timestamp"]) // length * length


def by(events: Iterable[Event], key: Any) -> dict[Any, list[Event]]:
    """The events by what `key` says of them, in order of time."""
    groups: dict[Any, list[Event]] = {}
    for event in sorted(events, key=lambda event: micros(event["timestamp"])):
        groups.setdefault(key(event), []).append(event)
    return groups


def by_window(events: Iterable[Event], length: int) -> dict[int, list[Event]]:
    """The events by the start of their window."""
    return by(events, lambda event: start_of(event, length))


def tags_of(event: Event, *names: str) -> Tags:
    """The tags of these names that an event has, in order."""
    return tuple((name, event[name]) for name in sorted(names) if event.get(name))


def performance_rows(events: Iterable[Event], *, shards: bool = True) -> Rows:
    """Panes, tiers and rolling windows per node, GPU and model version; panes and tiers of the fleet."""
    events = list(events)
    nodes = by(events, lambda event: tags_of(event, "node", "gpu", "model_version"))
    fleet = by(events, lambda event: shard_tag(event["node"]) if shards else ())
    return windows("performance", nodes, fields_of) | windows("performance_fleet", fleet, fields_of, rolling=False)


def interaction_rows(events: Iterable[Event], *, shards: bool = True) -> Rows:
    """Panes, tiers and rolling windows of all interactions, by subject, by difficulty, and by both."""
    events = list(events)
    rows: Rows = {}
    for names in ((), ("subject",), ("difficulty",), ("subject", "difficulty")):
        way = ("by", "_".join(names) or "all")
        series: dict[Tags, list[Event]] = {}
        for event in events:
            shard = shard_tag(event["key"]) if shards else ()
            series.setdefault(tuple(sorted([*tags_of(event, *names), way, *shard])), []).append(event)
        rows |= windows("interactions", series, interaction_fields_of)
    return rows


def shard_tag(key: str) -> Tags:
    """The tag of the shard that a key is in."""
    return (("shard", str(shard_of(key))),)


def shard_of(key: str) -> int:
    """Kafka's murmur2 of the key, without its sign, modulo 48."""
    data = key.encode()
    h = 0x9747B28C ^ len(data)
    while len(data) >= 4:
        k = int.from_bytes(data[:4], "little") * 0x5BD1E995 % 2**32
        h = h * 0x5BD1E995 % 2**32 ^ (k ^ k >> 24) * 0x5BD1E995 % 2**32
        data = data[4:]
    if data:
        h = (h ^ int.from_bytes(data, "little")) * 0x5BD1E995 % 2**32
    h = (h ^ h >> 13) * 0x5BD1E995 % 2**32
    return (h ^ h >> 15) % 2**31 % 48


def step_rows(events: Iterable[Event]) -> Rows:
    """The step buckets of every run and level, of runs that were written in one go."""
    rows: Rows = {}
    for run, of_run in by(events, lambda event: event["run"]).items():
        anchor = micros(of_run[0]["timestamp"])
        for level in STEP_LEVELS:
            tags = (("level", str(level)), ("run", run))
            for number in {int(event["step"]) // level for event in of_run}:
                inside = [event for event in of_run if int(event["step"]) // level == number]
                start = {"step_start": float(number * level), "anchor": float(anchor)}
                rows[Key("training_steps", tags, anchor + number)] = start | bucket(inside)
    return rows


def bucket(events: Iterable[Event]) -> dict[str, float]:
    """The metrics of one step bucket; events of a step are ordered by time."""
    columns: dict[str, list[float]] = {}
    for event in sorted(events, key=lambda event: (int(event["step"]), micros(event["timestamp"]))):
        for name, value in numbers_of(event).items():
            columns.setdefault(name, []).append(value)
    fields: dict[str, float] = {}
    for name, values in columns.items():
        fields |= {f"{name}_first": values[0], f"{name}_last": values[-1]}
        fields |= {f"{name}_{key}": aggregate(values)[key] for key in ("count", "mean", "min", "max")}
    return fields


def node_means(events: Iterable[Event]) -> dict[str, dict[int, dict[str, float]]]:
    """Node → pane end → metric → mean over everything that the node sent."""
    means: dict[str, dict[int, dict[str, float]]] = {}
    for (node, start), inside in by(events, lambda event: (event["node"], start_of(event, PANE))).items():
        fields = fields_of(inside)
        found = {name.removesuffix("_mean"): value for name, value in fields.items() if name.endswith("_mean")}
        means.setdefault(node, {})[start + PANE] = found
    return means


def health_component(value: float, rule: Rule) -> float:
    """100 up to 0.75 * warning, 75 at warning, 25 at critical, 0 from the ceiling on; lines in between."""
    good = 0.75 * rule.warning
    if value <= good:
        return 100.0
    if value <= rule.warning:
        return 100.0 - 25.0 * (value - good) / (rule.warning - good)
    if value <= rule.critical:
        return 75.0 - 50.0 * (value - rule.warning) / (rule.critical - rule.warning)
    if value <= rule.ceiling:
        return 25.0 - 25.0 * (value - rule.critical) / (rule.ceiling - rule.critical)
    return 0.0


def health_rows(events: Iterable[Event], rules: Sequence[Rule] = RULES) -> Rows:
    """Score and components of every node and pane that a rule has a value in."""
    rows: Rows = {}
    for node, panes in node_means(events).items():
        for end, means in panes.items():
            components = {rule.name: health_component(means[rule.of], rule) for rule in rules if rule.of in means}
            if components:
                lost = 0.6 * math.fsum(100.0 - value for value in components.values())
                score = {"score": max(0.0, 100.0 - lost)}
                rows[Key("health", (("node", node),), end)] = score | components
    return rows


def state_of(value: float, rule: Rule) -> str:
    """The state of a mean: a level is crossed when the value is above it."""
    return "critical" if value > rule.critical else "warning" if value > rule.warning else "ok"


def alerts_of(events: Iterable[Event], rules: Sequence[Rule] = RULES) -> list[Alert]:
    """Every transition, in order of time, then of the fingerprint."""
    alerts = []
    for node, panes in node_means(events).items():
        for rule in rules:
            state = "ok"
            for end, means in sorted(panes.items()):
                if rule.of not in means or state_of(means[rule.of], rule) == state:
                    continue
                previous, state = state, state_of(means[rule.of], rule)
                threshold = rule.critical if "critical" in (previous, state) else rule.warning
                fingerprint = f"{rule.name}:{node}"
                name = hashlib.sha256(f"{fingerprint}|{end}|{state}".encode()).hexdigest()[:32]
                alerts.append(
                    Alert(
                        name, fingerprint, rule.name, node, state, previous, means[rule.of], threshold, rule.action, end
                    )
                )
    return sorted(alerts, key=lambda alert: (alert.at, alert.fingerprint))
