"""Asking a partition's owner to compute again what a worker may have written wrongly.

A worker that was frozen while its partitions moved wakes up with half-filled panes, and no check before a write closes
that race. So every write is followed by a proof of membership (a commit, which the group coordinator refuses from a
worker that it expelled); where the proof fails, what was written is named in a message on the input partition, whose
owner computes it from the stored raw events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from smartlearn.core.errors import InvalidMessage
from smartlearn.core.schemas import LAST_TIME_US
from smartlearn.core.text_columns import label_fault
from smartlearn.stream_processors.records import Outgoing, Record

RECOMPUTE: Final = "smartlearn-recompute"
"""The header that such a message is known by."""


def recompute_messages(topic: str, written: Mapping[tuple[int, str], Sequence[int]]) -> list[Outgoing]:
    """One message for each partition and owner.

    Args:
        topic: the input topic.
        written: (partition, owner) → what was written: pane starts in µs, or of a run the numbers of its buckets.
    """
    return [
        Outgoing(
            topic,
            owner.encode(),
            orjson.dumps({"v": 1, "kind": "recompute", "owner": owner, "places": sorted(places)}),
            {RECOMPUTE: b"1"},
            partition,
        )
        for (partition, owner), places in written.items()
    ]


def asks_to_recompute(record: Record) -> bool:
    """Whether a record is such a message."""
    return RECOMPUTE in record.headers


def parse_recompute(value: bytes) -> tuple[str, list[int]]:
    """The owner and the places.

    Raises:
        InvalidMessage: the value is not that of a recompute message.
    """
    try:
        message = orjson.loads(value)
        owner, places = message["owner"], message["places"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise InvalidMessage("a recompute message needs an owner and places") from error
    if label_fault(owner) or not isinstance(places, list) or not places:
        raise InvalidMessage("a recompute message needs a label as owner and a list of places")
    if not all(type(at) is int and 0 <= at < LAST_TIME_US for at in places):
        raise InvalidMessage("the places of a recompute message must be whole numbers from 0, before the last time")
    return owner, places
