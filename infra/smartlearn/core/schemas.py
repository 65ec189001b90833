"""The wire contract: every message as a model, and the bounds that all validation shares.

The models are the documentation and the source of `docs/schemas/*.json` and of the bounds; the codec
checks the same bounds a column at a time. `python -m smartlearn.core.schemas docs/schemas` writes the
JSON Schemas.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from annotated_types import Ge, Le
from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic.types import StringConstraints

from smartlearn.core.batch import DEMO_SOURCE, IMPORT_SOURCE, Kind
from smartlearn.core.names import METRIC_PATTERN, Label, MetricName
from smartlearn.core.stores.base import is_text_field

MAX_ROWS = 10_000
"""Rows of one batch."""

MAX_METRICS = 200
"""Metrics of one message, beside the fields of the contract."""

MAX_MESSAGE_BYTES = 6 * 1024 * 1024
"""The largest value the topics take."""

MAX_TEXT = 10_000
"""Characters of an annotation's text."""

MAX_PAYLOAD = 100_000
"""Characters of a run event's payload as JSON."""

MAX_WHOLE = 2**53
"""Whole numbers stay below it: they are stored as float64."""

LARGEST = sys.float_info.max

FIRST_TIME_US = 0
"""1970-01-01T00:00:00Z: the first event time, in µs since the epoch."""

LAST_TIME_US = 7_258_118_400_000_000
"""2200-01-01T00:00:00Z, exclusive: below it µs are exact as float64 and ns fit int64."""

PSEUDONYM_PATTERN = r"^p1_[0-9a-f]{8}_[0-9a-f]{32}$"

METRIC_PREFIX = "metrics."
"""A metric's column in a batch is named `metrics.<name>`."""

Bounds: TypeAlias = tuple[float, float]


def _utc(value: datetime) -> datetime:
    """A time without a zone is UTC."""
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


NonFinite: TypeAlias = Literal["NaN", "Infinity", "-Infinity"]
RunType: TypeAlias = Literal["start", "settings", "checkpoint", "end"]
Timestamp: TypeAlias = Annotated[datetime, AfterValidator(_utc)]
Pseudonym: TypeAlias = Annotated[str, StringConstraints(pattern=PSEUDONYM_PATTERN)]

Percent: TypeAlias = Annotated[float, Ge(0.0), Le(100.0)]
Gigabytes: TypeAlias = Annotated[float, Ge(0.0), Le(LARGEST)]
Milliseconds: TypeAlias = Annotated[float, Ge(0.0), Le(LARGEST)]
Ratio: TypeAlias = Annotated[float, Ge(0.0), Le(1.0)]
Score: TypeAlias = Annotated[float, Ge(1.0), Le(10.0)]
Number: TypeAlias = Annotated[float, Ge(-LARGEST), Le(LARGEST)]
Whole: TypeAlias = Annotated[int, Ge(0), Le(MAX_WHOLE - 1)]

Metrics: TypeAlias = Annotated[dict[MetricName, Number | NonFinite | None], Field(max_length=MAX_METRICS)]


