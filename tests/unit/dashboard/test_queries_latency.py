"""The latency histogram, GPUs and versions against plain Python."""

from __future__ import annotations

from statistics import mean

import pytest
from tests.unit.dashboard import histories
from tests.unit.dashboard.histories import at, history, window

from smartlearn.dashboard.queries.latency import density, throughput, version_points
from smartlearn.dashboard.queries.model_findings import failing, rivals


def test_the_latency_histogram_of_the_export_counts_every_answer_in_its_range() -> None:
    source = histories.export()
    found = density(source.history, "response_time", source.window)
    times = sorted(histories.frames()["performance"]["response_time"])
    assert found.counts.sum() == len(times)
    below = 0.0
    for edge, count in zip(found.edges[1:].tolist(), found.counts.sum(axis=1).tolist(), strict=True):
        below += count
        assert sum(time < edge * 0.98 for time in times) <= below <= sum(time <= edge * 1.02 for time in times)


def test_versions_that_differ_beyond_chance_are_found_and_so_are_failures() -> None:
    rows = [
        {
            "timestamp": at(n), "node": "a", "model_version": name, "response_time": speed + n % 7,
            "model_accuracy": accuracy + 0.01 * (n % 3),
            "metrics": {"model_errors": float(n % 20 == 0 and name == "b")},
        }
        for n in range(200)
        for name, speed, accuracy in (("a", 100.0, 0.9), ("b", 50.0, 0.8))
    ]  # fmt: skip
    fast, slow = version_points(history(rows), window(600))
    assert (fast.version, slow.version) == ("b", "a")
    assert slow.latency.mean == pytest.approx(mean(100.0 + n % 7 for n in range(200)))
    (pair,) = rivals([fast, slow])
    assert (pair.better.version, pair.faster) == ("a", False)
    (bad,) = failing([fast, slow])
    assert bad.version.errors.mean == pytest.approx(0.05)
    assert bad.least is slow


def test_answers_a_minute_are_counted_where_no_server_says_them() -> None:
    rows = [{"timestamp": at(10 * n), "node": "a", "model_version": "v", "response_time": 9.0} for n in range(60)]
    (line,) = throughput(history(rows), window(600))
    assert line.mean.tolist() == pytest.approx([6.0] * len(line))
