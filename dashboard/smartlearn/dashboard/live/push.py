"""From the board to the clients: encoded once, put on a small queue each; a slow client loses the oldest.

The WebSocket route checks where a page comes from by itself: browsers send cookies and reach loopback from anywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, Protocol, TypeAlias
from urllib.parse import urlsplit

import orjson
from fastapi import FastAPI
from starlette.websockets import WebSocket, WebSocketDisconnect

from smartlearn.core.errors import SmartLearnError
from smartlearn.dashboard import queries
from smartlearn.dashboard.live.board import Board, Sample, Standing
from smartlearn.dashboard.live.feed import BrokerStatus
from smartlearn.dashboard.queries.history import History

ROUTE: Final = "/live"

# Workers speak twice a second; updates go out a little faster, so that none waits long for the next.
_EVERY_S: Final = 0.25
# Without news an update goes out all the same: ages and states move on.
_IDLE_S: Final = 1.0
# Transitions are pushed as they come; the store is asked in case one was retracted or missed.
REREAD_S: Final = 30.0
_WRITTEN_AFTER_S: Final = 2.0
_ALERTED_S: Final = 15.0
_QUEUED: Final = 8
_MOST_WATCHED: Final = 200

_WRONG_ORIGIN: Final = 4403


Take: TypeAlias = Callable[[Mapping[str, Any]], None]


class Feed(Protocol):
    """What tells the board what happens: a `LiveFeed`, or one of a collector."""

    @property
    def status(self) -> BrokerStatus:
        """What is known of the broker."""
        ...

    def start(self) -> None:
        """Begin."""
        ...

    def stop(self) -> None:
        """End, within a second or two."""
        ...


MakeFeed: TypeAlias = Callable[[Take, Take, Callable[[], None]], Feed]


Watched: TypeAlias = frozenset[str] | None
"""The nodes that a page watches, all of them where it names none; None is a page that only shows the state."""


class Client:
    """One open page: what it watches, and the updates it has not taken yet."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self._queue: asyncio.Queue[str] = asyncio.Queue(_QUEUED)

    def put(self, text: str) -> None:
        """Queue an update; the oldest goes when the client is slow."""
        if self._queue.full():
            self._queue.get_nowait()
        self._queue.put_nowait(text)

    async def next(self) -> str:
        """The next update."""
        return await self._queue.get()


