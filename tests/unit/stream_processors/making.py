"""Batches, records and faults that the workers' tests are made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from tests.reference import Events

from smartlearn.core.batch import Batch, Kind
from smartlearn.core.errors import BrokerUnavailable, StoreUnavailable
from smartlearn.core.stores.base import MetricStore
from smartlearn.stream_processors.records import Outgoing

SECOND = 1_000_000
START = 1_790_000_000 * SECOND
"""A full hour, a minute and a pane begin here."""

PSEUDONYM = "p1_00000000_" + "0" * 32


def at(*seconds: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Event times so many seconds after `START`, µs."""
    return np.array([START + round(second * SECOND) for second in seconds], np.int64)


def performance(
    node: str,
    seconds: Sequence[float],
    cpu: Sequence[float] | float = 50.0,
    *,
    seq: int = 0,
    sender: str = "host",
    texts: dict[str, Any] | None = None,
    **numbers: Sequence[float] | float,
) -> Batch:
    """Samples of a node."""
    columns = {"cpu_usage": cpu, **numbers}
    return Batch(
        Kind.PERFORMANCE,
        sender,
        node,
        at(*seconds),
        {name: np.broadcast_to(np.asarray(c, np.float64), len(seconds)).copy() for name, c in columns.items()},
        {"node": node, **(texts or {})},
        boot=f"boot-{sender}",
        seq=seq,
    )


def training(run: str, steps: Sequence[int], loss: Sequence[float] | float = 1.0, *, seq: int = 0) -> Batch:
    """Steps of a run, one a millisecond; a loss may be NaN or infinite."""
    rows = len(steps)
    losses = np.broadcast_to(np.asarray(loss, np.float64), rows)
    codes = np.select([np.isnan(losses), losses == np.inf, losses == -np.inf], [1, 2, 3], 0).astype(np.int8)
    numbers = {
        "epoch": np.ones(rows),
        "step": np.array(steps, np.float64),
        "training_loss": np.where(codes, np.nan, losses),
        "learning_rate": np.full(rows, 1e-4),
    }
    return Batch(
        Kind.TRAINING,
        "node-a",
        run,
        at(*(step / 1000 for step in steps)),
        numbers,
        {"run": run, "node": "node-a"},
        {"training_loss": codes} if codes.any() else {},
        boot="boot",
        seq=seq,
    )


def interactions(
    source: str, seconds: Sequence[float], subjects: Sequence[str] | None = None, *, seq: int = 0
) -> Batch:
    """Answers that one source tells of, each of another learner."""
    rows = len(seconds)
    numbers = {
        "response_time": np.linspace(100, 200, rows),
        "accuracy": np.ones(rows),
        "engagement_score": np.full(rows, 5.0),
    }
    learners = np.array([f"p1_00000000_{row:032x}" for row in range(rows)], np.object_)
    texts: dict[str, Any] = {"learner": learners, "action": "quiz", "difficulty": "beginner", "subject": "physics"}
    if subjects is not None:
        texts["subject"] = np.array(subjects, np.object_)
    return Batch(Kind.INTERACTION, source, source, at(*seconds), numbers, texts, boot="boot", seq=seq)


def as_import(batch: Batch, first_place: int = 0) -> Batch:
    """The same rows as a file brings them."""
    place = np.arange(first_place, first_place + len(batch), dtype=np.int64)
    return Batch(
        batch.kind, "import", batch.key, batch.timestamp, batch.numbers, batch.texts, batch.nonfinite, place=place
    )


class Faulty:
    """A store of which some calls fail; everything else goes to the real one."""

    def __init__(self, store: MetricStore) -> None:
        self.real = store
        self._failing: dict[str, Callable[[Counter[str]], bool]] = {}
        self.calls: Counter[str] = Counter()

    def fail(self, name: str, *calls: int) -> None:
        """Let the calls of these numbers from now on (0 is the next one) of one method fail."""
        first = self.calls[name]
        self._failing[name] = lambda counter: counter[name] - first - 1 in calls

    def heal(self) -> None:
        """Let no call fail any more."""
        self._failing.clear()

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.real, name)
        if not callable(method):
            return method

        def call(*values: Any, **named: Any) -> Any:
            self.calls[name] += 1
            if name in self._failing and self._failing[name](self.calls):
                raise StoreUnavailable(f"{name} does not answer")
            return method(*values, **named)

        return call


class Refusing:
    """A publisher that takes nothing for some calls, or takes what it is given and does not say so."""

    def __init__(self, inner: Any, *, failures: int, after_sending: bool = False) -> None:
        self._inner = inner
        self.failures = failures
        self._after_sending = after_sending

    def publish(self, messages: Iterable[Outgoing]) -> None:
        if not self.failures:
            self._inner.publish(messages)
            return
        self.failures -= 1
        if self._after_sending:
            self._inner.publish(messages)
        raise BrokerUnavailable("no answer")

    def send(self, message: Outgoing) -> None:
        self._inner.send(message)


def events_of(batches: Iterable[Batch]) -> Events:
    """The rows of batches as the offline computation reads them."""
    events = Events()
    target = {
        Kind.PERFORMANCE: events.performance,
        Kind.TRAINING: events.training,
        Kind.INTERACTION: events.interactions,
    }
    for batch in batches:
        for row in range(len(batch)):
            event: dict[str, Any] = {"timestamp": int(batch.timestamp[row]), "key": batch.key}
            event |= {n: c if isinstance(c, str) else c[row] for n, c in batch.texts.items()}
            event |= {n: float(c[row]) for n, c in batch.numbers.items() if not np.isnan(c[row])}
            target[batch.kind].append(event)
    return events
