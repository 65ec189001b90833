"""What lies between Faust and the lanes: who may hand over what, and what is committed when."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from faust.types import TP
from tests.pipeline import PARTITIONS, Pipeline
from tests.unit.stream_processors.making import START, Faulty, performance, training

from smartlearn.core.codec import encode_batch
from smartlearn.core.errors import StoreUnavailable
from smartlearn.core.partitioning import partition_of
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.core.topics import LIVE, PERFORMANCE, TRAINING
from smartlearn.stream_processors import app as worker_app
from smartlearn.stream_processors.app import WorkerLanes, create_app
from smartlearn.stream_processors.recompute import RECOMPUTE

HOME = partition_of("run-1", PARTITIONS)


class Consumer:
    """The part of Faust's consumer that is used: it remembers what was committed and sought."""

    def __init__(self) -> None:
        self.owned: set[TP] = set()
        self.committed: dict[TP, int] = {}
        self.at: dict[TP, int] = {}
        self.member = True

    def assignment(self) -> set[TP]:
        return self.owned

    async def _commit(self, offsets: dict[TP, int]) -> bool:
        if self.member:
            self.committed.update({tp: at for tp, at in offsets.items() if tp in self.owned})
        return self.member

    def highwater(self, _tp: TP) -> int:
        return 10

    async def position(self, tp: TP) -> int | None:
        return self.at.get(tp)

    async def seek(self, tp: TP, offset: int) -> None:
        self.at[tp] = offset


class App:
    """The part of Faust's app that is used."""

    def __init__(self) -> None:
        self.consumer = Consumer()
        self.consumer_generation_id = 1
        self.assignor = SimpleNamespace(assigned_actives=lambda: self.consumer.owned)
        self.crashed: list[BaseException] = []

    async def crash(self, error: BaseException) -> None:
        self.crashed.append(error)


class Stream:
    """A stream that hands over lists of events, and then ends."""

    def __init__(self, *takes: list[Any]) -> None:
        self._takes = takes

    async def noack_take(self, _most: int, *, within: float) -> AsyncIterator[list[Any]]:
        del within
        for events in self._takes:
            yield events


def event(batch: Any, offset: int, *, generation: int = 1, **message: Any) -> Any:
    """One message of a topic as Faust hands it over."""
    topic = TRAINING if batch.kind.value == "training" else PERFORMANCE
    number = partition_of(batch.key, PARTITIONS)
    values = {
        "topic": topic, "partition": number, "tp": TP(topic, number), "offset": offset, "key": b"k",
        "value": encode_batch(batch), "timestamp": 0.0, "timestamp_type": 0, "headers": [], "generation_id": generation,
    }  # fmt: skip
    return SimpleNamespace(message=SimpleNamespace(**(values | message)))


class World:
    """Lanes over a real store, and everything around them made up."""

    def __init__(self, folder: Path) -> None:
        self.pipeline = Pipeline(folder)
        self.app = App()
        self.store = Faulty(self.pipeline.store)
        self.pipeline.store = self.store
        self.pipeline.start()
        self.published = self.pipeline.published
        self.lanes: Any = self.pipeline.lanes
        for lane in self.lanes.values():
            lane.revoke(range(PARTITIONS))
        self.workers = WorkerLanes(self.app, self.lanes, self.published, "worker-1")  # type: ignore[arg-type]

    async def assign(self, *partitions: TP) -> None:
        self.app.consumer.owned = set(partitions)
        await self.workers.assigned(partitions)

    def consume(self, topic: str, *takes: list[Any]) -> Coroutine[Any, Any, None]:
        return self.workers.consume(topic, Stream(*takes))  # type: ignore[arg-type]

    def stored(self, measurement: str = "training") -> int:
        return sum(len(series) for series in self.pipeline.store.query(SeriesQuery(measurement)))

    def heartbeat(self) -> Any:
        self.workers.beat()
        return orjson.loads(self.published.on(LIVE)[-1].value)


