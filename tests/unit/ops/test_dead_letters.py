from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from smartlearn.core.masking import masked
from smartlearn.core.settings import KafkaSettings
from smartlearn.core.topics import INTERACTIONS, PERFORMANCE
from smartlearn.ops import dead_letters as module
from smartlearn.ops.dead_letters import DeadLetter, dead_letters, letter_messages
from smartlearn.ops.timespan import Span

KAFKA = KafkaSettings()
ALLOWED = ("timestamp", "action", "subject")


class Held:
    """A message as the client hands it out."""

    def __init__(
        self, offset: int, value: bytes, headers: dict[str, bytes], *, partition: int = 0, at: int = 0
    ) -> None:
        self._offset = offset
        self._value = value
        self._headers = headers
        self._partition = partition
        self._at = at

    def offset(self) -> int:
        return self._offset

    def partition(self) -> int:
        return self._partition

    def value(self) -> bytes:
        return self._value

    def headers(self) -> list[tuple[str, bytes]]:
        return list(self._headers.items())

    def timestamp(self) -> tuple[int, int]:
        return 1, self._at


def refused(topic: str, offset: int, **more: bytes) -> dict[str, bytes]:
    return {"reason": b"no", "topic": topic.encode(), "partition": b"3", "offset": str(offset).encode(), **more}


@pytest.fixture
def topic(monkeypatch: pytest.MonkeyPatch) -> list[Held]:
    """What the dead-letter topic holds."""
    held: list[Held] = []

    def read(_kafka: KafkaSettings, _topic: str) -> Iterator[Held]:
        yield from held

    monkeypatch.setattr(module, "held_messages", read)
    return held


def numbers(letters: Iterable[DeadLetter]) -> list[str]:
    return [letter.number for letter in letters]


def test_a_letter_that_was_sent_twice_is_one(topic: list[Held]) -> None:
    topic += [Held(0, b"x", refused(PERFORMANCE, 7)), Held(1, b"x", refused(PERFORMANCE, 7))]
    topic += [Held(2, b"x", refused(PERFORMANCE, 8)), Held(3, b"other point", refused(PERFORMANCE, 7))]
    assert numbers(dead_letters(KAFKA)) == ["0", "2", "3"]


def test_a_letter_that_was_replayed_is_refused_afterwards(topic: list[Held]) -> None:
    topic += [Held(0, b"x", refused(PERFORMANCE, 7)), Held(1, b"", {"replayed": b"0"})]
    topic += [Held(2, b"y", refused(PERFORMANCE, 8))]
    first, second = dead_letters(KAFKA)
    assert (first.replayed, first.refusal) == (True, "it was replayed already")
    assert (second.replayed, second.refusal) == (False, None)


def test_topics_and_times_select(topic: list[Held]) -> None:
    topic += [Held(0, b"x", refused(PERFORMANCE, 1), at=1000), Held(1, b"x", refused(INTERACTIONS, 1), at=2000)]
    assert numbers(dead_letters(KAFKA, topic=INTERACTIONS)) == ["1"]
    assert numbers(dead_letters(KAFKA, span=Span(2 * 10**9))) == ["1"]
    assert numbers(dead_letters(KAFKA, span=Span(None, 2 * 10**9))) == ["0"]


def test_a_letter_of_another_partition_is_called_by_both_numbers(topic: list[Held]) -> None:
    topic += [Held(4, b"x", refused(PERFORMANCE, 1), partition=2)]
    assert numbers(dead_letters(KAFKA)) == ["2/4"]
    assert [number for number, _ in letter_messages(KAFKA, ["2/4"])] == ["2/4"]


def test_reading_ends_with_the_last_letter_that_is_wanted(topic: list[Held]) -> None:
    topic += [Held(offset, b"x", refused(PERFORMANCE, offset)) for offset in range(5)]
    assert [number for number, _ in letter_messages(KAFKA, ["3", "1"])] == ["1", "3"]
    assert list(letter_messages(KAFKA, [])) == []


EVENT = b'{"timestamp":"2026-03-01T12:00:00Z","action":"quiz","subject":"algebra"}'


@pytest.mark.parametrize(
    ("value", "headers", "said"),
    [
        (masked(b'{"learner":"Ada"}', ALLOWED), refused(INTERACTIONS, 1), "masked"),
        (masked(b'{"columns":{"learner":["Ada"]},"v":1}', ALLOWED), refused(INTERACTIONS, 1), "masked"),
        (masked(b"Ada", ALLOWED), refused(INTERACTIONS, 1), "masked"),
        (masked(EVENT, ALLOWED), refused(INTERACTIONS, 1), None),
        (b'{"learner":"***"}', refused(PERFORMANCE, 1), None),
        (b"x", refused(PERFORMANCE, 1, cut=b"9000000"), "it was cut: of 9000000 bytes it holds 1"),
        (b"performance,node=a 1", refused(PERFORMANCE, 1, holds=b"point"), "a point that the store refused"),
        (b"x", {"reason": b"no"}, "do not tell which message"),
        (b"x", refused("smartlearn.weather", 1), "do not tell which message"),
        (b"x", refused(PERFORMANCE, 1) | {"offset": b"-1"}, "do not tell which message"),
    ],
)
def test_only_whole_messages_are_sent_again(
    topic: list[Held], value: bytes, headers: dict[str, bytes], said: str | None
) -> None:
    topic.append(Held(0, value, headers))
    (letter,) = dead_letters(KAFKA)
    if said is None:
        assert letter.refusal is None
    else:
        assert said in str(letter.refusal)


def test_headers_without_a_value_or_of_another_program_do_no_harm(topic: list[Held]) -> None:
    headers: dict[str, Any] = {"reason": None, "topic": b"\xff", "partition": b"one", "offset": None}
    topic.append(Held(0, b"x", headers))
    (letter,) = dead_letters(KAFKA)
    assert (letter.reason, letter.partition, letter.offset) == ("", None, None)
