"""GPUs, drawn: what training runs use of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import plotly.graph_objects as go

from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.queries import Window, with_gaps
from smartlearn.dashboard.queries.gpus import RunGpu

_DIRECT: Final = 5


def by_run(
    found: Sequence[RunGpu],
    window: Window | None,
    what: Literal["gpu_memory", "gpu_utilization"],
    height: int = style.HEIGHT,
) -> go.Figure:
    """GPU memory or utilisation of each training run over time, in %."""
    lines = [line for one in found if len(line := one.memory if what == "gpu_memory" else one.utilization)]
    if not lines:
        return style.empty(
            "No GPU sample names its training run.<br>Send performance events with their <b>run</b>.", height
        )
    fig = style.figure(height)
    style.time_axis(fig, *((window.start, window.stop) if window else (None, None)))
    looks = theme.series_style(line.name for line in lines)
    for line in lines:
        color, dash = looks[line.name]
        time, (mean,) = with_gaps(line.time, line.width, [line.mean])
        fig.add_scatter(
            x=style.moments(time), y=mean, name=line.name, mode="lines" if len(line) > 2 else "lines+markers",
            connectgaps=False, line={"color": color, "width": 1.8, "dash": dash},
            hovertemplate="%{y:.3~r} %<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    style.percent_axis(fig)
    style.legend(fig, rows=1 if len(lines) <= 3 else 2)
    return fig
