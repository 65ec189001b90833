"""The five dashboards on real Kafka and real InfluxDB: tests of their pages once more, on `smartlearn up --servers`."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from tests.browser import test_live, test_pages
from tests.browser.conftest import Running, Tab, running_demo

pytestmark = [pytest.mark.browser, pytest.mark.servers]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The demo on the native servers, in place of the one on the embedded broker and store."""
    with running_demo(tmp_path_factory.mktemp("demo-on-servers"), "--servers") as running:
        yield running


@pytest.mark.parametrize("name", test_pages.PAGES)
def test_every_panel_holds_data_and_nothing_goes_wrong(tab: Tab, name: str) -> None:
    test_pages.test_every_panel_holds_data_and_nothing_goes_wrong(tab, name)


def test_the_menu_leads_to_every_page_without_a_reload(tab: Tab) -> None:
    test_pages.test_the_menu_leads_to_every_page_without_a_reload(tab)


def test_a_click_on_a_node_shows_that_node(tab: Tab) -> None:
    test_pages.test_a_click_on_a_node_shows_that_node(tab)


def test_a_range_without_data_leads_to_the_newest(tab: Tab) -> None:
    test_pages.test_a_range_without_data_leads_to_the_newest(tab)


def test_the_newest_point_moves_within_two_seconds_of_the_event(tab: Tab, demo: Running) -> None:
    test_live.test_the_newest_point_moves_within_two_seconds_of_the_event(tab, demo)


def test_a_closed_tab_and_a_left_page_leave_nothing(new_tab: Callable[..., Tab], demo: Running) -> None:
    test_live.test_a_closed_tab_and_a_left_page_leave_nothing(new_tab, demo)
