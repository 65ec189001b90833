"""Colours, fonts and plotly templates: one look for every figure, on the dashboards and outside of them.

The palette is Okabe and Ito's, which holds for colour-blind readers; its blue is lighter, so that it holds on the dark
surface too. A metric has one colour on every page; the colours of states are for states only, and always stand beside a
word or an icon. Importing this module registers the plotly templates `smartlearn_light` and `smartlearn_dark`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias
from zlib import crc32

import plotly.graph_objects as go
import plotly.io as pio

from smartlearn.core.settings import Settings

Status: TypeAlias = Literal["ok", "warning", "critical", "unknown"]

BLUE: Final = "#1A80C4"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
SKY: Final = "#56B4E9"
VERMILLION: Final = "#D55E00"
YELLOW: Final = "#C9B400"
GREY: Final = "#8A8F98"

SERIES: Final = (BLUE, ORANGE, GREEN, PURPLE, SKY, VERMILLION, YELLOW, GREY)
"""The order in which lines that are not metrics (nodes, runs, subjects, versions) take colours."""

DASHES: Final = ("solid", "dash", "dot", "dashdot")
"""From the ninth line on the colours start anew with the next dash."""

LIGHT: Final = "smartlearn_light"
DARK: Final = "smartlearn_dark"

FONT: Final = '-apple-system, "Segoe UI", Inter, Roboto, "Helvetica Neue", "Liberation Sans", Arial, sans-serif'

STATUS_COLORS: Final[dict[Status, str]] = {
    "ok": "#2F9E62",
    "warning": "#E08600",
    "critical": "#D6336C",
    "unknown": "#868E96",
}
STATUS_WORDS: Final[dict[Status, str]] = {
    "ok": "OK",
    "warning": "Warning",
    "critical": "Critical",
    "unknown": "No data",
}
STATUS_ICONS: Final[dict[Status, str]] = {"ok": "✓", "warning": "▲", "critical": "✕", "unknown": "○"}

HEAT: Final = "Cividis"
"""The scale of heatmaps: even to the eye, and the same for colour-blind readers."""

CLASSIC: Final[dict[str, str]] = {
    "cpu": "#1f77b4",
    "memory": "#ff7f0e",
    "gpu": "#2ca02c",
    "training": "#d62728",
    "user": "#9467bd",
}
"""The five colours of SmartLearn's first dashboards, by family."""

_FAMILY: Final[dict[str, str]] = {
    "cpu_usage": "cpu",
    "learners": "cpu",
    "memory_usage": "memory",
    "learning_rate": "memory",
    "gpu_memory": "gpu",
    "gpu_memory_used": "gpu",
    "gpu_memory_total": "gpu",
    "accuracy": "gpu",
    "model_accuracy": "gpu",
    "training_loss": "training",
    "response_time": "training",
    "validation_loss": "user",
    "user_engagement": "user",
    "engagement_score": "user",
}

_DEFAULT: Final[dict[str, str]] = {
    "cpu_usage": BLUE,
    "memory_usage": ORANGE,
    "gpu_memory": GREEN,
    "gpu_memory_used": GREEN,
    "gpu_memory_total": GREY,
    "response_time": SKY,
    "model_accuracy": VERMILLION,
    "accuracy": VERMILLION,
    "user_engagement": PURPLE,
    "engagement_score": PURPLE,
    "training_loss": BLUE,
    "validation_loss": ORANGE,
    "learning_rate": GREEN,
    "learners": GREY,
    "score": GREEN,
}


def metric_color(metric: str, settings: Settings) -> str:
    """The colour of a metric on every page.

    `dashboard.colors` in the settings goes first (by the metric's name, then by its family: cpu, memory, gpu, training,
    user), then the palette. A metric that neither knows takes one of the series' colours, always the same.
    """
    own = settings.dashboard.colors
    family = _FAMILY.get(metric)
    if metric in own:
        return own[metric]
    if family is not None and family in own:
        return own[family]
    if settings.dashboard.palette == "classic" and family is not None:
        return CLASSIC[family]
    return _DEFAULT.get(metric) or SERIES[crc32(metric.encode()) % len(SERIES)]


def series_style(names: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Name → (colour, dash) for lines that are told apart by whose they are, in alphabetical order.

    Give it every name of a page, not only those of one chart: a node or a run then looks the same in all charts.
    """
    return {
        name: (SERIES[number % len(SERIES)], DASHES[number // len(SERIES) % len(DASHES)])
        for number, name in enumerate(sorted(set(names)))
    }


def faded(color: str, alpha: float) -> str:
    """A `#rrggbb` colour with an alpha, for bands under lines; any other notation is returned as it is."""
    if len(color) != 7 or not color.startswith("#"):
        return color
    red, green, blue = (int(color[start : start + 2], 16) for start in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha:g})"


def template_name(*, dark: bool) -> str:
    """The plotly template of a colour scheme."""
    return DARK if dark else LIGHT


def _template(ink: str, muted: str, grid: str, paper: str, edge: str) -> go.layout.Template:
    axis: Mapping[str, object] = {
        "gridcolor": grid,
        "zeroline": False,
        "linecolor": grid,
        "ticks": "",
        "tickfont": {"color": muted, "size": 11},
        "title": {"font": {"color": muted, "size": 12}, "standoff": 8},
        "automargin": True,
    }
    return go.layout.Template(
        layout={
            "font": {"family": FONT, "color": ink, "size": 12},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": list(SERIES),
            "colorscale": {"sequential": HEAT, "sequentialminus": HEAT},
            "margin": {"l": 8, "r": 8, "t": 8, "b": 8, "pad": 4},
            "xaxis": {**axis, "showgrid": False, "showline": True},
            "yaxis": {**axis, "showgrid": True, "showline": False, "rangemode": "tozero"},
            "legend": {
                "orientation": "h",
                "x": 0,
                "y": 1.02,
                "xanchor": "left",
                "yanchor": "bottom",
                "font": {"size": 11, "color": muted},
                "bgcolor": "rgba(0,0,0,0)",
            },
            "hovermode": "x unified",
            "hoverlabel": {"bgcolor": paper, "bordercolor": edge, "font": {"color": ink, "size": 12, "family": FONT}},
            "hoverdistance": 40,
            "dragmode": "zoom",
            "annotationdefaults": {"font": {"color": muted, "size": 11}, "showarrow": False},
            "shapedefaults": {"line": {"width": 1}},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": muted, "activecolor": ink},
            "coloraxis": {"colorbar": {"outlinewidth": 0, "thickness": 10, "tickfont": {"color": muted, "size": 11}}},
            "title": {"font": {"size": 14, "color": ink}, "x": 0, "xanchor": "left"},
        },
        data={
            "scatter": [{"type": "scatter", "line": {"width": 1.8}, "marker": {"size": 6}, "connectgaps": False}],
            "bar": [{"type": "bar", "marker": {"line": {"width": 0}}}],
            "heatmap": [
                {
                    "type": "heatmap",
                    "colorscale": HEAT,
                    "xgap": 1,
                    "ygap": 1,
                    "hoverongaps": False,
                    "colorbar": {"outlinewidth": 0, "thickness": 10, "tickfont": {"color": muted, "size": 11}},
                }
            ],
        },
    )


pio.templates[LIGHT] = _template("#1F2933", "#5F6B7A", "#E9ECEF", "#FFFFFF", "#CED4DA")
pio.templates[DARK] = _template("#E6EAF0", "#9AA5B1", "#2B333D", "#1C232B", "#3A444F")