class LiveHub:
    """Feeds all clients from one consumer.

    Args:
        standing: what stands, as the store has it; read at the start, after a transition, and now and then.
        clock: ns; the present.
        feed: makes the feed, given what takes a live message, a transition, and a turn of its loop.
        reread_s: how often what stands is read again, to be sure.
    """

    def __init__(
        self,
        standing: Callable[[], Iterable[Standing]],
        clock: Callable[[], int],
        feed: MakeFeed,
        reread_s: float = REREAD_S,
    ) -> None:
        self._standing = standing
        self._clock = clock
        self._reread_s = reread_s
        self._board = Board()
        self._feed = feed(self._live, self._alert, self._turn)
        self._taking = threading.Lock()
        self._clients: set[Client] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = False
        self._sent = 0.0
        self._reread_at = 0.0
        self._alerted = float("-inf")
        self._report: tuple[dict[str, Any], dict[str, int], dict[str, dict[str, int]]] = ({}, {}, {})

    @property
    def clients(self) -> int:
        """How many pages show what happens now."""
        return sum(1 for client in self._clients if client.watched is not None)

    @property
    def broker(self) -> BrokerStatus:
        """What is known of the broker."""
        return self._feed.status

    def workers(self) -> dict[str, Any]:
        """Worker → pid, whether it answers, and its partitions by topic."""
        return self._report[0]

    def lag(self) -> dict[str, int]:
        """Topic → messages not read yet."""
        return self._report[1]

    def counts(self) -> dict[str, dict[str, int]]:
        """Topic → what → how many."""
        return self._report[2]

    def recent(self, nodes: Iterable[str] = ()) -> list[Sample]:
        """What was heard in the last two minutes, of some nodes, or of all: newer than what the store has."""
        with self._taking:
            return self._board.recent(self._now(), frozenset(nodes))

    def start(self) -> None:
        """Begin to follow the topics; call it in the event loop that serves the clients."""
        self._loop = asyncio.get_running_loop()
        self._feed.start()

    def stop(self) -> None:
        """End the consumer."""
        self._feed.stop()

    @contextlib.contextmanager
    def client(self, watched: Watched) -> Iterator[Client]:
        """A client while the context lasts."""
        client = Client(watched)
        self._clients.add(client)
        try:
            yield client
        finally:
            self._clients.discard(client)

    def _live(self, message: Mapping[str, Any]) -> None:
        with self._taking:
            self._board.take_live(message, self._now())
        self._news = True

    def _alert(self, message: Mapping[str, Any]) -> None:
        self._board.take_alert(message)
        self._alerted = time.monotonic()
        self._reread_at = min(self._reread_at, self._alerted + _WRITTEN_AFTER_S)
        self._news = True

    def _turn(self) -> None:
        """In the feed's thread: read what stands when it is due, and send an update when there is news."""
        moment = time.monotonic()
        if moment >= self._reread_at:
            recent = moment - self._alerted < _ALERTED_S
            self._reread_at = moment + (min(_WRITTEN_AFTER_S, self._reread_s) if recent else self._reread_s)
            with contextlib.suppress(SmartLearnError):  # the store is away: health says so, what stood stands
                self._board.replace_standing(self._standing())
        since = moment - self._sent
        if since < _EVERY_S or (not self._news and since < _IDLE_S):
            return
        self._sent, self._news = moment, False
        now = self._now()
        self._report = (_workers(self._board, now), self._board.lag(now), self._board.counts(now))
        state = {"broker": self.broker.up, **self._board.state(now)}
        texts = {
            watched: orjson.dumps(state if watched is None else state | self._board.update(now, watched)).decode()
            for watched in {client.watched for client in list(self._clients)}
        }
        self._board.settle(now)
        if texts and self._loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closing
                self._loop.call_soon_threadsafe(self._deliver, texts)

    def _deliver(self, texts: Mapping[Watched, str]) -> None:
        for client in self._clients:
            if (text := texts.get(client.watched)) is not None:
                client.put(text)

    def _now(self) -> int:
        return self._clock() // 1000


def add_route(server: FastAPI, hub: LiveHub) -> None:
    """Serve the hub's updates at /live, to pages of this very address only.

    `?node=a,b` watches some nodes, `?state` the state of the system and nothing else.
    """

    @server.websocket(ROUTE)
    async def live(socket: WebSocket) -> None:
        if not same_origin(socket.headers.get("origin"), socket.headers.get("host")):
            await socket.close(_WRONG_ORIGIN, "pages of another address may not read this")
            return
        await socket.accept()
        with hub.client(watched_by(socket.query_params)) as client:
            pump = asyncio.create_task(_pump(socket, client))
            try:
                while True:
                    await socket.receive_text()
            except WebSocketDisconnect:
                pass
            finally:
                pump.cancel()
                with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                    await pump


def same_origin(origin: str | None, host: str | None) -> bool:
    """Whether a page at `origin` was served by `host`."""
    return bool(origin and host) and urlsplit(str(origin)).netloc.lower() == str(host).lower()


def watched_by(query: Mapping[str, str]) -> Watched:
    """What a page asks to watch."""
    if "state" in query:
        return None
    names = [name for name in query.get("node", "").split(",") if name]
    return frozenset(names[:_MOST_WATCHED])


async def _pump(socket: WebSocket, client: Client) -> None:
    while True:
        await socket.send_text(await client.next())


def stored_standing(history: History) -> list[Standing]:
    """The last valid transition of every rule and node.

    Raises:
        StoreError: the store does not answer.
    """
    return [
        Standing(one.rule, one.node, one.state, one.value, one.threshold, one.action, one.at // 1000)
        for one in queries.standing(history)
    ]


def _workers(board: Board, now: int) -> dict[str, Any]:
    answering = board.answering(now)
    return {
        name: {"pid": beat.pid, "answers": name in answering, "assigned": beat.assigned}
        for name, beat in board.workers(now).items()
    }
