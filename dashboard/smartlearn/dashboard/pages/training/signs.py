"""What the curves say, in words: as marks on the loss and as advice beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from smartlearn.dashboard import queries
from smartlearn.dashboard.figures import training
from smartlearn.dashboard.figures.training import Mark
from smartlearn.dashboard.format import ago, number, span
from smartlearn.dashboard.pages.training.sight import curves, sight
from smartlearn.dashboard.pages.training.stats import best_checkpoint
from smartlearn.dashboard.panels import Advice, Context
from smartlearn.dashboard.queries import Finding
from smartlearn.dashboard.queries.window import SECOND
from smartlearn.dashboard.theme import Status
from smartlearn.dashboard.view import View

_STATUS: Final[dict[str, Status]] = {
    "overfitting": "warning",
    "diverging": "critical",
    "not finite": "critical",
    "stalled": "warning",
}
_LABEL: Final = {
    "overfitting": "overfits",
    "diverging": "diverges",
    "not finite": "not finite",
    "stalled": "learns no more",
}
_WORST: Final[dict[Status, int]] = {"critical": 0, "warning": 1, "unknown": 2, "ok": 3}


def sign_marks(found: Sequence[Finding]) -> list[Mark]:
    """Findings as marks on the curve that shows them."""
    return [
        Mark(
            one.run, "validation_loss" if one.sign in {"overfitting", "stalled"} else "training_loss", one.step,
            _STATUS[one.sign], f"{_LABEL[one.sign]} from step {one.step:,.0f}: {evidence(one)}",
            f"{_LABEL[one.sign]} from step {one.step:,.0f}",
        )
        for one in found
    ]  # fmt: skip


def evidence(found: Finding) -> str:
    """By what a finding is seen."""
    match found.sign:
        case "overfitting":
            fell = f", while training loss fell by {100 * found.fell:.0f} %" if found.fell > 0 else ""
            return (
                f"validation loss is {100 * found.amount:.0f} % above its best "
                f"({number(found.best)} at step {found.best_step:,.0f}){fell}"
            )
        case "diverging":
            return (
                f"training loss is {100 * found.amount:.0f} % above its lowest "
                f"({number(found.best)} at step {found.best_step:,.0f})"
            )
        case "not finite":
            return f"the loss was NaN or infinite at {found.amount:,.0f} {'step' if found.amount == 1 else 'steps'}"
        case "stalled":
            return f"99 % of what it learned came before; {100 * found.amount:.0f} % of its steps came after"


def advice(context: Context, view: View) -> list[Advice]:
    """What each run that is drawn shows, why, and what to do; the worst first."""
    seen = sight(context, view)
    found = curves(context, seen.whole, training.LOSSES)
    lines = [line for run in seen.runs for line in _of_run(context, run, found[run.run])]
    return sorted(lines, key=lambda line: _WORST[line.status])


def _of_run(context: Context, run: queries.Run, found: dict[str, queries.Curve]) -> list[Advice]:
    when = ago((context.clock() - run.updated) / SECOND)
    signs = queries.findings(found["training_loss"], found["validation_loss"])
    validation = found["validation_loss"]
    lines = []
    if run.state == "failed":
        lines.append(Advice("critical", f"{run.run} failed", _failed(context, run), when))
    lines += [
        Advice(
            _STATUS[one.sign], f"{run.run} {_LABEL[one.sign]} from step {one.step:,.0f}",
            f"{_sentence(evidence(one))} {_what_to_do(context, run, one, validation)}", when,
        )
        for one in signs
    ]  # fmt: skip
    if run.state == "stopped":
        lines.append(
            Advice("unknown", f"{run.run} is silent", "No step came for five minutes and no end was told.", when)
        )
    if not lines:
        lines.append(Advice("ok", f"{run.run} learns", _learning(found, run), when))
    return lines


def _what_to_do(context: Context, run: queries.Run, found: Finding, validation: queries.Curve) -> str:
    going = run.state == "running"
    if found.sign == "stalled":
        return "Stop it, or change the learning rate." if going else "Fewer steps do as well."
    if found.sign == "overfitting":
        kept = best_checkpoint(queries.checkpoints(context.history, run.run), validation)
        which = f"the checkpoint of step {kept[0].step:,}" if kept else "its best step: it told no checkpoint"
        return f"Stop it and keep {which}." if going else f"Keep {which}."
    before = [
        one.step
        for one in queries.checkpoints(context.history, run.run)
        if one.step is not None and one.step <= (found.best_step if found.best_step == found.best_step else found.step)
    ]
    back = f" The checkpoint at step {max(before):,} is before that." if before else ""
    return (
        ("Stop it; " if going else "") + ("l" if going else "L") + "ower the learning rate, or clip gradients." + back
    )


def _failed(context: Context, run: queries.Run) -> str:
    left = [one.step for one in queries.checkpoints(context.history, run.run) if one.step is not None]
    again = f" Its newest checkpoint is of step {max(left):,}." if left else " It wrote no checkpoint."
    return (f"{run.error} at step {run.step:,}." if run.error else f"At step {run.step:,}.") + again


def _learning(found: dict[str, queries.Curve], run: queries.Run) -> str:
    curve = found["validation_loss"] if len(found["validation_loss"]) else found["training_loss"]
    if not len(curve):
        return "No loss in this part."
    word = curve.metric.replace("_", " ")
    text = f"{word.capitalize()} went from {number(float(curve.value[0]))} to {number(float(curve.value[-1]))}."
    return text + (f" Done in {span(run.left_s)}." if run.left_s == run.left_s else "")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