class Message(BaseModel):
    """What all messages share: unknown fields are an error, types are not guessed, numbers are finite."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class PerformanceEvent(Message):
    """One sample of a machine; the key is the node. At least one number must be there."""

    timestamp: Timestamp = Field(description="RFC 3339; without a zone it is UTC")
    node: Label
    cpu_usage: Percent | NonFinite | None = Field(None, description="%")
    memory_usage: Percent | NonFinite | None = Field(None, description="%")
    gpu_memory_used: Gigabytes | NonFinite | None = Field(None, description="GB")
    gpu_memory_total: Gigabytes | NonFinite | None = Field(None, description="GB")
    response_time: Milliseconds | NonFinite | None = Field(None, description="ms")
    model_accuracy: Ratio | NonFinite | None = None
    user_engagement: Score | NonFinite | None = None
    gpu: Label | None = Field(None, description="which GPU of the node, where it has several")
    run: Label | None = Field(None, description="the training run that the sample belongs to")
    model_version: Label | None = None
    metrics: Metrics = Field(default_factory=dict, description="what a source adds, by name")


class TrainingEvent(Message):
    """One step of a training; the key is the run."""

    timestamp: Timestamp
    run: Label
    node: Label
    epoch: Whole
    step: Whole
    training_loss: Number | NonFinite
    learning_rate: Number | NonFinite
    validation_loss: Number | NonFinite | None = None
    accuracy: Ratio | NonFinite | None = None
    metrics: Metrics = Field(default_factory=dict)


class InteractionEvent(Message):
    """One answer of a learner; the key is the learner (of a batch: the source)."""

    timestamp: Timestamp
    learner: Pseudonym = Field(description="a keyed pseudonym, never a user id")
    action: Label
    subject: Label
    difficulty: Label
    response_time: Milliseconds | NonFinite = Field(description="ms")
    accuracy: Ratio | NonFinite
    engagement_score: Score | NonFinite


class RunEvent(Message):
    """A moment in the life of a training run; the key is the run."""

    timestamp: Timestamp
    run: Label
    node: Label
    type: RunType
    payload: dict[str, Any] = Field(
        default_factory=dict, description=f"any JSON object of at most {MAX_PAYLOAD} characters"
    )


class AnnotationEvent(Message):
    """A note on every time axis; the key is the scope."""

    timestamp: Timestamp
    text: Annotated[str, StringConstraints(min_length=1, max_length=MAX_TEXT)]
    scope: Label = Field(description="what it is about: a node, a run, or any word")
    author: Label | None = None


class BatchEnvelope(Message):
    """n events of one kind by column; a constant column is one value.

    The columns are named like the fields of the event, a metric's `metrics.<name>`; `timestamp` is a
    list of µs since the epoch and gives the number of rows. A batch holds one node (performance) or one
    run (training, run). With `seq` and `boot` it comes from a producer, with `place` from a file.
    """

    v: Literal[1] = 1
    kind: Kind
    source: Label = Field(description=f"who sends; `{IMPORT_SOURCE}` for every import, `{DEMO_SOURCE}` for the demo")
    boot: Label | None = Field(None, description="the sender's start")
    seq: Annotated[int, Ge(0), Le(2**63 - 1)] | None = Field(
        None, description="the number of the first row, per source, boot and key"
    )
    place: Annotated[list[Annotated[int, Ge(0), Le(2**63 - 1)]], Field(max_length=MAX_ROWS)] | None = Field(
        None, description="of an import and of the demo: the number that fills the digits below each time's resolution"
    )
    columns: dict[str, Any]


class HealthScore(Message):
    """The health of a node at the end of a pane, on `smartlearn.health`; the key is the node."""

    v: Literal[1] = 1
    node: Label
    at: Timestamp
    score: Annotated[float, Ge(0.0), Le(100.0)]
    status: Literal["ok", "warning", "critical"]
    components: dict[str, Annotated[float, Ge(0.0), Le(100.0)]]


class Alert(Message):
    """A transition of a rule in a scope, on `smartlearn.alerts`; the key is the fingerprint.

    Consumers keep the highest revision of an id: 0 is published, odd is retracted, even is valid again.
    """

    v: Literal[1] = 1
    id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    fingerprint: str
    rule: str
    node: Label
    state: Literal["ok", "warning", "critical"]
    previous: Literal["ok", "warning", "critical"]
    value: Number
    threshold: Number
    action: str
    at: Timestamp = Field(description="the end of the pane that decided")
    revision: Annotated[int, Ge(0)]


class LiveCounts(Message):
    """The ledger of one topic as one worker sees it."""

    model_config = ConfigDict(populate_by_name=True)

    received: Annotated[int, Ge(0)] = Field(0, alias="in")
    stored: Annotated[int, Ge(0)] = 0
    late: Annotated[int, Ge(0)] = 0
    duplicate: Annotated[int, Ge(0)] = 0
    forwarded: Annotated[int, Ge(0)] = 0
    dead: Annotated[int, Ge(0)] = 0
    expired: Annotated[int, Ge(0)] = Field(0, description="older than the retention")


class Live(Message):
    """What moved since the last one, and the worker's heartbeat, on `smartlearn.live`; the key is the worker.

    The three tables hold the newest row of each key that moved, by column; learners are never in them.
    """

    v: Literal[1] = 1
    kind: Literal["live"] = "live"
    worker: str
    pid: Annotated[int, Ge(0)]
    sent: int = Field(description="µs since the epoch")
    assigned: dict[str, list[int]] = Field(default_factory=dict, description="topic → partitions")
    counts: dict[str, LiveCounts] = Field(default_factory=dict)
    lag: dict[str, int] = Field(default_factory=dict, description="topic → messages not yet read")
    performance: dict[str, list[Any]] = Field(default_factory=dict)
    training: dict[str, list[Any]] = Field(default_factory=dict)
    interactions: dict[str, list[Any]] = Field(default_factory=dict)


class SentCounts(Message):
    """What the producers of one machine counted of one source's rows on one topic."""

    source: str
    topic: str = Field(description="empty: rows that were lost before they had one")
    produced: Annotated[int, Ge(0)]
    adopted: Annotated[int, Ge(0)] = Field(description="taken over from the spools of processes that ended")
    delivered: Annotated[int, Ge(0)]
    spooled: Annotated[int, Ge(0)]
    dropped: Annotated[int, Ge(0)]
    refused: Annotated[int, Ge(0)] = Field(description="not among the produced")


