"""EventProducer: events of a program go to Kafka without the program waiting for anything.

`emit` appends to a bounded queue and returns. A thread of the producer's own groups, validates and encodes what is
there, sends it, and keeps on disk what cannot be sent (see courier.py). Nothing about the broker is ever raised in the
caller; what went wrong is said once on stderr and counted.
"""

from __future__ import annotations

import atexit
import os
import sys
import threading
import time
import uuid
import weakref
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from smartlearn.core.batch import EXTERNAL_SOURCE, PLACED_SOURCES, Batch, Kind
from smartlearn.core.codec import encode_batch
from smartlearn.core.errors import SettingsError
from smartlearn.core.settings import KafkaSettings, Settings
from smartlearn.core.stack import with_stack
from smartlearn.core.topics import TOPIC_OF
from smartlearn.producers.courier import Courier, TopicCounts
from smartlearn.producers.moments import moment_us
from smartlearn.producers.notices import Notices
from smartlearn.producers.rows import Encoder, Fields, Outgoing, Row
from smartlearn.producers.sender import KafkaSender, Sender
from smartlearn.producers.spool import Spool

# A row waits as three entries of a deque and not as a tuple: one container less for the garbage collector, whose full
# collections would otherwise fall into the callers of `emit` (20 ms were seen).
_ENTRIES: Final = 3

# Prepared batches are large; so many are some hundred MB at most.
_WAITING_BATCHES: Final = 1_000

# A thread that encodes holds the interpreter; in small portions its program hardly notices.
_ROWS_PER_TURN: Final = 5_000

# A broker answers within so long, or what is there goes to disk rather than wait for it.
_UNDECIDED_S: Final = 0.5

# A full queue is on disk within a second or two; a disk that hangs may not keep a program from ending.
_WRITE_DOWN_S: Final = 10.0

# Beyond it a flush of a broker that is away would only delay the end of the program.
_AWAY_GRACE_S: Final = 0.2


