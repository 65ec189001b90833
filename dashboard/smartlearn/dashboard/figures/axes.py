"""Along what training curves are drawn: steps, epochs, time since the start, or the time of day."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from smartlearn.core.batch import FloatArray
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.queries import SECOND, Curve

AxisKind: TypeAlias = Literal["step", "epoch", "relative", "time"]

UNITS_S: Final = {"days": 86_400.0, "hours": 3600.0, "minutes": 60.0, "seconds": 1.0}
"""What time since the start is counted in, and how many seconds that is."""


@dataclass(frozen=True, slots=True)
class Axis:
    """The x axis of training curves.

    Attributes:
        kind: what it counts.
        started: run → time of its first step, ns.
        unit: of time since the start: a key of `UNITS_S`.
        shown: the part that is shown, as drawn (of times: ms since the epoch); None is all.
    """

    kind: AxisKind = "step"
    started: Mapping[str, int] = field(default_factory=dict)
    unit: str = "hours"
    shown: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """What a zoom along it is called in the address."""
        return self.unit if self.kind == "relative" else self.kind

    def numbers(self, curve: Curve) -> FloatArray:
        """Where a curve's rows lie, shape (n,); times in ms since the epoch."""
        match self.kind:
            case "step":
                return curve.middle
            case "epoch":
                return curve.epoch
            case "relative":
                start = self.started.get(curve.run, float(curve.time[0]) if len(curve.time) else 0.0)
                return np.asarray((curve.time - start) / SECOND / UNITS_S[self.unit], dtype=np.float64)
            case "time":
                return np.asarray(curve.time / 1e6, dtype=np.float64)

    def of(self, curve: Curve) -> NDArray[Any]:
        """The same as Plotly takes them."""
        return self._drawn(self.numbers(curve))

    def at(self, curve: Curve, step: float) -> Any:
        """Where a step of a curve lies, as Plotly takes it."""
        numbers = self.numbers(curve)
        if not len(numbers):
            return step if self.kind == "step" else None
        place = step if self.kind == "step" else float(np.interp(step, curve.middle, numbers))
        return self._drawn(np.array([place]))[0]

    def dress(self, fig: go.Figure) -> None:
        """Title, ticks and range of the axis."""
        fig.update_layout(meta={"axis": self.name})
        if self.kind == "time":
            style.time_axis(fig)
        else:
            word = {"step": "step", "epoch": "epoch", "relative": f"{self.unit} since the start"}[self.kind]
            whole = self.kind == "step"
            fig.update_xaxes(
                title={"text": word, "standoff": 4, "font": {"size": 11}},
                tickformat="~s" if whole else None,
                hoverformat=",d" if whole else ".4~g",
                unifiedhovertitle={"text": f"{self.kind if self.kind != 'relative' else self.unit} %{{x}}"},
            )
        if self.shown is not None:
            fig.update_xaxes(range=self._drawn(np.array(self.shown)).tolist() if self.kind != "time" else [
                str(one) for one in self._drawn(np.array(self.shown))
            ])  # fmt: skip

    def _drawn(self, numbers: FloatArray) -> NDArray[Any]:
        return numbers.astype("datetime64[ms]") if self.kind == "time" else numbers


STEPS: Final = Axis()


def unit_for(seconds: float) -> str:
    """What a span is counted in, so that the numbers are not tiny."""
    return next((unit for unit, size in UNITS_S.items() if seconds >= 2 * size), "seconds")
