"""One look: colours of metrics, palettes, templates."""

from __future__ import annotations

import plotly.io as pio
import pytest

from smartlearn.core.settings import DashboardSettings, Settings
from smartlearn.dashboard import theme

CLASSIC = {
    "cpu_usage": "#1f77b4",
    "memory_usage": "#ff7f0e",
    "gpu_memory": "#2ca02c",
    "training_loss": "#d62728",
    "user_engagement": "#9467bd",
}


def settings(**dashboard: object) -> Settings:
    return Settings(dashboard=DashboardSettings.model_validate(dashboard))


def luminance(color: str) -> float:
    """WCAG 2 relative luminance."""
    parts = [int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    low, high = sorted((luminance(first), luminance(second)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize(("metric", "color"), CLASSIC.items())
def test_the_classic_palette_has_the_first_dashboards_colours(metric: str, color: str) -> None:
    assert theme.metric_color(metric, settings(palette="classic")) == color


def test_a_colour_of_the_settings_goes_first() -> None:
    own = settings(palette="classic", colors={"cpu_usage": "#123456", "memory": "teal"})
    assert theme.metric_color("cpu_usage", own) == "#123456"
    assert theme.metric_color("memory_usage", own) == "teal"
    assert theme.metric_color("gpu_memory", own) == CLASSIC["gpu_memory"]


def test_an_unknown_metric_has_the_same_colour_every_time() -> None:
    assert theme.metric_color("disk_read", settings()) == theme.metric_color("disk_read", settings())
    assert theme.metric_color("disk_read", settings()) in theme.SERIES


def test_the_resources_of_a_page_are_told_apart() -> None:
    colors = {theme.metric_color(metric, settings()) for metric in ("cpu_usage", "memory_usage", "gpu_memory")}
    assert len(colors) == 3


def test_series_keep_their_looks_whatever_the_order() -> None:
    names = [f"node-{number}" for number in range(20)]
    looks = theme.series_style(names)
    assert looks == theme.series_style(reversed(names))
    assert len(set(looks.values())) == len(names)


def test_lines_hold_on_the_dark_surface() -> None:
    assert min(contrast(color, "#1A2129") for color in (*theme.SERIES, *theme.STATUS_COLORS.values())) > 3


def test_colours_of_states_are_no_series() -> None:
    assert not {color.upper() for color in theme.SERIES} & {color.upper() for color in theme.STATUS_COLORS.values()}


@pytest.mark.parametrize("dark", [True, False])
def test_both_templates_are_registered(dark: bool) -> None:
    assert theme.template_name(dark=dark) in pio.templates


def test_a_faded_colour_keeps_its_hue() -> None:
    assert theme.faded("#1A80C4", 0.2) == "rgba(26,128,196,0.2)"
    assert theme.faded("teal", 0.2) == "teal"
