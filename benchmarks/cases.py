"""What is timed: each case runs once and answers one figure."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.pipeline import Pipeline

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.codec import decode, encode_batch
from smartlearn.core.settings import Settings, StoreSettings
from smartlearn.producers.client import EventProducer
from smartlearn.producers.collector import MetricsCollector

FIELDS = ("cpu_usage", "memory_usage", "response_time", "a", "b", "c", "d", "e")
START = 1_790_000_000_000_000
ROWS = 500


@dataclass(frozen=True)
class Case:
    """A figure and its unit."""

    unit: str
    run: Callable[[], float]


def batch(node: str, seq: int, apart_us: int = 10_000) -> Batch:
    """500 rows of eight numbers, a hundred a second."""
    rng = np.random.default_rng(seq)
    times = START + (seq + np.arange(ROWS, dtype=np.int64)) * apart_us
    numbers = {name: rng.uniform(1, 99, ROWS) for name in FIELDS}
    return Batch(Kind.PERFORMANCE, "bench", node, times, numbers, {"node": node}, boot="boot", seq=seq)


def decoding() -> float:
    """Columnar batches, decoded and validated, rows/s."""
    value = encode_batch(batch("node", 0))
    started = time.perf_counter()
    for _ in range(200):
        decode(value, kind=Kind.PERFORMANCE, topic_boot="t", partition=0, offset=0)
    return 200 * ROWS / (time.perf_counter() - started)


def working(*, raw: bool) -> float:
    """A worker's lane from bytes to SQLite: decode, windows, rollups, health, alerts; rows/s."""
    with tempfile.TemporaryDirectory() as folder:
        pipeline = Pipeline(Path(folder), store=StoreSettings(raw=raw))
        for seq in range(0, 20 * ROWS, ROWS):
            for node in range(20):
                pipeline.send(batch(f"node-{node}", seq))
        started = time.perf_counter()
        pipeline.settle(START / 1e6 + 3600)
        elapsed = time.perf_counter() - started
        pipeline.store.close()
    return 20 * 20 * ROWS / elapsed


def emitting() -> float:
    """`EventProducer.emit` without a broker, median µs a call."""
    with tempfile.TemporaryDirectory() as folder:
        producer = EventProducer(Settings(data_dir=Path(folder)), source="bench")
        fields = {"node": "node", "cpu_usage": 50.0, "memory_usage": 50.0}
        times = [_timed(lambda: producer.emit(Kind.PERFORMANCE, fields)) for _ in range(5000)]
        producer.close(0)
    return statistics.median(times) * 1e6


def stepping() -> float:
    """What a training loop pays a step, median µs."""
    from smartlearn.metrics import TrainingMetrics

    with tempfile.TemporaryDirectory() as folder:
        collector = MetricsCollector(settings=Settings(data_dir=Path(folder)))
        step = TrainingMetrics(epoch=1, step=1, training_loss=0.5, learning_rate=1e-4)
        return statistics.median(_timed(lambda: collector.add_training_metrics(step)) for _ in range(5000)) * 1e6


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


CASES = {
    "decode": Case("rows/s", decoding),
    "worker": Case("rows/s", lambda: working(raw=False)),
    "worker-raw": Case("rows/s", lambda: working(raw=True)),
    "emit-call": Case("µs", emitting),
    "step-call": Case("µs", stepping),
}
