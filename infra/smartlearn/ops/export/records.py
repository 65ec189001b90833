"""Which events an export holds, and how each kind is laid out in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from smartlearn.core.stores.base import MetricStore
from smartlearn.ops.filters import Where
from smartlearn.ops.reading import Reading, Request, read
from smartlearn.ops.timespan import Span


class ExportKind(StrEnum):
    """What may be asked for."""

    PERFORMANCE = "performance"
    TRAINING = "training"
    INTERACTIONS = "interactions"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Layout:
    """One kind of event in an export.

    Attributes:
        measurement: where its events are stored; also its name in the `kind` column of a table.
        array: its array in the JSON format.
        total: its count's name in `demo_info`.
        record: the names of a JSON record in their order.
        stored: name in the file → name in the store, where they differ.
        tags: the tags that tables carry, in their order.
        whole: fields that are whole numbers.
    """

    measurement: str
    array: str
    total: str
    record: tuple[str, ...]
    tags: tuple[str, ...]
    stored: Mapping[str, str]
    whole: frozenset[str]


LAYOUTS: tuple[Layout, ...] = (
    Layout(
        "performance",
        "performance_metrics",
        "total_performance_metrics",
        (
            "timestamp", "cpu_usage", "memory_usage", "gpu_memory_used", "gpu_memory_total", "response_time",
            "model_accuracy", "user_engagement",
        ),
        ("node", "run", "source", "gpu", "model_version"),
        {},
        frozenset(),
    ),
    Layout(
        "training",
        "training_metrics",
        "total_training_metrics",
        ("epoch", "step", "training_loss", "validation_loss", "learning_rate", "accuracy", "timestamp"),
        ("node", "run", "source"),
        {},
        frozenset({"epoch", "step"}),
    ),
    Layout(
        "interactions",
        "user_metrics",
        "total_user_metrics",
        (
            "timestamp", "user_id", "action", "subject", "difficulty", "response_time", "accuracy",
            "engagement_score",
        ),
        ("source", "action", "subject", "difficulty"),
        {"user_id": "learner"},
        frozenset(),
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Selection:
    """Which events.

    Attributes:
        kind: of which kind.
        span: the part of time; without ends it is everything stored.
        node: only of this node; interactions belong to none.
        run: only of this run; interactions belong to none.
    """

    kind: ExportKind = ExportKind.ALL
    span: Span = field(default_factory=Span)
    node: str | None = None
    run: str | None = None

    def holds(self, layout: Layout) -> bool:
        """Whether events of this kind can be among them."""
        asked = {tag for tag, value in (("node", self.node), ("run", self.run)) if value is not None}
        return self.kind in (ExportKind.ALL, layout.measurement) and asked <= set(layout.tags)


def events(
    store: MetricStore, selection: Selection, layout: Layout, fields: tuple[str, ...] = ()
) -> Iterator[list[Reading]]:
    """The stored events of one kind, in time order; `fields` are the store's names, none is all."""
    if not selection.holds(layout):
        return
    asked = {"node": selection.node, "run": selection.run}
    where: Where = {tag: value for tag, value in asked.items() if value is not None}
    stored = set(store.fields(layout.measurement))
    known = tuple(name for name in fields if name in stored)
    if fields and not known:
        return
    yield from read(store, Request(layout.measurement, selection.span, known, where))
