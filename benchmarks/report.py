"""What a case answers, whether that meets its target, and how the answers are shown."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.stage import Stage


class CannotRun(Exception):
    """A case, or a peer, that this machine lacks something for."""


@dataclass(frozen=True)
class Figure:
    """The answer of a case.

    Attributes:
        value: the median of its runs.
        peers: the medians of the systems beside it, in the same unit.
        notes: what else was seen, a few words each.
        fails: conditions beside the target that do not hold, a few words each.
        target: the target, where it is relative to what a peer carried in the same run.
    """

    value: float
    peers: Mapping[str, float] = field(default_factory=dict)
    notes: Sequence[str] = ()
    fails: Sequence[str] = ()
    target: float | None = None


@dataclass(frozen=True)
class Case:
    """One row of the table.

    Attributes:
        unit: of its value.
        target: the value to reach; None where `run` computes it.
        run: runs it, on the servers of a stage.
        at_most: whether the target is an upper bound.
        ratios: peer → how many times its value ours must be.
    """

    unit: str
    target: float | None
    run: Callable[[Stage], Figure]
    at_most: bool = False
    ratios: Mapping[str, float] = field(default_factory=dict)


def median_of(values: Sequence[float]) -> float:
    return statistics.median(values)


def entry(name: str, case: Case, figure: Figure | None) -> dict[str, Any]:
    """The case as the JSON file holds it; one that did not run has no value and is not met."""
    target = case.target if figure is None or figure.target is None else figure.target
    value = None if figure is None else figure.value
    peers = {} if figure is None else dict(figure.peers)
    ratio = {peer: round(figure.value / theirs, 3) for peer, theirs in peers.items()} if figure is not None else {}
    met = (
        figure is not None
        and not figure.fails
        and target is not None
        and (figure.value <= target if case.at_most else figure.value >= target)
        and all(ratio.get(peer, 0.0) >= times for peer, times in case.ratios.items())
    )
    return {
        "case": name,
        "value": value,
        "unit": case.unit,
        "target": target,
        "met": met,
        "peers": peers,
        "ratio": ratio,
    }


def lines(entry: Mapping[str, Any], case: Case, figure: Figure | None, reason: str = "") -> list[str]:
    """The case as rows of the printed table."""
    if figure is None:
        return [f"{entry['case']:13} did not run: {reason}"]
    sign = "<=" if case.at_most else ">="
    target = f"{sign} {_shown(entry['target'])}" if entry["target"] is not None else ""
    verdict = "met" if entry["met"] else _missed(entry, case, figure)
    found = [f"{entry['case']:13} {_shown(figure.value):>10} {case.unit:12} {target:>12}  {verdict}"]
    for peer, value in figure.peers.items():
        wanted = f", wanted {case.ratios[peer]:g}x" if peer in case.ratios else ""
        found.append(
            f"{'':13} {_shown(value):>10} {case.unit:12} {'':>12}  {peer} ({entry['ratio'][peer]:.3g}x{wanted})"
        )
    found.extend(f"{'':13} {note}" for note in figure.notes)
    return found


def _missed(entry: Mapping[str, Any], case: Case, figure: Figure) -> str:
    parts = list(figure.fails)
    target = entry["target"]
    if target is not None and (figure.value > target if case.at_most else figure.value < target):
        parts.insert(0, f"missed: {100 * figure.value / target:.0f} % of the target")
    for peer, times in case.ratios.items():
        if peer not in entry["ratio"]:
            parts.append(f"{peer} was not measured")
        elif entry["ratio"][peer] < times:
            parts.append(f"less than {times:g}x {peer}")
    return "; ".join(parts)


def _shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
