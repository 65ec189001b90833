"""A broker in memory, and the clients that speak to it: up, down, full or refusing, as a test wants it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from smartlearn.core.batch import Batch
from smartlearn.core.codec import decode
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import KIND_OF, TOPIC_OF
from smartlearn.producers.rows import Outgoing
from smartlearn.producers.sender import Delivered, Failed, Report

PATIENCE_S = 20.0


@dataclass
class FakeBroker:
    """What clients send to.

    Attributes:
        up: whether it answers.
        refuses: why it refuses every message, if it does.
        room: how many messages a client takes before it is full.
        topics: the topics that it has.
        log: every message that was delivered to an input topic, in order.
        announced: every other one.
        clients: how many clients were made.
    """

    up: bool = True
    refuses: Failed | None = None
    room: int = 1_000_000
    topics: frozenset[str] = frozenset(TOPIC_OF.values())
    log: list[Outgoing] = field(default_factory=list)
    announced: list[Outgoing] = field(default_factory=list)
    clients: list[FakeSender] = field(default_factory=list)

    def connect(self, kafka: KafkaSettings) -> FakeSender:
        sender = FakeSender(self, kafka)
        self.clients.append(sender)
        return sender

    def batches(self) -> list[Batch]:
        return [decode(m.value, kind=KIND_OF[m.topic], topic_boot="", partition=0, offset=0) for m in self.log]

    def rows(self) -> int:
        return sum(message.rows for message in self.log)


class FakeSender:
    """A client whose reports come when it is served, if the broker is up."""

    def __init__(self, broker: FakeBroker, kafka: KafkaSettings) -> None:
        self.broker = broker
        self.kafka = kafka
        self.held: list[tuple[Outgoing, Report]] = []
        self.fatal = False

    def send(self, message: Outgoing, report: Report) -> bool:
        if len(self.held) >= self.broker.room:
            return False
        self.held.append((message, report))
        return True

    def serve(self, timeout_s: float) -> None:
        if not self.broker.up:
            return
        held, self.held = self.held, []
        for message, report in held:
            if self.broker.refuses is not None:
                report(self.broker.refuses)
                continue
            (self.broker.log if message.topic in KIND_OF else self.broker.announced).append(message)
            report(Delivered(message.topic, 0, len(self.broker.log) - 1))

    def give_up(self, *, in_flight: bool = False) -> None:
        held, self.held = self.held, []
        for _, report in held:
            report(Failed("taken back", taken_back=True, hopeless=False))

    def topics(self) -> frozenset[str] | None:
        return self.broker.topics if self.broker.up else None

    def revive(self) -> None:
        return

    @property
    def broken(self) -> str | None:
        return None if self.broker.up else "the broker is down"


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, for a limited time."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)
