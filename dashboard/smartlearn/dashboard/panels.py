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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

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


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice on a card that stands in the address.

    Attributes:
        name: its name in the address.
        label: for screen readers.
        options: value → word.
        start: what is chosen where the address does not say; the first where empty.
    """

    name: str
    label: str
    options: Mapping[str, str]
    start: str = ""

    @property
    def default(self) -> str:
        """What is chosen where the address does not say."""
        return self.start or next(iter(self.options))

    def of(self, view: View) -> str:
        """What a view chose."""
        return view.choices.get(self.name, self.default)


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


ColumnKind: TypeAlias = Literal["text", "number", "percent", "time", "status", "bar", "link"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        field: the key in the rows.
        title: the header, with the unit.
        kind: how its values are shown: "number" (three figures), "percent" (of a fraction), "time" (ns → UTC), "status"
            (ok, warning, critical, unknown → icon and word), "bar" (0–100 as a bar with its number), "link" (a name
            that leads to `?node=` or `?run=`, whichever `field` says).
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
    """

    id: str
    title: str
    columns: Sequence[Column]
    rows: Callable[[Context, View], list[dict[str, Any]]]
    empty: str = "Nothing in this time range"
    span: int = 12
    height: int = HEIGHT
    unit: str = ""


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
    """

    id: str
    title: str
    items: Callable[[Context, View], list[Advice]]
    empty: str = "Nothing to do"
    span: int = 4
    height: int = HEIGHT


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

    @property
    def all_choices(self) -> list[Choice]:
        """Its own choices and those of its charts."""
        return [*self.choices, *(panel.choice for panel in self.panels if isinstance(panel, Chart) and panel.choice)]
