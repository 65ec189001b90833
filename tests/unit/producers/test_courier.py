from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest
from tests.unit.producers.brokers import FakeBroker

from smartlearn.core.settings import KafkaSettings
from smartlearn.producers.connection import LOOK_INTERVAL_S, Connection
from smartlearn.producers.courier import IN_FLIGHT_BYTES, STALL_S, Courier
from smartlearn.producers.rows import Outgoing
from smartlearn.producers.sender import Failed
from smartlearn.producers.spool import Spool

TOPIC = "smartlearn.performance"


@dataclass
class World:
    """A courier, its broker, and a clock that only moves when told."""

    courier: Courier
    broker: FakeBroker
    now: list[float]
    said: list[str]
    where: list[KafkaSettings | None]
    numbers: Callable[[], int] = field(default_factory=lambda: count().__next__)

    def take(self, many: int = 1, size: int = 8) -> list[Outgoing]:
        sent = [Outgoing(TOPIC, b"k", self.numbers().to_bytes(8, "big") * (size // 8), 1) for _ in range(many)]
        for message in sent:
            self.courier.take(message)
        return sent

    def later(self, seconds: float = LOOK_INTERVAL_S + 0.1, turns: int = 3) -> None:
        self.now[0] += seconds
        for _ in range(turns):
            self.courier.serve()

    @property
    def counts(self) -> dict[str, int]:
        found = self.courier.tally()[TOPIC]
        return {name: value for name, value in vars(found).items() if value}


@pytest.fixture
def world(tmp_path: Path) -> World:
    broker, now, said = FakeBroker(), [100.0], list[str]()
    where: list[KafkaSettings | None] = [KafkaSettings(bootstrap_servers="127.0.0.1:1")]
    connection = Connection(
        locate=lambda: where[0],
        connect=broker.connect,
        topics=broker.topics,
        away=said.append,
        background=lambda work: work(),
        clock=lambda: now[0],
    )
    courier = Courier(connection, Spool(tmp_path, "me", 1 << 26), said.append, clock=lambda: now[0])
    return World(courier, broker, now, said, where)


def test_with_a_broker_messages_go_straight(world: World) -> None:
    world.courier.serve()
    sent = world.take(3)
    world.courier.serve()
    assert world.broker.log == sent
    assert world.counts == {"produced": 3, "delivered": 3}
    assert world.courier.idle
    assert world.said == []


def test_without_a_broker_they_wait_on_disk_and_are_sent_when_it_is_there(world: World) -> None:
    world.broker.up = False
    world.courier.serve()
    sent = world.take(5)
    assert not world.courier.idle
    assert world.counts == {"produced": 5, "spooled": 5}
    assert world.said
    world.broker.up = True
    world.later()
    assert world.broker.log == sent
    assert world.counts == {"produced": 5, "spooled": 5, "delivered": 5}
    assert world.courier.idle


def test_what_was_on_its_way_when_the_broker_went_is_sent_again_first(world: World) -> None:
    world.courier.serve()
    before = world.take(3)
    world.broker.up = False
    world.courier.serve()
    after = world.take(2)
    world.broker.up = True
    world.later()
    assert world.broker.log == before + after
    assert world.counts["spooled"] == 5


def test_new_messages_queue_behind_the_spool(world: World) -> None:
    world.broker.up = False
    world.courier.serve()
    first = world.take(4)
    world.broker.up = True
    second = world.take(2)
    world.later()
    third = world.take(2)
    world.courier.serve()
    assert world.broker.log == first + second + third
    assert world.counts["spooled"] == 6


def test_a_report_that_does_not_come_means_that_the_broker_is_away(world: World) -> None:
    world.courier.serve()
    client = world.broker.clients[0]
    held = world.take(2)
    client.serve = lambda timeout_s: None  # type: ignore[method-assign]
    world.later(STALL_S + 0.1, turns=1)
    assert world.said == ["it does not answer"]
    assert world.counts["spooled"] == 2
    later = world.take(1)
    del client.serve
    world.later()
    assert world.broker.log == held + later


def test_a_full_client_makes_the_spool_take_over(world: World) -> None:
    world.broker.room = 2
    world.courier.serve()
    sent = world.take(5)
    assert world.counts["spooled"] == 3
    world.later(turns=6)
    assert world.broker.log == sent


def test_no_more_than_some_megabytes_are_on_their_way(world: World) -> None:
    world.courier.serve()
    size = 1 << 20
    sent = world.take(24, size=size)
    assert world.courier.in_flight == IN_FLIGHT_BYTES // size
    world.later(turns=10)
    assert world.broker.log == sent


def test_a_message_that_can_never_be_delivered_is_dropped_and_the_next_ones_go(world: World) -> None:
    world.courier.serve()
    world.broker.refuses = Failed("too large", taken_back=False, hopeless=True)
    world.take(1)
    world.courier.serve()
    world.broker.refuses = None
    sent = world.take(1)
    world.courier.serve()
    assert world.broker.log == sent
    assert world.counts == {"produced": 2, "delivered": 1, "dropped": 1}
    assert "too large" in world.said[0]


def test_a_broker_that_refuses_is_tried_with_one_message_at_a_time(world: World) -> None:
    world.courier.serve()
    world.broker.refuses = Failed("not allowed", taken_back=False, hopeless=False)
    sent = world.take(5)
    world.courier.serve()
    assert "not allowed" in world.said
    world.broker.clients[0].serve = lambda timeout_s: None  # type: ignore[method-assign]
    world.later(turns=1)
    assert len(world.broker.clients[0].held) == 1
    del world.broker.clients[0].serve
    world.broker.refuses = None
    world.later()
    assert sorted(world.broker.log) == sorted(sent)
    assert world.courier.idle


def test_topics_that_are_not_there_yet_are_waited_for(world: World) -> None:
    topics, world.broker.topics = world.broker.topics, frozenset({"other"})
    world.courier.serve()
    sent = world.take(1)
    assert "topics create" in world.said[0]
    world.broker.topics = topics
    world.later()
    assert world.broker.log == sent


def test_a_broker_that_is_not_known_yet_is_asked_for_again(world: World) -> None:
    known, world.where[0] = world.where[0], None
    world.courier.serve()
    sent = world.take(1)
    assert (world.said, world.broker.clients) == (["none is known"], [])
    world.where[0] = known
    world.later()
    assert world.broker.log == sent


def test_a_broker_that_moved_gets_a_new_client(world: World) -> None:
    world.courier.serve()
    world.broker.up = False
    world.courier.serve()
    world.where[0] = KafkaSettings(bootstrap_servers="127.0.0.1:2")
    sent = world.take(1)
    world.broker.up = True
    world.later()
    assert world.broker.log == sent
    assert world.broker.clients[-1].kafka.bootstrap_servers == "127.0.0.1:2"


def test_a_client_that_can_never_send_again_is_replaced(world: World) -> None:
    world.courier.serve()
    world.broker.clients[0].fatal = True
    sent = world.take(2)
    world.broker.clients[0].serve = lambda timeout_s: None  # type: ignore[method-assign]
    world.later()
    assert world.broker.log == sent
    assert len(world.broker.clients) == 2


def test_what_an_ended_process_left_is_sent_too(world: World, tmp_path: Path) -> None:
    left = Spool(tmp_path, "ended", 1 << 26)
    kept = Outgoing(TOPIC, b"k", b"left", 9)
    left.append(kept)
    left.close()
    world.later()
    assert world.broker.log == [kept]
    assert world.counts == {"adopted": 9, "delivered": 9}


def test_what_the_spool_has_no_room_for_is_counted_by_topic_and_said(world: World) -> None:
    world.courier.spool.limit = 1 << 16
    world.broker.up = False
    world.courier.serve()
    sent = world.take(200, size=1000)
    world.broker.up = True
    world.later()
    assert world.broker.log == sent[-len(world.broker.log) :]
    lost = len(sent) - len(world.broker.log)
    assert world.counts == {"produced": 200, "spooled": 200, "delivered": 200 - lost, "dropped": lost}
    assert "full" in world.said[-1]


def test_putting_down_keeps_what_is_on_its_way(world: World, tmp_path: Path) -> None:
    world.courier.serve()
    sent = world.take(3)
    world.courier.put_down()
    heir = Spool(tmp_path, "heir", 1 << 26)
    heir.adopt()
    part = heir.next_segment()
    assert part is not None
    assert part[1] == sent
