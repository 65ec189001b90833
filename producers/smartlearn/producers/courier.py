"""The way of a message from its encoding to the broker, by disk where it must be.

Direct while a broker answers; to the spool while none does, while the client is full, or while older messages wait
there. The spool is drained oldest first with the original bytes, so that a worker knows what it has seen.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from confluent_kafka import KafkaException

from smartlearn.core.settings import KafkaSettings
from smartlearn.producers.rows import Outgoing
from smartlearn.producers.sender import Delivered, Failed, Sender
from smartlearn.producers.spool import Segment, Spool

# Undelivered bytes in the client's hands at most: what kill -9 can cost, and what memory it takes.
IN_FLIGHT_BYTES = 16 << 20

# A report that takes longer means that the broker is away, whatever the connection says. A broker under load answers
# within tens of ms, and a leader change of a cluster may take longer: then what follows waits on disk.
STALL_S = 3.0

# How often a missing broker, a new address, or the spools of ended processes are looked for.
LOOK_INTERVAL_S = 0.5
ADOPT_INTERVAL_S = 10.0


@dataclass
class TopicCounts:
    """What became of one topic's rows in this process.

    Attributes:
        produced: rows that were encoded.
        adopted: rows taken over from the spools of processes that ended.
        delivered: rows whose delivery was confirmed, those from spools included.
        spooled: rows that were written to the spool.
        dropped: rows lost because the spool had no room, or the broker refuses them for good.
        refused: rows that break the contract; they are not among the produced.
    """

    produced: int = 0
    adopted: int = 0
    delivered: int = 0
    spooled: int = 0
    dropped: int = 0
    refused: int = 0


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
class _Load:
    """A segment being sent: what is still to send, and how many reports are due."""

    segment: Segment
    records: deque[Outgoing]
    due: int = 0


@dataclass
class _Flight:
    """A message in the client's hands; `load` is the segment that it came from, if any."""

    message: Outgoing
    sent: float
    load: _Load | None


