"""EventProducer: events of a program go to Kafka without the program waiting for anything.

`emit` appends to a bounded queue and returns. A thread of the producer's own groups, validates and encodes what is
there (pump.py), sends it, and keeps on disk what cannot be sent (courier.py). Nothing about the broker is ever raised
in the caller; what went wrong is said once on stderr and counted.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from typing import Final

from smartlearn.core.batch import EXTERNAL_SOURCE, PLACED_SOURCES, Batch, Kind
from smartlearn.core.errors import SettingsError
from smartlearn.core.settings import KafkaSettings, Settings
from smartlearn.core.stack import with_stack
from smartlearn.core.topics import TOPIC_OF
from smartlearn.producers import processes
from smartlearn.producers.connection import Connection
from smartlearn.producers.counts import TopicCounts
from smartlearn.producers.courier import Courier
from smartlearn.producers.ledger import Ledger, Notebook
from smartlearn.producers.moments import moment_us
from smartlearn.producers.notices import Notices
from smartlearn.producers.pump import ENTRIES, Pump
from smartlearn.producers.rows import Encoder, Fields
from smartlearn.producers.sender import KafkaSender, Sender
from smartlearn.producers.spool import Spool

# Prepared batches are large; so many are some hundred MB at most.
_WAITING_BATCHES: Final = 1_000


class EventProducer:
    """Sends events of this process. Safe to use from several threads, and in forked children.

    A child made by fork starts anew: with nothing of what the parent has not sent yet, which the parent sends.

    Attributes:
        source: who sends, a bounded tag in the store.
        boot: this start of the producer.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        source: str | None = None,
        connect: Callable[[KafkaSettings], Sender] = KafkaSender,
    ) -> None:
        """Prepare; threads and connections are made at the first event.

        Args:
            settings: where the broker is (unset: the stack of the data directory, whenever one runs), the spool,
                limits.
            source: who sends; the node's name by default.
            connect: makes the Kafka client; for tests.

        Raises:
            SettingsError: the source is one that the contract reserves.
        """
        self.source = settings.node if source is None else source
        if self.source in PLACED_SOURCES or self.source == EXTERNAL_SOURCE:
            raise SettingsError(f"a node or a source may not be called {self.source}: set another SMARTLEARN_NODE")
        # The program may change its working directory.
        self._settings = settings.model_copy(update={"data_dir": settings.data_dir.absolute()})
        self._connect = connect
        self._limit = settings.producer.queue_rows * ENTRIES
        self._notices = Notices()
        self._begin()
        processes.register(self)

    def _begin(self) -> None:
        """The state of a process that has sent nothing yet."""
        self.boot = uuid.uuid4().hex
        self._closed = False
        self._overflow = 0
        producer = self._settings.producer
        connection = Connection(self._locate, self._connect, frozenset(TOPIC_OF.values()), self._say_away)
        spool = Spool(self._settings.spool_path.absolute(), self.boot, producer.spool_bytes)
        self._courier = Courier(connection, spool, self._say_lost)
        self._notebook = Notebook(Ledger(self._settings.data_dir), self.source)
        self._pump = Pump(
            self._courier,
            Encoder(self.source, self.boot, producer.batch_rows),
            self._notices,
            linger_s=producer.linger_ms / 1000,
            note=self._note,
            started=lambda: processes.close_with_multiprocessing(self),
        )
        self._rows = self._pump.rows

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
            self._miss(1)
            return False
        if timestamp is None:
            timestamp = time.time_ns() // 1000
        elif isinstance(timestamp, datetime):
            timestamp = moment_us(timestamp)
        self._rows.extend((kind, timestamp, fields))
        if self._pump.asleep:
            self._pump.awaken()
        return True

    def send(self, batch: Batch) -> bool:
        """Take a batch that has its identity already, as `emit` takes an event."""
        if len(self._pump.batches) >= _WAITING_BATCHES or self._closed:
            self._miss(len(batch))
            return False
        self._pump.batches.append(batch)
        if self._pump.asleep:
            self._pump.awaken()
        return True

    def counts(self) -> dict[str, dict[str, int]]:
        """Topic → what became of its rows in this process so far, in the words of `TopicCounts`.

        What `emit` could not take is counted as dropped under the topic "".
        """
        return {topic: asdict(counts) for topic, counts in self._tally().items()}

    @property
    def pending(self) -> int:
        """Rows and batches not yet delivered nor spooled; messages on their way count as one."""
        return self._pump.waiting + self._courier.in_flight

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until everything is delivered; return whether it is. What is not, is kept on disk.

        Args:
            timeout: seconds at most; None is `producer.flush_s` of the settings.
        """
        if not self._pump.running:
            return True
        return self._pump.drain(self._settings.producer.flush_s if timeout is None else timeout)

    def close(self, timeout: float | None = None) -> bool:
        """Deliver what is there, or leave it on disk; events after it are not taken. Return whether all went.

        Waits only while a broker answers, and `timeout` seconds (None: `producer.flush_s`) at most. It is called at
        the end of the process by itself.
        """
        if self._closed:
            return True
        self._closed = True
        if not self._pump.running:
            return True
        return self._pump.end(self._settings.producer.flush_s if timeout is None else timeout)

    def after_fork(self) -> None:
        """In a forked child: leave the parent's client, files and events to the parent."""
        _abandoned.append(self._courier)
        self._courier.spool.abandon()
        self._begin()

    def __enter__(self) -> EventProducer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _tally(self) -> dict[str, TopicCounts]:
        missed = self._overflow + self._pump.lost
        return self._courier.tally() | ({"": TopicCounts(dropped=missed)} if missed else {})

    def _note(self, now: bool) -> float | None:
        """Bring the counts into the ledger, in the producer's thread."""
        wait = self._notebook.note(self._tally(), now=now)
        announcement = self._notebook.announcement(now=now)
        if announcement is not None:
            self._courier.announce(announcement)
        return wait

    def _miss(self, rows: int) -> None:
        self._overflow += rows
        if not self._closed:
            self._notices.once(
                "overflow", "events come faster than they can be written down, and some are lost; see counts()"
            )

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


# A client made before a fork must not be destroyed in the child: its threads are not there.
_abandoned: list[Courier] = []
