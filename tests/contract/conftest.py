"""The stores that the contract is held against; each test gets an empty one of every kind."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from smartlearn.core.settings import InfluxSettings, RetentionSettings, Settings, StoreSettings
from smartlearn.core.stores import open_store
from smartlearn.core.stores.base import MetricStore
from smartlearn.ops import servers
from smartlearn.ops.servers import ServersRecord

STORES = ["sqlite", pytest.param("influxdb", marks=pytest.mark.servers)]

_number = itertools.count(1)


@pytest.fixture(scope="session")
def influxdb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServersRecord]:
    """An InfluxDB server of this test run."""
    if servers.built() is None:
        pytest.skip("InfluxDB is not built: smartlearn servers build")
    data_dir = tmp_path_factory.mktemp("servers")
    yield servers.up(data_dir, brokers=0)
    servers.down(data_dir)


@pytest.fixture(scope="session")
def shared_influx(influxdb: ServersRecord) -> InfluxSettings:
    """Buckets that tests use one after another."""
    return fresh_influx(influxdb)


@pytest.fixture(params=STORES)
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """Settings of an empty store."""
    if request.param == "sqlite":
        return Settings(data_dir=tmp_path)
    shared: InfluxSettings = request.getfixturevalue("shared_influx")
    wipe(shared)
    return Settings(data_dir=tmp_path, store=StoreSettings(kind="influxdb", influx=shared))


def fresh_influx(record: ServersRecord) -> InfluxSettings:
    """Settings for buckets of their own."""
    from smartlearn.core.stores.influx_setup import init_influx

    assert record.admin_token is not None
    influx = InfluxSettings(url=record.influxdb_url, org=record.org, prefix=f"test{next(_number)}")
    tokens = init_influx(influx, RetentionSettings(), record.admin_token)
    return influx.model_copy(update={"token": SecretStr(tokens.write)})


def wipe(settings: InfluxSettings) -> None:
    """Delete all that earlier tests wrote."""
    from smartlearn.core.stores.influx import STATE, bucket_of
    from smartlearn.core.stores.influx_client import InfluxClient
    from smartlearn.core.stores.influxql import show_measurements
    from smartlearn.core.stores.tiers import TIERS

    client = InfluxClient(settings)
    for tier in (*TIERS, STATE):
        bucket = bucket_of(settings.prefix, tier)
        if client.select(bucket, show_measurements()):
            client.delete(bucket, "", "1677-09-21T00:12:43.145224194Z", "2262-04-11T23:47:16.854775806Z")
    client.close()


@pytest.fixture
def opened(settings: Settings) -> Iterator[Callable[..., MetricStore]]:
    """Opens the store of this test, as often as asked, with changed settings where given."""
    stores: list[MetricStore] = []

    def one(**changes: Any) -> MetricStore:
        changed = settings.store.model_copy(update=changes)
        stores.append(open_store(settings.model_copy(update={"store": changed})))
        return stores[-1]

    yield one
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[..., MetricStore]) -> MetricStore:
    """An empty store."""
    return opened()
