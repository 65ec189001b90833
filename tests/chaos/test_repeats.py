"""Batches that are sent again long after they were stored."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.chaos.cluster import Cluster
from tests.chaos.load import Load
from tests.stacks import until

from smartlearn.core.batch import Batch
from smartlearn.core.topics import TOPIC_OF

pytestmark = [pytest.mark.chaos, pytest.mark.servers]

READY_S = 90.0
DAY_S = 24 * 3600
ROUNDS = 40


def test_batches_that_are_sent_again_a_day_later_are_recognised_by_another_worker(cluster: Cluster, seed: int) -> None:
    """Guards the row numbers that are stored with the offset.

    With a worker that begins without them, what is sent again counts as stored once more, and the check's last
    assertion says so.
    """
    load = Load(seed)
    sent: Counter[str] = Counter()

    def send(batches: list[Batch]) -> None:
        for batch in batches:
            cluster.send(batch)
            sent[TOPIC_OF[batch.kind]] += len(batch)

    cluster.start("worker-1")
    for _ in range(ROUNDS):
        send(load.round())
    first_day = list(load.sent)
    until(lambda: cluster.own_everything("worker-1"), READY_S)
    until(lambda: cluster.stored() > 0, READY_S)
    load.pass_time(DAY_S)
    for _ in range(ROUNDS):
        send(load.round())
    send(load.rest())
    cluster.check(load.events())
    cluster.kill("worker-1")
    cluster.start("worker-2")
    send(first_day)
    cluster.check(load.events())
    for topic, rows in sent.items():
        counts = cluster.ledger(topic)
        assert counts["in"] == rows
        assert counts["duplicate"] == rows - counts["stored"]
