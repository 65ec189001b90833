"""The stored time of a row: its event time, made unique by the digits that its clock left empty.

A store overwrites points of equal tags and time, so two rows must never share one. The event time's
resolution is read from the trailing zeros of its µs (second, millisecond, microsecond); the nanoseconds
below it are filled with (hash(boot, key) + row number) mod the free range, or with the place of an
imported row.
"""

from __future__ import annotations

from functools import lru_cache
from hashlib import blake2b

import numpy as np

from smartlearn.core.batch import Batch, FloatArray, Int64Array

NS_PER_US = 1000


@lru_cache(maxsize=1 << 14)
def _offset(boot: str, key: str) -> int:
    """Where the row numbers of a (boot, key) start, below 2**62 so that adding one never overflows."""
    digest = blake2b(f"{boot}\0{key}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 2


def free_range(timestamp: Int64Array) -> Int64Array:
    """How many ns below each event time (µs, shape (n,)) are free by its resolution: 10⁹, 10⁶ or 10³."""
    return np.where(timestamp % 1_000_000 == 0, 1_000_000_000, np.where(timestamp % 1000 == 0, 1_000_000, 1000))


def stored_time(batch: Batch) -> tuple[Int64Array, FloatArray]:
    """The stored time and the exact one of each row of a batch.

    Returns:
        time: int64 ns since the epoch, shape (n,).
        at: float64 µs since the epoch where the event time is coarser than a µs, NaN elsewhere, shape (n,).

    Raises:
        ValueError: the batch has neither a place nor both boot and seq.
    """
    free = free_range(batch.timestamp)
    if batch.place is not None:
        number = batch.place
    elif batch.boot is not None and batch.seq is not None:
        number = _numbers(batch.boot, batch.key, batch.seq, len(batch))
    else:
        raise ValueError("a batch needs a place, or a boot and a seq, to be identified")
    at = np.where(free > NS_PER_US, batch.timestamp.astype(np.float64), np.nan)
    return batch.timestamp * NS_PER_US + number % free, at


def _numbers(boot: str, key: str, seq: int, n: int) -> Int64Array:
    """hash(boot, key) + row number, reduced to what int64 holds without changing it modulo any free range."""
    start = (_offset(boot, key) + seq) % 1_000_000_000
    return np.arange(start, start + n, dtype=np.int64)


def exact_time(time_ns: Int64Array, at: FloatArray) -> Int64Array:
    """The event time of stored rows in µs, shape (n,): `at`, or the stored time cut to µs where absent."""
    exact = time_ns // NS_PER_US
    present = ~np.isnan(at)
    exact[present] = at[present].astype(np.int64)
    return exact