RUN = TP(TRAINING, HOME)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(worker_app, "_RETRY_S", (0.0,))
    monkeypatch.setattr(worker_app, "_FLUSH_S", 0.0)
    return World(tmp_path)


def test_what_is_handed_over_is_stored_and_then_committed(world: World) -> None:
    async def story() -> None:
        await world.assign(RUN)
        await world.consume(TRAINING, [event(training("run-1", [1, 2]), 4)], [event(training("run-1", [3], seq=2), 5)])
        assert world.app.consumer.committed == {}
        await world.workers.flush_due()

    asyncio.run(story())
    assert world.app.consumer.committed == {RUN: 6}
    assert world.stored() == 3


def test_a_heartbeat_tells_what_is_owned_counted_and_left(world: World) -> None:
    async def story() -> None:
        await world.assign(RUN, TP(PERFORMANCE, 0))
        await world.consume(TRAINING, [event(training("run-1", [1, 2]), 6)])

    asyncio.run(story())
    beat = world.heartbeat()
    assert beat["worker"] == "worker-1"
    assert beat["assigned"][TRAINING] == [HOME]
    assert beat["assigned"][PERFORMANCE] == [0]
    assert beat["counts"][TRAINING]["stored"] == 2
    assert beat["lag"] == {topic: 3 if topic == TRAINING else 0 for topic in world.lanes}
    world.app.consumer.owned = set()
    assert world.heartbeat()["lag"][TRAINING] == 0


def test_what_a_broker_stamps_is_the_record_s_time(world: World) -> None:
    ahead = performance("node-a", [1000])
    number = partition_of("node-a", PARTITIONS)

    async def story() -> None:
        await world.assign(TP(PERFORMANCE, number))
        stamped = event(ahead, 0, timestamp=START / 1e6, timestamp_type=1)
        by_client = event(ahead, 1, timestamp=START / 1e6, timestamp_type=0)
        await world.consume(PERFORMANCE, [stamped, by_client])

    asyncio.run(story())
    counts = world.lanes[PERFORMANCE].counts()
    assert (counts["dead"], counts["stored"]) == (1, 1), "the worker's clock stands in for a client's time"


def test_events_of_an_earlier_assignment_are_left_to_be_read_again(world: World) -> None:
    async def story() -> None:
        await world.assign(RUN)
        old, new = event(training("run-1", [1]), 4), event(training("run-1", [1, 2]), 4, generation=2)
        world.app.consumer_generation_id = 2
        await world.assign(RUN)
        await world.consume(TRAINING, [old], [new])
        await world.workers.flush_due()

    asyncio.run(story())
    assert world.lanes[TRAINING].counts()["in"] == 2
    assert world.stored() == 2


def test_events_wait_until_their_partition_was_taken_over(world: World) -> None:
    async def story() -> None:
        reading = asyncio.create_task(world.consume(TRAINING, [event(training("run-1", [1]), 0)]))
        while not world.lanes[TRAINING].partitions:
            await asyncio.sleep(0)
            assert not reading.done()
            await world.assign(RUN)
        await reading

    asyncio.run(story())
    assert world.lanes[TRAINING].counts()["in"] == 1


def test_an_error_that_nobody_expected_ends_the_worker_and_nothing_half_taken_in_passes(world: World) -> None:
    lane = world.lanes[TRAINING]
    fold = lane._deriver.fold

    def broken(arrivals: Any, now: float) -> None:
        if len(arrivals) > 1:
            raise TypeError("a bug")
        fold(arrivals, now)

    async def story() -> None:
        await world.assign(RUN)
        lane._deriver.fold = broken
        first = event(training("run-1", [1]), 0)
        others = [event(training("run-1", [2], seq=1), 1), event(training("run-1", [3], seq=2), 2)]
        await world.consume(TRAINING, [first])
        await world.workers.flush_due()
        with pytest.raises(TypeError):
            await world.consume(TRAINING, others)
        await world.workers.close()

    asyncio.run(story())
    assert [str(error) for error in world.app.crashed] == ["a bug"]
    assert world.app.consumer.committed == {RUN: 1}


