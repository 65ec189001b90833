from __future__ import annotations

import numpy as np
import pytest
from tests.unit.producers.brokers import FakeBroker

from smartlearn.core.batch import IMPORT_SOURCE, Batch, Kind
from smartlearn.core.errors import BrokerError, BrokerUnavailable, SettingsError
from smartlearn.core.settings import KafkaSettings
from smartlearn.producers import bulk
from smartlearn.producers.sender import Failed

KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1")


def batch(rows: int, start: int = 0) -> Batch:
    return Batch(
        Kind.PERFORMANCE, IMPORT_SOURCE, "n", np.arange(start, start + rows, dtype=np.int64),
        {"cpu_usage": np.full(rows, 5.0)}, {"node": "n"}, place=np.arange(rows, dtype=np.int64),
    )  # fmt: skip


@pytest.fixture
def broker(monkeypatch: pytest.MonkeyPatch) -> FakeBroker:
    one = FakeBroker()
    monkeypatch.setattr(bulk, "KafkaSender", one.connect)
    return one


def test_all_is_sent_in_order_and_progress_ends_at_the_whole(broker: FakeBroker) -> None:
    seen: list[tuple[int, int]] = []
    offsets = bulk.send_all(KAFKA, [batch(3), batch(2, 3)], lambda done, total: seen.append((done, total)))
    assert offsets == {("smartlearn.performance", 0): 1}
    assert seen == [(3, 5), (5, 5)]
    assert [message.rows for message in broker.log] == [3, 2]


def test_nothing_to_send_needs_no_broker(broker: FakeBroker) -> None:
    broker.up = False
    assert bulk.send_all(KAFKA, []) == {}


def test_a_full_client_is_waited_for(broker: FakeBroker) -> None:
    broker.room = 1
    bulk.send_all(KAFKA, [batch(1, at) for at in range(20)])
    assert broker.rows() == 20


def test_a_broker_that_is_down_is_said(broker: FakeBroker) -> None:
    broker.up = False
    with pytest.raises(BrokerUnavailable, match=r"127\.0\.0\.1:1"):
        bulk.send_all(KAFKA, [batch(1)])


def test_a_missing_topic_says_what_to_run(broker: FakeBroker) -> None:
    broker.topics = frozenset({"other"})
    with pytest.raises(BrokerError, match="topics create"):
        bulk.send_all(KAFKA, [batch(1)])
    assert broker.log == []


def test_a_broker_that_goes_away_says_that_it_can_be_done_again(broker: FakeBroker) -> None:
    broker.refuses = Failed("timed out", taken_back=False, hopeless=False)
    with pytest.raises(BrokerUnavailable, match=r"0 of 3.*again"):
        bulk.send_all(KAFKA, [batch(3)])


def test_a_message_that_is_refused_for_good_is_said(broker: FakeBroker) -> None:
    broker.refuses = Failed("too large", taken_back=False, hopeless=True)
    with pytest.raises(BrokerError, match="too large"):
        bulk.send_all(KAFKA, [batch(3)])


def test_without_a_broker_set_the_setting_is_named() -> None:
    with pytest.raises(SettingsError, match="SMARTLEARN_KAFKA__BOOTSTRAP_SERVERS"):
        bulk.send_all(KafkaSettings(), [batch(1)])