class EventProducer:
    """Sends events of this process. Safe to use from several threads, and in forked children.

    A child made by fork starts anew: with nothing of what the parent has not sent yet, which the parent sends.

    Args:
        settings: where the broker is (unset: the stack of the data directory, whenever one runs), the spool, limits.
        source: who sends, a bounded tag in the store; the node's name by default.
        connect: makes the Kafka client; for tests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        source: str | None = None,
        connect: Callable[[KafkaSettings], Sender] = KafkaSender,
    ) -> None:
        """Prepare; threads and connections are made at the first event.

        Raises:
            SettingsError: the source is one that the contract reserves.
        """
        self.source = settings.node if source is None else source
        if self.source in PLACED_SOURCES or self.source == EXTERNAL_SOURCE:
            raise SettingsError(f"a node or a source may not be called {self.source}: set another SMARTLEARN_NODE")
        # The program may change its working directory.
        self._settings = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
        self._connect = connect
        self._limit = settings.producer.queue_rows * _ENTRIES
        self._linger_s = settings.producer.linger_ms / 1000
        self._notices = Notices()
        self._reset()
        _producers.add(self)

    def _reset(self) -> None:
        """The state of a process that has sent nothing yet."""
        self.boot = uuid.uuid4().hex
        self._rows: deque[Any] = deque()
        self._batches: deque[Batch] = deque()
        self._overflow = 0
        self._pending = 0
        self._asleep = True
        self._closed = False
        self._start_lock = threading.Lock()
        self._turn = threading.Condition()
        self._wake = threading.Event()
        self._undecided_until = float("inf")
        self._closing = threading.Event()
        self._running = False
        self._ended = threading.Event()
        self._courier = Courier(
            locate=self._locate,
            connect=self._connect,
            topics=frozenset(TOPIC_OF.values()),
            spool=Spool(self._settings.spool_path.absolute(), self.boot, self._settings.producer.spool_bytes),
            away=self._say_away,
            lost=self._say_lost,
        )
        self._encoder = Encoder(self.source, self.boot, self._settings.producer.batch_rows)

    def emit(self, kind: Kind, fields: Fields, timestamp: int | datetime | None = None) -> bool:
        """Take an event; costs a few microseconds and never waits.

        Args:
            kind: what it is.
            fields: the contract's fields, and metrics by their bare names; None is absent, NaN and infinity are
                facts. The mapping must not be changed afterwards. What breaks the contract is left out later,
                counted as refused, and said once.
            timestamp: event time: µs since the epoch, or a datetime (without a zone it is local time, as
                `datetime.now()` gives it); None is now.

        Returns:
            Whether it was taken: not after `close`, nor while the queue is full; then it is counted as dropped.
        """
        if len(self._rows) >= self._limit or self._closed:
            self._overflow += 1
            return False
        if timestamp is None:
            timestamp = time.time_ns() // 1000
        elif isinstance(timestamp, datetime):
            timestamp = moment_us(timestamp)
        self._rows.extend((kind, timestamp, fields))
        if self._asleep:
            self._awaken()
        return True

    def send(self, batch: Batch) -> bool:
        """Take a batch that has its identity already, as `emit` takes an event."""
        if len(self._batches) >= _WAITING_BATCHES or self._closed:
            self._overflow += len(batch)
            return False
        self._batches.append(batch)
        if self._asleep:
            self._awaken()
        return True

    def counts(self) -> dict[str, dict[str, int]]:
        """Topic → what became of its rows in this process so far.

        The words are those of `TopicCounts`: produced + adopted = delivered + dropped + what is still on
        its way or on disk. What `emit` could not take is counted as dropped under the topic "".
        """
        found = {topic: asdict(counts) for topic, counts in self._courier.tally().items()}
        if self._overflow:
            found[""] = asdict(TopicCounts(dropped=self._overflow))
        return found

    @property
    def pending(self) -> int:
        """Rows and batches not yet delivered nor spooled, messages on their way counted as one."""
        return len(self._rows) // _ENTRIES + len(self._batches) + self._pending + self._courier.in_flight

    @property
    def _waiting(self) -> bool:
        return bool(self._rows or self._batches)

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything is delivered; return whether it is. What is not, is kept on disk.

        Args:
            timeout: seconds at most; None is `producer.flush_s` of the settings.
        """
        if not self._running:
            return not self._waiting
        limit = self._settings.producer.flush_s if timeout is None else timeout
        deadline = time.monotonic() + limit
        with self._turn:
            while self._waiting or self._pending or not self._courier.idle:
                left = deadline - time.monotonic()
                if left <= 0 or self._ended.is_set():
                    return False
                self._wake.set()
                self._turn.wait(min(left, self._linger_s))
        return True

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what is there, or leave it on disk; events after it are not taken. Return whether all went.

        Waits only while a broker answers, and `timeout` seconds (None: `producer.flush_s`) at most.
        """
        if self._closed:
            return True
        self._closed = True
        if not self._running:
            return True
        self._deadline = time.monotonic() + (self._settings.producer.flush_s if timeout is None else timeout)
        self._closing.set()
        self._wake.set()
        self._ended.wait()
        return self._all_went

    _deadline: float = 0.0
    _all_went: bool = True

    def __enter__(self) -> EventProducer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _awaken(self) -> None:
        """Start the thread, or tell it that there is something to do again."""
        with self._start_lock:
            self._asleep = False
            if not self._running:
                self._running = True
                # threading.Thread.start would wait until the thread runs: some ms on a busy machine.
                start_new_thread(self._work, ())
                _close_with_multiprocessing(self)
            else:
                self._wake.set()

    def _work(self) -> None:
        # The first rows may wait for company, and whoever emitted them has the interpreter back at once.
        self._wake.wait(self._linger_s)
        self._undecided_until = time.monotonic() + _UNDECIDED_S
        while not self._closing.is_set():
            self._safe_turn()
            if len(self._rows) < self._settings.producer.batch_rows * _ENTRIES:
                self._rest()
        try:
            self._finish()
        finally:
            self._ended.set()

    def _rest(self) -> None:
        """Wait for more rows: the time of a linger, or until some come where nothing at all is left to do."""
        if self._waiting or not self._courier.idle:
            self._wake.wait(self._linger_s)
        else:
            self._asleep = True
            # An event that came before the flag was up has not woken anybody.
            if not self._waiting and not self._closing.is_set():
                self._wake.wait()
            self._asleep = False
            self._wake.clear()
            self._closing.wait(self._linger_s)
        self._wake.clear()

    def _safe_turn(self) -> None:
        """One turn; what nobody foresaw costs the events of the turn, not the thread and all events after it."""
        try:
            self._one_turn()
        except Exception as error:
            self._overflow += self._pending
            self._pending = 0
            self._notices.once("fault", f"events could not be sent, please report this: {error!r}")

    def _one_turn(self) -> None:
        courier = self._courier
        courier.serve()
        if courier.undecided and time.monotonic() < self._undecided_until:
            return
        rows, batches = self._collect()
        for message in self._encode(rows, batches):
            courier.take(message)
        self._pending = 0
        courier.serve()
        if self._overflow:
            self._notices.once(
                "overflow", "events come faster than they can be written down, and some are lost; see counts()"
            )
        with self._turn:
            self._turn.notify_all()

    def _collect(self) -> tuple[list[Row], list[Batch]]:
        entries = self._rows
        rows = [
            Row(entries.popleft(), entries.popleft(), entries.popleft())
            for _ in range(min(len(entries) // _ENTRIES, _ROWS_PER_TURN))
        ]
        batches = [self._batches.popleft() for _ in range(len(self._batches))]
        self._pending = len(rows) + len(batches)
        return rows, batches

    def _encode(self, rows: list[Row], batches: list[Batch]) -> list[Outgoing]:
        messages = self._encoder.encode(rows)
        for kind, reason in self._encoder.refused:
            self._courier.of(TOPIC_OF[kind]).refused += 1
            self._notices.once("refused", f"an event was left out, and others like it will be: {reason}")
        messages += [
            Outgoing(TOPIC_OF[batch.kind], batch.key.encode(), encode_batch(batch), len(batch)) for batch in batches
        ]
        return messages

    def _finish(self) -> None:
        """Deliver what is left while a broker answers; leave the rest on disk."""
        courier = self._courier
        away_since: float | None = None
        while True:
            self._safe_turn()
            now = time.monotonic()
            if not self._waiting and courier.idle:
                break
            away_since = None if courier.reachable or courier.undecided else (away_since or now)
            if now >= self._deadline or (away_since is not None and now - away_since >= _AWAY_GRACE_S):
                while self._waiting and time.monotonic() < now + _WRITE_DOWN_S:
                    self._safe_turn()
                break
            self._wake.wait(0.005)
        self._all_went = courier.idle
        courier.put_down()
        with self._turn:
            self._turn.notify_all()

    def _locate(self) -> KafkaSettings | None:
        try:
            kafka = with_stack(self._settings).kafka
        except ValueError:
            # A record that cannot be read is of a stack of another version.
            return None
        return kafka if kafka.bootstrap_servers else None

    def _say_away(self, reason: str) -> None:
        address = self._settings.kafka.bootstrap_servers
        where = f"the broker at {address}" if address else f"the broker of {self._settings.data_dir}"
        self._notices.once(
            "away",
            f"{where} is not there ({reason}): events are kept in {self._settings.spool_path} and sent when it is",
        )

    def _say_lost(self, reason: str) -> None:
        self._notices.once(reason, f"{reason}; counts() says how many")

    def _after_fork(self) -> None:
        """In a forked child: leave the parent's client, files and events to the parent."""
        _abandoned.append(self._courier)
        self._courier.spool.abandon()
        self._reset()


# A client made before a fork must not be destroyed in the child: its threads are not there.
_abandoned: list[Courier] = []
_producers: weakref.WeakSet[EventProducer] = weakref.WeakSet()


def _close_with_multiprocessing(producer: EventProducer) -> None:
    """Close a producer at the end of a forked worker of multiprocessing, where no atexit function is called."""
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, producer.close, exitpriority=0)


def _close_all() -> None:
    for producer in list(_producers):
        producer.close()


def _fork_all() -> None:
    for producer in list(_producers):
        producer._after_fork()  # noqa: SLF001  of this module


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_fork_all)
