"""Pushes: who may open the socket, what a client gets, and what a closed page leaves."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from tests.unit.dashboard.serving import Serving, serving
from tests.unit.dashboard.test_live_board import NOW, message, standing
from websockets.exceptions import InvalidStatus

from smartlearn.core.errors import StoreUnavailable
from smartlearn.dashboard.live.board import Standing
from smartlearn.dashboard.live.feed import BrokerStatus
from smartlearn.dashboard.live.push import Client, LiveHub, add_route, same_origin, watched_by


class HandFeed:
    """A feed whose messages a test hands over."""

    def __init__(self, live: Any, alert: Any, turn: Callable[[], None]) -> None:
        self.live, self.alert, self.turn = live, alert, turn
        self.started = self.stopped = False
        self.status = BrokerStatus(True)

    def start(self) -> None:
        self.started = True

    def stop(self) -> None:
        self.stopped = True


class Served:
    """A hub behind its route."""

    def __init__(self, stands: Callable[[], list[Standing]] = list) -> None:
        self.feeds: list[HandFeed] = []
        self.hub = LiveHub(stands, lambda: NOW * 1000, self._feed)
        self.app = FastAPI(lifespan=self._lifespan)
        add_route(self.app, self.hub)

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[None]:
        self.hub.start()
        self.loop = asyncio.get_running_loop()
        yield

    def _feed(self, *takes: Any) -> HandFeed:
        self.feeds.append(HandFeed(*takes))
        return self.feeds[-1]

    @property
    def feed(self) -> HandFeed:
        return self.feeds[0]

    def push(self, sent: Mapping[str, Any]) -> None:
        """Hand a message over and send the update."""
        self.feed.live(sent)
        self.hub._sent = 0.0
        self.feed.turn()


@pytest.fixture
def served() -> Served:
    return Served()


@contextmanager
def running(served: Served) -> Iterator[Serving]:
    """The route, served."""
    with serving(served.app) as server:
        yield server


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        ("http://127.0.0.1:8050", "127.0.0.1:8050", True),
        ("https://metrics.example.org", "metrics.example.org", True),
        ("http://LOCALHOST:8050", "localhost:8050", True),
        ("http://evil.example.org", "127.0.0.1:8050", False),
        ("http://127.0.0.1:9000", "127.0.0.1:8050", False),
        ("null", "127.0.0.1:8050", False),
        (None, "127.0.0.1:8050", False),
        ("http://127.0.0.1:8050", None, False),
        ("", "", False),
    ],
)
def test_only_pages_of_this_address_may_read(origin: str | None, host: str | None, allowed: bool) -> None:
    assert same_origin(origin, host) is allowed


@pytest.mark.parametrize("origin", [None, "http://evil.example.org"])
def test_another_page_is_refused(served: Served, origin: str | None) -> None:
    with running(served) as server, pytest.raises(InvalidStatus) as refused, server.socket("/live", origin=origin):
        pass
    assert refused.value.response.status_code == 403
    assert served.hub.clients == 0


def test_a_page_gets_what_moved(served: Served) -> None:
    with running(served) as server, server.socket("/live") as socket:
        until(lambda: served.hub.clients == 1)
        served.push(message(a={"timestamp": NOW, "cpu_usage": 12.5}))
        update = json.loads(socket.recv(5))
    assert update["nodes"]["node"] == ["a"]
    assert update["nodes"]["cpu_usage"] == [12.5]
    assert update["workers"] == {"worker-1": True}


def test_a_page_that_watches_a_node_gets_that_node(served: Served) -> None:
    with running(served) as server, server.socket("/live?node=b,c") as socket:
        until(lambda: served.hub.clients == 1)
        served.push(message(a={"timestamp": NOW, "cpu_usage": 1.0}, b={"timestamp": NOW, "cpu_usage": 2.0}))
        assert json.loads(socket.recv(5))["nodes"]["node"] == ["b"]


def test_a_page_that_shows_the_state_gets_nothing_else(served: Served) -> None:
    with running(served) as server, server.socket("/live?state") as socket:
        until(lambda: len(served.hub._clients) == 1)
        assert served.hub.clients == 0
        served.push(message(a={"timestamp": NOW, "cpu_usage": 1.0}))
        state = json.loads(socket.recv(5))
    assert state == {
        "broker": True, "now": NOW, "workers": {"worker-1": True}, "open": {"critical": 0, "warning": 0},
    }  # fmt: skip


def test_a_page_watches_so_many_nodes_at_most() -> None:
    assert watched_by({}) == frozenset()
    assert watched_by({"node": "a,,b"}) == frozenset({"a", "b"})
    assert watched_by({"state": ""}) is None
    assert len(watched_by({"node": ",".join(map(str, range(5000)))}) or ()) == 200


def test_a_closed_page_leaves_nothing(served: Served) -> None:
    def pumps() -> list[str]:
        return [repr(task) for task in asyncio.all_tasks(served.loop) if "_pump" in repr(task)]

    with running(served) as server:
        for _ in range(3):
            with server.socket("/live"):
                until(lambda: served.hub.clients == 1 and len(pumps()) == 1)
            until(lambda: served.hub.clients == 0 and not pumps())


async def _slow_client() -> list[str]:
    client = Client(frozenset())
    for number in range(20):
        client.put(str(number))
    return [await client.next() for _ in range(8)]


def test_a_slow_client_loses_the_oldest() -> None:
    assert asyncio.run(_slow_client()) == [str(number) for number in range(12, 20)]


def test_what_stands_is_read_at_the_start(served: Served) -> None:
    served = Served(lambda: [standing("critical", NOW)])
    with running(served) as server, server.socket("/live") as socket:
        until(lambda: served.hub.clients == 1)
        served.push(message())
        assert [one["state"] for one in json.loads(socket.recv(5))["alerts"]] == ["critical"]


def test_what_stood_stands_while_the_store_is_away() -> None:
    answers: list[Any] = [[standing("critical", NOW)], StoreUnavailable("away")]

    def stands() -> list[Standing]:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return list(found)

    served = Served(stands)
    with running(served) as server, server.socket("/live") as socket:
        until(lambda: served.hub.clients == 1)
        served.push(message())
        socket.recv(5)
        served.hub._reread_at = 0.0
        served.push(message())
        assert len(json.loads(socket.recv(5))["alerts"]) == 1
    assert not answers


def test_a_hundred_pages_share_one_encoding(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[frozenset[str]] = []

    def update(_: int, watched: frozenset[str]) -> dict[str, int]:
        asked.append(watched)
        return {}

    monkeypatch.setattr(served.hub._board, "update", update)
    for _ in range(100):
        served.hub._clients.add(Client(frozenset()))
    served.hub._clients.add(Client(frozenset({"a"})))
    served.push(message())
    assert sorted(asked, key=len) == [frozenset(), frozenset({"a"})]
