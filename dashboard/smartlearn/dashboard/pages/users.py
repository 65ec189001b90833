"""User Analytics: how well learners do, in what, and when; always groups, never one learner."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, Literal

import plotly.graph_objects as go

from smartlearn.core.batch import FloatArray
from smartlearn.dashboard import queries, theme
from smartlearn.dashboard.figures import attainment, heat, learners, style
from smartlearn.dashboard.format import NOTHING, number, signed, split_unit, with_unit
from smartlearn.dashboard.panels import Chart, Choice, Column, Context, Page, Stat, Table
from smartlearn.dashboard.view import View

SPREAD: Final = Choice(
    "times",
    "Response times by",
    {"subject": "By subject", "difficulty": "By difficulty", "all": "All together"},
)
METRIC: Final = Choice(
    "over",
    "What over time",
    {"engagement_score": "Engagement", "accuracy": "Accuracy", "response_time": "Response time"},
)


def stats(context: Context, view: View) -> list[Stat]:
    """Interactions, learners, accuracy, response time and engagement against the period before."""
    minimum = context.settings.privacy.minimum_group
    now = queries.groups(context.history, _window(view), "all", minimum)
    before = queries.groups(context.history, _window(view).previous(), "all", minimum)
    labels = ("Interactions", "Learners", "Accuracy", "Response time", "Engagement")
    if not now.shown:
        note = f"fewer than {minimum} learners" if now.hidden else ""
        return [Stat(label, NOTHING, note=note) for label in labels]
    group, past = now.shown[0], before.shown[0] if before.shown else None
    lines = {
        name: queries.over_time(context.history, _window(view), minimum, name).line
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
    found = queries.over_time(context.history, _window(view), minimum, METRIC.of(view))
    return learners.over_time(found, context.settings, _window(view))


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
    """How response times are spread: a box a subject or difficulty, or one histogram."""
    minimum = context.settings.privacy.minimum_group
    by: queries.By = "difficulty" if SPREAD.of(view) == "difficulty" else "subject"
    if SPREAD.of(view) != "all":
        return attainment.boxes(queries.boxes(context.history, _window(view), by, minimum), context.settings)
    spread = queries.distribution(context.history, _window(view), minimum)
    return learners.spread(spread, "response_time", context.settings)


def attempts(context: Context, view: View) -> go.Figure:
    """Accuracy at the first, second, … attempt at a subject."""
    answers = queries.read_answers(context.history, _window(view))
    found = queries.learning(answers, context.settings.privacy.minimum_group)
    return attainment.attempts(found, context.settings, remark=attainment.read_note(answers))


def funnel(context: Context, view: View) -> go.Figure:
    """How many learners do each action, and all up to it."""
    answers = queries.read_answers(context.history, _window(view))
    found = queries.funnel(answers, context.settings.privacy.minimum_group)
    return attainment.funnel(found, context.settings, remark=attainment.read_note(answers))


def at_risk(context: Context, view: View) -> go.Figure:
    """How many learners may need help, by rule."""
    answers = queries.read_answers(context.history, _window(view))
    if not len(answers):
        return style.nothing("interactions")
    settings = context.settings
    found = queries.at_risk(answers, settings.privacy.minimum_group, settings.dashboard.risk_accuracy)
    return attainment.risk(found, settings, remark=attainment.read_note(answers))


def retention(context: Context, view: View) -> go.Figure:
    """Which share of the learners of a week comes back in the weeks after, up to the end of the range."""
    minimum = context.settings.privacy.minimum_group
    return attainment.retention(queries.retention(context.history, _window(view).stop, minimum), minimum)


def most_accessed(context: Context, view: View) -> go.Figure:
    """Interactions by subject."""
    return learners.most_accessed(_groups(context, view, "subject"), context.settings)


def activity(context: Context, view: View) -> go.Figure:
    """Interactions an hour, by weekday and hour."""
    minimum = context.settings.privacy.minimum_group
    return heat.activity_heatmap(queries.activity(context.history, _window(view), minimum), minimum)


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
    return queries.groups(context.history, _window(view), by, context.settings.privacy.minimum_group)


def _window(view: View) -> queries.Window:
    """The range in whole steps, so that no two views differ by single answers."""
    return queries.whole(view.window)


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
        Chart(
            "users-risk",
            "Learners at risk",
            at_risk,
            unit="how many, never who",
            span=4,
            help="Counted where a learner has at least five answers in the range, or went quiet. Counts below the "
            "smallest group are not shown.",
        ),
        Chart(
            "users-attempts",
            "Learning curve",
            attempts,
            unit="accuracy by attempt, 95 % interval",
            help="The n-th answer of each learner at a subject, counted from the start of the range. Later attempts "
            "are of those who went on.",
        ),
        Chart("users-both", "Accuracy by subject and difficulty", by_both, unit="%"),
        Chart("users-subject", "Accuracy by subject", by_subject, unit="%, 95 % interval"),
        Chart("users-response-time", "Response time", response_times, unit="ms: 5, 25, 50, 75, 95 %", choice=SPREAD),
        Chart("users-difficulty", "Accuracy by difficulty", by_difficulty, unit="%, 95 % interval", span=4),
        Chart(
            "users-funnel",
            "What learners do",
            funnel,
            unit="% of learners",
            span=4,
            help="Actions from the most to the least common. The full bar counts those who did all above it too.",
        ),
        Chart("users-most", "Most accessed subjects", most_accessed, unit="interactions", span=4),
        Chart(
            "users-retention",
            "Who comes back",
            retention,
            unit="% of learners by week first seen",
            help="Weeks from Monday, UTC; twelve up to the end of the range, whatever its start.",
        ),
        Chart("users-activity", "Activity", activity, unit="interactions an hour, UTC"),
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
