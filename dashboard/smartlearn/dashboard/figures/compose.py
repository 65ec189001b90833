"""Several panels as one figure, for use without the dashboards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from smartlearn.dashboard import theme

_ROW: Final = 320
_HEAD: Final = 70
_OWN: Final = frozenset({"anchor", "domain", "matches"})


def compose(title: str, panels: Sequence[tuple[str, go.Figure]], columns: int = 2) -> go.Figure:
    """Panels side by side, each with its axes, lines and labels; names appear in one legend only once.

    Args:
        title: of the whole.
        panels: a title and a figure with one pair of axes each.
        columns: how many stand in a row.
    """
    rows = math.ceil(len(panels) / columns)
    height = _HEAD + _ROW * rows
    left_over = len(panels) % columns
    cells: list[list[dict[str, int] | None]] = [[{} for _ in range(columns)] for _ in range(rows)]
    if left_over:
        cells[-1] = [{}] * (left_over - 1) + [{"colspan": columns - left_over + 1}] + [None] * (columns - left_over)
    whole = make_subplots(
        rows=rows,
        cols=columns,
        specs=cells,
        subplot_titles=[name for name, _ in panels],
        horizontal_spacing=0.13 if columns == 2 else 0.11,
        vertical_spacing=min(0.4 / max(rows, 1), 88 / height),
    )
    for number, title_ in enumerate(whole.layout.annotations):
        start = whole.layout[f"xaxis{_suffix(number)}"].domain[0]
        panel = panels[number][1]
        above_legend = 22 if panel.layout.showlegend or panel.layout.xaxis.side == "top" else 4
        title_.update(x=start, xanchor="left", yshift=above_legend, font={"size": 13})
    for number, (_, panel) in enumerate(panels):
        _place(whole, panel, number, columns)
    whole.update_layout(
        title={"text": title, "yref": "container", "y": 1, "yanchor": "top", "pad": {"t": 16, "l": 16}},
        height=height,
        template=theme.LIGHT,
        showlegend=True,
        margin={"l": 56, "r": 96, "t": 76, "b": 40},
        hovermode="closest" if any(panel.layout.hovermode == "closest" for _, panel in panels) else "x unified",
        hoversort="value descending",
    )
    return whole


def _place(whole: go.Figure, panel: go.Figure, number: int, columns: int) -> None:
    row, column = number // columns + 1, number % columns + 1
    suffix = _suffix(number)
    for trace in panel.data:
        if trace.type == "heatmap":
            if trace.showscale is not False:
                trace.colorbar.update(_beside(whole, suffix))
        else:
            trace.legend = f"legend{suffix}"
            trace.showlegend = bool(panel.layout.showlegend) and trace.showlegend is not False
        whole.add_trace(trace, row=row, col=column)
    if panel.layout.showlegend:
        x, y = whole.layout[f"xaxis{suffix}"].domain, whole.layout[f"yaxis{suffix}"].domain
        whole.layout[f"legend{suffix}"] = {
            "x": x[0], "xanchor": "left", "y": y[1], "yanchor": "bottom", "orientation": "h", "font": {"size": 10},
        }  # fmt: skip
    if panel.layout.bargap is not None:
        whole.update_layout(bargap=panel.layout.bargap)
    for axis in ("xaxis", "yaxis"):
        settings = {key: value for key, value in panel.layout[axis].to_plotly_json().items() if key not in _OWN}
        whole.layout[f"{axis}{suffix}"].update(settings)
    for shape in panel.layout.shapes:
        whole.add_shape(_moved(shape.to_plotly_json(), suffix))
    for annotation in panel.layout.annotations:
        whole.add_annotation(_moved(annotation.to_plotly_json(), suffix))


def _suffix(number: int) -> str:
    """What Plotly puts behind "xaxis" for the subplot of a number."""
    return "" if number == 0 else str(number + 1)


def _moved(thing: dict[str, Any], suffix: str) -> dict[str, Any]:
    """A shape or annotation of the only pair of axes, on the pair with the suffix."""
    moved = dict(thing)
    for key in ("xref", "yref"):
        letter = key[0]
        moved[key] = str(thing.get(key, letter)).replace(letter, f"{letter}{suffix}", 1)
    return moved


def _beside(whole: go.Figure, suffix: str) -> dict[str, Any]:
    """Where the colour bar of a cell stands."""
    x, y = whole.layout[f"xaxis{suffix}"].domain, whole.layout[f"yaxis{suffix}"].domain
    return {"x": x[1] + 0.005, "xanchor": "left", "y": (y[0] + y[1]) / 2, "len": y[1] - y[0], "yanchor": "middle"}
