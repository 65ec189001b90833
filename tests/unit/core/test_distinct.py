from __future__ import annotations

import hashlib
from itertools import islice

import numpy as np
import pytest

from smartlearn.core.distinct import STANDARD_ERROR, Distinct, K, distinct_by_group, hash_of


def names(count: int, prefix: str = "learner") -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def test_a_hash_is_the_same_in_every_process() -> None:
    assert hash_of("ada") == int.from_bytes(hashlib.blake2b(b"ada", digest_size=8).digest(), "little")
    assert hash_of("ünïcode") != hash_of("unicode")


@pytest.mark.parametrize("count", [0, 1, 2, 500, K - 1])
def test_the_count_is_exact_below_k(count: int) -> None:
    assert Distinct.of(names(count) * 2).estimate() == count


@pytest.mark.parametrize("count", [K, 5_000, 100_000])
def test_the_estimate_is_within_four_standard_errors_from_k_on(count: int) -> None:
    assert Distinct.of(names(count)).estimate() == pytest.approx(count, rel=4 * STANDARD_ERROR)


def test_estimates_of_many_sets_have_the_stated_error() -> None:
    errors = [Distinct.of(names(3000, f"set-{number}")).estimate() / 3000 - 1 for number in range(200)]
    assert np.std(errors) < 1.2 * STANDARD_ERROR
    assert abs(np.mean(errors)) < STANDARD_ERROR / 4


@pytest.mark.parametrize("count", [10, 5_000])
def test_a_union_is_the_set_of_all_members(count: int) -> None:
    every = names(count)
    parts = [Distinct.of(every[: count // 2]), Distinct.of(every[count // 3 :]), Distinct.of([])]
    assert Distinct.union(parts) == Distinct.of(every)
    assert hash(Distinct.union(parts)) == hash(Distinct.of(every))


def test_the_union_of_nothing_is_empty() -> None:
    assert Distinct.union([]) == Distinct.of([])


@pytest.mark.parametrize("count", [0, 3, 5_000])
def test_a_set_survives_its_text(count: int) -> None:
    distinct = Distinct.of(names(count))
    assert Distinct.decode(distinct.encode()) == distinct


@pytest.mark.parametrize("text", ["AAAA", "!!", "A" * (8 * (K + 1) // 3 * 4 + 8)])
def test_a_text_that_is_no_set_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not the text of a set of hashes"):
        Distinct.decode(text)


def test_texts_are_counted_by_group_and_none_is_nobody() -> None:
    texts = ["a", "b", "a", None, "a", "c"]
    groups = np.array([2, 0, 2, 0, 0, 2])
    assert distinct_by_group(groups, 4, texts) == [
        Distinct.of(["a", "b"]), Distinct.of([]), Distinct.of(["a", "c"]), Distinct.of([]),
    ]  # fmt: skip


def test_a_large_group_keeps_the_smallest_hashes() -> None:
    every = names(3 * K)
    groups = np.arange(3 * K) % 2
    assert distinct_by_group(groups, 2, every) == [
        Distinct.of(islice(every, 0, None, 2)),
        Distinct.of(islice(every, 1, None, 2)),
    ]


def test_a_set_equals_nothing_else() -> None:
    assert Distinct.of(["a"]) != "a"
