"""How learners get on: curves by attempt, funnels, cohorts, response times by group, and how many need help."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

from smartlearn.core.settings import Settings
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.figures.heat import hidden_note
from smartlearn.dashboard.format import with_unit
from smartlearn.dashboard.queries import Answers, Attempts, Boxes, Funnel, Retention, Risk
from smartlearn.dashboard.queries.attempts import FALL, MOST, RECENT

_MOST_BOXES: Final = 12


def attempts(found: Attempts, settings: Settings, *, remark: str = "", height: int = style.HEIGHT) -> go.Figure:
    """Accuracy by attempt in the band of its 95 % interval, with how many learners got so far."""
    minimum = settings.privacy.minimum_group
    if not found.shown:
        return style.too_few(minimum, height) if found.hidden else style.nothing("interactions", height)
    color = theme.metric_color("accuracy", settings)
    number = np.array([one.number for one in found.shown])
    low, high, mean = (
        np.array([getattr(one.accuracy, name) for one in found.shown]) for name in ("low", "high", "mean")
    )
    fig = style.figure(height)
    style.band(fig, number, low, high, theme.faded(color, 0.2))
    fig.add_scatter(
        x=number, y=mean, name="all learners", mode="lines+markers",
        line={"color": color, "width": 1.8}, marker={"size": 6, "color": color},
        customdata=np.array([[one.learners, one.accuracy.low, one.accuracy.high] for one in found.shown]),
        hovertemplate="%{y:.1%} (95 %: %{customdata[1]:.1%}–%{customdata[2]:.1%}), %{customdata[0]:.0f} learners"
        "<extra></extra>",
    )  # fmt: skip
    fig.update_xaxes(
        title={"text": "attempt at the same subject"}, dtick=1 if len(number) <= 12 else 2, hoverformat="d"
    )
    bottom = float(np.floor(np.nanmin(low) * 10) / 10)
    fig.update_yaxes(range=[min(bottom, 0.9), 1.0], tickformat=".0%", nticks=6)
    style.corner(fig, "; ".join(filter(None, [_attempts_note(found, minimum), remark])))
    return fig


def funnel(found: Funnel, settings: Settings, *, remark: str = "", height: int = style.HEIGHT) -> go.Figure:
    """Learners by action, the most common first: those who did it, and those who did all up to it."""
    minimum = settings.privacy.minimum_group
    if not found.steps:
        return style.too_few(minimum, height) if found.hidden else style.nothing("interactions", height)
    names = [style.readable(step.action) for step in found.steps]
    color = theme.metric_color("engagement_score", settings)
    fig = style.figure(height)
    customdata = [
        [step.reached, step.reached / found.learners, step.did, step.did / found.learners] for step in found.steps
    ]
    looks: tuple[tuple[str, list[int], float, str], ...] = (
        ("did it", [step.did for step in found.steps], 0.28, "outside"),
        ("did all up to it", [step.reached for step in found.steps], 1.0, "inside"),
    )
    for name, values, opacity, place in looks:
        fig.add_bar(
            x=values, y=names, orientation="h", name=name, width=0.62,
            marker={"color": theme.faded(color, opacity), "cornerradius": 3},
            text=[f"{value / found.learners:.0%}" for value in values] if place == "inside" else None,
            textposition="inside", insidetextanchor="start", textfont={"color": "#1F2933"}, cliponaxis=False,
            customdata=customdata,
            hovertemplate="<b>%{y}</b><br>%{customdata[2]} learners did it (%{customdata[3]:.0%})"
            "<br>%{customdata[0]} did all up to it (%{customdata[1]:.0%})<extra></extra>",
        )  # fmt: skip
    fig.update_layout(barmode="overlay", hovermode="closest")
    style.legend(fig)
    fig.update_xaxes(
        range=[0, found.learners], showgrid=True, nticks=5, title={"text": f"of {found.learners} learners"}
    )
    fig.update_yaxes(autorange="reversed", showgrid=False, dtick=1)
    few = f"{found.hidden} step{'' if found.hidden == 1 else 's'} under {minimum} not shown"
    notes = [few] if found.hidden else []
    if notes or remark:
        style.corner(fig, "; ".join([*notes, *([remark] if remark else [])]))
    return fig


def retention(found: Retention, minimum: int, height: int = style.HEIGHT) -> go.Figure:
    """The share of each cohort that was seen again, by weeks since its first."""
    if not len(found.start):
        if found.hidden:
            return style.too_few(minimum, height)
        return style.nothing("learners", height)
    weeks = int(np.flatnonzero(np.isfinite(found.share).any(axis=0)).max()) + 1
    share = found.share[:, :weeks]
    days = [f"{moment:%d %b}".lstrip("0") for moment in style.moments(found.start).astype("datetime64[s]").tolist()]
    names = [
        f"{'to ' if found.open and row == 0 else ''}{day}  n {size:.0f}"
        for row, (day, size) in enumerate(zip(days, found.learners, strict=True))
    ]
    fig = style.figure(height)
    fig.add_heatmap(
        x=list(range(weeks)), y=names, z=share, zmin=0, zmax=1, colorscale=theme.HEAT, xgap=2, ygap=2,
        hoverongaps=False, showscale=False,
        text=np.where(np.isfinite(share), np.char.mod("%.0f%%", 100 * np.nan_to_num(share)), ""),
        texttemplate="%{text}", textfont={"size": 11},
        customdata=np.repeat(found.learners[:, None], weeks, axis=1),
        hovertemplate="first seen in the week of %{y}<br>%{x} weeks later: %{z:.1%}<extra></extra>",
    )  # fmt: skip
    fig.update_layout(hovermode="closest")
    fig.update_xaxes(dtick=1, title={"text": "weeks after the first"}, showline=False)
    fig.update_yaxes(range=[max(len(names), 4) - 0.5, -0.5], showgrid=False, dtick=1)
    notes = [f"{found.hidden} cohort{'' if found.hidden == 1 else 's'} under {minimum} learners not shown"]
    words = [*(notes if found.hidden else []), *([] if found.exact else ["estimated from a sample"])]
    if words:
        style.corner(fig, "; ".join(words))
    return fig


def boxes(found: Boxes, settings: Settings, height: int = style.HEIGHT) -> go.Figure:
    """Response times of each group: the middle half as a box, 5 to 95 % as whiskers; the slowest on top."""
    minimum = settings.privacy.minimum_group
    if not found.shown:
        return style.too_few(minimum, height) if found.hidden else style.nothing("interactions", height)
    shown = found.shown[:_MOST_BOXES]
    color = theme.metric_color("response_time", settings)
    names = [style.readable(box.name) for box in shown]
    q05, q25, q50, q75, q95 = (list(column) for column in zip(*(box.quantiles for box in shown), strict=True))
    fig = style.figure(height)
    fig.add_box(
        y=names, q1=q25, median=q50, q3=q75, lowerfence=q05, upperfence=q95, orientation="h", width=0.55,
        line={"color": color, "width": 1.5}, fillcolor=theme.faded(color, 0.25), whiskerwidth=0.5, hoverinfo="skip",
    )  # fmt: skip
    fig.add_scatter(
        x=q50, y=names, mode="markers", marker={"size": 14, "color": color, "opacity": 0},
        customdata=[[*box.quantiles, box.count, box.learners] for box in shown],
        hovertemplate="<b>%{y}</b><br>median %{x:.3~s} ms<br>middle half %{customdata[1]:.3~s}–%{customdata[3]:.3~s} ms"
        "<br>5–95 % %{customdata[0]:.3~s}–%{customdata[4]:.3~s} ms"
        "<br>%{customdata[5]} answers of %{customdata[6]} learners<extra></extra>",
    )  # fmt: skip
    for box, name in zip(shown, names, strict=True):
        fig.add_annotation(
            text=f"{with_unit(box.quantiles[2], 'ms')}  <span style='opacity:.7'>n {box.count}</span>",
            xref="x domain", x=1, xanchor="left", xshift=6, yref="y", y=name, showarrow=False, font={"size": 11},
        )  # fmt: skip
    fig.update_layout(hovermode="closest", margin={**style.MARGIN, "r": 96})
    fig.update_xaxes(rangemode="tozero", showgrid=True, nticks=5)
    fig.update_yaxes(autorange="reversed", showgrid=False, dtick=1)
    if found.hidden:
        style.corner(fig, hidden_note(found.hidden, minimum))
    return fig


def risk(found: Risk | None, settings: Settings, *, remark: str = "", height: int = style.HEIGHT) -> go.Figure:
    """How many learners each rule applies to; never who."""
    minimum = settings.privacy.minimum_group
    if found is None:
        return style.too_few(minimum, height)
    level = settings.dashboard.risk_accuracy
    rules: list[tuple[str, int | None]] = [
        (f"<b>any of these</b><br>of {found.learners} with enough answers", found.any),
        (f"low: the last {RECENT} answers<br>below {level:.0%} on average", found.low),
        (f"falling: the last {RECENT} answers<br>{100 * FALL:.0f} points below those before", found.falling),
    ]
    if found.long:
        rules.append(("quiet: seen in the first half,<br>not in the last quarter", found.quiet))
    fig = style.figure(height)
    color = theme.metric_color("accuracy", settings)
    names = [name for name, _ in rules]
    fig.add_bar(
        x=[count or 0 for _, count in rules], y=names, orientation="h", width=0.5,
        marker={"color": [color, *[theme.faded(color, 0.55)] * (len(rules) - 1)], "cornerradius": 3}, hoverinfo="skip",
    )  # fmt: skip
    for name, count in rules:
        share = f" · {count / found.learners:.0%}" if count and found.learners else ""
        fig.add_annotation(
            text=f"fewer than {minimum}" if count is None else f"<b>{count}</b>{share}", xref="x", x=count or 0,
            xanchor="left", xshift=6, yref="y", y=name, showarrow=False, font={"size": 12},
        )  # fmt: skip
    fig.update_layout(hovermode="closest")
    fig.update_xaxes(range=[0, max(found.learners, 1)], showgrid=True, nticks=4)
    fig.update_yaxes(autorange="reversed", showgrid=False, dtick=1)
    notes = [*([] if found.long else ["who went quiet: from 7 days on"]), *([remark] if remark else [])]
    if notes:
        style.corner(fig, "; ".join(notes))
    return fig


def read_note(answers: Answers) -> str:
    """What was read of a range, where it is not all of it."""
    if not answers.cut:
        return ""
    start: Any = style.moments(np.array([answers.window.start], dtype=np.int64)).astype("datetime64[s]").tolist()[0]
    return f"the newest {min(len(answers), MOST):,} answers, from {start:%d %b %H:%M} UTC"


def _attempts_note(found: Attempts, minimum: int) -> str:
    first = f"n {found.shown[0].learners} → {found.shown[-1].learners} learners"
    return f"{first}; {found.hidden} under {minimum} not shown" if found.hidden else first