@dataclass
class Courier:
    """Sends messages; used by one thread.

    Attributes:
        locate: says where the broker is, or None while that is not known.
        connect: gives a client.
        topics: the topics that must exist before anything is sent.
        spool: where messages wait.
        away: told, each time the broker turns out to be away, why.
        lost: told, each time rows are lost, why.
        background: runs something that may take seconds, beside the courier's thread.
        clock: seconds, monotonic.
        counts: topic → what became of its rows.
    """

    locate: Callable[[], KafkaSettings | None]
    connect: Callable[[KafkaSettings], Sender]
    topics: frozenset[str]
    spool: Spool
    away: Callable[[str], None]
    lost: Callable[[str], None]
    background: Callable[[Callable[[], None]], None] = start_thread
    clock: Callable[[], float] = time.monotonic
    counts: dict[str, TopicCounts] = field(default_factory=dict)
    _kafka: KafkaSettings | None = None
    _sender: Sender | None = None
    _reachable: bool = False
    _probing: bool = False
    _failure: str | None = None
    _looking: _Look | None = None
    _looked: bool = False
    _next_look: float = 0.0
    _next_adopt: float = 0.0
    _flights: dict[int, _Flight] = field(default_factory=dict)
    _flight_bytes: int = 0
    _number: int = 0
    _loads: deque[_Load] = field(default_factory=deque)

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way or waits in the spool."""
        return not self._flights and self.spool.empty

    @property
    def in_flight(self) -> int:
        """How many messages are in the client's hands."""
        return len(self._flights)

    @property
    def undecided(self) -> bool:
        """Whether it is not known yet, soon after the start, if a broker answers."""
        return not self._looked and (self._sender is None or self._sender.broken is None)

    @property
    def reachable(self) -> bool:
        """Whether a broker answers, as far as is known."""
        return self._reachable

    def take(self, message: Outgoing) -> None:
        """Send a message, or keep it."""
        self.of(message.topic).produced += message.rows
        behind = self.spool.waiting or any(load.records for load in self._loads)
        if not (self._reachable and not behind and self._room and self._send(message, None)):
            self._keep(message)

    def serve(self) -> None:
        """Take reports, look for the broker, drain the spool. Waits for nothing but a round trip at most."""
        if self._sender is not None:
            self._sender.serve(0)
        self._watch()
        self._drain()
        if self.spool.dropped:
            self.lost("the spool is full, and the oldest events are dropped")

    def tally(self) -> dict[str, TopicCounts]:
        """Topic → what became of its rows so far, the spool's part included."""
        for topic in [*self.spool.dropped, *self.spool.adopted]:
            self.of(topic)
        dropped, adopted = self.spool.dropped, self.spool.adopted
        return {
            topic: replace(counts, dropped=counts.dropped + dropped[topic], adopted=adopted[topic])
            for topic, counts in list(self.counts.items())
        }

    def of(self, topic: str) -> TopicCounts:
        """The counts of a topic."""
        counts = self.counts.get(topic)
        if counts is None:
            counts = self.counts[topic] = TopicCounts()
        return counts

    def put_down(self) -> None:
        """Stop sending: what is not delivered goes to the spool."""
        if self._sender is not None:
            self._drop_sender()
        self.spool.close()

    def _watch(self) -> None:
        now = self.clock()
        sender = self._sender
        if sender is not None:
            self._judge(sender, now)
        self._take_answer(now)
        if not self._reachable and self._looking is None and now >= self._next_look:
            self._look()
        if now >= self._next_adopt:
            self._next_adopt = now + ADOPT_INTERVAL_S
            self.spool.adopt()

    def _judge(self, sender: Sender, now: float) -> None:
        """Decide whether the client and its broker are still of use."""
        failure, self._failure = self._failure, None
        stalled = self._stalled(now)
        if sender.fatal or (self._reachable and (stalled or sender.broken is not None)):
            # A broker that comes back may have forgotten this client (the embedded one always has), and a client
            # whose messages were taken back may wait for them for ever; a new one costs some ms.
            self.away(sender.broken or ("it does not answer" if stalled else "the client failed"))
            self._drop_sender()
        elif failure is not None and self._reachable:
            # The broker answers and refuses: try with one message, now and then.
            self.away(failure)
            self._reachable = False
            self._probing = True
            self._next_look = now + LOOK_INTERVAL_S

    def _stalled(self, now: float) -> bool:
        oldest = next(iter(self._flights.values()), None)
        return oldest is not None and now - oldest.sent > STALL_S

    def _look(self) -> None:
        """Ask whether a broker answers that has the topics."""
        kafka = self.locate()
        if kafka is None:
            self._settle(None, "none is known")
            return
        if kafka != self._kafka and self._sender is not None:
            self._drop_sender()
        if self._sender is None:
            try:
                self._kafka, self._sender = kafka, self.connect(kafka)
            except KafkaException as error:
                self._settle(None, f"its settings are refused: {error.args[0].str()}")
                return
        self._looking = _Look(self._sender)
        self.background(self._looking.ask)
        self._take_answer(self.clock())

    def _take_answer(self, now: float) -> None:
        look = self._looking
        if look is None or not look.done:
            return
        self._looking = None
        if look.sender is not self._sender:
            self._next_look = now
        elif look.found is None:
            self._settle(look.sender, "it does not answer")
        elif self.topics <= look.found:
            look.sender.revive()
            self._reachable = self._looked = True
        else:
            self._settle(look.sender, "it has no topics yet: `smartlearn topics create` makes them")

    def _settle(self, sender: Sender | None, reason: str) -> None:
        """Nothing can be sent for now."""
        self._looked = True
        self._next_look = self.clock() + LOOK_INTERVAL_S
        self.away((sender.broken if sender is not None else None) or reason)

    def _drop_sender(self) -> None:
        """The client is of no more use: take everything back."""
        sender, self._sender = self._sender, None
        assert sender is not None
        self._reachable = False
        self._next_look = self.clock()
        sender.give_up(in_flight=True)
        for number in list(self._flights):
            self._report(number, Failed("the client was closed", taken_back=True, hopeless=False))

    @property
    def _room(self) -> bool:
        return not self._flights if self._probing else self._flight_bytes < IN_FLIGHT_BYTES

    def _send(self, message: Outgoing, load: _Load | None) -> bool:
        assert self._sender is not None
        self._number += 1
        number = self._number
        self._flights[number] = _Flight(message, self.clock(), load)
        self._flight_bytes += len(message.value)
        if self._sender.send(message, partial(self._report, number)):
            return True
        del self._flights[number]
        self._flight_bytes -= len(message.value)
        return False

    def _report(self, number: int, report: Delivered | Failed) -> None:
        flight = self._flights.pop(number, None)
        if flight is None:
            return
        self._flight_bytes -= len(flight.message.value)
        load = flight.load
        if load is not None:
            load.due -= 1
        counts = self.of(flight.message.topic)
        if isinstance(report, Delivered):
            self._probing = False
            counts.delivered += flight.message.rows
            return
        if report.hopeless:
            counts.dropped += flight.message.rows
            self.lost(f"the broker refuses a message for good ({report.reason})")
            return
        if not report.taken_back:
            self._failure = report.reason
        if load is not None:
            load.records.appendleft(flight.message)
        else:
            self._keep(flight.message)

    def _keep(self, message: Outgoing) -> None:
        if self.spool.append(message):
            self.of(message.topic).spooled += message.rows

    def _drain(self) -> None:
        while self._loads and not self._loads[0].records and not self._loads[0].due:
            self.spool.remove(self._loads.popleft().segment)
        if not self._reachable:
            return
        for load in self._loads:
            if not self._send_records(load):
                return
        while self._room:
            found = self.spool.next_segment()
            if found is None:
                return
            load = _Load(found[0], deque(found[1]))
            self._loads.append(load)
            if not self._send_records(load):
                return

    def _send_records(self, load: _Load) -> bool:
        """Send what is left of a segment; whether all of it was taken."""
        while load.records:
            if not self._room or not self._send(load.records[0], load):
                return False
            load.records.popleft()
            load.due += 1
        return True
