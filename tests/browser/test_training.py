"""Training Analytics in a browser, as one who compares trainings uses it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import Tab

pytestmark = pytest.mark.browser

expect.set_options(timeout=45_000)

TRACES = """(id) => {
  const plot = document.querySelector(`#card-${id} .js-plotly-plot`);
  const points = (x) => (x && x.length) || 0;
  const traces = ((plot && plot._fullData) || []).filter((trace) => trace.visible);
  return traces.map((trace) => ({name: trace.name, points: points(trace.x)}));
}"""


def drawn(page: Page, panel: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = page.evaluate(TRACES, panel)
    return found


def until_drawn(page: Page, panel: str, condition: str) -> None:
    """Wait until the traces of a panel fulfil a condition, written in JavaScript over `traces`."""
    page.wait_for_function(f"(id) => {{ const traces = ({TRACES})(id); return {condition}; }}", arg=panel)


def first_runs(page: Page, count: int) -> list[str]:
    page.wait_for_selector("#card-training-runs .ag-pinned-left-cols-container .ag-row a")
    return page.locator("#card-training-runs .ag-pinned-left-cols-container .ag-row a").all_inner_texts()[:count]


def test_ticked_runs_are_drawn_and_compared_and_the_address_shares_them(tab: Tab, new_tab: Callable[..., Tab]) -> None:
    page = tab.open("/training?range=7d&refresh=0")
    tab.filled()
    first, second = first_runs(page, 2)
    page.goto(f"{tab.base}/training?range=7d&refresh=0&run={first}")
    expect(page.locator("#card-training-against")).to_contain_text("Tick two runs or more")
    box = page.get_by_role("checkbox", name=f"Draw {second}")
    expect(page.get_by_role("checkbox", name=f"Draw {first}")).to_be_checked()
    box.click()
    page.wait_for_url(f"**run={first},{second}**")
    until_drawn(page, "training-against", f"traces.some((one) => one.name === '{second}')")
    until_drawn(
        page, "training-rate", f"['{first}', '{second}'].every((run) => traces.some((one) => one.name === run))"
    )
    other = new_tab()
    shared = other.open(page.url.removeprefix(tab.base))
    expect(shared.get_by_role("checkbox", name=f"Draw {second}")).to_be_checked()
    until_drawn(shared, "training-against", f"traces.some((one) => one.name === '{second}')")
    assert (tab.errors, other.errors, tab.strangers, other.strangers) == ([], [], [], [])


def test_a_drag_over_the_loss_zooms_every_chart_and_a_double_click_shows_all(tab: Tab) -> None:
    page = tab.open("/training?range=7d&refresh=0&smooth=none")
    tab.filled()
    plot = page.locator("#card-training-loss .nsewdrag").first
    area = plot.bounding_box()
    assert area is not None
    middle = area["y"] + area["height"] / 2
    page.mouse.move(area["x"] + area["width"] * 0.4, middle)
    page.mouse.down()
    page.mouse.move(area["x"] + area["width"] * 0.6, middle, steps=6)
    page.mouse.up()
    page.wait_for_url("**zoom=step:**")
    for panel in ("training-loss", "training-rate"):
        page.wait_for_function(
            "(id) => { const plot = document.querySelector(`#card-${id} .js-plotly-plot`);"
            " const [low, high] = plot._fullLayout.xaxis.range; return low > 200 && high < 800; }",
            arg=panel,
        )
    page.get_by_label("Part of the x axis").fill("100..200")
    page.get_by_label("Part of the x axis").press("Enter")
    until_drawn(page, "training-rate", "traces.length > 0 && traces.every((one) => one.points <= 101)")
    page.get_by_label("Part of the x axis").fill("")
    page.get_by_label("Part of the x axis").press("Enter")
    until_drawn(page, "training-rate", "traces.some((one) => one.points > 500)")
    assert "zoom" not in page.url
    assert tab.errors == []


def test_the_axis_the_smoothing_and_the_scale_are_chosen(tab: Tab) -> None:
    page = tab.open("/training?range=7d&refresh=0&smooth=ema-0.9")
    tab.filled()
    until_drawn(page, "training-loss", "traces.some((one) => one.name.endsWith('as reported'))")
    page.get_by_role("textbox", name="X axis", exact=True).click()
    page.get_by_role("option", name="By time of day").click()
    kind = "() => document.querySelector('#card-training-loss .js-plotly-plot')._fullLayout.xaxis.type === 'date'"
    page.wait_for_function(kind)
    page.get_by_role("textbox", name="Smoothing", exact=True).click()
    page.get_by_role("option", name="No smoothing").click()
    until_drawn(page, "training-loss", "traces.length && !traces.some((one) => one.name.endsWith('as reported'))")
    page.get_by_role("textbox", name="Scale", exact=True).click()
    page.get_by_role("option", name="Logarithmic").click()
    page.wait_for_function(
        "() => document.querySelector('#card-training-loss .js-plotly-plot')._fullLayout.yaxis.type === 'log'"
    )
    assert tab.errors == []


def test_the_table_sorts_steps_as_numbers_and_filters_runs(tab: Tab) -> None:
    page = tab.open("/training?range=7d&refresh=0")
    tab.filled()
    names = first_runs(page, 20)
    table = page.locator("#card-training-runs")
    table.get_by_label("Run Filter Input").fill("quiz")
    wanted = [name for name in names if "quiz" in name]
    page.wait_for_function(
        "() => [...document.querySelectorAll('#card-training-runs .ag-pinned-left-cols-container .ag-row a')]"
        ".every((one) => one.innerText.includes('quiz'))"
    )
    assert set(first_runs(page, 20)) >= set(wanted)
    table.get_by_label("Run Filter Input").fill("")
    table.locator(".ag-header-cell[col-id=step] .ag-header-cell-label").click()
    page.wait_for_function(
        "() => { const cells = [...document.querySelectorAll('#card-training-runs .ag-row .ag-cell[col-id=step]')]"
        ".map((cell) => [cell.closest('.ag-row').getAttribute('row-index'), cell.innerText.replaceAll(',', '')])"
        ".map(([row, steps]) => [Number(row), Number(steps)]).sort((a, b) => a[0] - b[0]).map(([, steps]) => steps);"
        " return cells.length > 1 && cells.every((one, place) => !place || one >= cells[place - 1]); }"
    )
    assert tab.errors == []


def test_a_phone_shows_the_page_without_scrolling_sideways(new_tab: Callable[..., Tab]) -> None:
    tab = new_tab(390, 844, dark=True)
    page = tab.open("/training?range=7d&refresh=0")
    tab.filled()
    assert page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert tab.errors == []