def test_a_store_that_is_away_for_a_moment_is_asked_again(world: World) -> None:
    async def story() -> None:
        await world.assign(RUN)
        await world.consume(TRAINING, [event(training("run-1", [1]), 0)])
        world.store.fail("write", 0, 1)
        await world.workers.flush_due()

    asyncio.run(story())
    assert world.app.consumer.committed == {RUN: 1}
    assert world.stored() == 1
    assert world.app.crashed == []


def test_a_store_that_stays_away_ends_the_worker(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_app, "_OUTAGE_S", -1.0)

    async def story() -> None:
        await world.assign(RUN)
        await world.consume(TRAINING, [event(training("run-1", [1]), 0)])
        world.store.fail("write", 0)
        with pytest.raises(StoreUnavailable):
            await world.workers.flush_due()

    asyncio.run(story())
    assert [type(error) for error in world.app.crashed] == [StoreUnavailable]
    assert world.app.consumer.committed == {}


def test_many_rows_are_flushed_before_more_are_taken(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_app, "_FLUSH_ROWS", 3)

    async def story() -> None:
        await world.assign(RUN)
        await world.consume(TRAINING, [event(training("run-1", [1, 2]), 0)])
        assert world.stored() == 0
        await world.consume(TRAINING, [event(training("run-1", [3, 4], seq=2), 1)])
        assert world.stored() == 4

    asyncio.run(story())


def test_a_lane_that_was_flushed_just_now_is_not_flushed_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_app, "_FLUSH_S", 3600.0)

    async def story() -> None:
        await world.assign(RUN)
        world.workers._flushed[TRAINING] = float("inf")
        await world.consume(TRAINING, [event(training("run-1", [1]), 0)])
        await world.workers.flush_due()

    asyncio.run(story())
    assert world.stored() == 0


def test_a_topic_without_a_partition_in_the_new_assignment_is_let_go(world: World) -> None:
    async def story() -> None:
        await world.assign(RUN, TP(PERFORMANCE, 1))
        await world.assign(TP(PERFORMANCE, 2))
        assert world.lanes[TRAINING].partitions == []
        assert world.lanes[PERFORMANCE].partitions == [2]
        await world.workers.revoked([TP(PERFORMANCE, 2)])
        assert world.lanes[PERFORMANCE].partitions == []

    asyncio.run(story())


def test_a_partition_committed_past_its_stored_progress_is_read_from_there(world: World) -> None:
    async def story() -> None:
        await world.assign(RUN)
        await world.consume(TRAINING, [event(training("run-1", [1]), 0)])
        await world.workers.flush_due()
        other = TP(TRAINING, (HOME + 1) % PARTITIONS)
        world.app.consumer.at = {RUN: 9, other: 0}
        await world.assign(RUN, other)

    asyncio.run(story())
    assert world.app.consumer.at[RUN] == 1


def test_a_partition_is_let_go_only_after_the_flush_that_holds_it_has_committed(world: World) -> None:
    entered, release = threading.Event(), threading.Event()
    real = world.store.real

    def slow(batch: Any) -> Any:
        entered.set()
        release.wait(10)
        return real.write(batch)

    async def story() -> None:
        await world.assign(RUN)
        await world.consume(TRAINING, [event(training("run-1", [1, 2]), 0)])
        world.store.write = slow  # type: ignore[attr-defined]
        flush = asyncio.create_task(world.workers.flush_due())
        await asyncio.to_thread(entered.wait, 10)
        revoke = asyncio.create_task(world.workers.revoked([RUN]))
        await asyncio.sleep(0)
        assert world.lanes[TRAINING].partitions == [HOME]
        assert world.heartbeat()["counts"][TRAINING]["stored"] == 2, "a heartbeat does not wait"
        release.set()
        await revoke
        assert world.app.consumer.committed == {RUN: 1}
        assert world.lanes[TRAINING].partitions == []
        await flush

    asyncio.run(story())
    assert world.stored() == 2


