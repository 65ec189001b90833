"""A seeded load that knows what it sent: nodes, applications and a training, in event time of its own.

A node's batches may come late (within the lateness and far beyond it) and twice, as spools and retries make them.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from types import TracebackType

from tests.reference import Events
from tests.unit.stream_processors.making import events_of, interactions, performance, training

from smartlearn.core.batch import Batch

ROUND_S = 5
"""How much event time passes in a round."""

_NODES = 5
_STEPS = 10
_LATE = 0.1
_TWICE = 0.1
_LATEST_ROUNDS = 12


class Load:
    """Batches, round by round.

    Attributes:
        seed: makes the same load again.
        sent: every batch that was given out, each once.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.sent: list[Batch] = []
        self._random = random.Random(seed)
        self._round = 0
        self._held: list[tuple[int, Batch]] = []
        self._cpu = [50.0] * _NODES

    def round(self) -> list[Batch]:
        """The next batches to send, in this order."""
        number, self._round = self._round, self._round + 1
        made = [self._samples(number, node) for node in range(_NODES)]
        made += [
            interactions(source, [number * ROUND_S, number * ROUND_S + 1], ["physics", "biology"], seq=number * 2)
            for source in ("app-1", "app-2")
        ]
        prompt = [batch for batch in made if not self._held_back(number, batch)]
        # A run is written in the order of its steps.
        steps = range(number * _STEPS, number * _STEPS + _STEPS)
        prompt.append(training("run-1", steps, [1 / (step + 1) for step in steps], seq=steps.start))
        prompt += self._due(number)
        self.sent += prompt
        twice = [batch for batch in prompt if self._random.random() < _TWICE]
        return prompt + twice

    def rest(self) -> list[Batch]:
        """What was held back to come late and has not been sent."""
        left = self._due(self._round + _LATEST_ROUNDS)
        self.sent += left
        return left

    def pass_time(self, seconds: int) -> None:
        """Let event time pass in which nothing was to send."""
        self._round += seconds // ROUND_S

    def events(self) -> Events:
        """Everything sent, as the offline computation reads it."""
        return events_of(self.sent)

    def _samples(self, number: int, node: int) -> Batch:
        if self._random.random() < 0.15:
            self._cpu[node] = self._random.choice([20.0, 60.0, 75.0, 95.0])
        seconds = [number * ROUND_S + offset for offset in (0.5, 2.75)]
        values = [self._cpu[node] + self._random.uniform(-4, 4) for _ in seconds]
        return performance(f"node-{node}", seconds, values, seq=number * 2, memory_usage=self._random.uniform(60, 90))

    def _held_back(self, number: int, batch: Batch) -> bool:
        if self._random.random() >= _LATE:
            return False
        self._held.append((number + self._random.randint(1, _LATEST_ROUNDS), batch))
        return True

    def _due(self, number: int) -> list[Batch]:
        due = [batch for at, batch in self._held if at <= number]
        self._held = [(at, batch) for at, batch in self._held if at > number]
        return due


class Feeding:
    """Sends rounds of a load at an even pace while the body of the `with` runs, then what was held back."""

    def __init__(self, load: Load, send: Callable[[Batch], None], *, pace_s: float = 0.2) -> None:
        self._load = load
        self._send = send
        self._pace_s = pace_s
        self._ended = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._feed)

    def __enter__(self) -> Feeding:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join()
        if error is None and self._failure is not None:
            raise self._failure

    def _feed(self) -> None:
        try:
            while not self._ended.is_set():
                started = time.monotonic()
                for batch in self._load.round():
                    self._send(batch)
                self._ended.wait(max(0.0, started + self._pace_s - time.monotonic()))
            for batch in self._load.rest():
                self._send(batch)
        except Exception as error:
            # It is raised in the test's own thread.
            self._failure = error
