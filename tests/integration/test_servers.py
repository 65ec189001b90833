"""The native servers themselves: real Kafka, real InfluxDB."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from pydantic import SecretStr
from tests.stacks import Stack, running_stack, until

from smartlearn.core.errors import StackError
from smartlearn.core.settings import InfluxSettings, RetentionSettings
from smartlearn.core.stores.base import Points, SeriesQuery
from smartlearn.core.stores.influx import InfluxStore
from smartlearn.ops import servers
from smartlearn.ops.servers import ServersRecord

pytestmark = [pytest.mark.integration, pytest.mark.servers]

HEALTHY_S = 180.0

if servers.built() is None:
    pytest.skip("the servers are not built: smartlearn servers build", allow_module_level=True)


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    servers.down(tmp_path)


def create(record: ServersRecord, replication: int) -> None:
    admin = AdminClient({"bootstrap.servers": record.kafka})
    made = admin.create_topics([NewTopic("numbers", 3, replication)])
    made["numbers"].result(30)


def produce(record: ServersRecord, numbers: range) -> None:
    producer = Producer({"bootstrap.servers": record.kafka, "enable.idempotence": True})
    failed: list[object] = []
    for number in numbers:
        producer.produce("numbers", str(number).encode(), on_delivery=lambda error, _: failed.append(error))
        producer.poll(0)
    assert producer.flush(60) == 0
    assert set(failed) == {None}


def consume(record: ServersRecord, count: int) -> list[int]:
    consumer = Consumer(
        {"bootstrap.servers": record.kafka, "group.id": f"reader-{count}", "auto.offset.reset": "earliest"}
    )
    consumer.subscribe(["numbers"])
    found: list[int] = []
    while len(found) < count:
        messages = consumer.consume(count, 60)
        assert messages, f"only {len(found)} of {count} messages within a minute"
        found.extend(int(message.value() or b"") for message in messages)
    consumer.close()
    return sorted(found)


def store_of(record: ServersRecord) -> InfluxStore:
    token = SecretStr(record.write_token or "")
    return InfluxStore(InfluxSettings(url=record.influxdb_url, org=record.org, token=token))


def test_what_they_hold_survives_kills_stops_and_starts(data_dir: Path) -> None:
    record = servers.up(data_dir, retention=RetentionSettings(raw_days=7))
    assert [state.state for state in servers.status(data_dir)] == ["running", "running"]
    create(record, 1)
    produce(record, range(1000))
    store = store_of(record)
    assert store.check() == "InfluxDB 2.8.0"
    points = Points("health", np.arange(100), {"node": "a"}, {"score": np.arange(100.0)})
    assert store.write([points]) == []
    with pytest.raises(StackError, match="has kafka-1, influxdb"):
        servers.up(data_dir, 3)

    for name in ("kafka-1", "influxdb"):
        servers.kill(data_dir, name, signal.SIGKILL)
    assert [state.state for state in servers.status(data_dir)] == ["stopped", "stopped"]
    with pytest.raises(StackError, match="does not run"):
        servers.kill(data_dir, "kafka-1")
    again = servers.up(data_dir)
    assert again == ServersRecord.read(data_dir)
    assert (again.kafka, again.write_token) == (record.kafka, record.write_token)
    assert consume(again, 1000) == list(range(1000))
    (series,) = store.query(SeriesQuery("health"))
    assert series.fields["score"].tolist() == list(range(100))
    store.close()

    servers.down(data_dir)
    assert [state.pid for state in servers.status(data_dir)] == [None, None]


def test_three_brokers_lose_one_and_no_message(data_dir: Path) -> None:
    record = servers.up(data_dir, 3, with_influxdb=False)
    create(record, 3)
    produce(record, range(500))
    servers.kill(data_dir, "kafka-2")
    produce(record, range(500, 1000))
    servers.start(data_dir, "kafka-2")
    assert consume(record, 1000) == list(range(1000))


def test_a_server_that_cannot_start_says_why(data_dir: Path) -> None:
    record = servers.up(data_dir, 0)
    servers.down(data_dir)
    (data_dir / "servers" / "influxdb" / "influxd.bolt").write_bytes(b"garbage" * 1000)
    with pytest.raises(StackError, match=r"influxdb ended while it started:\n(.*\n)*.*boltdb"):
        servers.up(data_dir, 0)
    assert record.kafka == ""


def test_a_lost_record_is_said_not_overwritten(data_dir: Path) -> None:
    servers.up(data_dir, 0)
    servers.down(data_dir)
    ServersRecord.path(data_dir).unlink()
    with pytest.raises(StackError, match="admin token is lost"):
        servers.up(data_dir, 0)


def healthy(stack: Stack) -> bool:
    return stack.call("status", "--check", check=False).returncode == 0


def test_a_stack_on_servers_is_healthy_within_three_minutes_and_stops_the_servers_that_it_started(
    data_dir: Path,
) -> None:
    began = time.monotonic()
    with running_stack(data_dir, "--servers") as stack:
        until(lambda: healthy(stack), HEALTHY_S)
        assert time.monotonic() - began < HEALTHY_S
        assert [state.state for state in servers.status(data_dir)] == ["running", "running"]
        record = ServersRecord.read(data_dir)
        assert record is not None
        assert stack.kafka == record.kafka
        until(lambda: bool(store_of(record).query(SeriesQuery("performance"))), HEALTHY_S)
        stack.stop()
    assert [state.state for state in servers.status(data_dir)] == ["stopped", "stopped"]


def test_a_stack_uses_the_servers_that_run_and_leaves_them_running(data_dir: Path) -> None:
    servers.up(data_dir)
    before = [state.pid for state in servers.status(data_dir)]
    with running_stack(data_dir, "--servers", "--no-agent") as stack:
        until(lambda: healthy(stack), HEALTHY_S)
        stack.stop()
    assert [state.pid for state in servers.status(data_dir)] == before
    assert None not in before


def test_kafka_is_fetched_from_its_recipe(tmp_path: Path) -> None:
    found = servers.built()
    assert found is not None
    (tmp_path / found.influxd.parent.name).symlink_to(found.influxd.parent)
    said: list[str] = []
    fresh = servers.build(tmp_path, say=said.append)
    assert said == ["fetching Apache Kafka through Maven"]
    assert {path.name for path in fresh.kafka.iterdir()} == {path.name for path in found.kafka.iterdir()}
    assert fresh.log4j.is_file()
    assert servers.build(tmp_path, say=said.append) == fresh
    assert len(said) == 1
