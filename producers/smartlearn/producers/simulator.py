"""The demo: a small school's machines, trainings and learners, for dashboards that have something to say at once.

Everything is a function of the seed and of the time that it happens at, and every row has a place (see placing.py):
starting the demo again adds what is new and nothing twice.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import orjson

from smartlearn.core.batch import DEMO_SOURCE, Batch, FloatArray, Int64Array, Kind, TextColumn
from smartlearn.core.pseudonyms import Pseudonymizer
from smartlearn.core.settings import Settings
from smartlearn.core.stack import with_stack
from smartlearn.producers.bulk import Offsets, Progress, send_all
from smartlearn.producers.client import EventProducer
from smartlearn.producers.demo.learners import ACTIONS, DIFFICULTIES, LEARNERS, SUBJECTS, WEEK_US, answers_between
from smartlearn.producers.demo.nodes import DAY_S, NODES, TRAINING_NODE, Node
from smartlearn.producers.demo.noise import Noise
from smartlearn.producers.demo.runs import SLOT_US, STEP_US, STEPS, Run, run_of, runs_between
from smartlearn.producers.learners import learner_pseudonyms
from smartlearn.producers.ledger import Ledger
from smartlearn.producers.placing import places

DEFAULT_SEED: Final = 7

HISTORY_GRID_S: Final = 300
"""A sample every five minutes: 288 a day and node."""

LIVE_GRID_S: Final = 5
"""A sample every five seconds; divides the history's grid, so that both agree where they meet."""

WEEKS_BEFORE: Final = 5
ONE_IN: Final = 12
"""Of the five weeks before the last day, one interaction in twelve is sent."""

_DAY_US: Final = DAY_S * 1_000_000
_LARGEST_BATCH: Final = 2_000

# Within one batch of the live demo, what a broker may need; it never waits longer to stop.
_STOP_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class DemoReport:
    """What the demo sent.

    Attributes:
        rows: kind → how many events.
        offsets: (topic, partition) → the offset of the last message.
    """

    rows: dict[Kind, int]
    offsets: Offsets


