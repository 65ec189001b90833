"""The thread of a producer: takes what was emitted, encodes it, and hands it to the courier."""

from __future__ import annotations

import threading
import time
from _thread import start_new_thread
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from smartlearn.core.batch import Batch
from smartlearn.core.codec import encode_batch
from smartlearn.core.topics import TOPIC_OF
from smartlearn.producers.courier import Courier
from smartlearn.producers.notices import Notices
from smartlearn.producers.rows import Encoder, Outgoing, Row

# A row waits as three entries of a deque and not as a tuple: one container less for the garbage collector, whose full
# collections would otherwise fall into the callers of `emit` (20 ms were seen).
ENTRIES: Final = 3

# A thread that encodes holds the interpreter; in small portions its program hardly notices.
_ROWS_PER_TURN: Final = 5_000

# A broker answers within so long, or what is there goes to disk rather than wait for it.
_UNDECIDED_S: Final = 0.5

# Beyond it, waiting for a broker that is away would only delay the end of the program.
_AWAY_GRACE_S: Final = 0.2

# A full queue is on disk within a second or two; a disk that hangs may not keep a program from ending.
_WRITE_DOWN_S: Final = 10.0

# One message to a broker that answers; the ledger is not worth more of a program's end.
_ANNOUNCE_S: Final = 0.5


class Pump:
    """Moves rows from their queue to the courier, in a thread that starts when there is something to move.

    Attributes:
        rows: the queue: kind, timestamp and fields of each row, `ENTRIES` entries; extended by any thread.
        batches: prepared batches, likewise.
        asleep: whether `awaken` must be called after adding to a queue.
        running: whether the thread was started.
        lost: rows that could not be handed on, because of a fault.
    """

    def __init__(
        self,
        courier: Courier,
        encoder: Encoder,
        notices: Notices,
        *,
        linger_s: float,
        note: Callable[[bool], float | None] = lambda _now: None,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare, start nothing.

        Args:
            courier: takes the messages.
            encoder: makes them.
            notices: says what goes wrong.
            linger_s: how long rows wait for others.
            note: called after each turn to note what was counted, with whether it must be now; returns seconds until
                it wants to be called again, or None.
            started: called once, when the thread starts.
        """
        self.rows: deque[Any] = deque()
        self.batches: deque[Batch] = deque()
        self.asleep = True
        self.running = False
        self.lost = 0
        self._courier = courier
        self._encoder = encoder
        self._notices = notices
        self._linger_s = linger_s
        self._note = note
        self._started = started
        self._lock = threading.Lock()
        self._turn = threading.Condition()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._ended = threading.Event()
        self._taken = 0
        self._unnoted_s: float | None = None
        self._deadline = 0.0
        self._undecided_until = float("inf")
        self._all_went = True

    @property
    def waiting(self) -> int:
        """Rows and batches that no message was made of yet."""
        return len(self.rows) // ENTRIES + len(self.batches) + self._taken

    def awaken(self) -> None:
        """Start the thread, or tell it that there is something to do again."""
        with self._lock:
            self.asleep = False
            if self.running:
                self._wake.set()
                return
            self.running = True
            # threading.Thread.start would wait until the thread runs: some ms on a busy machine.
            start_new_thread(self._work, ())
            self._started()

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything is delivered; return whether it is."""
        deadline = time.monotonic() + timeout_s
        with self._turn:
            while self.waiting or not self._courier.idle:
                left = deadline - time.monotonic()
                if left <= 0 or self._ended.is_set():
                    return False
                self._wake.set()
                self._turn.wait(min(left, self._linger_s))
        return True

    def end(self, timeout_s: float) -> bool:
        """Deliver what is left, or leave it on disk, and end the thread; return whether all was delivered."""
        self._deadline = time.monotonic() + timeout_s
        self._closing.set()
        self._wake.set()
        self._ended.wait()
        return self._all_went

    def _work(self) -> None:
        # The first rows may wait for company, and whoever emitted them has the interpreter back at once.
        self._wake.wait(self._linger_s)
        self._undecided_until = time.monotonic() + _UNDECIDED_S
        try:
            while not self._closing.is_set():
                self._safe_turn()
                if len(self.rows) < self._encoder.batch_rows * ENTRIES:
                    self._rest()
            self._finish()
        finally:
            self._ended.set()

    def _rest(self) -> None:
        """Wait for more rows: the time of a linger, or until some come where nothing at all is left to do."""
        if self.waiting or not self._courier.idle:
            self._wake.wait(self._linger_s)
        else:
            self.asleep = True
            # A row that came before the flag was up has not woken anybody.
            if not self.waiting and not self._closing.is_set():
                self._wake.wait(self._unnoted_s)
            self.asleep = False
            self._closing.wait(self._linger_s)
        self._wake.clear()

    def _safe_turn(self) -> None:
        """One turn; what nobody foresaw costs the rows of the turn, not the thread and all rows after it."""
        try:
            self._one_turn()
        except Exception as error:
            self.lost += self._taken
            self._taken = 0
            self._notices.once("fault", f"events could not be sent, please report this: {error!r}")

    def _one_turn(self) -> None:
        courier = self._courier
        courier.serve()
        if courier.connection.undecided and time.monotonic() < self._undecided_until:
            return
        for message in self._messages():
            courier.take(message)
        self._taken = 0
        courier.serve()
        self._unnoted_s = self._note(False)
        with self._turn:
            self._turn.notify_all()

    def _messages(self) -> list[Outgoing]:
        """What waits, encoded."""
        entries = self.rows
        rows = [
            Row(entries.popleft(), entries.popleft(), entries.popleft())
            for _ in range(min(len(entries) // ENTRIES, _ROWS_PER_TURN))
        ]
        batches = [self.batches.popleft() for _ in range(len(self.batches))]
        self._taken = len(rows) + len(batches)
        messages = self._encoder.encode(rows)
        for kind, reason in self._encoder.refused:
            self._courier.of(TOPIC_OF[kind]).refused += 1
            self._notices.once("refused", f"an event was left out, and others like it will be: {reason}")
        return messages + [
            Outgoing(TOPIC_OF[batch.kind], batch.key.encode(), encode_batch(batch), len(batch)) for batch in batches
        ]

    def _closing_pause(self) -> None:
        self._wake.clear()
        self._wake.wait(0.005)

    def _finish(self) -> None:
        """Deliver what is left while a broker answers; leave the rest on disk."""
        courier, connection = self._courier, self._courier.connection
        away_since: float | None = None
        while True:
            self._safe_turn()
            now = time.monotonic()
            if not self.waiting and courier.idle:
                break
            away_since = None if connection.reachable or connection.undecided else (away_since or now)
            if now >= self._deadline or (away_since is not None and now - away_since >= _AWAY_GRACE_S):
                self._undecided_until = now
                while self.waiting and time.monotonic() < now + _WRITE_DOWN_S:
                    self._safe_turn()
                break
            self._closing_pause()
        self._all_went = courier.idle
        self._note(True)
        announced_by = time.monotonic() + _ANNOUNCE_S
        while courier.announcing and time.monotonic() < announced_by:
            courier.serve()
            self._closing_pause()
        courier.put_down()
        self._note(True)
        with self._turn:
            self._turn.notify_all()
