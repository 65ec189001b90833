"""The demo's learners: what they do in each minute, how well, and how they like it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from smartlearn.core.batch import FloatArray, Int64Array
from smartlearn.producers.demo.nodes import business
from smartlearn.producers.demo.noise import Noise

MINUTE_US: Final = 60_000_000
LEARNERS: Final = 180
WEEK_US: Final = 7 * 24 * 60 * MINUTE_US
_MOST_PER_MINUTE: Final = 5

SUBJECTS: Final = ("mathematics", "computer_science", "physics", "biology", "chemistry", "history")
DIFFICULTIES: Final = ("beginner", "intermediate", "advanced")
ACTIONS: Final = ("quiz", "practice", "question", "explanation", "study_plan")

_SUBJECT_SHARE: Final = np.array([0.28, 0.21, 0.17, 0.14, 0.12, 0.08])
_DIFFICULTY_SHARE: Final = np.array([0.38, 0.40, 0.22])
_ACTION_SHARE: Final = np.array([0.34, 0.27, 0.2, 0.13, 0.06])
_SUBJECT_EASE: Final = np.array([-0.02, 0.01, -0.06, 0.04, -0.04, 0.06])
_DIFFICULTY_EASE: Final = np.array([0.1, 0.0, -0.14])
_SUBJECT_PACE: Final = np.array([1.15, 1.2, 1.3, 0.9, 1.05, 0.8])
_DIFFICULTY_PACE: Final = np.array([0.75, 1.0, 1.55])

# 1970-01-01 was a Thursday: a week begins on Monday.
_MONDAY_US: Final = 4 * 24 * 60 * MINUTE_US
_TERM_WEEKS: Final = 12
_STRUGGLING: Final = 8


@dataclass(frozen=True, slots=True)
class Answers:
    """n interactions in time order.

    Attributes:
        timestamp: µs since the epoch, whole ms, shape (n,).
        learner: the learner's number, shape (n,).
        subject: index into `SUBJECTS`; `difficulty` and `action` likewise, shape (n,).
        difficulty: see subject.
        action: see subject.
        numbers: response_time, accuracy and engagement_score, shape (n,) each.
    """

    timestamp: Int64Array
    learner: Int64Array
    subject: Int64Array
    difficulty: Int64Array
    action: Int64Array
    numbers: dict[str, FloatArray]


def answers_between(seed: int, start_us: int, stop_us: int, *, one_in: int = 1) -> Answers:
    """What the learners did in (start, stop]; with `one_in` a part of it, always the same."""
    noise = Noise(seed, "learners")
    minute = np.arange(start_us // MINUTE_US, stop_us // MINUTE_US + 1, dtype=np.int64)
    chance = 0.32 * business(minute.astype(np.float64) * 60.0)
    number = (minute[:, None] * 64 + np.arange(_MOST_PER_MINUTE) * 12).ravel()
    happens = noise.uniform(number) < np.repeat(chance, _MOST_PER_MINUTE)
    number = number[happens & (noise.uniform(number + 9) * one_in < 1.0)]
    offset = (noise.uniform(number + 1) * 60_000).astype(np.int64) * 1000
    timestamp = number // 64 * MINUTE_US + offset
    inside = (timestamp > start_us) & (timestamp <= stop_us)
    order = np.argsort(timestamp[inside], kind="stable")
    number, timestamp = number[inside][order], timestamp[inside][order]
    return _answers(noise, number, timestamp)


def _answers(noise: Noise, number: Int64Array, timestamp: Int64Array) -> Answers:
    week = (timestamp - _MONDAY_US) // WEEK_US
    learner, since = _who(noise.uniform(number + 2) ** 1.3, week)
    subject = _choice(noise.uniform(number + 3), _SUBJECT_SHARE)
    difficulty = _choice(noise.uniform(number + 4), _DIFFICULTY_SHARE)
    action = _choice(noise.uniform(number + 5), _ACTION_SHARE)
    ability = Noise(0, "ability").normal(learner) - 4.0 * (learner % _STRUGGLING == 0)
    spread = noise.normal(number + 6)
    # Learners get better from week to week, and warm up during a school day.
    practice = 0.024 * since + 0.09 * (1.0 - np.exp(-np.maximum(timestamp / 3.6e9 % 24 - 8.0, 0.0) / 3.0))
    accuracy = 0.66 + practice + 0.06 * ability + _SUBJECT_EASE[subject] + _DIFFICULTY_EASE[difficulty] + 0.1 * spread
    accuracy = np.clip(accuracy, 0.0, 1.0)
    pace = 900.0 * _SUBJECT_PACE[subject] * _DIFFICULTY_PACE[difficulty]
    response = pace * np.exp(0.35 * noise.normal(number + 7) - 0.08 * ability)
    tired = np.maximum(timestamp / 3.6e9 % 24 - 18.0, 0.0)
    score = 5.6 + 3.2 * accuracy - 0.25 * tired + 0.35 * (action == 0) + 0.6 * noise.normal(number + 8)
    return Answers(
        timestamp, learner, subject, difficulty, action,
        {"response_time": response, "accuracy": accuracy, "engagement_score": np.clip(score, 1.0, 10.0)},
    )  # fmt: skip


def _who(uniform: FloatArray, week: Int64Array) -> tuple[Int64Array, Int64Array]:
    """Whose answer each is, of those who attend in its week, and for how many weeks they have; shape (n,) each.

    A learner joins in one week of a term of twelve and stays for three to eight, with a week off now and then.
    """
    everyone = np.arange(LEARNERS, dtype=np.int64)
    draw = Noise(0, "attendance")
    stays = 3 + (draw.uniform(everyone) * 6.0).astype(np.int64)
    learner, since = np.empty(len(week), np.int64), np.empty(len(week), np.int64)
    for one in np.unique(week):
        weeks = (one - everyone * 5) % _TERM_WEEKS
        attends = (weeks < stays) & ((weeks == 0) | (draw.uniform(everyone * 4096 + one + LEARNERS) < 0.85))
        present, rows = everyone[attends], week == one
        learner[rows] = present[(uniform[rows] * len(present)).astype(np.int64)]
        since[rows] = weeks[learner[rows]]
    return learner, since


def _choice(uniform: FloatArray, share: FloatArray) -> Int64Array:
    return np.searchsorted(np.cumsum(share)[:-1], uniform, side="right").astype(np.int64)
