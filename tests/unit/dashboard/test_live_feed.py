"""The feed where there is no broker, and what it makes of messages."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import ALERTS, LIVE
from smartlearn.dashboard.live.feed import LiveFeed


class Message:
    """A Kafka message by hand."""

    def __init__(self, topic: str, value: bytes | None, error: object = None, offset: int = 0) -> None:
        self._parts = topic, value, error
        self._offset = offset

    def offset(self) -> int:
        return self._offset

    def topic(self) -> str:
        return self._parts[0]

    def value(self) -> bytes | None:
        return self._parts[1]

    def error(self) -> object:
        return self._parts[2]


def feed(kafka: KafkaSettings, turns: list[float] | None = None) -> tuple[LiveFeed, list[Any], list[Any]]:
    live: list[Any] = []
    alerts: list[Any] = []
    told = turns if turns is not None else []
    return LiveFeed(kafka, live.append, alerts.append, lambda: told.append(time.monotonic())), live, alerts


def until(condition: Callable[[], bool], patience_s: float = 20) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_broker_that_is_away_is_said_once_asked_and_quietly(capfd: pytest.CaptureFixture[str]) -> None:
    turns: list[float] = []
    source, _, _ = feed(KafkaSettings(bootstrap_servers=f"127.0.0.1:{closed_port()}"), turns)
    source.start()
    until(lambda: source.status.reason.startswith("no Kafka broker answers at 127.0.0.1:"))
    count = len(turns)
    until(lambda: len(turns) > count)
    source.stop()
    assert not source.status.up
    assert capfd.readouterr() == ("", "")


def test_no_broker_set_is_said() -> None:
    source, _, _ = feed(KafkaSettings(bootstrap_servers=None))
    source.start()
    until(lambda: "no Kafka broker is set" in source.status.reason)
    source.stop()


def test_each_topic_has_its_reader() -> None:
    source, live, alerts = feed(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    one: Any = Message(LIVE, orjson.dumps({"worker": "w"}))
    other: Any = Message(ALERTS, orjson.dumps({"rule": "r"}))
    source._handle(one)
    source._handle(other)
    assert (live, alerts) == ([{"worker": "w"}], [{"rule": "r"}])


@pytest.mark.parametrize("message", [Message(LIVE, None), Message(LIVE, b"{}", error="gone"), Message("other", b"{}")])
def test_what_is_no_message_is_passed_over(message: Any) -> None:
    source, live, alerts = feed(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    source._handle(message)
    assert (live, alerts) == ([], [])


def test_a_broken_message_is_logged_and_the_next_one_read(caplog: pytest.LogCaptureFixture) -> None:
    source, live, _ = feed(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    for value in (b"not json", b'{"worker":"w"}'):
        message: Any = Message(LIVE, value)
        source._handle(message)
    assert live == [{"worker": "w"}]
    assert LIVE in caplog.text


def test_a_defect_does_not_end_the_feed(monkeypatch: pytest.MonkeyPatch) -> None:
    source, _, _ = feed(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    tries: list[int] = []

    def follow() -> None:
        tries.append(1)
        raise ZeroDivisionError

    monkeypatch.setattr(source, "_follow", follow)
    source.start()
    until(lambda: len(tries) > 1)
    source.stop()
    assert source.status.reason == "the live feed failed; the dashboard's log says why"
