"""System Overview in Chromium: from the fleet to a node and its details."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import Tab

pytestmark = pytest.mark.browser

NODE = "demo-train-1"


def test_a_node_of_the_table_leads_to_its_details(tab: Tab) -> None:
    page = tab.open("/system")
    tab.filled()
    expect(page.locator("#card-system-cores")).to_be_hidden()
    expect(page.locator("#card-system-health")).to_be_visible()
    page.locator("#card-system-health").get_by_role("link", name=NODE).click()
    page.wait_for_url(f"**/system?node={NODE}")
    expect(page.locator("#card-system-everything")).to_be_visible()
    expect(page.locator("#card-system-heat")).to_be_hidden()
    page.wait_for_function(
        "() => document.querySelectorAll('#card-system-everything .ag-center-cols-container .ag-row').length > 3"
    )
    names = page.evaluate("document.querySelector('#card-system-score .js-plotly-plot').data[0].x")
    assert (names[0], names[-1]) == ("Full", "Score")
    assert tab.errors == []


def test_the_heatmap_draws_another_metric_and_says_so_in_the_address(tab: Tab) -> None:
    page = tab.open("/system?heat=user_engagement&refresh=0")
    tab.filled()
    expect(page.get_by_label("Metric of the heatmap")).to_have_value("Engagement")
    colours = "document.querySelector('#card-system-heat .js-plotly-plot').data[0]"
    assert page.evaluate(f"[{colours}.zmin, {colours}.zmax]") == [1, 10]
    assert "heat=user_engagement" in page.url
    assert tab.errors == []
