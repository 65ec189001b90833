"""What a page is made of, declared: figures, charts, tables, advice. Pure functions draw; `wiring` does the rest.

A page module holds one `PAGE`:

    PAGE = Page(
        path="/training",
        name="Training Analytics",
        question="Which run learns best, and does it still learn?",
        stats=stats,                                   # (Context, View) -> list[Stat]
        panels=(
            Chart("loss", "Loss", loss, span=8),       # loss: (Context, View) -> go.Figure
            Table("runs", "Runs", COLUMNS, run_rows),  # run_rows: (Context, View) -> list of dicts
        ),
        pickers=("run",),
    )

Every function may raise `SmartLearnError`: the panel then says so in its place, and the other panels go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

import plotly.graph_objects as go

from smartlearn.core.batch import FloatArray
from smartlearn.core.settings import Settings
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.theme import Status
from smartlearn.dashboard.view import View

HEIGHT = 280
"""The height of a chart in px; rows of cards are equal."""


@dataclass(frozen=True, slots=True)
class Context:
    """What panels draw from.

    Attributes:
        settings: colours, levels, refresh.
        history: where to query.
        clock: ns; the present.
    """

    settings: Settings
    history: History
    clock: Callable[[], int]


@dataclass(frozen=True, slots=True)
class Stat:
    """One figure of a page's first row.

    Attributes:
        label: what it is: "CPU".
        value: the number as text (`format.split_unit`); "–" where there is none.
        unit: stands small behind it.
        change: against the period before, as text (`format.signed`).
        verdict: whether the change is good news; None is neither.
        status: shown as icon and word; None shows none.
        note: a quiet line below: "worst: node-3", "of 4 nodes".
        spark: the values of a sparkline, in time order; NaN is a gap.
        color: the sparkline's colour (`theme.metric_color`).
        hint: the exact value or time, on hover.
    """

    label: str
    value: str
    unit: str = ""
    change: str = ""
    verdict: Literal["good", "bad"] | None = None
    status: Status | None = None
    note: str = ""
    spark: FloatArray | None = None
    color: str = "#868E96"
    hint: str = ""


_NAME: Final = r"[a-z][a-z0-9_]{0,63}"


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice on a card that stands in the address.

    Attributes:
        name: its name in the address.
        label: for screen readers.
        options: value → word.
        start: what is chosen where the address does not say; the first where empty.
        more: the options that the history adds, asked when the page opens.
    """

    name: str
    label: str
    options: Mapping[str, str]
    start: str = ""
    more: Callable[[History], Mapping[str, str]] | None = None

    @property
    def default(self) -> str:
        """What is chosen where the address does not say."""
        return self.start or next(iter(self.options))

    @property
    def allowed(self) -> Collection[str]:
        """What may be chosen; where the history adds options, any metric's name until they are asked for."""
        return self.options if self.more is None else Entry(self.name, self.label, "", _NAME, "a metric")

    def resolved(self, history: History) -> Choice:
        """The same choice with all its options.

        Raises:
            StoreError: the store does not answer.
        """
        if self.more is None:
            return self
        more = {value: word for value, word in self.more(history).items() if value not in self.options}
        return replace(self, options={**self.options, **more}, start=self.default, more=None)

    def of(self, view: View) -> str:
        """What a view chose."""
        return view.choices.get(self.name, self.default)


@dataclass(frozen=True, slots=True)
class Entry:
    """A text in the filter bar that stands in the address; a zoom may fill it too.

    Attributes:
        name: its name in the address.
        label: for screen readers.
        placeholder: what stands there while it is empty.
        pattern: what it may be, as a regular expression.
        meaning: that in words: "two numbers, such as 100..200".
    """

    name: str
    label: str
    placeholder: str
    pattern: str
    meaning: str

    def __contains__(self, value: object) -> bool:
        return isinstance(value, str) and re.fullmatch(self.pattern, value) is not None

    def __iter__(self) -> Iterator[str]:
        return iter((self.meaning,))

    def __len__(self) -> int:
        return 1

    def of(self, view: View) -> str:
        """What a view holds; "" for nothing."""
        return view.choices.get(self.name, "")


Only: TypeAlias = Literal["", "fleet", "node"]
"""Where a panel is shown: always, while several nodes are shown, or while one is."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A card with one figure.

    Attributes:
        id: unique on all pages, such as "system-cpu".
        title: what it shows.
        draw: makes the figure; the card sets its template and height.
        unit: stands behind the title: "%", "ms, p50 p95 p99".
        span: columns of 12; below 1100 px a half or the whole row, on a phone the whole row.
        height: px.
        choice: a select in the card's header.
        click: what a click on a point chooses: the point's `customdata` (or its y) as node or run.
        help: a sentence on hover over the title.
        zoom: the entry of the page that a zoom along x fills, as "<axis>:<low>..<high>"; the figure names its axis in
            `layout.meta["axis"]`.
        only: where it is shown: always, while several nodes are shown, or while one is.
        optional: whether its card goes where one node is shown that has nothing of it.
    """

    id: str
    title: str
    draw: Callable[[Context, View], go.Figure]
    unit: str = ""
    span: int = 6
    height: int = HEIGHT
    choice: Choice | None = None
    click: Literal["node", "run"] | None = None
    help: str = ""
    zoom: str = ""
    only: Only = ""
    optional: bool = False


