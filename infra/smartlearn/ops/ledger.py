"""The ledger: what producers delivered, held against what the workers made of it.

Rows that other programs send as single events are nobody's count but the workers': they stand on both sides. A row
that arrives twice because its first delivery was not confirmed is one duplicate more than was delivered, so what
arrived may exceed what was delivered, and only the opposite is a loss.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from pydantic import BaseModel

from smartlearn.core.batch import EXTERNAL_SOURCE
from smartlearn.core.errors import BrokerUnavailable
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.stores.base import MetricStore
from smartlearn.core.topics import LEDGER, REQUEST_TIMEOUT_S, TOPIC_OF, client_config
from smartlearn.ops.topic_reading import held_messages
from smartlearn.producers.counts import TopicCounts
from smartlearn.producers.ledger import Account, Page
from smartlearn.stream_processors.domain.progress import Progress

SENT: Final = ("produced", "refused", "spooled", "dropped", "waiting", "delivered")
"""Rows that were encoded; that broke the contract; written to a spool; lost for want of room; still on their way, in a
spool, or lost with a killed process; confirmed by the broker."""

ARRIVED: Final = ("in", "forwarded", "stored", "late", "duplicate", "dead", "expired", "missing", "others")
"""The workers' counters; missing are numbers that never came; others are rows of programs that keep no count."""


_SENT_BY_SOURCE: Final = ("produced", "adopted", "refused", "spooled", "dropped", "delivered")


class TopicLedger(BaseModel):
    """One topic.

    Attributes:
        sent: what the producers counted, in the words of `SENT`.
        arrived: what the workers counted, in the words of `ARRIVED`.
        unaccounted: rows that were delivered and that no worker accounts for (yet).
        extra: rows that arrived and whose delivery nobody noted.
    """

    sent: dict[str, int]
    arrived: dict[str, int]
    unaccounted: int
    extra: int


class LedgerReport(BaseModel):
    """The ledger of an installation.

    Attributes:
        settled: whether everything on the topics is accounted for, so that the sums are exact; None is not known.
        topics: topic → its sums.
        sent: source → topic → what its processes counted; adopted are rows that another process had left on disk.
        arrived: source → topic → what the workers counted of its rows.
        problems: what does not add up, a sentence each.
    """

    settled: bool | None
    topics: dict[str, TopicLedger]
    sent: dict[str, dict[str, dict[str, int]]]
    arrived: dict[str, dict[str, dict[str, int]]]
    problems: list[str]


def ledger_report(
    sent: Mapping[Account, TopicCounts], progress: Mapping[tuple[str, int], Progress], settled: bool | None
) -> LedgerReport:
    """Add everything up.

    Args:
        sent: what the producers counted, by source and topic.
        progress: (topic, partition) → how far it was carried into the store.
        settled: see `LedgerReport`.
    """
    by_sender = {account: _sent(account[1], counts) for account, counts in sent.items()}
    by_source: dict[Account, Counter[str]] = {}
    for (topic, _), one in progress.items():
        missing = one.seen.missing()
        for source in {*one.counts, *missing}:
            sums = by_source.setdefault((source, topic), Counter())
            sums.update(one.counts.get(source, {}))
            sums["missing"] += missing[source]
    topics = {topic: _topic(topic, by_sender, by_source) for topic in [*TOPIC_OF.values(), ""]}
    if not any(topics[""].sent.values()):
        del topics[""]
    return LedgerReport(
        settled=settled,
        topics=topics,
        sent=_nested(by_sender, _SENT_BY_SOURCE),
        arrived=_nested(by_source, ARRIVED),
        problems=_problems(topics, settled),
    )


def announced_pages(kafka: KafkaSettings) -> list[Page]:
    """What the producers of all machines have announced, older pages included.

    Raises:
        BrokerUnavailable: no broker answers, or it has no ledger topic.
    """
    pages = []
    for message in held_messages(kafka, LEDGER):
        # Anybody may write to the topic.
        with suppress(ValueError):
            pages.append(Page.parse(message.value() or b""))
    return pages


