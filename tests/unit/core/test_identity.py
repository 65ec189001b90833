from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pytest

from smartlearn.core.batch import Batch, Int64Array, Kind
from smartlearn.core.identity import exact_time, free_range, stored_time

SECOND = 1_767_268_800_000_000
STAMPS = [SECOND, SECOND + 1_000, SECOND + 1, SECOND + 999_999, SECOND + 250_000]
FREE = [1_000_000_000, 1_000_000, 1_000, 1_000, 1_000_000]


def batch(
    stamps: list[int], *, boot: str = "b-1", key: str = "n", seq: int = 7, place: Int64Array | None = None
) -> Batch:
    return Batch(
        kind=Kind.PERFORMANCE,
        source="s" if place is None else "import",
        key=key,
        timestamp=np.array(stamps, dtype=np.int64),
        numbers={},
        texts={"node": key},
        boot=boot if place is None else None,
        seq=seq if place is None else None,
        place=place,
    )


def offset(boot: str, key: str) -> int:
    return int.from_bytes(blake2b(f"{boot}\0{key}".encode(), digest_size=8).digest(), "big") >> 2


def test_the_resolution_is_told_by_the_trailing_zeros() -> None:
    assert free_range(np.array(STAMPS)).tolist() == FREE


def test_the_digits_below_the_resolution_hold_hash_and_row_number() -> None:
    time, at = stored_time(batch(STAMPS))
    expected = [
        stamp * 1000 + (offset("b-1", "n") + 7 + row) % free
        for row, (stamp, free) in enumerate(zip(STAMPS, FREE, strict=True))
    ]
    assert time.tolist() == expected
    assert [None if np.isnan(value) else int(value) for value in at] == [STAMPS[0], STAMPS[1], None, None, STAMPS[4]]


def test_an_imported_row_is_placed_where_its_place_says() -> None:
    places = np.array([5, 1_000_003, 2_002, 2**63 - 1, 12], dtype=np.int64)
    time, _ = stored_time(batch(STAMPS, place=places))
    assert time.tolist() == [
        stamp * 1000 + int(place) % free for stamp, place, free in zip(STAMPS, places, FREE, strict=True)
    ]


def test_the_exact_time_comes_back() -> None:
    time, at = stored_time(batch(STAMPS))
    assert exact_time(time, at).tolist() == STAMPS


def test_the_exact_time_comes_back_at_the_end_of_the_contract() -> None:
    last = [7_258_118_400_000_000 - 1, 7_258_118_400_000_000 - 1_000, 7_258_118_399_000_000, 0]
    time, at = stored_time(batch(last, seq=2**62))
    assert exact_time(time, at).tolist() == last
    assert (time > 0).all()


def test_ten_thousand_rows_of_one_second_have_ten_thousand_stored_times() -> None:
    time, at = stored_time(batch([SECOND] * 10_000))
    assert len(set(time.tolist())) == 10_000
    assert exact_time(time, at).tolist() == [SECOND] * 10_000


def test_a_row_has_the_same_stored_time_in_whatever_batch_it_comes() -> None:
    whole, _ = stored_time(batch([SECOND] * 20, seq=100))
    part, _ = stored_time(batch([SECOND] * 5, seq=110))
    assert whole[10:15].tolist() == part.tolist()


def test_another_start_or_another_key_has_other_stored_times() -> None:
    first, _ = stored_time(batch([SECOND]))
    assert stored_time(batch([SECOND], boot="b-2"))[0][0] != first[0]
    assert stored_time(batch([SECOND], key="m"))[0][0] != first[0]


def test_sequence_numbers_may_be_as_large_as_int64_holds() -> None:
    time, _ = stored_time(batch([SECOND, SECOND], seq=2**63 - 3))
    assert time.tolist() == [SECOND * 1000 + (offset("b-1", "n") + 2**63 - 3 + row) % 1_000_000_000 for row in range(2)]


def test_a_batch_without_an_identity_is_refused() -> None:
    bare = Batch(kind=Kind.PERFORMANCE, source="s", key="n", timestamp=np.array([1]), numbers={}, texts={})
    with pytest.raises(ValueError, match="a batch needs a place, or a boot and a seq"):
        stored_time(bare)
