"""Timing a model's answers: a context manager that is a decorator as well."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import AsyncIterator, Callable, Generator
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

from smartlearn.core.errors import SmartLearnError
from smartlearn.producers.collector import MetricsCollector
from smartlearn.producers.shared import get_metrics_collector

P = ParamSpec("P")
R = TypeVar("R")


class time_model:  # noqa: N801  used like a function
    """Record how long a model takes to answer: response_time (ms), model_version and model_errors (1 where it raised).

        with time_model("tutor-2.4") as answer:
            text = model.generate(prompt)
            answer.accuracy = 0.9                    # if it is known

        @time_model("tutor-2.4")
        def answer(prompt: str) -> str: ...

    Decorates functions, coroutine functions and generators of either kind; of a generator the time is until its last
    item. An exception is recorded and passes on.

    Attributes:
        accuracy: 0 to 1; set it inside the block to record it.
        metrics: further metrics by name; filled inside the block.
    """

    def __init__(self, model_version: str | None = None, *, collector: MetricsCollector | None = None) -> None:
        """Prepare.

        Args:
            model_version: which model answers.
            collector: what records; default: the collector of the process.
        """
        self.accuracy: float | None = None
        self.metrics: dict[str, float] = {}
        self._model_version = model_version
        self._collector = collector
        self._start = 0

    def __enter__(self) -> time_model:
        self._start = time.perf_counter_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        elapsed_ms = (time.perf_counter_ns() - self._start) / 1e6
        failed = kind is not None and not issubclass(kind, GeneratorExit)
        try:
            (self._collector or get_metrics_collector()).add_model_answer(
                elapsed_ms,
                self._model_version,
                failed=failed,
                accuracy=self.accuracy,
                metrics=self.metrics,
            )
        except SmartLearnError:
            # The block's own exception matters more than a setting or a value that is wrong.
            if kind is None:
                raise

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Time each call of a function."""
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def timed_coroutine(*args: P.args, **kwargs: P.kwargs) -> Any:
                with self._again():
                    return await function(*args, **kwargs)

            return cast("Callable[P, R]", timed_coroutine)
        if inspect.isasyncgenfunction(function):

            @functools.wraps(function)
            async def timed_stream(*args: P.args, **kwargs: P.kwargs) -> AsyncIterator[Any]:
                with self._again():
                    async for item in function(*args, **kwargs):
                        yield item

            return cast("Callable[P, R]", timed_stream)
        if inspect.isgeneratorfunction(function):

            @functools.wraps(function)
            def timed_generator(*args: P.args, **kwargs: P.kwargs) -> Generator[Any, Any, Any]:
                with self._again():
                    return (yield from function(*args, **kwargs))

            return cast("Callable[P, R]", timed_generator)

        @functools.wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> R:
            with self._again():
                return function(*args, **kwargs)

        return timed

    def _again(self) -> time_model:
        """One call's own timer: calls overlap."""
        return time_model(self._model_version, collector=self._collector)
