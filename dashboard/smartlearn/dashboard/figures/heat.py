"""Matrices as colour: perceptually even, from dark (little) to light (much), never a rainbow."""

from __future__ import annotations

from typing import Final

import numpy as np
import plotly.graph_objects as go

from smartlearn.core.batch import FloatArray
from smartlearn.core.settings import Settings
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.figures.metrics import Metric, metric
from smartlearn.dashboard.queries import Activity, Groups, Matrix

ROW_HEIGHT: Final = 22
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DIFFICULTIES: Final = ("beginner", "easy", "elementary", "medium", "intermediate", "hard", "advanced", "expert")
_TEXT_CELLS: Final = 60


def resource_heatmap(found: Matrix, settings: Settings, height: int | None = None) -> go.Figure:
    """A metric by node and time, the highest average on top; nothing where a node sent nothing."""
    what = metric(found.metric)
    if not found.names:
        return style.nothing(what.title, height or style.HEIGHT)
    rows = len(found.names)
    fig = style.figure(height or max(style.HEIGHT, 70 + ROW_HEIGHT * rows))
    fig.add_heatmap(
        x=style.moments(found.time + found.width // 2),
        y=[style.shorten(name, 18) for name in found.names],
        z=found.values,
        customdata=np.repeat(np.array(found.names, dtype=object)[:, None], len(found.time), axis=1),
        hovertemplate=f"%{{customdata}}<br>%{{x}}<br>{what.title} %{{z:.3~r}}{what.unit}<extra></extra>",
        hoverongaps=False,
        xgap=0 if len(found.time) > 60 else 1,
        ygap=1,
        **scale(*_range(what), "ratio" if what.ratio else what.unit),
    )
    style.time_axis(fig, int(found.time[0]), int(found.time[-1] + found.width))
    fig.update_yaxes(autorange="reversed", showgrid=False, dtick=1)
    fig.update_layout(hovermode="closest")
    if found.others:
        style.corner(fig, f"the {rows} highest of {rows + found.others} nodes")
    return fig


def subject_difficulty(found: Groups, minimum: int, height: int = style.HEIGHT) -> go.Figure:
    """Mean accuracy by subject and difficulty, the weakest subject on top, with the number of answers."""
    if not found.shown:
        return not_shown(found, minimum, height)
    difficulties = in_order({group.difficulty for group in found.shown})
    means = {
        subject: float(np.mean([group.accuracy.mean for group in found.shown if group.subject == subject]))
        for subject in {group.subject for group in found.shown}
    }
    subjects = sorted(means, key=lambda subject: (means[subject], subject))
    values = np.full((len(subjects), len(difficulties)), np.nan)
    words = np.full(values.shape, "", dtype=object)
    hover = np.full(values.shape, "", dtype=object)
    for group in found.shown:
        cell = subjects.index(group.subject), difficulties.index(group.difficulty)
        values[cell] = group.accuracy.mean
        words[cell] = f"{group.accuracy.mean:.0%}"
        hover[cell] = f"{group.count} answers of {group.learners:.0f} learners"
    fig = style.figure(height)
    fig.add_heatmap(
        x=difficulties,
        y=[style.readable(subject) for subject in subjects],
        z=values,
        text=words if values.size <= _TEXT_CELLS else None,
        texttemplate="%{text}",
        textfont={"size": 11},
        customdata=hover,
        hoverongaps=False,
        xgap=2,
        ygap=2,
        hovertemplate="%{y} · %{x}<br>accuracy %{z:.1%}<br>%{customdata}<extra></extra>",
        **scale(*_shown_range(values), "ratio"),
    )
    fig.update_xaxes(tickangle=0)
    fig.update_yaxes(autorange="reversed", showgrid=False, dtick=1)
    fig.update_layout(hovermode="closest")
    if found.hidden:
        style.corner(fig, hidden_note(found.hidden, minimum))
    return fig


def activity_heatmap(found: Activity, minimum: int, height: int = style.HEIGHT) -> go.Figure:
    """Interactions an hour, by weekday and hour of the day."""
    if not np.isfinite(found.per_hour).any() or not np.nansum(found.per_hour):
        return style.too_few(minimum, height) if found.hidden else style.nothing("interactions", height)
    fig = style.figure(height)
    days = [day for day in range(7) if np.isfinite(found.per_hour[day]).any()]
    fig.add_heatmap(
        x=list(range(24)), y=[WEEKDAYS[day] for day in days], z=found.per_hour[days], xgap=1, ygap=1, hoverongaps=False,
        hovertemplate="%{y} %{x}:00 UTC<br>%{z:.3~r} interactions an hour<extra></extra>",
        **scale(0, None, ""),
    )  # fmt: skip
    fig.update_xaxes(tickvals=list(range(0, 24, 3)), ticktext=[f"{hour:02}" for hour in range(0, 24, 3)])
    fig.update_yaxes(autorange="reversed", showgrid=False, dtick=1)
    fig.update_layout(hovermode="closest")
    return fig


def _range(what: Metric) -> tuple[float | None, float | None]:
    """The colour range of a metric: fixed where its values are bounded."""
    return (0, 1 if what.ratio else 100) if what.percent else (what.low, what.high)


def in_order(difficulties: set[str]) -> list[str]:
    """Difficulties from easy to hard; words that are not known come last, by name."""
    known = {name: place for place, name in enumerate(DIFFICULTIES)}
    return sorted(difficulties, key=lambda name: (known.get(name.lower(), len(known)), name))


def hidden_note(hidden: int, minimum: int) -> str:
    """How many groups are not shown, and why."""
    return f"{hidden} group{'' if hidden == 1 else 's'} under {minimum} learners not shown"


def not_shown(found: Groups, minimum: int, height: int) -> go.Figure:
    """Why no group is shown."""
    return style.too_few(minimum, height) if found.hidden else style.nothing("interactions", height)


def _shown_range(values: FloatArray) -> tuple[float, float]:
    """The colour range of accuracies: whole tens of percent around the values."""
    low, high = style.bounds([values.ravel()])
    return float(np.floor(low * 10) / 10), float(np.ceil(high * 10) / 10)


def scale(low: float | None, high: float | None, unit: str) -> dict[str, object]:
    """The colours of a heatmap from `low` to `high`, and the bar that explains them."""
    bar = {"thickness": 8, "outlinewidth": 0, "tickfont": {"size": 10}, "nticks": 4, "len": 1, "xpad": 4}
    if unit == "ratio":
        bar |= {"tickformat": ".0%"}
    elif unit:
        bar |= {"ticksuffix": unit}
    return {"colorscale": theme.HEAT, "zmin": low, "zmax": high, "colorbar": bar}
