"""All five dashboards in Chromium: data in every panel, nothing in the console, nothing from elsewhere."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import Tab

pytestmark = pytest.mark.browser

PAGES = ("system", "ai", "training", "users", "realtime")
SCREENSHOTS = Path(__file__).parents[2] / "artifacts" / "screenshots"


@pytest.mark.parametrize("name", PAGES)
def test_every_panel_holds_data_and_nothing_goes_wrong(tab: Tab, name: str) -> None:
    page = tab.open(f"/{name}")
    tab.filled()
    assert tab.empty() == []
    expect(page.locator("h1")).to_be_visible()
    assert page.title().endswith("SmartLearn Metrics")
    assert tab.errors == []
    assert tab.strangers == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_a_screenshot_of_each_page(new_tab: Callable[..., Tab], name: str, scheme: str) -> None:
    tab = new_tab(dark=scheme == "dark")
    page = tab.open(f"/{name}")
    tab.filled()
    # As tall as the page, so that the menu's column is too.
    page.set_viewport_size({"width": 1440, "height": page.evaluate("document.documentElement.scrollHeight")})
    tab.filled()
    assert page.evaluate("document.documentElement.dataset.mantineColorScheme") == scheme
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    path = SCREENSHOTS / f"{name}-{scheme}.png"
    page.screenshot(path=path, animations="disabled")
    assert path.stat().st_size > 20_000
    assert tab.errors == []


def test_the_first_address_is_system_overview(tab: Tab) -> None:
    expect(tab.open("/").locator("h1")).to_have_text("System Overview")


def test_the_menu_leads_to_every_page_without_a_reload(tab: Tab) -> None:
    page = tab.open("/system")
    tab.filled()
    page.evaluate("window.smartlearnMark = 1")
    for name, title in (
        ("ai", "AI Performance"), ("training", "Training Analytics"), ("users", "User Analytics"),
        ("realtime", "Real-time Metrics"), ("system", "System Overview"),
    ):  # fmt: skip
        page.locator(".nav", has_text=title).click()
        expect(page.locator("h1")).to_have_text(title)
        page.wait_for_url(f"**/{name}")
        tab.filled()
    assert page.evaluate("window.smartlearnMark") == 1
    assert tab.errors == []


def test_a_choice_stands_in_the_address_and_is_kept_by_reload_and_menu(tab: Tab) -> None:
    page = tab.open("/system")
    tab.filled()
    page.get_by_role("textbox", name="Time range").click()
    page.get_by_role("option", name="Last 6 hours").click()
    page.wait_for_url("**/system?range=6h")
    page.reload()
    expect(page.get_by_role("textbox", name="Time range")).to_have_value("Last 6 hours")
    page.locator(".nav", has_text="AI Performance").click()
    page.wait_for_url("**/ai?range=6h")
    page.go_back()
    page.wait_for_url("**/system?range=6h")
    expect(page.locator("h1")).to_have_text("System Overview")
    assert tab.errors == []


def test_a_click_on_a_node_shows_that_node(tab: Tab) -> None:
    page = tab.open("/system")
    tab.filled()
    page.locator("#card-system-health .ag-row a", has_text="demo-tutor-1").first.click()
    page.wait_for_url("**/system?node=demo-tutor-1")
    page.wait_for_function(
        "() => document.querySelectorAll('#card-system-health .ag-center-cols-container .ag-row').length === 1"
    )
    assert tab.errors == []


def test_a_click_on_the_heatmap_shows_that_node(tab: Tab) -> None:
    page = tab.open("/system")
    tab.filled()
    plot = page.locator("#card-system-heat .nsewdrag").first
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box is not None
    names = page.evaluate("document.querySelector('#card-system-heat .js-plotly-plot').data[0].y")
    row = names.index("demo-tutor-1")
    cell = box["x"] + box["width"] / 2, box["y"] + box["height"] * (row + 0.5) / len(names)
    page.mouse.move(*cell)
    page.wait_for_selector("#card-system-heat .hoverlayer .hovertext", state="attached")
    page.mouse.click(*cell)
    page.wait_for_url("**/system?node=demo-tutor-1")


@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("/system?range=banana", "“banana” is not a time range"),
        ("/ai?node=ghost", "There is no node “ghost”"),
        ("/training?run=ghost", "There is no run “ghost”"),
        ("/users?start=tomorrow", "“tomorrow” is not a time"),
        ("/realtime?refresh=often", "“often” is none of"),
    ],
)
def test_a_wrong_address_is_said_in_one_sentence_and_the_page_is_there(tab: Tab, path: str, sentence: str) -> None:
    page = tab.open(path)
    expect(page.locator(".banner")).to_have_count(1)
    expect(page.locator(".banner")).to_contain_text(sentence)
    assert tab.errors == []


def test_a_range_without_data_leads_to_the_newest(tab: Tab) -> None:
    page = tab.open("/system?start=2001-01-01&stop=2001-01-02")
    page.get_by_role("link", name="Show the 24 hours before it").click()
    page.wait_for_url("**/system?start=20*")
    tab.filled()
    assert tab.errors == []


def test_dark_is_kept_and_redraws_without_a_request(tab: Tab) -> None:
    page = tab.open("/system?refresh=0")
    tab.filled()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.post_data or "") if request.method == "POST" else None)
    page.locator(".dark-switch").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.js-plotly-plot')]"
        ".every((plot) => plot.layout.template.layout.font.color === '#E6EAF0')"
    )
    assert not [body for body in asked if '"chart"' in body.split('"inputs"')[0]]
    page.reload()
    tab.filled()
    assert page.evaluate("document.documentElement.dataset.mantineColorScheme") == "dark"
    assert tab.errors == []


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_gets_one_column_that_does_not_scroll_sideways(new_tab: Callable[..., Tab], name: str) -> None:
    tab = new_tab(390, 844)
    page = tab.open(f"/{name}")
    page.wait_for_selector(".stat .value")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    lefts = page.evaluate(
        "[...document.querySelectorAll('.card')].filter((card) => card.checkVisibility())"
        ".map((card) => card.getBoundingClientRect().left)"
    )
    assert len(set(lefts)) == 1
    assert tab.errors == []


def test_the_menu_of_a_phone_closes_after_a_choice(new_tab: Callable[..., Tab]) -> None:
    tab = new_tab(390, 844)
    page = tab.open("/system")
    link = page.locator(".nav", has_text="AI Performance")
    expect(link).not_to_be_in_viewport()
    page.get_by_role("button", name="Menu").click()
    expect(link).to_be_in_viewport()
    link.click()
    expect(page.locator("h1")).to_have_text("AI Performance")
    expect(link).not_to_be_in_viewport()
