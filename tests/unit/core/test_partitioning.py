from __future__ import annotations

import pytest

from smartlearn.core.partitioning import murmur2, partition_of, shard_of, shards_of


# The first six are the vectors of Kafka's own UtilsTest; the last two are an empty key and one with high bytes.
@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
        (b"", 275646681),
    ],
)
def test_murmur2_is_kafkas(key: bytes, expected: int) -> None:
    assert murmur2(key) == expected


def test_a_text_and_its_utf_8_bytes_belong_to_the_same_partition() -> None:
    for key in ("node-1", "noeud-é", "節點"):
        assert partition_of(key, 12) == partition_of(key.encode(), 12) == (murmur2(key.encode()) & 0x7FFFFFFF) % 12


@pytest.mark.parametrize("partitions", [1, 2, 3, 4, 6, 8, 12, 16, 24, 48])
def test_a_shard_lies_in_one_partition(partitions: int) -> None:
    for number in range(500):
        key = f"node-{number}"
        assert shard_of(key) % partitions == partition_of(key, partitions)


def test_the_shards_of_many_keys_are_those_of_each() -> None:
    keys = [f"learner-{number}" for number in range(100)]
    shards = shards_of(keys)
    assert shards.tolist() == [shard_of(key) for key in keys]
    assert set(shards.tolist()) <= set(range(48))
