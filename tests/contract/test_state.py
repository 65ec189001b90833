"""Values kept beside the points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from smartlearn.core.stores.base import MetricStore, Points

pytestmark = pytest.mark.contract


def test_an_unknown_key_has_no_value(store: MetricStore) -> None:
    assert store.get_state("progress/0") is None


def test_any_bytes_come_back(opened: Callable[..., MetricStore]) -> None:
    values = {"empty": b"", "all": bytes(range(256)) * 10, "large": b"\x00\xff" * 1_500_000}
    opened().put_state(values)
    other = opened()
    assert {key: other.get_state(key) for key in values} == values


@pytest.mark.parametrize("key", ["a/b c", "a\nb", "ends \\", "ü,=", "'; --", "x" * 500])
def test_any_text_is_a_key(store: MetricStore, key: str) -> None:
    store.put_state({key: b"1", key + "2": b"2"})
    assert (store.get_state(key), store.get_state(key + "2")) == (b"1", b"2")


def test_the_last_value_stands(store: MetricStore) -> None:
    for value in (b"1" * 2_000_000, b"22", b"3" * 700_000, b""):
        store.put_state({"key": value, "other": b"same"})
        assert store.get_state("key") == value
    assert store.get_state("other") == b"same"


def test_state_is_no_measurement_and_survives_a_delete(store: MetricStore) -> None:
    store.put_state({"key": b"1"})
    store.write([Points("health", np.array([1]), {"node": "a"}, {"score": 1.0})])
    store.delete("health")
    assert store.measurements() == []
    assert store.get_state("key") == b"1"


def test_nothing_to_keep_is_no_error(store: MetricStore) -> None:
    store.put_state({})


def test_check_names_the_store(store: MetricStore) -> None:
    assert store.check().split()[0] in {"SQLite", "InfluxDB"}
