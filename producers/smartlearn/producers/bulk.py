"""Sending many prepared batches at once and waiting for them: imports and the demo's history."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from confluent_kafka import ConsumerGroupTopicPartitions, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from smartlearn.core.batch import Batch
from smartlearn.core.codec import encode_batch
from smartlearn.core.errors import BrokerError, BrokerUnavailable, StoreUnavailable
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import REQUEST_TIMEOUT_S, TOPIC_OF, client_config
from smartlearn.producers.counts import TopicCounts
from smartlearn.producers.ledger import Account, Ledger
from smartlearn.producers.rows import Outgoing
from smartlearn.producers.sender import Delivered, Failed, KafkaSender

Offsets: TypeAlias = dict[tuple[str, int], int]
"""(topic, partition) → the highest offset that was delivered there."""

Progress: TypeAlias = Callable[[int, int], None]
"""Told the rows that were delivered so far, and the rows in all."""

# A broker that accepts nothing for so long is gone; a failover of a cluster takes about 12 s.
_SILENCE_S: Final = 30.0

# One message to a broker that answers.
_ANNOUNCE_S: Final = 1.0

# How often the group is asked how far it is.
_ASK_INTERVAL_S: Final = 0.2


def send_all(
    kafka: KafkaSettings,
    batches: Iterable[Batch],
    progress: Progress = lambda _done, _total: None,
    *,
    ledger: Ledger | None = None,
) -> Offsets:
    """Send batches and wait until each is delivered.

    Args:
        kafka: where the broker is.
        batches: what to send.
        progress: told how far it is.
        ledger: where what was sent is counted; that it cannot be is no reason to fail.

    Raises:
        SettingsError: no broker is set.
        BrokerUnavailable: no broker answers, or it stopped to; what was sent until then stays sent.
        BrokerError: the broker lacks the topics, or refuses a message.
    """
    prepared = list(batches)
    total = sum(map(len, prepared))
    if not prepared:
        return {}
    sender = KafkaSender(kafka)
    _require_topics(kafka, sender, {TOPIC_OF[batch.kind] for batch in prepared})
    run = _Run(kafka, sender, progress, total)
    try:
        return run.send(prepared)
    finally:
        if ledger is not None:
            run.account(ledger)


class _Run:
    """One bulk sending."""

    def __init__(self, kafka: KafkaSettings, sender: KafkaSender, progress: Progress, total: int) -> None:
        self._kafka = kafka
        self._sender = sender
        self._progress = progress
        self._total = total
        self._done = 0
        self._due = 0
        self._offsets: Offsets = {}
        self._failure: Failed | None = None
        self._heard = time.monotonic()
        self.counts: dict[Account, TopicCounts] = {}

    def send(self, batches: Sequence[Batch]) -> Offsets:
        for batch in batches:
            message = Outgoing(TOPIC_OF[batch.kind], batch.key.encode(), encode_batch(batch), len(batch))
            self._due += 1
            counts = self.counts.setdefault((batch.source, message.topic), TopicCounts())
            counts.produced += len(batch)
            while not self._sender.send(message, self._report_of(len(batch), counts)):
                self._serve(0.1)
            self._serve(0)
        while self._due:
            self._serve(0.1)
        self._check()
        return self._offsets

    def account(self, ledger: Ledger) -> None:
        """Count what was sent, and announce it if the broker still answers."""
        with contextlib.suppress(StoreUnavailable):
            ledger.add(self.counts)
            announced: list[object] = []
            if self._sender.send(ledger.read().message(), announced.append):
                deadline = time.monotonic() + _ANNOUNCE_S
                while not announced and time.monotonic() < deadline:
                    self._sender.serve(0.05)

    def _report_of(self, rows: int, counts: TopicCounts) -> Callable[[Delivered | Failed], None]:
        def report(outcome: Delivered | Failed) -> None:
            self._due -= 1
            if isinstance(outcome, Failed):
                self._failure = self._failure or outcome
                return
            self._heard = time.monotonic()
            place = (outcome.topic, outcome.partition)
            self._offsets[place] = max(self._offsets.get(place, -1), outcome.offset)
            self._done += rows
            counts.delivered += rows
            self._progress(self._done, self._total)

        return report

    def _serve(self, timeout_s: float) -> None:
        self._sender.serve(timeout_s)
        self._check()

    def _check(self) -> None:
        silent = time.monotonic() - self._heard > _SILENCE_S
        failure = self._failure
        if failure is not None and failure.hopeless:
            raise BrokerError(f"the broker refuses a message: {failure.reason}")
        if failure is not None or silent or self._sender.fatal:
            reason = failure.reason if failure is not None else self._sender.broken or "it does not answer"
            raise BrokerUnavailable(
                f"the broker at {self._kafka.bootstrap_servers} went away after {self._done} of {self._total} events "
                f"({reason}): do the same again when it is back, nothing is doubled"
            )


def _require_topics(kafka: KafkaSettings, sender: KafkaSender, wanted: set[str]) -> None:
    deadline = time.monotonic() + REQUEST_TIMEOUT_S
    found = None
    while found is None and time.monotonic() < deadline:
        # A connection that is refused is told at once; the question itself would wait.
        sender.serve(0.02)
        if sender.broken is not None:
            break
        found = sender.topics()
    if found is None:
        raise BrokerUnavailable(f"no Kafka broker answers at {kafka.bootstrap_servers}: check that it runs")
    if not wanted <= found:
        raise BrokerError(
            f"the broker at {kafka.bootstrap_servers} has no topic {min(wanted - found)}: "
            "run `smartlearn topics create`"
        )


def wait_until_processed(
    kafka: KafkaSettings,
    offsets: Offsets,
    timeout_s: float,
    progress: Progress = lambda _done, _total: None,
) -> bool:
    """Wait until the workers have stored what stands at some offsets, and all that derives from it.

    Workers commit a record once everything that it changes is durable, so this waits for their committed offsets.

    Args:
        kafka: where the broker is, and the workers' group.
        offsets: what to wait for.
        timeout_s: seconds at most.
        progress: told how many partitions are done, and how many there are.

    Returns:
        Whether all of it is processed.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    admin = AdminClient(client_config(kafka) | {"log_level": 0})
    waiting = dict(offsets)
    deadline = time.monotonic() + timeout_s
    while waiting:
        committed = _committed(admin, kafka, waiting)
        waiting = {place: offset for place, offset in waiting.items() if committed.get(place, -1) <= offset}
        progress(len(offsets) - len(waiting), len(offsets))
        if not waiting:
            break
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(_ASK_INTERVAL_S, left))
    return True


def _committed(admin: AdminClient, kafka: KafkaSettings, offsets: Offsets) -> Offsets:
    """(topic, partition) → the offset that the group will read next."""
    request = ConsumerGroupTopicPartitions(kafka.group, [TopicPartition(*place) for place in offsets])
    future = admin.list_consumer_group_offsets([request], request_timeout=REQUEST_TIMEOUT_S)[kafka.group]
    try:
        found = future.result()
    except KafkaException as error:
        raise BrokerUnavailable(
            f"the broker at {kafka.bootstrap_servers} does not say how far the workers are: {error.args[0].str()}"
        ) from error
    return {
        (one.topic, one.partition): one.offset
        for one in found.topic_partitions
        if one.error is None and one.offset >= 0
    }
