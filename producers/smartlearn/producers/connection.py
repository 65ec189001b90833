"""The connection of a producer: where the broker is, whether it answers, and the client that speaks to it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from confluent_kafka import KafkaException

from smartlearn.core.settings import KafkaSettings
from smartlearn.producers.sender import Sender

# How often a missing broker, or one that refuses, is looked for.
LOOK_INTERVAL_S = 0.5


def start_thread(work: Callable[[], None]) -> None:
    """Run something in a thread of its own that does not keep the process alive."""
    threading.Thread(target=work, name="smartlearn-look", daemon=True).start()


@dataclass
class _Look:
    """A question to the broker, which topics it has; what it found is None where the broker did not answer."""

    sender: Sender
    found: frozenset[str] | None = None
    done: bool = False

    def ask(self) -> None:
        self.found = self.sender.topics()
        self.done = True


@dataclass
class Connection:
    """Finds the broker, and finds it again. Used by one thread.

    Attributes:
        locate: says where the broker is, or None while that is not known.
        connect: gives a client.
        topics: the topics that must exist before anything is sent.
        away: told, each time the broker turns out to be away, why.
        background: runs something that may take seconds, beside this thread.
        clock: seconds, monotonic.
        sender: the client, if there is one.
        reachable: whether the broker answers and has the topics, as far as is known.
    """

    locate: Callable[[], KafkaSettings | None]
    connect: Callable[[KafkaSettings], Sender]
    topics: frozenset[str]
    away: Callable[[str], None]
    background: Callable[[Callable[[], None]], None] = start_thread
    clock: Callable[[], float] = time.monotonic
    sender: Sender | None = None
    reachable: bool = False
    _kafka: KafkaSettings | None = None
    _looking: _Look | None = None
    _looked: bool = False
    _next_look: float = 0.0

    @property
    def undecided(self) -> bool:
        """Whether it is not known yet, soon after the start, if a broker answers."""
        return not self._looked and (self.sender is None or self.sender.broken is None)

    def look(self) -> Sender | None:
        """Look for the broker, if it is time to; return the client that is of no more use, if it moved."""
        self._take_answer()
        if self.reachable or self._looking is not None or self.clock() < self._next_look:
            return None
        kafka = self.locate()
        if kafka is None:
            self._settle("none is known")
            return None
        left = self.drop() if kafka != self._kafka and self.sender is not None else None
        if self.sender is None:
            try:
                self._kafka, self.sender = kafka, self.connect(kafka)
            except KafkaException as error:
                self._settle(f"its settings are refused: {error.args[0].str()}")
                return left
        self._looking = _Look(self.sender)
        self.background(self._looking.ask)
        self._take_answer()
        return left

    def pause(self, reason: str) -> None:
        """The broker refuses: keep the client, and try again in a moment."""
        self.reachable = False
        self._next_look = self.clock() + LOOK_INTERVAL_S
        self.away(reason)

    def drop(self) -> Sender | None:
        """Part with the client, and look for the broker at once; return the client."""
        sender, self.sender = self.sender, None
        self.reachable = False
        self._next_look = self.clock()
        return sender

    def _take_answer(self) -> None:
        look = self._looking
        if look is None or not look.done:
            return
        self._looking = None
        if look.sender is not self.sender:
            self._next_look = self.clock()
        elif look.found is None:
            self._settle("it does not answer")
        elif self.topics <= look.found:
            look.sender.revive()
            self.reachable = self._looked = True
        else:
            self._settle("it has no topics yet: `smartlearn topics create` makes them")

    def _settle(self, reason: str) -> None:
        """Nothing can be sent for now."""
        self._looked = True
        self._next_look = self.clock() + LOOK_INTERVAL_S
        self.away((self.sender.broken if self.sender is not None else None) or reason)
