"""The insights of AI Performance: each says what is so, why (with numbers and times), and what to do."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Final

from smartlearn.dashboard import queries
from smartlearn.dashboard.figures.metrics import metric
from smartlearn.dashboard.format import ago, number, with_unit
from smartlearn.dashboard.panels import Advice, Context
from smartlearn.dashboard.queries.estimates import Estimate
from smartlearn.dashboard.queries.gpus import gpus_by_run
from smartlearn.dashboard.queries.latency import version_points
from smartlearn.dashboard.queries.model_findings import (
    Failing,
    Rivals,
    Slower,
    Starved,
    failing,
    rivals,
    slower,
    starved,
)
from smartlearn.dashboard.view import View

SHOWN: Final = 12
_OF_A_KIND: Final = 2


def advice(context: Context, view: View) -> list[Advice]:
    """Levels crossed, versions that are slower, less accurate or fail more, GPUs that wait; the worst first."""
    levels = queries.insights(context.history, context.settings.rules, view.window, view.nodes)
    found = [
        *_of_models(context, view),
        *_of_gpus(context, view),
        *(_crossed(one, context, view.now) for one in levels),
    ]
    return sorted(found, key=lambda one: one.status != "critical")[:SHOWN]


def _of_models(context: Context, view: View) -> list[Advice]:
    points = version_points(context.history, view.window, view.nodes)
    now = queries.versions(context.history, view.window, view.nodes)
    before = queries.versions(context.history, view.window.previous(), view.nodes)
    return [
        *(_failing(one, view) for one in failing(points)[:_OF_A_KIND]),
        *(_slower(one, view) for one in slower(now, before)[:_OF_A_KIND]),
        *(_rivals(one, view) for one in rivals(points)[:_OF_A_KIND]),
    ]


def _of_gpus(context: Context, view: View) -> list[Advice]:
    return [_starved(one, view) for one in starved(gpus_by_run(context.history, view.window, view.nodes))[:_OF_A_KIND]]


def _failing(one: Failing, view: View) -> Advice:
    version = one.version
    why = f"{_with_interval(version.errors)} of {version.errors.n:,} answers failed, {_range(view)}."
    if one.least is not None:
        why += f" {one.least.version} failed {one.least.errors.mean:.1%}."
    do = "read its log first" if one.least is None else "read its log, and let the other answer until it is mended"
    return Advice("warning", f"{version.version} fails more than 1 % of the time: {do}", why)


def _slower(one: Slower, view: View) -> Advice:
    now, before = one.now, one.before
    why = (
        f"p95 {with_unit(now.p95, 'ms')} over {now.count:,} answers, {_range(view)}; "
        f"{with_unit(before.p95, 'ms')} over {before.count:,} in the period before. "
    )
    if one.busier:
        why += f"It had {now.count / before.count - 1:.0%} more to answer."
        do = "add a replica, or batch its answers"
    else:
        why += "It had no more to answer: the model or its machine is slower."
        do = "look at what was deployed, and at its machine"
    return Advice("warning", f"{one.version} is {now.p95 / before.p95 - 1:.0%} slower than before: {do}", why)


def _rivals(one: Rivals, view: View) -> Advice:
    better, worse = one.better, one.worse
    points = 100 * (better.accuracy.mean - worse.accuracy.mean)
    why = (
        f"{_with_interval(better.accuracy)} against {_with_interval(worse.accuracy)} of {better.accuracy.n:,} and "
        f"{worse.accuracy.n:,} answers, {_range(view)}."
    )
    speed = f" Mean response {with_unit(better.latency.mean, 'ms')} against {with_unit(worse.latency.mean, 'ms')}."
    if one.faster is None:
        do, speed = "prefer it", " Their speeds differ by no more than chance."
    elif one.faster:
        do = "prefer it, it is faster too"
    else:
        do = f"use {worse.version} only where speed matters more"
    return Advice(
        "warning", f"{better.version} is {points:.1f} points more accurate than {worse.version}: {do}", why + speed
    )


def _starved(one: Starved, view: View) -> Advice:
    why = f"Its GPU computed {one.utilization:.0f} % of the time from {_clock(one.start)} to {_clock(one.stop)}"
    why += "." if math.isnan(one.others) else f"; other runs reach {one.others:.0f} %."
    if not math.isnan(one.memory):
        why += f" Memory in use: {one.memory:.0f} %."
    full = one.memory >= 80  # a larger batch would not fit
    do = "use more data-loader workers" if full else "use more data-loader workers or a larger batch"
    last = view.now - one.stop
    return Advice("warning", f"{one.run} leaves its GPU waiting: {do}", why, _when(last))


def _crossed(one: queries.Insight, context: Context, now: int) -> Advice:
    rule = one.rule
    title = metric(rule.metric).title
    crossed = rule.critical if one.critical else rule.warning
    share = one.above_critical if one.critical else one.above_warning
    why = f"{_share(share)} of the time, peak {with_unit(one.peak, rule.unit)} ({_clock(one.peak_at)}), "
    why += f"now {with_unit(one.newest, rule.unit)}."
    together = [
        f"{metric(_metric_of(other, context)).title} ({100 * part:.0f} %)"
        for other, part in sorted(one.together.items(), key=lambda pair: -pair[1])
    ]
    if together:
        why += f" Also high then: {', '.join(together)}."
    return Advice(
        "critical" if one.critical else "warning",
        f"{title} above {with_unit(crossed, rule.unit)} on {one.node}: {rule.action.lower()}",
        why,
        "now" if one.standing else ago((now - one.last_at) / queries.SECOND),
    )


def _metric_of(rule: str, context: Context) -> str:
    return next((one.metric for one in context.settings.rules if one.name == rule), rule)


def _share(share: float) -> str:
    return "Under 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def _with_interval(one: Estimate) -> str:
    """A share with half its interval: "91.2 % ± 0.4"."""
    half = 100 * (one.high - one.low) / 2
    return f"{100 * one.mean:.1f} % ± {number(half, 2)}"


def _range(view: View) -> str:
    return f"{_clock(view.window.start)} to {_clock(view.window.stop)} UTC"


def _clock(time: int) -> str:
    return f"{datetime.fromtimestamp(time / queries.SECOND, UTC):%d %b %H:%M}"


def _when(since: int) -> str:
    return "now" if since < 5 * queries.MINUTE else ago(since / queries.SECOND)
