"""Ten thousand messages that no worker can use, between good ones."""

from __future__ import annotations

import json
import random
from collections import Counter

import psutil
import pytest
from confluent_kafka import Producer
from tests.chaos.cluster import PARTITIONS, Cluster
from tests.chaos.load import Load
from tests.stacks import until

from smartlearn.core.topics import DEAD_LETTER, INTERACTIONS, PERFORMANCE, TRAINING, client_config

pytestmark = [pytest.mark.chaos, pytest.mark.servers]

HOSTILE = 10_000
HUGE = 4
HUGE_BYTES = 5_000_000
READY_S = 90.0
# The dead letters of a flush, its batches and the allocator's own reserve; the messages are 25 MB in all.
GROWTH_BYTES = 96 << 20

GOOD = b'{"timestamp":"2026-09-21T10:00:00Z","node":"n","cpu_usage":50.0}'


def hostile(chance: random.Random) -> bytes:
    """A message that breaks the contract of performance and training alike."""
    batch = {"v": 1, "kind": "performance", "source": "s", "boot": "b", "seq": 0}
    columns = {"timestamp": [1_790_000_000_000_000], "node": "n", "cpu_usage": [50.0]}
    made: list[bytes] = [
        GOOD[: chance.randrange(len(GOOD))],
        chance.randbytes(chance.randrange(1, 200)),
        b"\xff\xfe" + GOOD,
        b"[" * chance.randrange(1, 20_000),
        b'{"a":' * chance.randrange(1, 5_000) + b"1" + b"}" * chance.randrange(5_000),
        json.dumps(chance.choice([None, True, 1, "text", [], {}, [[1]]])).encode(),
        GOOD.replace(b"50.0", chance.choice([b"1e999", b"9" * 400, b'"50"', b"[50]", b"true", b"{}", b"-1", b"101"])),
        GOOD.replace(b"2026", chance.choice([b"2199", b"9999", b"1066", b"20-6", b""])),
        GOOD.replace(b'"n"', chance.choice([b'""', b"1", b'"' + b"n" * 5000 + b'"', b'"a\\u0000b"'])),
        GOOD.replace(b"cpu_usage", chance.choice([b"cpu", b"__class__", b""])),
        json.dumps({**batch, "seq": chance.choice([-1, 1.5, None, 2**70, "1"]), "columns": columns}).encode(),
        json.dumps({**batch, "v": chance.choice([0, 2, None, "1"]), "columns": columns}).encode(),
        json.dumps({**batch, "columns": {**columns, "cpu_usage": [50.0] * chance.randrange(2, 50)}}).encode(),
        json.dumps({**batch, "columns": {**columns, "timestamp": [chance.choice([-1, 2**63, 2**80])]}}).encode(),
        json.dumps({**batch, "columns": chance.choice([None, [], {}, {"timestamp": []}])}).encode(),
    ]
    return chance.choice(made)


def test_every_hostile_message_is_a_dead_letter_with_a_reason_and_every_good_one_is_stored(
    cluster: Cluster, seed: int
) -> None:
    """Guards the dead letters: bad messages that are passed over in silence are never counted, and it times out."""
    load, chance = Load(seed), random.Random(seed)
    raw = Producer(client_config(cluster.settings.kafka) | {"linger.ms": 20, "message.max.bytes": 6 << 20})
    worker = cluster.start("worker-1")
    until(lambda: cluster.own_everything("worker-1"), READY_S)
    sent: Counter[tuple[bytes, bytes]] = Counter()

    def attack(messages: int) -> None:
        for number in range(messages):
            topic, value = chance.choice([PERFORMANCE, TRAINING, INTERACTIONS]), hostile(chance)
            raw.produce(topic, value, partition=chance.randrange(PARTITIONS))
            raw.poll(0)
            # A learner's values are masked in a dead letter.
            sent[topic.encode(), b"" if topic == INTERACTIONS else value] += 1
            if number % 100 == 0:
                for batch in load.round():
                    cluster.send(batch)
        assert raw.flush(READY_S) == 0

    def dead() -> int:
        return sum(cluster.ledger(topic)["dead"] for topic in (PERFORMANCE, TRAINING, INTERACTIONS))

    attack(HOSTILE // 2)
    until(lambda: dead() > HOSTILE // 3, READY_S)
    before = psutil.Process(worker.pid).memory_info().rss
    for number in range(HUGE):
        value = b'{"huge":"' + b"x" * HUGE_BYTES + b'"}'
        raw.produce(TRAINING, value, partition=number % PARTITIONS)
        sent[TRAINING.encode(), value] += 1
    attack(HOSTILE - HOSTILE // 2 - HUGE)
    for batch in load.rest():
        cluster.send(batch)
    cluster.check(load.events())
    assert dead() == HOSTILE
    letters: Counter[tuple[bytes, bytes]] = Counter()
    for letter in cluster.messages(DEAD_LETTER):
        headers = dict(letter.headers() or [])
        topic = headers["topic"]
        assert isinstance(topic, bytes)
        assert headers["reason"], headers
        letters[topic, b"" if topic == INTERACTIONS.encode() else letter.value() or b""] += 1
    assert letters == sent
    assert worker.poll() is None
    assert psutil.Process(worker.pid).memory_info().rss < before + GROWTH_BYTES
