"""What figures, states and sparklines look like."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest

from smartlearn.dashboard import components, theme
from smartlearn.dashboard.panels import Advice, Stat


def plain(component: Any) -> str:
    return json.dumps(component, default=lambda part: part.to_plotly_json(), ensure_ascii=False)


@pytest.mark.parametrize("status", theme.STATUS_WORDS)
def test_a_state_is_a_word_and_an_icon(status: theme.Status) -> None:
    text = plain(components.status_mark(status))
    assert theme.STATUS_WORDS[status] in text
    assert theme.STATUS_ICONS[status] in text


def test_a_figure_has_its_parts_and_no_others() -> None:
    text = plain(
        components.stat_card(Stat("CPU", "34.5", "%", change="+9 pp", verdict="bad", status="ok", note="peak"))
    )
    for part in ("CPU", "34.5", "+9 pp", "change bad", "peak", "OK"):
        assert part in text
    assert "spark" not in text
    assert "change" not in plain(components.stat_card(Stat("CPU", "–")))


def test_a_figure_that_has_not_come_has_the_same_box() -> None:
    waiting: Any = components.stat_card(None)
    come: Any = components.stat_card(Stat("CPU", "1"))
    assert waiting.className == come.className == "stat"


def test_a_sparkline_spans_its_box_and_breaks_where_data_is_missing() -> None:
    image: Any = components.sparkline(np.array([0.0, 10.0, np.nan, 5.0, 5.0]), "#1A80C4")
    svg = unquote(image.src)
    assert 'd="M1.0 30.0L30.5 2.0M89.5 16.0L119.0 16.0"' in svg
    assert 'stroke="#1A80C4"' in svg


def test_a_flat_sparkline_is_a_line_in_the_middle() -> None:
    image: Any = components.sparkline(np.array([3.0, 3.0]), "#000000")
    assert "M1.0 16.0L119.0 16.0" in unquote(image.src)


@pytest.mark.parametrize("values", [[], [1.0], [np.nan, np.nan, 1.0]])
def test_a_sparkline_needs_two_values(values: list[float]) -> None:
    assert components.sparkline(np.array(values, dtype=np.float64), "#000000") is None


def test_advice_says_what_is_so_and_what_to_do() -> None:
    text = plain(components.advice_list([Advice("critical", "GPU memory is full", "Reduce batch size", "now")]))
    for part in ("Critical", "GPU memory is full", "Reduce batch size", "now"):
        assert part in text


def test_a_message_is_told_to_screen_readers() -> None:
    assert '"role": "alert"' in plain(components.error_note("the store is away"))
