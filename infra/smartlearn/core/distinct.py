"""How many different texts: k minimum values over a stable 64-bit hash.

A set is the k = 1024 smallest hashes of its members, so two sets merge into exactly the set of their
union. Below k members the count is exact (two of 1000 texts share a 64-bit hash once in 10^13 sets); from
there on it is (k - 1) / (the k-th smallest hash as a share of 2^64): unbiased, with a standard error of
1/sqrt(k - 2) = 3.1 %.
"""

from __future__ import annotations

import binascii
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.batch import Int64Array

HashArray: TypeAlias = NDArray[np.uint64]

K = 1024
"""Members up to which the count is exact, less one."""

STANDARD_ERROR = (K - 2) ** -0.5
"""Of the estimate from K members on, relative to it."""


@lru_cache(maxsize=1 << 16)
def hash_of(text: str) -> int:
    """A text's 64-bit hash: its 8-byte BLAKE2b, little-endian; the same in every process."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hashes_of(texts: Iterable[str]) -> HashArray:
    """The hash of each text, uint64."""
    return np.fromiter(map(hash_of, texts), np.uint64)


@dataclass(frozen=True, slots=True, eq=False)
class Distinct:
    """A mergeable count of different texts. Immutable; made by `of`, `union` or `decode`.

    Attributes:
        hashes: the smallest hashes, ascending, uint64, at most K.
    """

    hashes: HashArray

    @classmethod
    def of(cls, texts: Iterable[str]) -> Distinct:
        """The set of the texts."""
        return cls(np.unique(hashes_of(texts))[:K])

    @classmethod
    def union(cls, sets: Iterable[Distinct]) -> Distinct:
        """The set of all members of all sets."""
        parts = [part.hashes for part in sets]
        return cls(np.unique(np.concatenate(parts))[:K] if parts else np.zeros(0, np.uint64))

    @classmethod
    def decode(cls, text: str) -> Distinct:
        """The set that `encode` wrote; the empty text is the empty set.

        Raises:
            ValueError: the text is not that of a set.
        """
        try:
            raw = binascii.a2b_base64(text, strict_mode=True) if text else b""
        except binascii.Error as error:
            raise ValueError(f"{text[:20]!r} is not the text of a set of hashes: {error}") from error
        if len(raw) % 8 or len(raw) > 8 * K:
            raise ValueError(f"{text[:20]!r} is not the text of a set of hashes: its length is {len(raw)} bytes")
        return cls(np.frombuffer(raw, "<u8").astype(np.uint64))

    def encode(self) -> str:
        """A text for a store's field: 8 bytes a member in base64."""
        return binascii.b2a_base64(self.hashes.astype("<u8").tobytes(), newline=False).decode()

    def estimate(self) -> float:
        """How many different texts: exact below K."""
        if len(self.hashes) < K:
            return float(len(self.hashes))
        return (K - 1) / ((int(self.hashes[-1]) + 1) / 2.0**64)

    def __eq__(self, other: object) -> bool:
        return np.array_equal(self.hashes, other.hashes) if isinstance(other, Distinct) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.hashes.tobytes())


def distinct_by_group(groups: Int64Array, n_groups: int, texts: Iterable[str | None]) -> list[Distinct]:
    """The set of texts of each group; None is no text.

    Args:
        groups: the group of each text, 0 … n_groups - 1, shape (n,).
        n_groups: how many sets to return.
        texts: n texts.
    """
    listed = list(texts)
    given = np.fromiter((text is not None for text in listed), np.bool_, len(listed))
    hashes = hashes_of(text for text in listed if text is not None)
    owners = groups[given]
    order = np.lexsort((hashes, owners))
    hashes, owners = hashes[order], owners[order]
    new = np.ones(len(hashes), np.bool_)
    new[1:] = (hashes[1:] != hashes[:-1]) | (owners[1:] != owners[:-1])
    hashes, owners = hashes[new], owners[new]
    bounds = np.searchsorted(owners, np.arange(n_groups + 1)).tolist()
    return [Distinct(hashes[low : min(high, low + K)].copy()) for low, high in pairwise(bounds)]
