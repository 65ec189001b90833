"""How soon an event shows: on the Real-time page, and as an alert; while 100 nodes send 10,000 samples a second."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import numpy as np
import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks import loads
from benchmarks.browsing import dashboard, tab
from benchmarks.report import CannotRun, Figure
from benchmarks.stage import Stage, owners
from smartlearn.core.batch import Batch, Kind
from smartlearn.core.codec import encode_batch
from smartlearn.core.times import parse_time
from smartlearn.core.topics import ALERTS, PERFORMANCE

PROBES = 20
_SHOWN_MS = 15_000
_PACE_S = 0.01
_ALERTS_S = 15.0
_LEVEL_S = 3.0
_SETTLE_S = 3.0
_PROBE = "probe"
_KNOWN_S = 14

_DRAWN = """([node, time]) => {
  const plot = document.querySelector('#card-live-cpu_usage .js-plotly-plot');
  const trace = plot && (plot.data || []).find((one) => one.name === node);
  return Boolean(trace) && trace.x.some((at) => String(at).startsWith(time));
}"""


class Feeding:
    """100 nodes that send 100 rows each second, one batch of one node every 10 ms, while the body runs."""

    def __init__(self, stage: Stage) -> None:
        self._producer = client(stage)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._feed, daemon=True)
        self.sent = 0

    def __enter__(self) -> Feeding:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        self._producer.flush(10)

    def _feed(self) -> None:
        boot = uuid.uuid4().hex
        numbers = [loads.columns(seed, 100) for seed in range(loads.NODES)]
        started = time.monotonic()
        count = 0
        while not self._ended.wait(max(0.0, started + count * _PACE_S - time.monotonic())):
            node = f"node-{count % loads.NODES}"
            times = time.time_ns() // 1000 - 1_000_000 + np.arange(100, dtype=np.int64) * 10_000
            seq = count // loads.NODES * 100
            columns = numbers[count % loads.NODES]
            made = Batch(Kind.PERFORMANCE, "bench", node, times, columns, {"node": node}, boot=boot, seq=seq)
            self._producer.produce(PERFORMANCE, encode_batch(made), key=node)
            self._producer.poll(0)
            count += 1
            self.sent = count * 100


def client(stage: Stage) -> Producer:
    """A producer that waits for nothing."""
    return Producer({"bootstrap.servers": stage.record.kafka, "partitioner": "murmur2_random", "linger.ms": 1})


def live(stage: Stage) -> Figure:
    """Event emitted → its point in the plot of the Real-time page."""
    environment = stage.environment(store__raw="false")
    producer = client(stage)
    took = []
    with stage.worker(environment), dashboard(stage, environment) as address, tab() as page, Feeding(stage) as feeding:
        owners(stage, ["worker"])
        # The page offers the nodes that are in the store.
        for _ in range(_KNOWN_S):
            _emit(producer, 40.0)
            time.sleep(1)
        page.goto(f"{address}/realtime?node={_PROBE}")
        page.wait_for_selector("#card-live-cpu_usage .js-plotly-plot", timeout=4 * _SHOWN_MS)
        time.sleep(_SETTLE_S)
        begun, before = time.monotonic(), feeding.sent
        for number in range(PROBES + 2):
            started = time.monotonic()
            moment = _emit(producer, 40.0 + number % 10)
            page.wait_for_function(_DRAWN, arg=[_PROBE, moment[:23]], timeout=_SHOWN_MS, polling=20)
            took.append(time.monotonic() - started)
            time.sleep(0.3)
        rate = (feeding.sent - before) / (time.monotonic() - begun)
    return _latencies(took[2:], rate)


def _emit(producer: Producer, value: float) -> str:
    """Send one sample of the watched node; its time."""
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    event = {"timestamp": moment, "node": _PROBE, "cpu_usage": value}
    producer.produce(PERFORMANCE, orjson.dumps(event), key=_PROBE)
    producer.flush(5)
    return moment


def alert(stage: Stage) -> Figure:
    """The end of a pane of one second → its transition read from the alert topic."""
    environment = stage.environment(store__raw="false", windows__pane_s="1")
    with stage.worker(environment), Feeding(stage) as feeding, _transitions(stage) as consumer:
        owners(stage, ["worker"])
        time.sleep(_SETTLE_S)
        begun, before = time.monotonic(), feeding.sent
        with _Crossing(stage):
            took = list(_delays(consumer, time.monotonic() + _ALERTS_S))
        rate = (feeding.sent - before) / (time.monotonic() - begun)
    if not took:
        raise CannotRun(f"no transition came within {_ALERTS_S:g} s")
    return _latencies(took, rate)


class _Crossing(threading.Thread):
    """Nodes whose CPU crosses the level every three seconds, with ten samples a second each."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(daemon=True)
        self._producer = client(stage)
        self._ended = threading.Event()

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self.join()

    def run(self) -> None:
        while not self._ended.wait(0.1):
            moment = datetime.now(UTC).isoformat(timespec="milliseconds")
            value = 99.0 if time.time() // _LEVEL_S % 2 else 10.0
            for number in range(5):
                event = {"timestamp": moment, "node": f"crossing-{number}", "cpu_usage": value}
                self._producer.produce(PERFORMANCE, orjson.dumps(event), key=f"crossing-{number}")
            self._producer.poll(0)


@contextmanager
def _transitions(stage: Stage) -> Iterator[Consumer]:
    consumer = Consumer({"bootstrap.servers": stage.record.kafka, "group.id": stage.name("alerts"), "log_level": 0})
    consumer.assign([TopicPartition(ALERTS, 0, -1)])
    try:
        yield consumer
    finally:
        consumer.close()


def _delays(consumer: Consumer, until: float) -> Iterator[float]:
    """How long after its pane's end each transition came, s."""
    while time.monotonic() < until:
        message = consumer.poll(0.1)
        if message is not None and message.error() is None:
            told: dict[str, Any] = orjson.loads(message.value() or b"{}")
            if str(told["node"]).startswith("crossing-"):
                yield time.time() - parse_time(told["at"]) / 1e6


def _latencies(took: list[float], rate: float) -> Figure:
    p50, p95 = np.quantile(took, [0.5, 0.95])
    note = f"median {p50:.2f} s, slowest {max(took):.2f} s of {len(took)}; {rate:,.0f} samples/s meanwhile"
    fails = [f"the load was {rate:,.0f} samples/s only"] if rate < 9_000 else []
    return Figure(float(p95), notes=[note], fails=fails)
