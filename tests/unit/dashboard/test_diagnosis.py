"""What curves say: signs are seen where they were put, and nowhere else."""

from __future__ import annotations

import numpy as np
import pytest

from smartlearn.core.batch import FloatArray
from smartlearn.dashboard.queries import Curve, findings
from smartlearn.dashboard.queries.diagnosis import diverging, overfitting, stalled

STEP = np.arange(0.0, 1000.0, 5.0)


def curve(value: FloatArray, metric: str = "training_loss", *, noise: float = 0.0, seed: int = 0) -> Curve:
    value = value * np.exp(noise * np.random.default_rng(seed).standard_normal(len(value)))
    return Curve("r", metric, STEP[: len(value)], value, value, value)


def falling(floor: float = 0.4, over: float = 200.0) -> FloatArray:
    return np.asarray(floor + 2.0 * np.exp(-STEP / over))


def test_a_run_that_learns_shows_nothing() -> None:
    for seed in range(20):
        loss = curve(falling(), noise=0.05, seed=seed)
        validation = curve(falling() * 1.05, "validation_loss", noise=0.015, seed=seed + 100)
        assert findings(loss, validation) == []


def test_overfitting_is_seen_where_the_validation_turns() -> None:
    for seed in range(20):
        loss = curve(falling(0.1), noise=0.05, seed=seed)
        turned = falling(0.1) * 1.1 + 0.001 * np.maximum(STEP - 450, 0)
        found = overfitting(loss, curve(turned, "validation_loss", noise=0.015, seed=seed + 100))
        assert found is not None
        assert found.best_step == pytest.approx(STEP[np.argmin(turned)], abs=80)
        assert found.step > found.best_step
        assert found.amount == pytest.approx(turned[-1] / turned.min() - 1, rel=0.2)
        assert found.fell > 0.05


def test_a_validation_that_rises_with_the_training_loss_is_no_overfitting() -> None:
    both = falling() + 0.002 * np.maximum(STEP - 600, 0)
    assert overfitting(curve(both), curve(both * 1.05, "validation_loss")) is None


def test_one_bad_validation_is_no_overfitting() -> None:
    validation = falling()
    validation[120] *= 3
    assert overfitting(curve(falling()), curve(validation, "validation_loss")) is None


def test_divergence_is_seen_where_it_begins() -> None:
    for seed in range(20):
        loss = falling() + 4e-6 * np.maximum(STEP - 600, 0) ** 2
        found = diverging(curve(loss, noise=0.05, seed=seed))
        assert found is not None
        crossed = STEP[np.flatnonzero((loss > 1.2 * loss.min()) & (STEP > 500))[0]]
        assert found.step == pytest.approx(crossed, abs=60)
        assert found.amount == pytest.approx(loss[-1] / loss.min() - 1, rel=0.25)


def test_a_spike_that_passes_is_no_divergence() -> None:
    loss = falling()
    loss[150:155] *= 4
    assert diverging(curve(loss)) is None


def test_a_loss_that_is_not_finite_is_told_with_its_first_step() -> None:
    column = falling()
    broken = Curve("r", "training_loss", STEP, column, column, column, nonfinite=np.array([700.0, 705.0]))
    (found,) = findings(broken, curve(np.empty(0), "validation_loss"))
    assert (found.sign, found.step, found.amount) == ("not finite", 700.0, 2.0)


def test_a_run_that_learns_no_more_is_told_from_where() -> None:
    found = stalled(curve(falling(0.9, 40.0)))
    assert found is not None
    expected = STEP[np.flatnonzero(2.0 * np.exp(-STEP / 40.0) <= 0.02)[0]]
    assert found.step == pytest.approx(expected, abs=30)
    assert found.amount == pytest.approx(1 - found.step / STEP[-1])
    assert stalled(curve(falling(0.4, 300.0))) is None


def test_a_few_steps_say_nothing() -> None:
    few = curve(np.array([1.0, 9.0, 9.0]))
    assert findings(few, curve(np.empty(0), "validation_loss")) == []