class SentLedger(Message):
    """What the producers of one data directory ever sent, on `smartlearn.ledger`; the key is the id.

    Of the messages with one id, that with the highest revision holds.
    """

    v: Literal[1] = 1
    kind: Literal["ledger"] = "ledger"
    id: str
    revision: Annotated[int, Ge(0)]
    counts: list[SentCounts]


class Rollup(Message):
    """One point of a tier, on `smartlearn.rollups` where that is switched on; the key is the series key."""

    v: Literal[1] = 1
    kind: Literal["rollup"] = "rollup"
    measurement: str
    tags: dict[str, str]
    time: Timestamp
    fields: dict[str, float | str]


EVENT_OF: dict[Kind, type[Message]] = {
    Kind.PERFORMANCE: PerformanceEvent,
    Kind.TRAINING: TrainingEvent,
    Kind.INTERACTION: InteractionEvent,
    Kind.RUN: RunEvent,
    Kind.ANNOTATION: AnnotationEvent,
}


def _bounds_in(annotation: Any, metadata: tuple[Any, ...]) -> Bounds | None:
    """The bounds of a field's number, whether it stands alone or in a union."""
    low = next((m.ge for m in metadata if isinstance(m, Ge)), None)
    high = next((m.le for m in metadata if isinstance(m, Le)), None)
    if low is not None and high is not None:
        return float(low), float(high)  # type: ignore[arg-type]
    for part in get_args(annotation):
        found = _bounds_in(part, getattr(part, "__metadata__", ()))
        if found is not None:
            return found
    return None


def _numeric_fields(event: type[Message]) -> Mapping[str, Bounds]:
    """The numeric fields of an event in their order, with the bounds its model declares."""
    fields = {}
    for name, info in event.model_fields.items():
        bounds = None if name == "metrics" else _bounds_in(info.annotation, tuple(info.metadata))
        if bounds is not None:
            fields[name] = bounds
    return fields


def _required_fields(event: type[Message]) -> frozenset[str]:
    return frozenset(name for name, info in event.model_fields.items() if info.is_required())


PERFORMANCE_FIELDS: Mapping[str, Bounds] = _numeric_fields(PerformanceEvent)
"""Numeric field → (lowest, highest) of a performance event."""

TRAINING_FIELDS: Mapping[str, Bounds] = _numeric_fields(TrainingEvent)
"""Numeric field → (lowest, highest) of a training event."""

INTERACTION_FIELDS: Mapping[str, Bounds] = _numeric_fields(InteractionEvent)
"""Numeric field → (lowest, highest) of an interaction."""

NUMERIC_FIELDS: Mapping[Kind, Mapping[str, Bounds]] = {kind: _numeric_fields(event) for kind, event in EVENT_OF.items()}
REQUIRED_FIELDS: Mapping[Kind, frozenset[str]] = {kind: _required_fields(event) for kind, event in EVENT_OF.items()}
WHOLE_FIELDS = frozenset({"epoch", "step"})
"""Numeric fields that hold whole numbers."""

METRIC_BOUNDS: Bounds = (-LARGEST, LARGEST)

_TAKEN_NAMES = frozenset(
    {name for event in EVENT_OF.values() for name in event.model_fields}
    | {"at", "gpu_memory", "source", "shard", "window", "level", "by", "rule", "state", "time", "measurement"}
)
_is_metric_name: Callable[[str], object] = re.compile(METRIC_PATTERN[:-1] + r"\Z").match


def metric_fault(name: str) -> str | None:
    """Why a source may not call its metric so, as the end of a sentence; None where it may."""
    if not _is_metric_name(name):
        return "must be 1 to 64 of a-z, 0-9 and _, a letter first"
    if name in _TAKEN_NAMES or is_text_field(name):
        return "is a name that the contract uses itself"
    return None


MESSAGES: Mapping[str, type[BaseModel]] = {
    "performance": PerformanceEvent,
    "training": TrainingEvent,
    "interaction": InteractionEvent,
    "run": RunEvent,
    "annotation": AnnotationEvent,
    "batch": BatchEnvelope,
    "health": HealthScore,
    "alert": Alert,
    "live": Live,
    "ledger": SentLedger,
    "rollup": Rollup,
}
"""The name of each message's schema file → its model."""


def json_schemas() -> dict[str, str]:
    """File name → the text of the JSON Schema of each message."""
    return {
        f"{name}.json": json.dumps(
            {"$schema": "https://json-schema.org/draft/2020-12/schema", **model.model_json_schema()},
            indent=2,
            ensure_ascii=False,
        )
        + "\n"
        for name, model in MESSAGES.items()
    }


def write_json_schemas(folder: Path) -> None:
    """Write the JSON Schema of every message into a folder, over what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in json_schemas().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_json_schemas(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/schemas"))