def added_up(pages: Iterable[Page]) -> dict[Account, TopicCounts]:
    """The counts of all data directories; of each, those of its newest page."""
    newest: dict[str, Page] = {}
    for page in pages:
        if page.id not in newest or page.revision > newest[page.id].revision:
            newest[page.id] = page
    total: dict[Account, TopicCounts] = {}
    for page in newest.values():
        for account, counts in page.counts.items():
            total[account] = total.get(account, TopicCounts()) + counts
    return total


def stored_progress(store: MetricStore, partitions: Mapping[str, int]) -> dict[tuple[str, int], Progress]:
    """What the workers have stored of every partition of the input topics.

    Raises:
        StoreUnavailable: the store does not answer.
    """
    found = {}
    for topic, count in partitions.items():
        for partition in range(count):
            stored = store.get_state(f"progress/{topic}/{partition}")
            if stored is not None:
                found[topic, partition] = Progress.decode(stored)
    return found


def is_settled(
    kafka: KafkaSettings,
    progress: Mapping[tuple[str, int], Progress],
    partitions: Mapping[str, int],
    lives: Mapping[str, str],
) -> bool:
    """Whether no partition holds a message after the offset that its progress has reached.

    Raises:
        BrokerUnavailable: no broker answers.
    """
    places = [(topic, number) for topic, count in partitions.items() for number in range(count)]
    reached = {place: one.offset for place, one in progress.items() if one.epoch == lives[place[0]]}
    # The broker's own word on the last offset is not taken: the embedded one's is wrong.
    consumer = Consumer(
        client_config(kafka)
        | {
            "group.id": "smartlearn-cli",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            "log_level": 0,
            "fetch.wait.max.ms": 100,
        }
    )
    try:
        consumer.assign([TopicPartition(*place, reached.get(place, 0)) for place in places])
        unknown = set(places)
        deadline = time.monotonic() + REQUEST_TIMEOUT_S
        while unknown:
            message = consumer.poll(0.2)
            if message is None:
                if time.monotonic() > deadline:
                    raise BrokerUnavailable(
                        f"the broker at {kafka.bootstrap_servers} does not say what its topics hold"
                    )
                continue
            error = message.error()
            if error is None:
                return False
            if error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001
                raise BrokerUnavailable(f"topic {message.topic()} cannot be read: {error.str()}")
            unknown.discard((str(message.topic()), message.partition() or 0))
    except KafkaException as error:
        raise BrokerUnavailable(f"no Kafka broker answers at {kafka.bootstrap_servers}") from error
    finally:
        consumer.close()
    return True


def _sent(topic: str, counts: TopicCounts) -> Counter[str]:
    sums = Counter(asdict(counts))
    # What was lost before it had a topic was never produced.
    sums["waiting"] = counts.produced - counts.delivered - counts.dropped if topic else 0
    return sums


def _topic(
    topic: str, by_sender: Mapping[Account, Counter[str]], by_source: Mapping[Account, Counter[str]]
) -> TopicLedger:
    sent = _sum(sums for (_, name), sums in by_sender.items() if name == topic)
    arrived = _sum(sums for (_, name), sums in by_source.items() if name == topic)
    # A forwarded row arrives again at its owner, and counts there.
    net = {source: sums["in"] - sums["forwarded"] for (source, name), sums in by_source.items() if name == topic}
    arrived["others"] = net.pop(EXTERNAL_SOURCE, 0)
    difference = sent["delivered"] - sum(net.values())
    return TopicLedger(
        sent={name: sent[name] for name in SENT},
        arrived={name: arrived[name] for name in ARRIVED},
        unaccounted=max(0, difference),
        extra=max(0, -difference),
    )


def _sum(parts: Iterable[Counter[str]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total


def _nested(sums: Mapping[Account, Counter[str]], names: tuple[str, ...]) -> dict[str, dict[str, dict[str, int]]]:
    found: dict[str, dict[str, dict[str, int]]] = {}
    for (source, topic), counts in sorted(sums.items()):
        found.setdefault(source, {})[topic] = {name: counts[name] for name in names if name in counts}
    return found


def _problems(topics: Mapping[str, TopicLedger], settled: bool | None) -> list[str]:
    if not settled:
        return []
    return [
        f"{topic}: {ledger.unaccounted} rows were delivered and are not accounted for"
        for topic, ledger in topics.items()
        if ledger.unaccounted
    ]
