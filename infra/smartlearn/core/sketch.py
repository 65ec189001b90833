"""Quantiles that merge: log buckets after DDSketch (Masson, Rim, Lee: VLDB 2019).

A value's bucket is `ceil(log(|v|) / log(1.02))`, kept apart by sign, with one bucket for zero. Every value of
a bucket lies within 0.99 % of the bucket's middle, so a quantile is within 1 % of the exact one, for any
magnitude that a normal float has. A bucket is written as one integer code that grows with the value; a sketch
is its codes in ascending order with a count each. Merging adds counts, so a merged sketch *is* the sketch of
the union.

The quantile q of n values is the ceil(q·n)-th smallest (nearest rank; the smallest for q = 0): a value that
was seen, never a mixture of two.
"""

from __future__ import annotations

import binascii
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.batch import FloatArray, Int64Array

RELATIVE_ERROR = 0.01
"""No quantile is further than this from the exact one, relative to it."""

CODE_BITS = 18
"""A code fits in so many bits."""

ZERO = 1 << (CODE_BITS - 1)
"""The code of zero; codes of negative values are lower, of positive ones higher."""

_GAMMA = 1.02
_PER_LOG = 1.0 / math.log(_GAMMA)
# The smallest subnormal float has index -37,593: with this offset every index is positive.
_OFFSET = 37_600
_LOG_MIDDLE = math.log(2.0 / (1.0 + _GAMMA))
_CODE_MASK = (1 << CODE_BITS) - 1
_LARGEST = float(np.finfo(np.float64).max)

# The text form is a letter for the width of a cell, and base64 of little-endian cells
# `code | (count - 1) << 18`: 4 bytes up to 16,384 values in every bucket, 8 bytes up to 2^45.
_NARROW, _WIDE = "a", "b"
_NARROW_COUNT = 1 << (32 - CODE_BITS)


def codes_of(values: FloatArray) -> Int64Array:
    """The bucket code of each value.

    Args:
        values: finite float64, any shape.

    Returns:
        int64 codes of the same shape, in [0, 2^18), growing with the value.
    """
    magnitude = np.abs(values)
    zero = magnitude == 0.0
    any_zero = bool(zero.any())
    if any_zero:
        magnitude[zero] = 1.0
    index = np.log(magnitude, out=magnitude)
    index *= _PER_LOG
    np.ceil(index, out=index)
    index += _OFFSET
    codes: Int64Array = np.copysign(index, values, out=index).astype(np.int64)
    codes += ZERO
    if any_zero:
        codes[zero] = ZERO
    return codes


def values_of(codes: Int64Array) -> FloatArray:
    """The middle of each bucket: within 1 % of every value in it."""
    signed = codes - ZERO
    with np.errstate(over="ignore", under="ignore"):
        magnitude = np.exp((np.abs(signed) - _OFFSET) / _PER_LOG + _LOG_MIDDLE)
    result: FloatArray = np.sign(signed) * np.minimum(magnitude, _LARGEST)
    return result


def ranks(q: float, counts: Int64Array) -> Int64Array:
    """The rank (1 … count) of the quantile q among `counts` values; 0 where there are none."""
    # Six decimals hide the noise of 0.95 * 20 and leave every true fraction.
    wanted = np.ceil(np.round(q * counts, 6)).astype(np.int64)
    clipped: Int64Array = np.minimum(np.maximum(wanted, 1), counts)
    return clipped


def segment_quantiles(
    codes: Int64Array, counts: Int64Array, bounds: Int64Array, quantiles: Sequence[float]
) -> list[FloatArray]:
    """Quantiles of many sketches that lie one after the other.

    Args:
        codes: ascending within each segment, shape (c,).
        counts: how many values each code stands for, shape (c,).
        bounds: segment i is `[bounds[i], bounds[i + 1])`, shape (s + 1,).
        quantiles: each in [0, 1].

    Returns:
        An array of shape (s,) for each quantile; NaN where a segment is empty.
    """
    cumulative = np.concatenate(([0], np.cumsum(counts)))
    before = cumulative[bounds[:-1]]
    totals = cumulative[bounds[1:]] - before
    filled = totals > 0
    results = []
    for q in quantiles:
        result = np.full(len(totals), np.nan)
        wanted = (before + ranks(q, totals))[filled]
        result[filled] = values_of(codes[np.searchsorted(cumulative[1:], wanted)])
        results.append(result)
    return results


def counted(keys: Int64Array, counts: Int64Array | None = None) -> tuple[Int64Array, Int64Array]:
    """The distinct keys in ascending order, and how many of each there are (or the sum of their counts)."""
    if not len(keys):
        return keys, np.zeros(0, np.int64)
    if counts is None:
        keys = np.sort(keys)
        starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
        return keys[starts], np.diff(starts, append=len(keys))
    order = np.argsort(keys)
    keys = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], keys[1:] != keys[:-1])))
    return keys[starts], np.add.reduceat(counts[order], starts)