@dataclass(frozen=True)
class Demo:
    """The events of the demo.

    Attributes:
        seed: which demo.
        pseudonyms: what makes its learners' names pseudonyms.
    """

    seed: int
    pseudonyms: Pseudonymizer

    def history(self, now_us: int) -> list[Batch]:
        """The 24 hours up to now: samples on the five-minute grid, the trainings that began in them, interactions.

        Of the weeks before there are some interactions, so that it can be seen who comes back.
        """
        start_us = now_us - _DAY_US
        runs = [run for run in runs_between(start_us, now_us) if run.start_us > start_us]
        return [
            *self._samples(start_us, now_us, HISTORY_GRID_S),
            *(batch for run in runs for batch in self._training(run, run.start_us - 1, now_us)),
            *self._interactions(start_us - WEEKS_BEFORE * WEEK_US, start_us, one_in=ONE_IN),
            *self._interactions(start_us, now_us),
            *self._notes(start_us, now_us),
        ]

    def between(self, start_us: int, stop_us: int) -> list[Batch]:
        """What happens in (start, stop]: samples on the five-second grid, and everything else."""
        return [
            *self._samples(start_us, stop_us, LIVE_GRID_S),
            *(batch for run in runs_between(start_us - SLOT_US, stop_us)
              for batch in self._training(run, start_us, stop_us)),
            *self._interactions(start_us, stop_us),
            *self._notes(start_us, stop_us),
        ]  # fmt: skip

    def _samples(self, start_us: int, stop_us: int, grid_s: int) -> Iterator[Batch]:
        grid_us = grid_s * 1_000_000
        timestamp = np.arange(start_us // grid_us + 1, stop_us // grid_us + 1, dtype=np.int64) * grid_us
        if len(timestamp):
            for node in NODES:
                yield from self._sampled(node, timestamp)

    def _sampled(self, node: Node, timestamp: Int64Array) -> Iterator[Batch]:
        noise = Noise(self.seed, node.name)
        numbers = node.sample(noise, timestamp / 1e6)
        texts: dict[str, TextColumn] = {"node": node.name}
        if node.gpu is not None:
            texts["gpu"] = node.gpu
        if (versions := node.versions(noise, timestamp / 1e6)) is not None:
            texts["model_version"] = versions
        if node.name == TRAINING_NODE:
            slots, place = np.unique(timestamp // SLOT_US, return_inverse=True)
            texts["run"] = _texts([run_of(int(slot)).name for slot in slots])[place]
        yield from _placed(Kind.PERFORMANCE, node.name, timestamp, numbers, texts)

    def _training(self, run: Run, start_us: int, stop_us: int) -> Iterator[Batch]:
        """The part of a training that lies in (start, stop]."""
        first = min(max((start_us - run.start_us) // STEP_US + 1, 0), STEPS)
        stop = min(max((stop_us - run.start_us) // STEP_US + 1, 0), STEPS)
        labels: dict[str, TextColumn] = {"run": run.name, "node": TRAINING_NODE}
        events = [event for event in run.events() if start_us < event[0] <= stop_us]
        if events:
            yield from _placed(
                Kind.RUN,
                run.name,
                np.array([time_us for time_us, _, _ in events], dtype=np.int64),
                {},
                labels
                | {
                    "type": _texts([type_ for _, type_, _ in events]),
                    "payload": _texts([orjson.dumps(payload).decode() for _, _, payload in events]),
                },
            )
        if first < stop:
            timestamp, numbers = run.steps(self.seed, first, stop)
            yield from _placed(Kind.TRAINING, run.name, timestamp, numbers, labels)

    def _interactions(self, start_us: int, stop_us: int, *, one_in: int = 1) -> Iterator[Batch]:
        answers = answers_between(self.seed, start_us, stop_us, one_in=one_in)
        if not len(answers.timestamp):
            return
        names = np.array([self.pseudonyms.of(f"demo-learner-{n}") for n in range(LEARNERS)], dtype=np.object_)
        texts: dict[str, TextColumn] = {
            "learner": names[answers.learner],
            "subject": np.array(SUBJECTS, dtype=np.object_)[answers.subject],
            "difficulty": np.array(DIFFICULTIES, dtype=np.object_)[answers.difficulty],
            "action": np.array(ACTIONS, dtype=np.object_)[answers.action],
        }
        yield from _placed(Kind.INTERACTION, DEMO_SOURCE, answers.timestamp, answers.numbers, texts)

    def _notes(self, start_us: int, stop_us: int) -> Iterator[Batch]:
        """Every morning at eight, the large model is deployed anew."""
        day = start_us // _DAY_US
        timestamp = (np.arange(day - 1, stop_us // _DAY_US + 1, dtype=np.int64) * 24 + 8) * 3_600_000_000
        timestamp = timestamp[(timestamp > start_us) & (timestamp <= stop_us)]
        if len(timestamp):
            texts: dict[str, TextColumn] = {
                "text": "Deployed tutor-3.0-large",
                "scope": "demo-tutor-2",
                "author": "demo",
            }
            yield from _placed(Kind.ANNOTATION, "demo-tutor-2", timestamp, {}, texts)


def run_demo(
    settings: Settings,
    *,
    seed: int = DEFAULT_SEED,
    live: bool = False,
    stop: threading.Event | None = None,
    progress: Progress = lambda _done, _total: None,
    now_us: Callable[[], int] = lambda: time.time_ns() // 1000,
) -> DemoReport:
    """Send the demo's last 24 hours; with `live`, then what happens every few seconds until `stop` is set.

    Args:
        settings: where the broker is, and the pseudonym key.
        seed: which demo.
        live: whether to keep going.
        stop: ends the live demo.
        progress: told the rows delivered so far and the rows in all, of the history.
        now_us: the clock, µs since the epoch.

    Raises:
        BrokerUnavailable: no broker answers while the history is sent; afterwards events wait in the spool.
        BrokerError: the broker has no topics, or refuses a message.
        SettingsError: no broker is set, or there is no pseudonym key.
    """
    demo = Demo(seed, learner_pseudonyms(settings))
    until = now_us()
    batches = demo.history(until)
    offsets = send_all(with_stack(settings).kafka, batches, progress, ledger=Ledger(settings.data_dir))
    rows = {kind: sum(len(batch) for batch in batches if batch.kind is kind) for kind in Kind}
    if live:
        _go_on(settings, demo, until, stop or threading.Event(), now_us)
    return DemoReport(rows, offsets)


def _go_on(settings: Settings, demo: Demo, until: int, stop: threading.Event, now_us: Callable[[], int]) -> None:
    """Send what happens, as it happens."""
    grid_us = LIVE_GRID_S * 1_000_000
    producer = EventProducer(settings)
    try:
        while not stop.is_set():
            now = now_us()
            for batch in demo.between(until, now):
                producer.send(batch)
            until = now
            stop.wait((grid_us - now % grid_us) / 1e6)
    finally:
        producer.close(_STOP_S)


def _placed(
    kind: Kind,
    key: str,
    timestamp: Int64Array,
    numbers: dict[str, FloatArray],
    texts: dict[str, TextColumn],
) -> Iterator[Batch]:
    """Rows with their places, cut into batches."""
    columns = [
        column.tolist() if not isinstance(column, str) else [column] * len(timestamp) for column in texts.values()
    ]
    series = list(zip(*columns, strict=True))
    place = places(timestamp, list(numbers.values()), columns, series)
    whole = Batch(kind, DEMO_SOURCE, key, timestamp, numbers, texts, place=place)
    for start in range(0, len(whole), _LARGEST_BATCH):
        yield whole.rows(start, min(start + _LARGEST_BATCH, len(whole)))


def _texts(values: list[str]) -> TextColumn:
    column = np.empty(len(values), dtype=np.object_)
    column[:] = values
    return column
