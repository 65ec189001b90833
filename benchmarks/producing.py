"""What a program pays that sends events, and what the node agent costs its machine."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import psutil

from benchmarks.report import Figure, median_of
from benchmarks.stage import Stage, inherited
from smartlearn.core.batch import Kind
from smartlearn.core.settings import KafkaSettings, Settings
from smartlearn.producers.client import EventProducer
from smartlearn.producers.collector import MetricsCollector

CALLS = 20_000
_AGENT_WARM_S = 4.0
_AGENT_S = 15.0
_MB = 1e6
_FIELDS = {
    "node": "node-1",
    "cpu_usage": 45.2,
    "memory_usage": 61.8,
    "gpu_memory_used": 18.1,
    "gpu_memory_total": 24.0,
    "response_time": 231.5,
    "model_accuracy": 0.82,
    "user_engagement": 7.2,
}


def emit(stage: Stage) -> Figure:
    """`EventProducer.emit` in the caller's thread: with a broker, and with one that is gone."""
    with_broker = [_emitting(stage, stage.kafka) for _ in range(stage.runs)]
    gone = KafkaSettings(bootstrap_servers="127.0.0.1:9")
    grown = psutil.Process().memory_info().rss
    without = _emitting(stage, gone)
    grown = max(0, psutil.Process().memory_info().rss - grown)
    slowest = max(times[-1] for times in [*with_broker, without])
    late = median_of([times[int(len(times) * 0.99)] for times in with_broker])
    notes = [
        f"with the broker gone {statistics.median(without):.2f} µs, {grown / _MB:.0f} MB more memory",
        f"99th percentile {late:.1f} µs, slowest of all calls {slowest / 1000:.1f} ms",
    ]
    return Figure(median_of([statistics.median(times) for times in with_broker]), notes=notes)


def _emitting(stage: Stage, kafka: KafkaSettings) -> list[float]:
    """The times of many calls, µs, ascending."""
    producer = EventProducer(Settings(data_dir=stage.folder / stage.name("emit"), kafka=kafka), source="bench")
    try:
        return sorted(_timed(lambda: producer.emit(Kind.PERFORMANCE, _FIELDS)) for _ in range(CALLS))
    finally:
        producer.close(0)


def step_hook(stage: Stage) -> Figure:
    """`add_training_metrics` as a step hook calls it, without a broker."""
    from smartlearn.metrics import TrainingMetrics

    medians = []
    for _ in range(stage.runs):
        collector = MetricsCollector(settings=Settings(data_dir=stage.folder / stage.name("steps")))
        times = []
        for number in range(CALLS // 2):
            step = TrainingMetrics(epoch=1, step=number, training_loss=0.5, learning_rate=1e-4)
            times.append(_timed(partial(collector.add_training_metrics, step)))
        medians.append(statistics.median(times))
    return Figure(median_of(medians))


def _timed(call: Callable[[], object]) -> float:
    started = time.perf_counter_ns()
    call()
    return (time.perf_counter_ns() - started) / 1000


def agent(stage: Stage) -> Figure:
    """The node agent at an interval of a second: its share of a core, and its memory."""
    folder = stage.folder / stage.name("agent")
    variables = {
        **inherited(),
        "SMARTLEARN_DATA_DIR": str(folder),
        "SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS": stage.record.kafka,
        "SMARTLEARN_COLLECTION__INTERVAL_S": "1",
    }
    Path(folder).mkdir()
    with stage.running([sys.executable, "-m", "smartlearn.producers"], variables, "agent") as process:
        time.sleep(_AGENT_WARM_S)
        before, started = sum(process.cpu_times()[:2]), time.monotonic()
        time.sleep(_AGENT_S)
        share = 100 * (sum(process.cpu_times()[:2]) - before) / (time.monotonic() - started)
        memory = process.memory_info().rss / _MB
    fails = [f"{memory:.0f} MB, more than 80"] if memory > 80 else []
    return Figure(share, notes=[f"{memory:.0f} MB of memory; {os.cpu_count()} cores here"], fails=fails)