def encode_segments(codes: Int64Array, counts: Int64Array, bounds: Int64Array) -> list[str | None]:
    """The text form of each segment's sketch; None where a segment is empty."""
    packed = codes | ((counts - 1) << CODE_BITS)
    wide = packed.astype("<u8").tobytes()
    narrow = packed.astype("<u4").tobytes()
    edges = bounds.tolist()
    large = np.concatenate(([0], np.cumsum(counts > _NARROW_COUNT)))[bounds]
    is_wide = (large[1:] > large[:-1]).tolist()
    texts: list[str | None] = []
    for low, high, as_wide in zip(edges[:-1], edges[1:], is_wide, strict=True):
        if low == high:
            texts.append(None)
        elif as_wide:
            texts.append(_WIDE + binascii.b2a_base64(wide[8 * low : 8 * high], newline=False).decode())
        else:
            texts.append(_NARROW + binascii.b2a_base64(narrow[4 * low : 4 * high], newline=False).decode())
    return texts


def decode_segments(texts: Iterable[str | None]) -> tuple[Int64Array, Int64Array, Int64Array]:
    """The inverse of `encode_segments`: codes, counts and bounds; None is an empty segment.

    Raises:
        ValueError: a text is not the text form of a sketch.
    """
    parts = [_raw(text) if text else (b"", 4) for text in texts]
    sizes = np.fromiter((len(raw) // width for raw, width in parts), np.int64, len(parts))
    bounds = np.concatenate(([0], np.cumsum(sizes)))
    if all(width == 4 for _, width in parts):
        packed = np.frombuffer(b"".join(raw for raw, _ in parts), "<u4").astype(np.int64)
    else:
        arrays: list[NDArray[np.unsignedinteger]] = [np.frombuffer(raw, f"<u{width}") for raw, width in parts]
        packed = np.concatenate([array.astype(np.int64) for array in arrays])
    return packed & _CODE_MASK, (packed >> CODE_BITS) + 1, bounds


def _raw(text: str) -> tuple[bytes, int]:
    width = {_NARROW: 4, _WIDE: 8}.get(text[0])
    if width is None:
        raise ValueError(f"{text[:20]!r} is not the text of a sketch: it starts with neither 'a' nor 'b'")
    try:
        raw = binascii.a2b_base64(text[1:], strict_mode=True)
    except binascii.Error as error:
        raise ValueError(f"{text[:20]!r} is not the text of a sketch: {error}") from error
    if len(raw) % width:
        raise ValueError(f"{text[:20]!r} is not the text of a sketch: it ends within a cell")
    return raw, width


@dataclass(frozen=True, slots=True, eq=False)
class Sketch:
    """The quantile sketch of a set of finite numbers. Immutable; made by `of`, `union` or `decode`.

    Attributes:
        codes: bucket codes, ascending, int64, shape (c,).
        counts: values in each bucket, int64, shape (c,).
    """

    codes: Int64Array
    counts: Int64Array

    @classmethod
    def of(cls, values: FloatArray | Sequence[float]) -> Sketch:
        """The sketch of finite values."""
        return cls(*counted(codes_of(np.asarray(values, np.float64))))

    @classmethod
    def union(cls, sketches: Iterable[Sketch]) -> Sketch:
        """The sketch of all values of all sketches."""
        parts = [part for part in sketches if len(part.codes)]
        if not parts:
            return cls(np.zeros(0, np.int64), np.zeros(0, np.int64))
        codes = np.concatenate([part.codes for part in parts])
        return cls(*counted(codes, np.concatenate([part.counts for part in parts])))

    @classmethod
    def decode(cls, text: str) -> Sketch:
        """The sketch that `encode` wrote; the empty text is the empty sketch.

        Raises:
            ValueError: the text is not that of a sketch.
        """
        codes, counts, _ = decode_segments([text])
        return cls(codes, counts)

    def encode(self) -> str:
        """A text for a store's field: 4 bytes a bucket in base64."""
        return encode_segments(self.codes, self.counts, self._bounds)[0] or ""

    def quantile(self, q: float) -> float:
        """The ceil(q·n)-th smallest value, within 1 %; NaN of the empty sketch."""
        return float(segment_quantiles(self.codes, self.counts, self._bounds, [q])[0][0])

    def __len__(self) -> int:
        return int(self.counts.sum())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sketch):
            return NotImplemented
        return np.array_equal(self.codes, other.codes) and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash(self.codes.tobytes() + self.counts.tobytes())

    @property
    def _bounds(self) -> Int64Array:
        return np.array([0, len(self.codes)])