def test_ending_stores_commits_and_releases_what_was_taken_in(world: World) -> None:
    async def story() -> None:
        await world.assign(RUN)
        await world.consume(TRAINING, [event(training("run-1", [1, 2]), 0)])
        await world.workers.close()

    asyncio.run(story())
    assert world.app.consumer.committed == {RUN: 1}
    assert world.stored() == 2
    assert orjson.loads(world.store.get_state(f"progress/{TRAINING}/{HOME}"))["released"] is True


def test_ending_does_not_insist_on_a_store_that_is_away(world: World) -> None:
    async def story() -> None:
        await world.assign(RUN)
        await world.consume(TRAINING, [event(training("run-1", [1]), 0)])
        world.store.fail("write", 0)
        await world.workers.close()

    asyncio.run(story())
    assert world.app.consumer.committed == {}
    assert world.app.crashed == []


@pytest.mark.parametrize("how", ["refused", "moved"])
def test_a_worker_that_lost_its_partition_during_a_flush_tells_what_it_wrote(world: World, how: str) -> None:
    async def story() -> None:
        await world.assign(RUN)
        await world.consume(TRAINING, [event(training("run-1", [1, 70]), 0)])
        if how == "refused":
            world.app.consumer.member = False
        else:
            world.app.consumer.owned = set()
        await world.workers.flush_due()

    asyncio.run(story())
    (told,) = (message for message in world.published.messages if RECOMPUTE in message.headers)
    assert (told.topic, told.partition, told.key) == (TRAINING, HOME, b"run-1")
    assert orjson.loads(told.value)["places"] == [0, 1]


def test_a_worker_that_kept_its_partition_tells_nothing(world: World) -> None:
    async def story() -> None:
        await world.assign(RUN)
        await world.consume(TRAINING, [event(training("run-1", [1, 70]), 0)])
        await world.workers.flush_due()

    asyncio.run(story())
    assert not any(RECOMPUTE in message.headers for message in world.published.messages)


def test_the_app_reads_from_the_beginning_and_leaves_acknowledging_to_the_lanes(tmp_path: Path) -> None:
    app = create_app(KafkaSettings(bootstrap_servers="a:1,b:2", group="g", partitions=6), str(tmp_path))
    assert [str(url) for url in app.conf.broker] == ["kafka://a:1", "kafka://b:2"]
    assert app.conf.id == "g"
    assert app.conf.broker_session_timeout == 6
    assert app.conf.stream_wait_empty is False
    assert app.conf.web_enabled is False
    assert app.conf.broker_credentials is None


@pytest.mark.parametrize(
    ("settings", "protocol"),
    [
        ({"security_protocol": "SSL"}, "SSL"),
        ({"security_protocol": "SASL_PLAINTEXT", "sasl_username": "u", "sasl_password": "p"}, "SASL_PLAINTEXT"),
        ({"security_protocol": "SASL_SSL", "sasl_username": "u", "sasl_password": "p"}, "SASL_SSL"),
    ],
)
def test_credentials_are_those_of_the_settings_and_encrypted_where_these_say_so(
    settings: dict[str, str], protocol: str, tmp_path: Path
) -> None:
    kafka = KafkaSettings.model_validate({"bootstrap_servers": "a:1", "sasl_mechanism": "SCRAM-SHA-512", **settings})
    credentials: Any = create_app(kafka, str(tmp_path)).conf.broker_credentials
    assert credentials.protocol.value == protocol
    if "sasl_username" in settings:
        assert (credentials.username, credentials.password) == ("u", "p")
        assert credentials.mechanism.value == "SCRAM-SHA-512"
