"""How long the dashboards' pages take over 90 days of 50 nodes, on InfluxDB and on SQLite.

Stored are the tiers that such pages read: an hour's for 90 days, a minute's for the last six hours.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, Request
from pydantic import SecretStr

from benchmarks import loads
from benchmarks.browsing import dashboard, tab
from benchmarks.report import Figure
from benchmarks.stage import Stage
from smartlearn.core.aggregates import summarize, tier_columns
from smartlearn.core.health import health_of, health_points
from smartlearn.core.settings import DEFAULT_RULES, InfluxSettings, Settings, StoreSettings
from smartlearn.core.stores import open_store
from smartlearn.core.stores.base import MetricStore, Points

NODES = 50
DAYS = 90
_PAGES = ("system", "ai", "users", "training", "realtime")
_VISITS = 2
_PATIENCE_MS = 60_000
_QUIET_MS = 500
_DRAWN_S = 1.5
_CALLBACK = "/_dash-update-component"
_HOUR_NS = 3600 * 1_000_000_000
_MINUTE_NS = 60 * 1_000_000_000


def pages(stage: Stage) -> Figure:
    """The 95th percentile of a callback over all pages, on the slower of the two stores."""
    figures: dict[str, tuple[float, float]] = {}
    for kind in ("InfluxDB", "SQLite"):
        environment = stage.environment(influx=kind == "InfluxDB")
        store = store_of(environment)
        _fill(store)
        store.close()
        figures[kind] = _visited(stage, environment)
    worst = max(callback for callback, _ in figures.values())
    drawn = max(drawn for _, drawn in figures.values())
    notes = [
        f"on {kind} p95 {callback:.0f} ms a callback, {page:.1f} s to all panels drawn"
        for kind, (callback, page) in figures.items()
    ]
    fails = [f"{drawn:.1f} s to all panels drawn, more than {_DRAWN_S:g}"] if drawn > _DRAWN_S else []
    return Figure(worst, notes=notes, fails=fails)


def store_of(environment: Mapping[str, str]) -> MetricStore:
    """The store that processes with these variables write."""
    data_dir = Path(environment["SMARTLEARN_DATA_DIR"])
    if environment["SMARTLEARN_STORE__KIND"] == "sqlite":
        return open_store(Settings(data_dir=data_dir, store=StoreSettings(kind="sqlite")))
    influx = InfluxSettings(
        url=environment["SMARTLEARN_STORE__INFLUX__URL"],
        org=environment["SMARTLEARN_STORE__INFLUX__ORG"],
        prefix=environment["SMARTLEARN_STORE__INFLUX__PREFIX"],
        token=SecretStr(environment["SMARTLEARN_STORE__INFLUX__TOKEN"]),
    )
    return open_store(Settings(data_dir=data_dir, store=StoreSettings(kind="influxdb", influx=influx)))


def _fill(store: MetricStore) -> None:
    now = time.time_ns()
    for points in _history(now - now % _HOUR_NS):
        store.write([points])


def _history(now: int) -> Iterator[Points]:
    hours = now - np.arange(DAYS * 24, dtype=np.int64)[::-1] * _HOUR_NS
    minutes = now - np.arange(6 * 60, dtype=np.int64)[::-1] * _MINUTE_NS
    numbers = loads.columns(1, 20 * 50)
    kept = {name: numbers[name] for name in ("cpu_usage", "memory_usage", "response_time", "model_accuracy")}
    some = summarize(np.repeat(np.arange(50, dtype=np.int64), 20), 50, kept)
    columns = tier_columns(some)
    for number in range(NODES):
        node = f"node-{number}"
        for name, times in (("1h", hours), ("1m", minutes)):
            rows = (np.arange(len(times)) + number) % len(some)
            fields = {field: column[rows] for field, column in columns.items()}
            yield Points(f"performance_{name}", times, {"node": node}, fields)
        found = [health_of(some[(row + number) % len(some)].means(), DEFAULT_RULES) for row in range(len(hours))]
        scores = [each for each in found if each is not None]
        yield health_points([node] * len(scores), hours[: len(scores)] // 1000, scores)


def _visited(stage: Stage, environment: Mapping[str, str]) -> tuple[float, float]:
    """The 95th percentiles of a callback (ms) and of a page until all its panels are drawn (s)."""
    callbacks: list[float] = []
    drawn: list[float] = []
    with dashboard(stage, environment) as address, tab() as page:
        page.on("requestfinished", lambda request: callbacks.extend(_took(request)))
        page.goto(f"{address}/system")
        page.wait_for_load_state("networkidle", timeout=_PATIENCE_MS)
        callbacks.clear()
        for _ in range(_VISITS):
            drawn.extend(_opened(page, f"{address}/{name}?range=90d") for name in _PAGES)
    return float(np.quantile(callbacks, 0.95)), float(np.quantile(drawn, 0.95))


def _opened(page: Page, address: str) -> float:
    """Seconds until the network of a page is quiet, less the time that it must be quiet for."""
    started = time.monotonic()
    page.goto(address)
    page.wait_for_load_state("networkidle", timeout=_PATIENCE_MS)
    return time.monotonic() - started - _QUIET_MS / 1000


def _took(request: Request) -> list[float]:
    if _CALLBACK not in request.url:
        return []
    timing = request.timing
    return [timing["responseEnd"] - timing["requestStart"]] if timing["responseEnd"] > 0 else []
