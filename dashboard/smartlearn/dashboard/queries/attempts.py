"""Single answers, read only to be counted: learning curves, what learners do, how many need help.

Stored panes do not say which learner answered, so these come from the raw interactions: of the newest `MOST` at most.
What leaves this module are groups of at least the smallest size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.core.distinct import Distinct
from smartlearn.core.stores.base import SeriesQuery
from smartlearn.dashboard.queries.columns import joined, joined_texts, times
from smartlearn.dashboard.queries.estimates import Estimate, share
from smartlearn.dashboard.queries.groups import may_be_shown
from smartlearn.dashboard.queries.history import History
from smartlearn.dashboard.queries.window import DAY, HOUR, Window

MOST: Final = 50_000
"""So many interactions are read at most, the newest; about a fifth of a second from SQLite."""

MOST_ATTEMPTS: Final = 20
RECENT: Final = 5
"""The answers that say how a learner does now."""

FALL: Final = 0.15
_LONGEST: Final = 400 * DAY


@dataclass(frozen=True, slots=True)
class Answers:
    """n interactions, by learner and then by time.

    Attributes:
        window: what was read of the range: it begins later where the range holds too many.
        learner: numbers of learners, which mean nothing elsewhere, shape (n,).
        subject: names, shape (n,); `action` likewise.
        action: see subject.
        time: ns, shape (n,).
        accuracy: 0–1, NaN where absent, shape (n,).
        cut: whether the range holds more.
    """

    window: Window
    learner: Int64Array
    subject: NDArray[np.str_]
    action: NDArray[np.str_]
    time: Int64Array
    accuracy: FloatArray
    cut: bool

    def __len__(self) -> int:
        return len(self.time)

    @property
    def learners(self) -> int:
        """How many different learners."""
        return len(np.unique(self.learner))


@dataclass(frozen=True, slots=True)
class Attempt:
    """The n-th answers of learners at a subject.

    Attributes:
        number: n, from 1.
        learners: how many got so far at some subject.
        accuracy: of these answers.
    """

    number: int
    learners: int
    accuracy: Estimate


@dataclass(frozen=True, slots=True)
class Attempts:
    """A learning curve, and how many of its first `MOST_ATTEMPTS` attempts are hidden."""

    shown: list[Attempt]
    hidden: int


@dataclass(frozen=True, slots=True)
class Step:
    """An action in a funnel.

    Attributes:
        action: its name.
        did: learners who did it.
        reached: learners who did it and all steps before.
    """

    action: str
    did: int
    reached: int


@dataclass(frozen=True, slots=True)
class Funnel:
    """Actions, the most common first, of `learners` learners in all; and how many were hidden."""

    steps: list[Step]
    learners: int
    hidden: int


@dataclass(frozen=True, slots=True)
class Risk:
    """How many learners need help, by rule; None stands for some, of fewer than the smallest group.

    Attributes:
        learners: learners with at least `RECENT` answers, or any who went quiet: of whom the rules can tell.
        low: whose last `RECENT` answers have a mean below the level.
        falling: whose last `RECENT` answers have a mean at least `FALL` below that of their answers before.
        quiet: who answered in the first half of the range and not in its last quarter; 0 in ranges under a week.
        any: learners to whom at least one rule applies.
        long: whether the range is a week or longer: a night is no absence.
    """

    learners: int
    low: int | None
    falling: int | None
    quiet: int | None
    any: int | None
    long: bool


def read_answers(store: History, window: Window, most: int = MOST) -> Answers:
    """The newest interactions of a window, whole hours of them, about `most` at most."""
    start = _start(store, window, most)
    query = SeriesQuery("interactions", start, window.stop, ("learner", "accuracy"))
    series = store.query(query)
    learner = joined_texts(series, "learner")
    _, number = np.unique(np.array(learner, dtype=np.str_), return_inverse=True)
    sizes = [len(one) for one in series]
    subject, action = (
        np.repeat(np.array([one.tags.get(tag, "") for one in series], dtype=np.str_), sizes)
        for tag in ("subject", "action")
    )
    time = times(series)
    order = np.lexsort((time, number))
    return Answers(
        Window(start, window.stop),
        number[order].astype(np.int64),
        subject[order],
        action[order],
        time[order],
        joined(series, "accuracy")[order],
        start > window.start,
    )


def learning(answers: Answers, minimum: int, subject: str = "") -> Attempts:
    """The mean accuracy of learners' n-th answers at a subject, over all subjects or one.

    Attempts are counted from the start of what was read. It is the learning curve of Newell and Rosenbloom (Mechanisms
    of skill acquisition and the law of practice, 1981) in groups. Later attempts are of those who went on: their number
    stands with each.
    """
    known = ~np.isnan(answers.accuracy)
    if subject:
        known &= answers.subject == subject
    learner, accuracy, subjects = answers.learner[known], answers.accuracy[known], answers.subject[known]
    number = _numbered(learner, subjects)
    found: list[tuple[Attempt, Distinct]] = []
    for attempt in range(1, min(int(number.max(initial=0)), MOST_ATTEMPTS) + 1):
        rows = number == attempt
        values, who = accuracy[rows], Distinct.of(str(one) for one in np.unique(learner[rows]))
        one = share(len(values), float(values.sum()), float(np.dot(values, values)))
        found.append((Attempt(attempt, int(who.estimate()), one), who))
    shown = may_be_shown([who for _, who in found], minimum)
    kept = [attempt for (attempt, _), show in zip(found, shown, strict=True) if show]
    return Attempts(kept, len(found) - len(kept))


def funnel(answers: Answers, minimum: int) -> Funnel:
    """How many learners did each action, the most common first, and how many did all up to it.

    Each step counts learners, not interactions, and whoever skipped a step counts no further, as in a closed funnel.
    """
    everyone = answers.learners
    if everyone < minimum:
        return Funnel([], 0, int(everyone > 0))
    did = {str(action): set(answers.learner[answers.action == action].tolist()) for action in np.unique(answers.action)}
    ordered = sorted(did, key=lambda action: (-len(did[action]), action))
    steps, left = [], set(answers.learner.tolist())
    for action in ordered:
        left = left & did[action]
        steps.append(Step(action, len(did[action]), len(left)))
    kept = [step for step in steps if step.reached >= minimum]
    return Funnel(kept, everyone, len(steps) - len(kept))


def at_risk(answers: Answers, minimum: int, level: float) -> Risk | None:
    """How many learners each rule applies to; None where fewer than `minimum` learners answered."""
    if answers.learners < minimum:
        return None
    window = answers.window
    long = window.span >= 7 * DAY
    half, quarter = window.start + window.span // 2, window.stop - window.span // 4
    flags: list[tuple[bool, bool, bool]] = []
    judged = 0
    for rows in _by_learner(answers):
        values = answers.accuracy[rows]
        values = values[~np.isnan(values)]
        recent, before = values[-RECENT:], values[:-RECENT]
        enough = len(recent) == RECENT
        low = enough and float(recent.mean()) < level
        falling = enough and len(before) >= RECENT and float(before.mean() - recent.mean()) >= FALL
        first, last = int(answers.time[rows][0]), int(answers.time[rows][-1])
        quiet = long and first < half and last < quarter
        judged += enough or quiet
        flags.append((bool(low), bool(falling), quiet))
    table = np.array(flags, dtype=np.bool_).reshape(-1, 3)
    counts = (int(count) for count in (*table.sum(axis=0), table.any(axis=1).sum()))
    low_ones, falling_ones, quiet_ones, concerned = (None if 0 < count < minimum else count for count in counts)
    return Risk(judged, low_ones, falling_ones, quiet_ones, concerned, long)


def _start(store: History, window: Window, most: int) -> int:
    """Where to begin so that about `most` interactions follow: at an hour, or at the window's start."""
    start = max(window.start, window.stop - _LONGEST)
    kept = store.retention("interactions")
    if kept is not None:
        start = max(start, window.stop - kept)
    hours = SeriesQuery("interactions_1h", start, window.stop, ("accuracy_count",), {"by": "all"})
    series = store.query(hours)
    if not series:
        return start
    time, count = times(series), np.nan_to_num(joined(series, "accuracy_count"))
    moments, place = np.unique(time, return_inverse=True)
    total = np.cumsum(np.bincount(place, count)[::-1])[::-1]
    fits = moments[total <= most]
    return start if total[0] <= most else int(fits[0]) if len(fits) else int(moments[-1]) // HOUR * HOUR


def _numbered(learner: Int64Array, subject: NDArray[np.str_]) -> Int64Array:
    """Of rows in time order within each learner: the how-manieth of its learner and subject each is, from 1."""
    if not len(learner):
        return np.empty(0, np.int64)
    _, codes = np.unique(subject, return_inverse=True)
    key = learner * (int(codes.max()) + 1) + codes
    order = np.argsort(key, kind="stable")
    firsts = np.flatnonzero(np.r_[True, np.diff(key[order]) != 0])
    rank = np.arange(len(key)) - np.repeat(firsts, np.diff(np.r_[firsts, len(key)]))
    number = np.empty(len(key), np.int64)
    number[order] = rank + 1
    return number


def _by_learner(answers: Answers) -> Iterator[slice]:
    edges = np.flatnonzero(np.r_[True, np.diff(answers.learner) != 0, True]) if len(answers) else np.empty(0, int)
    return (slice(int(low), int(high)) for low, high in pairwise(edges))
