"""System Overview over more nodes than can be drawn: few lines, few rows, the right ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests import fleet

from smartlearn.core.settings import Settings
from smartlearn.core.stores.base import Series, SeriesQuery
from smartlearn.core.stores.sqlite import SqliteStore
from smartlearn.dashboard import queries
from smartlearn.dashboard.pages import system
from smartlearn.dashboard.panels import Chart, Context
from smartlearn.dashboard.queries import DAY, Window
from smartlearn.dashboard.view import parse_view

NOW = 1_764_057_600_000_000_000
NODES = 120


class Counting(SqliteStore):
    """A store that counts the rows it hands out."""

    rows = 0

    def query(self, query: SeriesQuery) -> list[Series]:
        found = super().query(query)
        self.rows += sum(len(one) for one in found)
        return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Counting:
    """Two weeks of a fleet."""
    path: Path = tmp_path_factory.mktemp("fleet") / "metrics.db"
    made = Counting(path)
    fleet.seed(made, NOW, nodes=NODES, days=14)
    return made


@pytest.mark.parametrize("range_", ["1h", "24h", "7d", "14d"])
def test_no_panel_reads_or_draws_more_than_a_screen_holds(store: Counting, range_: str) -> None:
    context, view = Context(Settings(), store, lambda: NOW), parse_view({"range": range_}, NOW)
    for panel in system.PAGE.panels:
        if not isinstance(panel, Chart) or panel.only == "node":
            continue
        store.rows = 0
        figure = panel.draw(context, view)
        assert store.rows < 70_000, panel.id
        assert len(figure.data) <= 24, panel.id
        for trace in figure.data:
            assert trace.x is None or len(trace.x) <= 2000, panel.id


def test_of_a_long_range_the_nodes_that_were_highest_in_its_last_week_are_drawn(store: Counting) -> None:
    window = Window(NOW - 14 * DAY, NOW)
    found = queries.trends(store, ["cpu_usage"], window)["cpu_usage"]
    averages = {}
    for series in store.query(SeriesQuery("performance_1h", NOW - 7 * DAY, NOW, ("cpu_usage_mean",))):
        averages[series.tags["node"]] = float(np.mean(np.asarray(series.fields["cpu_usage_mean"], np.float64)))
    assert {line.name for line in found.lines} == set(sorted(averages, key=lambda node: -averages[node])[:10])
    assert found.others == NODES - 10


def test_nodes_that_were_gone_for_a_week_are_drawn_where_there_are_few(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "metrics.db")
    fleet.seed(store, NOW - 10 * DAY, nodes=12, days=4)
    found = queries.matrix(store, "cpu_usage", Window(NOW - 14 * DAY, NOW))
    assert len(found.names) == 12
    store.close()
