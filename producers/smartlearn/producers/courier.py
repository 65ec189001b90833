"""The way of a message from its encoding to the broker, by disk where it must be.

Direct while a broker answers; to the spool while none does, while the client is full, or while older messages wait
there. The spool is drained oldest first with the original bytes, so that a worker knows what it has seen.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

from smartlearn.producers.connection import Connection
from smartlearn.producers.counts import TopicCounts
from smartlearn.producers.rows import Outgoing
from smartlearn.producers.sender import Delivered, Failed, Sender
from smartlearn.producers.spool import Segment, Spool

# Undelivered bytes in the client's hands at most: what kill -9 can cost, and what memory it takes.
IN_FLIGHT_BYTES = 16 << 20

# A report that takes longer means that the broker is away, whatever the connection says. A broker under load answers
# within tens of ms, and a leader change of a cluster may take longer: then what follows waits on disk.
STALL_S = 3.0

# How often the spools of ended processes are looked for.
ADOPT_INTERVAL_S = 10.0


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
        connection: to the broker.
        spool: where messages wait.
        lost: told, each time rows are lost, why.
        clock: seconds, monotonic.
        counts: topic → what became of its rows, the spool's part not included (`tally` has it).
    """

    connection: Connection
    spool: Spool
    lost: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    counts: dict[str, TopicCounts] = field(default_factory=dict)
    _probing: bool = False
    _failure: str | None = None
    _next_adopt: float = 0.0
    _flights: dict[int, _Flight] = field(default_factory=dict)
    _flight_bytes: int = 0
    _number: int = 0
    _loads: deque[_Load] = field(default_factory=deque)
    _announcing: bool = False

    @property
    def announcing(self) -> bool:
        """Whether an announcement is on its way."""
        return self._announcing

    @property
    def idle(self) -> bool:
        """Whether nothing is on its way or waits in the spool."""
        return not self._flights and self.spool.empty

    @property
    def in_flight(self) -> int:
        """How many messages are in the client's hands."""
        return len(self._flights)

    def take(self, message: Outgoing) -> None:
        """Send a message, or keep it."""
        self.of(message.topic).produced += message.rows
        behind = self.spool.waiting or any(load.records for load in self._loads)
        if behind or not self._room or not self._send(message, None):
            self._keep(message)

    def announce(self, message: Outgoing) -> None:
        """Send a message that is nobody's event, if that is possible now; whatever comes of it, it is not kept."""
        sender = self.connection.sender
        if sender is not None and self.connection.reachable and not self._announcing:
            self._announcing = sender.send(message, self._announced)

    def _announced(self, _report: Delivered | Failed) -> None:
        self._announcing = False

    def serve(self) -> None:
        """Take reports, look for the broker, drain the spool. Waits for nothing."""
        sender = self.connection.sender
        if sender is not None:
            sender.serve(0)
            self._judge(sender)
        self._recover(self.connection.look())
        now = self.clock()
        if now >= self._next_adopt:
            self._next_adopt = now + ADOPT_INTERVAL_S
            self.spool.adopt()
        self._drain()
        if self.spool.dropped:
            self.lost("the spool is full, and the oldest events are dropped")

    def tally(self) -> dict[str, TopicCounts]:
        """Topic → what became of its rows so far."""
        dropped, adopted = self.spool.dropped.copy(), self.spool.adopted.copy()
        counts = {topic: TopicCounts() for topic in [*dropped, *adopted]} | dict(self.counts)
        return {
            topic: replace(one, dropped=one.dropped + dropped[topic], adopted=adopted[topic])
            for topic, one in counts.items()
        }

    def of(self, topic: str) -> TopicCounts:
        """The counts of a topic."""
        counts = self.counts.get(topic)
        if counts is None:
            counts = self.counts[topic] = TopicCounts()
        return counts

    def put_down(self) -> None:
        """Stop sending: what is not delivered goes to the spool."""
        self._recover(self.connection.drop())
        self.spool.close()

    def _judge(self, sender: Sender) -> None:
        """Decide whether the client and its broker are still of use."""
        failure, self._failure = self._failure, None
        oldest = next(iter(self._flights.values()), None)
        stalled = oldest is not None and self.clock() - oldest.sent > STALL_S
        reachable = self.connection.reachable
        if sender.fatal or (reachable and (stalled or sender.broken is not None)):
            # A broker that comes back may have forgotten this client (the embedded one always has), and a client
            # whose messages were taken back may wait for them for ever; a new one costs some ms.
            self.connection.away(sender.broken or ("it does not answer" if stalled else "the client failed"))
            self._recover(self.connection.drop())
        elif failure is not None and reachable:
            # The broker answers and refuses: try with one message, now and then.
            self._probing = True
            self.connection.pause(failure)

    def _recover(self, sender: Sender | None) -> None:
        """Take everything back from a client that is of no more use."""
        if sender is None:
            return
        sender.give_up(in_flight=True)
        for number in list(self._flights):
            self._report(number, Failed("the client was closed", taken_back=True, hopeless=False))

    @property
    def _room(self) -> bool:
        if not self.connection.reachable:
            return False
        return not self._flights if self._probing else self._flight_bytes < IN_FLIGHT_BYTES

    def _send(self, message: Outgoing, load: _Load | None) -> bool:
        sender = self.connection.sender
        if sender is None:
            return False
        self._number += 1
        number = self._number
        self._flights[number] = _Flight(message, self.clock(), load)
        self._flight_bytes += len(message.value)
        if sender.send(message, partial(self._report, number)):
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
