"""What is read: samples of eight fields from a hundred nodes.

In columnar batches each node has a hundred a second, as single events ten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime

import numpy as np
import orjson
from confluent_kafka import Consumer, Producer, TopicPartition

from benchmarks.stage import PARTITIONS, Load, Stage
from smartlearn.core.batch import Batch, FloatArray, Kind
from smartlearn.core.codec import encode_batch
from smartlearn.core.partitioning import partition_of
from smartlearn.core.topics import PERFORMANCE

ROWS = 500
NODES = 100
APART_US = 10_000
EVENTS_APART_US = 100_000
START = 1_790_000_000_000_000
# Level, spread and largest value of each field; three decimals, as agents send. The contract does not know `gpu_usage`.
FIELDS: Mapping[str, tuple[float, float, float]] = {
    "cpu_usage": (45, 8, 100),
    "memory_usage": (62, 2, 100),
    "gpu_memory_used": (18, 1, 24),
    "gpu_memory_total": (24, 0, 24),
    "response_time": (240, 60, 60_000),
    "model_accuracy": (0.82, 0.03, 1),
    "user_engagement": (7.2, 0.8, 10),
    "gpu_usage": (70, 12, 100),
}
OWN_METRIC = "gpu_usage"
# A row so much further on ends every pane before it.
AHEAD = 30_000
_DIFFERENT = 25


def columns(seed: int, rows: int) -> dict[str, FloatArray]:
    """A column for each field."""
    rng = np.random.default_rng(seed)
    return {
        name: np.round(np.clip(rng.normal(level, spread, rows), 0, most), 3).astype(np.float64)
        for name, (level, spread, most) in FIELDS.items()
    }


def batch(node: str, seq: int, numbers: dict[str, FloatArray]) -> Batch:
    """The rows of a node from number `seq` on."""
    rows = len(numbers["cpu_usage"])
    times = START + (seq + np.arange(rows, dtype=np.int64)) * APART_US
    return Batch(Kind.PERFORMANCE, "bench", node, times, numbers, {"node": node}, boot="boot", seq=seq)


def columnar(rows: int) -> Callable[[Stage], Load]:
    """Columnar batches on the topic of the workers."""
    values = [columns(seed, ROWS) for seed in range(_DIFFERENT)]

    def messages() -> Iterator[tuple[str, bytes]]:
        for number in range(rows // (ROWS * NODES)):
            for node in range(NODES):
                name = f"node-{node}"
                yield name, encode_batch(batch(name, number * ROWS, values[(number + node) % _DIFFERENT]))

    def closing(node: str) -> bytes:
        last = rows // NODES
        return encode_batch(batch(node, last + AHEAD, columns(0, 1)))

    return lambda stage: _laid(stage, PERFORMANCE, messages(), ROWS, closing)


def single(rows: int) -> Callable[[Stage], Load]:
    """One event a message on the topic of the workers, as programs send that know nothing of batches."""

    def messages() -> Iterator[tuple[str, bytes]]:
        for name, event in _events(rows):
            yield name, orjson.dumps(event)

    def closing(node: str) -> bytes:
        return orjson.dumps(_event(node, rows // NODES + AHEAD, {name: level for name, (level, *_) in FIELDS.items()}))

    return lambda stage: _laid(stage, PERFORMANCE, messages(), 1, closing)


def events(rows: int, topic: str) -> Callable[[Stage], Load]:
    """One event a message on a topic of its own."""
    return lambda stage: _laid(stage, topic, ((name, orjson.dumps(event)) for name, event in _events(rows)), 1)


def lists(rows: int, topic: str) -> Callable[[Stage], Load]:
    """Lists of events, the largest that Telegraf's JSON parser reads at once."""

    def messages() -> Iterator[tuple[str, bytes]]:
        held: dict[str, list[dict[str, object]]] = {}
        for name, event in _events(rows):
            waiting = held.setdefault(name, [])
            waiting.append(event)
            if len(waiting) == ROWS:
                yield name, orjson.dumps(waiting)
                waiting.clear()

    return lambda stage: _laid(stage, topic, messages(), ROWS)


def _events(rows: int) -> Iterator[tuple[str, dict[str, object]]]:
    values = [{name: column.tolist() for name, column in columns(seed, ROWS).items()} for seed in range(_DIFFERENT)]
    for number in range(rows // NODES):
        for node in range(NODES):
            one = values[(number + node) % _DIFFERENT]
            name = f"node-{node}"
            yield name, _event(name, number, {field: column[number % ROWS] for field, column in one.items()})


def _event(node: str, number: int, fields: dict[str, float]) -> dict[str, object]:
    moment = datetime.fromtimestamp((START + number * EVENTS_APART_US) / 1e6, UTC)
    own = {OWN_METRIC: fields[OWN_METRIC]}
    known = {name: value for name, value in fields.items() if name != OWN_METRIC}
    stamp = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"timestamp": stamp, "node": node, **known, "metrics": own}


def _laid(
    stage: Stage,
    topic: str,
    messages: Iterator[tuple[str, bytes]],
    rows_a_message: int,
    closing: Callable[[str], bytes] | None = None,
) -> Load:
    """Put messages on a topic made anew; `closing` ends each node's last pane and is not counted."""
    stage.topic(topic)
    stage.forget(topic)
    producer = Producer(
        {
            "bootstrap.servers": stage.record.kafka,
            "linger.ms": 20,
            "batch.size": 1_000_000,
            "message.max.bytes": 8 << 20,
            "compression.type": "lz4",
            "queue.buffering.max.messages": 200_000,
        }
    )
    count = 0
    for name, value in messages:
        _produce(producer, topic, name, value)
        count += 1
    producer.flush(120)
    ends = _ends(stage, topic)
    if closing is not None:
        for node in range(NODES):
            _produce(producer, topic, f"node-{node}", closing(f"node-{node}"))
        producer.flush(120)
    return Load(topic, count * rows_a_message, rows_a_message, ends)


def _produce(producer: Producer, topic: str, name: str, value: bytes) -> None:
    while True:
        try:
            producer.produce(topic, value, key=name, partition=partition_of(name, PARTITIONS))
        except BufferError:
            producer.poll(0.05)
        else:
            producer.poll(0)
            return


def _ends(stage: Stage, topic: str) -> dict[int, int]:
    consumer = Consumer({"bootstrap.servers": stage.record.kafka, "group.id": stage.name("ends"), "log_level": 0})
    try:
        return {
            number: consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=30)[1]
            for number in range(PARTITIONS)
        }
    finally:
        consumer.close()
