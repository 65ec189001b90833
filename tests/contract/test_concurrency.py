"""Several writers at once: processes and threads, with readers among them."""

from __future__ import annotations

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import numpy as np
import pytest

from smartlearn.core.settings import Settings
from smartlearn.core.stores import open_store
from smartlearn.core.stores.base import MetricStore, Points, SeriesQuery

pytestmark = pytest.mark.contract

WRITERS = 4
WRITES = 15
ROWS = 200
T = 1_700_000_000_000_000_000


def batch(writer: int, number: int) -> list[Points]:
    """What one write of one writer is: its own series and one that all share, with a field that is its own."""
    times = T + np.arange(number * ROWS, (number + 1) * ROWS, dtype=np.int64)
    values = times.astype(np.float64) % 1000 + writer
    return [
        Points("performance", times, {"node": f"node-{writer}"}, {"cpu_usage": values, f"only_{writer}_{number}": 1.0}),
        Points("performance_10s", times, {"node": "shared"}, {f"field_{writer}": values}),
    ]


def write_all(settings: Settings, writer: int) -> int:
    store = open_store(settings)
    refused = sum(len(store.write(batch(writer, number))) for number in range(WRITES))
    store.close()
    return refused


def check_all(store: MetricStore) -> None:
    own = store.query(SeriesQuery("performance", fields=("cpu_usage",)))
    assert [dict(series.tags) for series in own] == [{"node": f"node-{writer}"} for writer in range(WRITERS)]
    times = T + np.arange(WRITES * ROWS, dtype=np.int64)
    for writer, series in enumerate(own):
        assert np.array_equal(series.time, times)
        assert np.array_equal(series.fields["cpu_usage"], times.astype(np.float64) % 1000 + writer)
    (shared,) = store.query(SeriesQuery("performance_10s"))
    assert np.array_equal(shared.time, times)
    for writer in range(WRITERS):
        assert np.array_equal(shared.fields[f"field_{writer}"], times.astype(np.float64) % 1000 + writer)
    assert len(store.fields("performance")) == 1 + WRITERS * WRITES


def test_processes_write_at_once_and_nothing_is_lost(settings: Settings) -> None:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WRITERS, mp_context=context) as pool:
        assert list(pool.map(write_all, [settings] * WRITERS, range(WRITERS))) == [0] * WRITERS
    store = open_store(settings)
    check_all(store)
    store.close()


def test_threads_share_an_instance(store: MetricStore) -> None:
    done = threading.Event()

    def read() -> int:
        answers = 0
        while not done.is_set():
            for series in store.query(SeriesQuery("performance", fields=("cpu_usage",))):
                assert not np.isnan(series.fields["cpu_usage"]).any()
            answers += 1
        return answers

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        reader = pool.submit(read)
        writers = [pool.submit(store.write, batch(w, n)) for n in range(WRITES) for w in range(WRITERS)]
        refused = [writer.result() for writer in writers]
        done.set()
        assert reader.result() > 0
    assert refused == [[]] * (WRITERS * WRITES)
    check_all(store)
