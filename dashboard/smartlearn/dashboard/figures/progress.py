"""How far training runs are: bars, rates, the time that is left."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import plotly.graph_objects as go

from smartlearn.core.settings import Settings
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.format import number, span
from smartlearn.dashboard.queries import Run

_BAR: Final = 12
_MOST: Final = 5
_AROUND: Final = 44


def progress(runs: Sequence[Run], settings: Settings, height: int = style.HEIGHT) -> go.Figure:
    """How far each run is: its name, a bar of its planned steps, its rate and the time that is left."""
    if not runs:
        return style.nothing("training run", height)
    shown = list(runs[:_MOST])
    fig = style.figure(height, margin={**style.MARGIN, "r": 24})
    rows = list(range(len(shown)))
    color = theme.metric_color("training_loss", settings)
    row = (height - _AROUND) / len(shown)
    bar = min(_BAR, 0.25 * row)
    track = {"orientation": "h", "y": rows, "offsetgroup": "progress"}
    planned = [1.0 if run.total_steps else 0.0 for run in shown]
    share = [run.progress if run.total_steps else 0.0 for run in shown]
    fig.add_bar(x=planned, marker={"color": theme.faded(color, 0.15)}, hoverinfo="skip", **track)
    fig.add_bar(
        x=share,
        marker={"color": color, "cornerradius": 3},
        customdata=[run.run for run in shown],
        text=[progress_words(run) for run in shown],
        textposition="none",
        hovertemplate="<b>%{customdata}</b><br>%{text}<extra></extra>",
        **track,
    )
    for place, run in zip(rows, shown, strict=True):
        above = {"text": style.shorten(run.run, 40), "yshift": bar / 2 + 9, "font": {"size": 12}}
        below = {"text": progress_words(run), "yshift": -bar / 2 - 9, "font": {"size": 11, "color": theme.GREY}}
        for line in (above, below):
            fig.add_annotation(xref="x domain", x=0, xanchor="left", yref="y", y=place, showarrow=False, **line)
    fig.update_layout(barmode="overlay", hovermode="closest", bargap=1 - bar / row)
    fig.update_xaxes(range=[0, 1], tickformat=".0%", dtick=0.25)
    fig.update_yaxes(range=[len(shown) - 0.5, -0.5], visible=False)
    if len(runs) > len(shown):
        style.corner(fig, f"the {len(shown)} newest of {len(runs)} runs")
    return fig


def progress_words(run: Run) -> str:
    """Where a run stands, in a line."""
    words = [f"step {run.step:,} of {run.total_steps:,}" if run.total_steps else f"step {run.step:,}, no plan known"]
    if np.isfinite(run.rate):
        words.append(f"{rate(run.rate)}")
    if run.state == "running" and np.isfinite(run.left_s):
        words.append(f"{span(run.left_s)} left")
    elif run.state != "running":
        words.append(run.state)
    return " · ".join(words)


def rate(per_second: float) -> str:
    """Steps per second; slow ones per minute or hour, so that the number is not tiny."""
    if not np.isfinite(per_second):
        return "–"
    for unit, seconds in (("s", 1), ("min", 60)):
        if per_second * seconds >= 1:
            return f"{number(per_second * seconds)} steps/{unit}"
    return f"{number(per_second * 3600)} steps/h"
