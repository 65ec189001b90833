"""Small multiples: one small plot for each metric that runs report beside those of the contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import plotly.graph_objects as go

from smartlearn.core.stores.base import is_text_field
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.figures.axes import Axis
from smartlearn.dashboard.queries import Curve

MOST: Final = 8
"""So many plots are drawn; the remark in the corner says how many metrics there are."""

_COLUMNS: Final = 4
_KNOWN: Final = frozenset(
    {"step", "epoch", "at", "training_loss", "validation_loss", "accuracy", "learning_rate"}
)  # fmt: skip
_GAP: Final = 0.045
_TITLE: Final = 22


def own_metrics(fields: Iterable[str]) -> list[str]:
    """The metrics among the fields of training rows that have no chart of their own, sorted."""
    return sorted(name for name in fields if name not in _KNOWN and not is_text_field(name))


def multiples(
    curves: Mapping[str, Mapping[str, Curve]], colors: Mapping[str, str], axis: Axis, height: int = style.HEIGHT
) -> go.Figure:
    """A small plot a metric, with a line for each run.

    Args:
        curves: metric → run → curve.
        colors: run → colour.
        axis: along what.
        height: px.
    """
    names = list(curves)[:MOST]
    if not names:
        return style.empty("These runs report no metrics of their own.", height)
    columns = min(_COLUMNS, len(names))
    rows = -(-len(names) // columns)
    fig = style.figure(height, margin=dict(style.MARGIN))
    for place, name in enumerate(names):
        row, column = divmod(place, columns)
        _plot(
            fig,
            name,
            curves[name],
            colors,
            axis,
            (place, _share(column, columns), _share(rows - 1 - row, rows)),
            height,
        )
    axis.dress(fig)
    fig.update_xaxes(title=None, nticks=4)
    fig.update_yaxes(nticks=4, rangemode="normal")
    if len(curves) > len(names):
        style.corner(fig, f"{len(names)} of {len(curves)} metrics")
    return fig


def _share(place: int, count: int) -> tuple[float, float]:
    """The part of the figure that one of several plots takes, with room between them."""
    gap = _GAP if count > 1 else 0.0
    width = (1.0 - gap * (count - 1)) / count
    return place * (width + gap), place * (width + gap) + width


def _plot(
    fig: go.Figure,
    name: str,
    curves: Mapping[str, Curve],
    colors: Mapping[str, str],
    axis: Axis,
    where: tuple[int, tuple[float, float], tuple[float, float]],
    height: int,
) -> None:
    place, wide, high = where
    number = "" if not place else str(place + 1)
    title = _TITLE / height
    layout: dict[str, Any] = {
        f"xaxis{number}": {"domain": list(wide), "anchor": f"y{number}"},
        f"yaxis{number}": {"domain": [high[0], high[1] - title], "anchor": f"x{number}"},
    }
    if place:
        layout[f"xaxis{number}"]["matches"] = "x"
    fig.update_layout(layout)
    for run, curve in curves.items():
        fig.add_scatter(
            x=axis.of(curve), y=curve.shown, name=run, mode="lines+markers" if len(curve) <= 40 else "lines",
            line={"color": colors[run], "width": 1.5}, marker={"size": 3}, xaxis=f"x{number}", yaxis=f"y{number}",
            hovertemplate="%{y:.4~r}<extra>%{fullData.name}</extra>",
        )  # fmt: skip
    fig.add_annotation(
        text=style.readable(name).capitalize(),
        xref=f"x{number} domain", x=0, xanchor="left", yref="paper", y=high[1] - title,
        yanchor="bottom", showarrow=False, font={"size": 12}, yshift=2,
    )  # fmt: skip