ColumnKind: TypeAlias = Literal[
    "text", "number", "percent", "time", "status", "bar", "link", "integer", "duration", "spark", "shown"
]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        field: the key in the rows.
        title: the header, with the unit.
        kind: how its values are shown: "number" (three figures), "percent" (of a fraction), "time" (ns → UTC), "status"
            (ok, warning, critical, unknown → icon and word), "bar" (0–100 as a bar with its number), "link" (a name
            that leads to `?node=` or `?run=`, whichever `field` says), "integer" (with thousands apart), "duration"
            (seconds), "spark" (a list of numbers as a small line), "shown" (the colour `run` is drawn in, or None: a
            box to tick).
        width: px; None shares what is left.
        sort: "asc" or "desc" at first.
    """

    field: str
    title: str
    kind: ColumnKind = "text"
    width: int | None = None
    sort: Literal["asc", "desc"] | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """A card with a table.

    Attributes:
        id: unique on all pages.
        title: what it lists.
        columns: left to right.
        rows: dicts by field; None where a row has no value. Worst first.
        empty: the sentence that stands where there are no rows.
        span: columns of 12.
        height: px.
        unit: stands behind the title.
        more: further columns, from the rows.
        filters: whether each column has a field to filter by.
        key: the field that names a row, so that a refresh keeps the scroll position.
        only: as of a chart.
    """

    id: str
    title: str
    columns: Sequence[Column]
    rows: Callable[[Context, View], list[dict[str, Any]]]
    empty: str = "Nothing in this time range"
    span: int = 12
    height: int = HEIGHT
    unit: str = ""
    more: Callable[[Sequence[Mapping[str, Any]]], Sequence[Column]] | None = None
    filters: bool = False
    key: str = ""
    only: Only = ""

    def columns_of(self, rows: Sequence[Mapping[str, Any]]) -> list[Column]:
        """All its columns for some rows."""
        return [*self.columns, *(self.more(rows) if self.more else ())]


@dataclass(frozen=True, slots=True)
class Advice:
    """One line of an advice card: a status, what is so, and what to do.

    Attributes:
        status: icon and word.
        title: "GPU memory on node-3 is above 80 %".
        text: "Reduce batch size"; may be empty.
        when: "12 s ago"; may be empty.
    """

    status: Status
    title: str
    text: str = ""
    when: str = ""


@dataclass(frozen=True, slots=True)
class Insights:
    """A card with advice, the worst first.

    Attributes:
        id: unique on all pages.
        title: what it is about.
        items: the lines.
        empty: the sentence where there are none.
        span: columns of 12.
        height: px; longer lists scroll.
        only: as of a chart.
    """

    id: str
    title: str
    items: Callable[[Context, View], list[Advice]]
    empty: str = "Nothing to do"
    span: int = 4
    height: int = HEIGHT
    only: Only = ""


Panel: TypeAlias = Chart | Table | Insights


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard.

    Attributes:
        path: its address.
        name: its title.
        question: what it answers, below the title.
        stats: the first row.
        panels: the cards, in order; spans of a row add up to 12.
        pickers: which pickers the filter bar holds beside the time range.
        places: how many figures the first row has, so that nothing jumps when they come.
        icon: name of a file in assets/icons.
        ranged: whether the page has a time range.
        measurement: what it shows, to say where its newest data is when the range has none.
        choices: choices in the filter bar.
        entries: texts in the filter bar.
    """

    path: str
    name: str
    question: str
    stats: Callable[[Context, View], list[Stat]]
    panels: Sequence[Panel]
    pickers: Sequence[Literal["node", "run"]] = ("node",)
    places: int = 5
    icon: str = "system"
    ranged: bool = True
    measurement: str = "performance_1h"
    choices: Sequence[Choice] = field(default_factory=tuple)
    entries: Sequence[Entry] = field(default_factory=tuple)

    def resolved(self, history: History) -> Page:
        """The same page, its choices with all their options.

        Raises:
            StoreError: the store does not answer.
        """
        panels = [
            replace(panel, choice=panel.choice.resolved(history))
            if isinstance(panel, Chart) and panel.choice
            else panel
            for panel in self.panels
        ]
        return replace(self, panels=panels, choices=[choice.resolved(history) for choice in self.choices])

    @property
    def all_choices(self) -> list[Choice]:
        """Its own choices and those of its charts."""
        return [*self.choices, *(panel.choice for panel in self.panels if isinstance(panel, Chart) and panel.choice)]

    @property
    def all_options(self) -> dict[str, Collection[str]]:
        """What each choice and entry may be."""
        choices: dict[str, Collection[str]] = {choice.name: choice.allowed for choice in self.all_choices}
        return choices | {entry.name: entry for entry in self.entries}
