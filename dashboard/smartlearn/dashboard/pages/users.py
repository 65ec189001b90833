"""User Analytics: how well learners do, in what, and when; always groups, never one learner."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import plotly.graph_objects as go

from smartlearn.core.batch import FloatArray
from smartlearn.dashboard import queries, theme
from smartlearn.dashboard.figures import heat, learners, style
from smartlearn.dashboard.format import NOTHING, number, signed, split_unit, with_unit
from smartlearn.dashboard.panels import Chart, Choice, Column, Context, Page, Stat, Table
from smartlearn.dashboard.view import View

METRIC: Final = Choice(
    "over",
    "What over time",
    {"engagement_score": "Engagement", "accuracy": "Accuracy", "response_time": "Response time"},
)


def stats(context: Context, view: View) -> list[Stat]:
    """Interactions, learners, accuracy, response time and engagement against the period before."""
    minimum = context.settings.privacy.minimum_group
    now = queries.groups(context.history, view.window, "all", minimum)
    before = queries.groups(context.history, view.window.previous(), "all", minimum)
    labels = ("Interactions", "Learners", "Accuracy", "Response time", "Engagement")
    if not now.shown:
        note = f"fewer than {minimum} learners" if now.hidden else ""
        return [Stat(label, NOTHING, note=note) for label in labels]
    group, past = now.shown[0], before.shown[0] if before.shown else None
    lines = {
        name: queries.over_time(context.history, view.window, minimum, name).line
        for name in queries.INTERACTION_METRICS
    }
    return [
        _count("Interactions", group.count, past.count if past else None, lines["accuracy"].count),
        _count("Learners", round(group.learners), round(past.learners) if past else None),
        _mean(context, ("Accuracy", "accuracy", "fraction"), group, past, lines),
        _mean(context, ("Response time", "response_time", "ms"), group, past, lines),
        _mean(context, ("Engagement", "engagement_score", "/10"), group, past, lines),
    ]


def over_time(context: Context, view: View) -> go.Figure:
    """A mean of all learners over time with its 95 % interval."""
    minimum = context.settings.privacy.minimum_group
    found = queries.over_time(context.history, view.window, minimum, METRIC.of(view))
    return learners.over_time(found, context.settings, view.window)


def by_subject(context: Context, view: View) -> go.Figure:
    """Accuracy by subject, the weakest first."""
    return learners.by_group(_groups(context, view, "subject"), "subject", context.settings)


def by_difficulty(context: Context, view: View) -> go.Figure:
    """Accuracy by difficulty, from easy to hard."""
    return learners.by_group(_groups(context, view, "difficulty"), "difficulty", context.settings)


def by_both(context: Context, view: View) -> go.Figure:
    """Accuracy by subject and difficulty."""
    minimum = context.settings.privacy.minimum_group
    return heat.subject_difficulty(_groups(context, view, "subject_difficulty"), minimum)


def response_times(context: Context, view: View) -> go.Figure:
    """How response times are spread."""
    found = queries.distribution(context.history, view.window, context.settings.privacy.minimum_group)
    return learners.spread(found, "response_time", context.settings)


def most_accessed(context: Context, view: View) -> go.Figure:
    """Interactions by subject."""
    return learners.most_accessed(_groups(context, view, "subject"), context.settings)


def activity(context: Context, view: View) -> go.Figure:
    """Interactions an hour, by weekday and hour."""
    minimum = context.settings.privacy.minimum_group
    return heat.activity_heatmap(queries.activity(context.history, view.window, minimum), minimum)


def subject_rows(context: Context, view: View) -> list[dict[str, Any]]:
    """A row a subject, the weakest first."""
    groups = sorted(_groups(context, view, "subject").shown, key=lambda group: group.accuracy.mean)
    return [
        {
            "subject": style.readable(group.subject),
            "count": group.count,
            "learners": round(group.learners),
            "accuracy": group.accuracy.mean,
            "interval": f"{max(group.accuracy.low, 0):.1%} – {min(group.accuracy.high, 1):.1%}".replace("%", " %"),
            "response_time": group.response_time.mean,
            "engagement_score": group.engagement_score.mean,
        }
        for group in groups
    ]


def _groups(context: Context, view: View, by: queries.By) -> queries.Groups:
    return queries.groups(context.history, view.window, by, context.settings.privacy.minimum_group)


def _count(label: str, now: int, before: int | None, spark: FloatArray | None = None) -> Stat:
    change = signed(float(now - before), "") if before is not None else ""
    note = "" if before is not None else "none in the period before"
    return Stat(label, number(now), change=change, note=note, spark=spark, color=theme.GREY)


def _mean(
    context: Context,
    what: tuple[str, str, str],
    group: queries.Group,
    past: queries.Group | None,
    lines: Mapping[str, queries.Trend],
) -> Stat:
    """A mean with its interval; a change is good or bad news only where it is larger than chance explains."""
    label, name, unit = what
    estimate: queries.Estimate = getattr(group, name)
    earlier: queries.Estimate | None = getattr(past, name) if past else None
    value, shown = split_unit(estimate.mean, unit)
    half = estimate.high - estimate.mean
    change = ""
    verdict: Literal["good", "bad"] | None = None
    if earlier is not None:
        difference = estimate.mean - earlier.mean
        change = signed(100 * difference, "%") if unit == "fraction" else signed(difference, unit.removeprefix("/10"))
        if abs(difference) > math.hypot(half, earlier.high - earlier.mean):
            better = difference < 0 if name == "response_time" else difference > 0
            verdict = "good" if better else "bad"
    sure = with_unit(half, unit) if unit != "/10" else number(half)
    return Stat(
        label,
        value,
        shown,
        change,
        verdict,
        note=f"± {sure}" if math.isfinite(half) else "",
        spark=lines[name].mean,
        color=theme.metric_color(name, context.settings),
        hint=f"mean of {estimate.n:,} with its 95 % interval",
    )


PAGE: Final = Page(
    path="/users",
    name="User Analytics",
    question="How well do learners do, in what, and when?",
    stats=stats,
    panels=(
        Chart("users-over-time", "Over time", over_time, unit="mean with 95 % interval", span=8, choice=METRIC),
        Chart("users-difficulty", "Accuracy by difficulty", by_difficulty, unit="%, 95 % interval", span=4),
        Chart("users-subject", "Accuracy by subject", by_subject, unit="%, 95 % interval"),
        Chart("users-both", "Accuracy by subject and difficulty", by_both, unit="%"),
        Chart("users-response-time", "Response time", response_times, unit="ms, share of answers", span=4),
        Chart("users-most", "Most accessed subjects", most_accessed, unit="interactions", span=4),
        Chart("users-activity", "Activity", activity, unit="interactions an hour, UTC", span=4),
        Table(
            "users-subjects",
            "Subjects",
            (
                Column("subject", "Subject"),
                Column("count", "Interactions", "number", 120),
                Column("learners", "Learners", "number", 110),
                Column("accuracy", "Accuracy", "percent", 110),
                Column("interval", "95 % interval", "text", 170),
                Column("response_time", "Response time (ms)", "number", 160),
                Column("engagement_score", "Engagement (1–10)", "number", 160),
            ),
            subject_rows,
            empty="No interactions in this time range. Choose a longer one, or run smartlearn demo.",
        ),
    ),
    pickers=(),
    icon="users",
    measurement="interactions_1h",
)
