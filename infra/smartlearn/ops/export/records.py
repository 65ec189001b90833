"""Which events an export holds, and how each kind is laid out in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from smartlearn.core.batch import Kind
from smartlearn.core.export_format import SECTIONS, Section
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
        section: its array in the JSON format.
        tags: the tags that tables carry, in their order.
        stored: name in the file → name in the store, where they differ.
    """

    measurement: str
    section: Section
    tags: tuple[str, ...]
    stored: Mapping[str, str] = field(default_factory=dict)

    def stored_name(self, name: str) -> str:
        """What a field of the file is called in the store."""
        return self.stored.get(name, name)


LAYOUTS: tuple[Layout, ...] = (
    Layout("performance", SECTIONS[Kind.PERFORMANCE], ("node", "run", "source", "gpu", "model_version")),
    Layout("training", SECTIONS[Kind.TRAINING], ("node", "run", "source")),
    Layout(
        "interactions",
        SECTIONS[Kind.INTERACTION],
        ("source", "action", "subject", "difficulty"),
        {"user_id": "learner"},
    ),
)


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
    # A field whose every value is NaN or infinite is stored as the name of what it is.
    known = tuple(name for name in fields if not stored.isdisjoint({name, f"{name}_nonfinite"}))
    if fields and not known:
        return
    yield from read(store, Request(layout.measurement, selection.span, known, where))
