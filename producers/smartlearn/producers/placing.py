"""Places: the identity of rows that come from a file, or are made again at every start.

A row's place is a hash of its content and of its occurrence among equal rows, within what its time leaves free; rows
that would meet move on to the next free place. Nothing depends on the order of the rows, nor on when they are placed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.identity import free_range


def places(
    timestamp: Int64Array,
    numbers: Sequence[FloatArray],
    texts: Sequence[Sequence[str]],
    series: Sequence[object],
) -> Int64Array:
    """The place of each row.

    Args:
        timestamp: event time, µs, shape (n,).
        numbers: the numeric columns, always the same ones in the same order, shape (n,) each.
        texts: the text columns, likewise; n values each.
        series: per row what tells apart the series of the store that it will be in, n values.

    Returns:
        int64, shape (n,); rows of one series and time have different places.

    Raises:
        ValueError: one series has more rows of one time than its resolution leaves places.
    """
    rows = len(timestamp)
    free = free_range(timestamp).tolist()
    contents = _contents(timestamp, numbers, texts)
    times = timestamp.tolist()
    groups: dict[tuple[object, int], list[int]] = defaultdict(list)
    for row in range(rows):
        groups[series[row], times[row]].append(row)
    found = np.zeros(rows, dtype=np.int64)
    for members in groups.values():
        if len(members) == 1:
            row = members[0]
            found[row] = _hash(contents[row], 0) % free[row]
            continue
        room = free[members[0]]
        if len(members) > room:
            raise ValueError(f"{len(members)} rows of one series have the same time, and there is room for {room}")
        _place_together(members, contents, room, found)
    return found


def _contents(timestamp: Int64Array, numbers: Sequence[FloatArray], texts: Sequence[Sequence[str]]) -> list[bytes]:
    """The content of each row as bytes that are equal for equal rows."""
    # Adding 0 makes -0.0 what it equals; every NaN gets the same bits.
    columns = [np.where(np.isnan(column), np.nan, column + 0.0) for column in numbers]
    matrix = np.column_stack([timestamp.view(np.float64), *columns]) if columns else timestamp.reshape(-1, 1)
    width = matrix.shape[1] * 8
    packed = np.ascontiguousarray(matrix).tobytes()
    parts = [packed[at : at + width] for at in range(0, len(packed), width)]
    if not texts:
        return parts
    return [
        part + b"\0" + "\0".join(values).encode("utf-8", "surrogatepass")
        for part, values in zip(parts, zip(*texts, strict=True), strict=True)
    ]


def _hash(content: bytes, occurrence: int) -> int:
    digest = blake2b(content, digest_size=8, salt=occurrence.to_bytes(8, "little")).digest()
    return int.from_bytes(digest, "big")


def _place_together(members: list[int], contents: list[bytes], room: int, found: Int64Array) -> None:
    """Place the rows of one series and time; in the order of their hashes, so that the file's does not matter."""
    seen: dict[bytes, int] = defaultdict(int)
    wanted = []
    for row in members:
        occurrence = seen[contents[row]]
        seen[contents[row]] += 1
        wanted.append((_hash(contents[row], occurrence), row))
    taken: set[int] = set()
    following: dict[int, int] = {}
    for number, row in sorted(wanted):
        place = number % room
        if place in taken:
            place = _next_free(place, taken, following, room)
        taken.add(place)
        found[row] = place


def _next_free(place: int, taken: set[int], following: dict[int, int], room: int) -> int:
    """The next place that is not taken; remembers where searches ended, so that crowds stay cheap."""
    passed = []
    while place in taken:
        passed.append(place)
        place = following.get(place, (place + 1) % room)
    for one in passed:
        following[one] = place
    return place
