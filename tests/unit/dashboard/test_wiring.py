"""How declared pages become pages: layouts from addresses, messages in place of panels, where data is."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from typing import Any

import plotly.graph_objects as go
import pytest
from tests.unit.dashboard import histories
from tests.unit.dashboard.histories import after, at, history

from smartlearn.core.errors import StoreUnavailable
from smartlearn.core.settings import DashboardSettings, Settings
from smartlearn.dashboard import wiring
from smartlearn.dashboard.pages import PAGES, system
from smartlearn.dashboard.panels import Chart, Context, Insights, Page, Stat, Table
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.view import View, parse_view

NOW = after(600)


def context(store: History | None = None, settings: Settings | None = None) -> Context:
    return Context(settings or Settings(), store or history(), lambda: NOW)


def plain(component: Any) -> str:
    return json.dumps(component, default=lambda part: part.to_plotly_json())


def test_a_failing_panel_says_what_is_down() -> None:
    def draw(_context: Context, _view: View) -> go.Figure:
        raise StoreUnavailable("InfluxDB does not answer")

    assert "InfluxDB does not answer" in plain(wiring.answer(draw, context(), parse_view({}, NOW)))


def test_a_defect_of_a_panel_is_logged_and_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    def draw(_context: Context, _view: View) -> go.Figure:
        raise ZeroDivisionError("secret")

    with caplog.at_level(logging.ERROR):
        found = plain(wiring.answer(draw, context(), parse_view({}, NOW)))
    assert "secret" not in found
    assert "log says why" in found
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_a_page_has_a_card_for_each_panel(page: Page) -> None:
    text = plain(wiring.page_layout(page, context(), {}))
    for panel in page.panels:
        assert f'"card-{panel.id}"' in text
    assert page.question in text


def test_ids_of_panels_are_unique_on_all_pages() -> None:
    ids = [panel.id for page in PAGES for panel in page.panels]
    assert len(set(ids)) == len(ids)


def test_names_of_choices_are_unique_on_a_page() -> None:
    for page in PAGES:
        names = [choice.name for choice in page.all_choices] + ["range", "start", "stop", "node", "run", "refresh"]
        assert len(set(names)) == len(names), page.path


@pytest.mark.parametrize("shown", ["fleet", "node"])
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path)
def test_spans_fill_the_rows(page: Page, shown: str) -> None:
    filled = 0
    for panel in page.panels:
        if panel.only not in {"", shown}:
            continue
        filled += panel.span
        assert filled <= 12, panel.id
        filled %= 12
    assert filled == 0


def test_what_an_address_got_wrong_stands_on_the_page() -> None:
    text = plain(wiring.page_layout(system.PAGE, context(), {"range": "banana", "node": "ghost", "refresh": "7"}))
    assert "banana" in text
    assert "There is no node \\u201cghost\\u201d" in text
    assert "refresh=\\u201c7\\u201d" in text


def test_an_address_fills_the_controls() -> None:
    store = history(performance=[{"timestamp": at(0), "cpu_usage": 5.0}])
    address = {"range": "6h", "node": "node-1", "heat": "gpu_memory"}
    text = plain(wiring.page_layout(system.PAGE, context(store), address))
    assert f'"data": {json.dumps(address)}' in text


def test_the_page_opens_while_the_store_is_away() -> None:
    class Away:
        def __getattr__(self, name: str) -> Any:
            def ask(*_: Any, **__: Any) -> Any:
                raise StoreUnavailable("away")

            return ask

    away: Any = Away()
    assert "card-system-cpu" in plain(wiring.page_layout(system.PAGE, context(away), {"node": "a"}))


def test_the_refresh_of_the_settings_is_the_default_and_can_be_chosen() -> None:
    choice = wiring.refresh_choice(Settings(dashboard=DashboardSettings(refresh_s=7)))
    assert choice.default == "7"
    assert choice.options["7"] == "Every 7 s"


def test_an_empty_store_says_what_to_run() -> None:
    found = wiring.where_data_is(system.PAGE, context(), parse_view({}, NOW))
    assert "smartlearn demo" in plain(found)


def test_a_range_with_data_has_no_notice() -> None:
    store = history(performance=[{"timestamp": at(0), "cpu_usage": 5.0}])
    assert wiring.where_data_is(system.PAGE, context(store), parse_view({}, NOW)) is None


def test_a_range_without_data_leads_to_the_newest() -> None:
    old = histories.START - timedelta(days=30)
    store = history(performance=[{"timestamp": old, "cpu_usage": 5.0}])
    found = plain(wiring.where_data_is(system.PAGE, context(store), parse_view({}, NOW)))
    assert "newest data is of 2026-01-31 08:00:00 UTC" in found
    assert "/system?start=2026-01-30T09%3A00%3A00&stop=2026-01-31T09%3A00%3A00" in found


def test_a_figure_takes_the_scheme_and_keeps_a_zoom_while_the_view_stays() -> None:
    light, dark = (wiring.dressed(go.Figure(), parse_view({"range": "6h"}, NOW, dark=dark)) for dark in (False, True))
    assert light.layout.template != dark.layout.template
    assert light.layout.uirevision == dark.layout.uirevision
    assert wiring.dressed(go.Figure(), parse_view({}, NOW)).layout.uirevision != light.layout.uirevision


def test_system_overview_counts_nodes_and_names_the_worst() -> None:
    rows = [
        {"timestamp": at(580 + second), "node": node, "cpu_usage": value, "memory_usage": 30.0}
        for second in range(0, 20, 5)
        for node, value in (("calm", 10.0), ("hot", 99.0))
    ]
    found = {stat.label: stat for stat in system.stats(context(history(performance=rows)), parse_view({}, NOW))}
    assert (found["Nodes healthy"].value, found["Nodes healthy"].unit) == ("1", "/ 2")
    assert found["Nodes healthy"].note == "worst: hot"
    assert found["Nodes healthy"].status == "critical"
    assert found["CPU"].value == "54.5"
    assert found["GPU memory"].note == "not measured"


def test_health_rows_say_what_each_component_costs() -> None:
    rows = [{"timestamp": at(580), "node": "hot", "cpu_usage": 90.0, "memory_usage": 10.0}]
    (row,) = system.health_rows(context(history(performance=rows)), parse_view({}, NOW))
    assert row["cost_cpu_usage"] == pytest.approx(0.6 * 75)
    assert row["cost_memory_usage"] == 0
    assert row["score"] == pytest.approx(55)
    assert row["status"] == "warning"
    assert "cost_gpu_memory" not in row


@pytest.mark.parametrize("choice", system.HEAT_METRIC.options)
def test_the_heatmap_shows_the_metric_that_was_chosen(choice: str) -> None:
    row = {"timestamp": at(0), "node": "a", "cpu_usage": 1.0, "memory_usage": 2.0, "response_time": 3.0}
    row |= {"gpu_memory_used": 1.0, "gpu_memory_total": 25.0}
    view = parse_view({"heat": choice, "range": "1h"}, NOW, choices={"heat": system.HEAT_METRIC.options})
    figure = system.heatmap(context(history(performance=[row])), view)
    values = [value for line in figure.data[0].z for value in line if value == value]  # noqa: PLR0124
    assert values == [{"cpu_usage": 1.0, "memory_usage": 2.0, "response_time": 3.0, "gpu_memory": 4.0}[choice]]


def test_every_panel_of_system_overview_draws_an_empty_store() -> None:
    view = parse_view({}, NOW)
    for panel in system.PAGE.panels:
        match panel:
            case Chart():
                assert not panel.draw(context(), view).data
            case Table():
                assert panel.rows(context(), view) == []
            case Insights():
                assert panel.items(context(), view) == []
    assert all(isinstance(stat, Stat) for stat in system.stats(context(), view))
