"""Which partition and which shard a key belongs to: the same answer as Kafka's Java clients give."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np

from smartlearn.core.batch import Int64Array
from smartlearn.core.settings import SHARDS

_M = 0x5BD1E995
_MASK = 0xFFFFFFFF
_SEED = 0x9747B28C


def murmur2(key: bytes) -> int:
    """Kafka's 32-bit murmur2 of a key, as Java's signed int."""
    length = len(key)
    h = (_SEED ^ length) & _MASK
    whole = length & ~3
    for i in range(0, whole, 4):
        k = (int.from_bytes(key[i : i + 4], "little") * _M) & _MASK
        k ^= k >> 24
        h = ((h * _M) & _MASK) ^ ((k * _M) & _MASK)
    if length & 3:
        h ^= int.from_bytes(key[whole:], "little")
        h = (h * _M) & _MASK
    h ^= h >> 13
    h = (h * _M) & _MASK
    h ^= h >> 15
    return h - (1 << 32) if h & 0x80000000 else h


@lru_cache(maxsize=1 << 16)
def _positive(key: str | bytes) -> int:
    """What partitioners reduce: the hash without its sign."""
    return murmur2(key.encode() if isinstance(key, str) else key) & 0x7FFFFFFF


def partition_of(key: str | bytes, partitions: int) -> int:
    """The partition that `murmur2_random` (librdkafka), Faust and the Java clients choose for a key."""
    return _positive(key) % partitions


def shard_of(key: str | bytes) -> int:
    """The shard of a key: partition counts divide `SHARDS`, so a shard lies in one partition."""
    return _positive(key) % SHARDS


def shards_of(keys: Iterable[str | bytes]) -> Int64Array:
    """The shard of each key, shape (n,)."""
    return np.fromiter((_positive(key) % SHARDS for key in keys), dtype=np.int64)
