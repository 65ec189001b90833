from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from smartlearn.core.settings import Settings
from smartlearn.producers.collector import MetricsCollector
from smartlearn.producers.events import InvalidEvent
from smartlearn.producers.timing import time_model


class Answers(MetricsCollector):
    """A collector that only notes the answers it is told."""

    def __init__(self, folder: Path) -> None:
        super().__init__(settings=Settings(data_dir=folder))
        self.told: list[dict[str, Any]] = []

    def add_model_answer(self, response_time: float, model_version: str | None = None, **more: Any) -> None:
        self.told.append({"ms": response_time, "version": model_version, **more})


@pytest.fixture
def answers(tmp_path: Path) -> Answers:
    return Answers(tmp_path)


def test_a_block_is_timed_in_milliseconds(answers: Answers) -> None:
    started = time.perf_counter()
    with time_model("v1", collector=answers) as answer:
        time.sleep(0.02)
        answer.accuracy = 0.9
        answer.metrics["tokens"] = 12.0
    elapsed_ms = (time.perf_counter() - started) * 1000
    (told,) = answers.told
    assert 20 <= told.pop("ms") <= elapsed_ms
    assert told == {"version": "v1", "failed": False, "accuracy": 0.9, "metrics": {"tokens": 12.0}}


def test_an_exception_is_recorded_and_passes_on(answers: Answers) -> None:
    with pytest.raises(KeyError), time_model("v1", collector=answers):
        raise KeyError("missing")
    assert [told["failed"] for told in answers.told] == [True]


def test_a_function_keeps_its_name_arguments_and_answer(answers: Answers) -> None:
    @time_model("v1", collector=answers)
    def add(left: int, right: int = 1) -> int:
        """Adds."""
        return left + right

    assert (add(1), add(1, right=5), add.__name__, add.__doc__) == (2, 6, "add", "Adds.")
    assert len(answers.told) == 2


def test_a_coroutine_is_timed_until_it_is_done(answers: Answers) -> None:
    @time_model("v1", collector=answers)
    async def slow() -> str:
        await asyncio.sleep(0.02)
        return "done"

    async def both() -> list[str]:
        return list(await asyncio.gather(slow(), slow()))

    assert asyncio.run(both()) == ["done", "done"]
    assert [told["ms"] >= 20 for told in answers.told] == [True, True]


def test_a_generator_is_timed_until_its_last_item(answers: Answers) -> None:
    @time_model("v1", collector=answers)
    def tokens() -> Iterator[int]:
        yield 1
        yield 2

    stream = tokens()
    assert next(stream) == 1
    assert answers.told == []
    assert list(stream) == [2]
    assert [told["failed"] for told in answers.told] == [False]


def test_a_generator_that_is_left_early_did_not_fail(answers: Answers) -> None:
    @time_model("v1", collector=answers)
    def tokens() -> Iterator[int]:
        yield 1
        yield 2

    stream = tokens()
    next(stream)
    stream.close()  # type: ignore[attr-defined]
    assert [told["failed"] for told in answers.told] == [False]


def test_an_asynchronous_generator_is_timed_until_its_last_item(answers: Answers) -> None:
    @time_model("v1", collector=answers)
    async def tokens() -> AsyncIterator[int]:
        yield 1
        await asyncio.sleep(0)
        yield 2

    async def read() -> list[int]:
        return [token async for token in tokens()]

    assert asyncio.run(read()) == [1, 2]
    assert len(answers.told) == 1


def test_a_wrong_value_set_in_the_block_is_said(tmp_path: Path) -> None:
    collector = MetricsCollector(settings=Settings(data_dir=tmp_path))
    with pytest.raises(InvalidEvent, match="accuracy"), time_model("v1", collector=collector) as answer:
        answer.accuracy = 90


def refuse(*_: object, **__: object) -> None:
    raise InvalidEvent("accuracy is 90")


def test_the_blocks_own_exception_is_the_one_that_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    collector = MetricsCollector(settings=Settings(data_dir=tmp_path))

    @time_model("v1", collector=collector)
    def fail() -> None:
        raise KeyError("missing")

    monkeypatch.setattr(collector, "add_model_answer", refuse)
    with pytest.raises(KeyError):
        fail()
