"""Real-time Metrics in Chromium: points that move, a server that goes and comes back, tabs that close."""

from __future__ import annotations

import json
import os
import signal
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from confluent_kafka import Producer
from playwright.sync_api import Page
from tests.browser.conftest import Running, Tab
from tests.stacks import until

pytestmark = pytest.mark.browser

PROBE = "probe"
"""One node for all tests: a strip holds so many lines."""

NEWEST = """([node, time]) => {
  const plot = document.querySelector('#card-live-cpu_usage .js-plotly-plot');
  const trace = plot && (plot.data || []).find((one) => one.name === node);
  return Boolean(trace) && trace.x.some((at) => String(at).startsWith(time));
}"""


@cache
def producer(address: str) -> Producer:
    """One client for all events: connecting is no part of what is timed."""
    client = Producer({"bootstrap.servers": address, "partitioner": "murmur2_random", "linger.ms": 0})
    client.list_topics(timeout=20)
    return client


def emit(demo: Running, node: str, cpu: float) -> str:
    """Send one event as any Kafka client does; return its time."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    event = {"timestamp": moment, "node": node, "cpu_usage": cpu}
    client = producer(demo.kafka)
    client.produce("smartlearn.performance", json.dumps(event), key=node)
    assert client.flush(10) == 0
    return moment[:23]


def points(page: Page) -> int:
    found: int = page.evaluate(
        "() => document.querySelector('#card-live-cpu_usage .js-plotly-plot').data"
        ".reduce((sum, trace) => sum + trace.x.length, 0)"
    )
    return found


def test_the_newest_point_moves_within_two_seconds_of_the_event(tab: Tab, demo: Running) -> None:
    page = tab.open("/realtime")
    tab.filled()
    page.evaluate("window.smartlearnMark = 1")
    producer(demo.kafka)
    took = []
    for number in range(5):
        sent = time.monotonic()
        moment = emit(demo, PROBE, 40.0 + number)
        page.wait_for_function(NEWEST, arg=[PROBE, moment], timeout=15_000, polling=50)
        took.append(time.monotonic() - sent)
    assert statistics.median(took) < 2.0, took
    assert page.evaluate("window.smartlearnMark") == 1
    assert tab.errors == []


def test_the_colour_scheme_changes_without_losing_a_point(tab: Tab, demo: Running) -> None:
    page = tab.open("/realtime")
    tab.filled()
    moment = emit(demo, PROBE, 55.0)
    page.wait_for_function(NEWEST, arg=[PROBE, moment], timeout=15_000)
    before = points(page)
    page.locator(".dark-switch").click()
    page.wait_for_function(
        "() => document.querySelector('#card-live-cpu_usage .js-plotly-plot')"
        ".layout.template.layout.font.color === '#E6EAF0'"
    )
    assert points(page) >= before
    assert page.evaluate(NEWEST, [PROBE, moment])
    assert tab.errors == []


def test_paused_means_that_nothing_moves(tab: Tab, demo: Running) -> None:
    page = tab.open("/realtime?refresh=0")
    page.wait_for_selector(".live-link:has-text('Paused')")
    page.wait_for_selector("#card-live-cpu_usage .js-plotly-plot")
    before = points(page)
    emit(demo, PROBE, 10.0)
    page.wait_for_timeout(2500)
    assert points(page) == before


def test_a_watched_node_is_shown_alone(tab: Tab) -> None:
    page = tab.open("/realtime?node=demo-tutor-1")
    page.wait_for_function(
        "() => [...document.querySelectorAll('.stat')].some((stat) => stat.innerText.startsWith('Nodes reporting\\n1'))"
    )
    page.wait_for_selector("#card-live-cpu_usage .js-plotly-plot")
    names = page.evaluate("document.querySelector('#card-live-cpu_usage .js-plotly-plot').data.map((one) => one.name)")
    assert names == ["demo-tutor-1"]


def live_pages(demo: Running) -> Any:
    components: Any = demo.health()["components"]
    return components["dashboard"]["live_pages"]


def dashboard_pid(demo: Running) -> int | None:
    """The dashboard's process; None while nothing answers."""
    try:
        components: Any = demo.health()["components"]
    except OSError:
        return None
    return int(components["dashboard"]["pid"])


def test_a_closed_tab_and_a_left_page_leave_nothing(new_tab: Callable[..., Tab], demo: Running) -> None:
    until(lambda: live_pages(demo) == 0)
    first, second = new_tab(), new_tab()
    first.open("/realtime")
    second.open("/realtime")
    until(lambda: live_pages(demo) == 2)
    first.page.close()
    until(lambda: live_pages(demo) == 1, 10)
    second.page.locator(".nav", has_text="System Overview").click()
    until(lambda: live_pages(demo) == 0, 10)


def test_a_restarted_server_is_found_again_without_an_error(tab: Tab, demo: Running) -> None:
    page = tab.open("/realtime")
    tab.filled()
    page.wait_for_selector(".live-link:has-text('Live')")
    before = dashboard_pid(demo)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    until(lambda: dashboard_pid(demo) not in {None, before})
    moment = emit(demo, PROBE, 33.0)
    page.wait_for_function(NEWEST, arg=[PROBE, moment], timeout=30_000)
    assert tab.errors == []
