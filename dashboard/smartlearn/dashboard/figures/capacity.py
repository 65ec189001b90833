"""How full things get: what was, the line through it, and how sure it is."""

from __future__ import annotations

import plotly.graph_objects as go

from smartlearn.core.settings import Settings
from smartlearn.dashboard import theme
from smartlearn.dashboard.figures import style
from smartlearn.dashboard.figures.metrics import metric, rule_of
from smartlearn.dashboard.format import clock, with_unit
from smartlearn.dashboard.queries import DAY, with_gaps
from smartlearn.dashboard.queries.forecast import FEWEST, FULL, Forecast


def forecast(found: Forecast | None, name: str, settings: Settings, height: int = style.HEIGHT) -> go.Figure:
    """A forecast with its 95 % band; says so where there is too little to tell."""
    what = metric(name)
    if found is None:
        return style.nothing(what.title, height)
    color = theme.metric_color(name, settings)
    past = found.past
    fig = style.figure(height)
    stop = int(found.time[-1]) if found.tells else int(past.time[-1] + past.width)
    style.time_axis(fig, int(past.time[0]), stop)
    time, (mean,) = with_gaps(past.time + past.width // 2, past.width, [past.mean])
    fig.add_scatter(
        x=style.moments(time), y=mean, name="measured", mode="lines" if len(past) > 2 else "lines+markers",
        line={"color": color, "width": 1.8}, connectgaps=False,
        hovertemplate="%{y:.3~r} %<extra>measured</extra>",
    )  # fmt: skip
    if found.tells:
        moments = style.moments(found.time)
        style.band(fig, moments, found.low.clip(0, FULL), found.high.clip(0, FULL), theme.faded(color, 0.18))
        fig.add_scatter(
            x=moments, y=found.mean.clip(0, FULL), name="if it goes on so", mode="lines",
            line={"color": color, "width": 1.8, "dash": "dot"},
            hovertemplate="%{y:.3~r} %<extra>if it goes on so</extra>",
        )  # fmt: skip
    style.percent_axis(fig)
    labels = style.levels(fig, rule_of(name, settings), FULL)
    style.gutter(fig, labels, 0.0, FULL)
    style.corner(fig, sentence(found))
    return fig


def sentence(found: Forecast) -> str:
    """What a forecast says, in one sentence."""
    who = style.shorten(found.node, 24)
    if not found.tells:
        return f"{who}: too little to tell; it takes {FEWEST} hours that do not all say the same"
    if not found.sure or found.slope <= 0:
        return f"{who}: does not fill up"
    gain = f"{with_unit(found.slope, 'pp')} a day"
    if found.full is None:
        days = (found.time[-1] - found.time[0]) / DAY
        return f"{who}: +{gain}, not full within {days:.0f} days" if days >= 1 else f"{who}: +{gain}, not full yet"
    first = f", at the earliest {clock(found.earliest)[:16]}" if found.earliest else ""
    return f"{who}: +{gain}, full about {clock(found.full)[:16]}{first}"
