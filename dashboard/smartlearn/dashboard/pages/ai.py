"""AI Performance: how fast and how well the models answer, and what holds them back."""

from __future__ import annotations

import math
from typing import Any, Final, Literal

import plotly.graph_objects as go

from smartlearn.core.settings import RuleSettings
from smartlearn.dashboard import queries, theme
from smartlearn.dashboard.figures import gpus as gpu_figures
from smartlearn.dashboard.figures import health, latency, trends
from smartlearn.dashboard.figures.metrics import rule_of
from smartlearn.dashboard.figures.training import progress
from smartlearn.dashboard.format import NOTHING, ago, number, signed, split_unit, with_unit
from smartlearn.dashboard.pages.ai_advice import advice
from smartlearn.dashboard.panels import Chart, Choice, Column, Context, Insights, Page, Stat, Table
from smartlearn.dashboard.queries.gpus import gpus, gpus_by_run
from smartlearn.dashboard.queries.latency import density, errors, throughput, version_points
from smartlearn.dashboard.queries.performance import UNVERSIONED
from smartlearn.dashboard.queries.window import TIERS
from smartlearn.dashboard.theme import Status
from smartlearn.dashboard.view import View

MEMORY: Final = Choice("memory", "Which memory", {"memory_usage": "Host memory", "gpu_memory": "GPU memory"})
COLOR: Final = Choice("latency", "What the colours are", {"share": "Share of answers", "count": "Number of answers"})
_UNANSWERED: Final = "No answers in this time range.<br>Choose a longer one, or run <b>smartlearn demo</b>."
_UNSAID: Final = "No answer says whether it failed.<br>Time models with <b>time_model</b> to see errors here."
RUN_GPU: Final = Choice("run_gpu", "What of the GPU", {"gpu_utilization": "Utilisation", "gpu_memory": "Memory"})


def stats(context: Context, view: View) -> list[Stat]:
    """Response time, accuracy, memory efficiency, GPU memory and health at a glance."""
    history, settings = context.history, context.settings
    now = queries.spread(history, "response_time", view.window, view.nodes)
    before = queries.spread(history, "response_time", view.window.previous(), view.nodes)
    changes = queries.changes(history, ["response_time", "model_accuracy", "gpu_memory"], view.window, view.nodes)
    return [
        _response_time(context, now, before, changes["response_time"]),
        _accuracy(context, changes["model_accuracy"]),
        _efficiency(queries.memory_efficiency(history, view.window, view.nodes)),
        _gpu(context, changes["gpu_memory"]),
        _health(queries.health(history, settings, view.now, view.nodes)),
    ]


def response_time(context: Context, view: View) -> go.Figure:
    """p50, p95 and p99 over time with the rule's levels."""
    found = queries.quantiles(context.history, "response_time", view.window, view.nodes)
    return trends.quantiles(found, context.settings, view.window)


def accuracy(context: Context, view: View) -> go.Figure:
    """Accuracy by model version over time, with the notes of deployments."""
    found = queries.by_version(context.history, "model_accuracy", view.window, view.nodes)
    figure = trends.named(found, context.settings, view.window, styles=_styles(context))
    trends.add_notes(figure, queries.notes(context.history, view.window) if found else [])
    return figure


def gpu(context: Context, view: View) -> go.Figure:
    """GPU memory by node."""
    found = queries.trends(context.history, ["gpu_memory"], view.window, view.nodes)["gpu_memory"]
    styles = theme.series_style(queries.nodes(context.history))
    return trends.lines(found, context.settings, view.window, styles=styles)


def efficiency(context: Context, view: View) -> go.Figure:
    """Mean against peak of a memory, by node."""
    found = queries.memory_efficiency(context.history, view.window, view.nodes, MEMORY.of(view))
    return health.memory_efficiency(found, context.settings)


def training_status(context: Context, view: View) -> go.Figure:
    """The newest runs and how far they are."""
    return progress(queries.runs(context.history, view.now, view.window, view.nodes), context.settings)


def node_health(context: Context, view: View) -> go.Figure:
    """The newest score of each node with its components."""
    return health.components(queries.health(context.history, context.settings, view.now, view.nodes), context.settings)


def heat(context: Context, view: View) -> go.Figure:
    """How response times are spread over time, with their median and p95."""
    found = density(context.history, "response_time", view.window, view.nodes)
    lines = queries.quantiles(context.history, "response_time", view.window, view.nodes)
    by: Literal["share", "count"] = "count" if COLOR.of(view) == "count" else "share"
    return latency.density(found, lines, context.settings, view.window, by=by)


def answers(context: Context, view: View) -> go.Figure:
    """Answers a minute by model version."""
    found = throughput(context.history, view.window, view.nodes)
    return latency.rates(found, context.settings, view.window, styles=_styles(context), nothing=_UNANSWERED)


def failed(context: Context, view: View) -> go.Figure:
    """The share of answers that failed by model version."""
    found = errors(context.history, view.window, view.nodes)
    return latency.rates(found, context.settings, view.window, styles=_styles(context), share=True, nothing=_UNSAID)


def trade_off(context: Context, view: View) -> go.Figure:
    """Accuracy against response time by model version."""
    found = version_points(context.history, view.window, view.nodes)
    return latency.speed_against_accuracy(found, context.settings, styles=_styles(context))


def gpu_by_run(context: Context, view: View) -> go.Figure:
    """GPU memory or utilisation by training run."""
    what: Literal["gpu_memory", "gpu_utilization"] = (
        "gpu_memory" if RUN_GPU.of(view) == "gpu_memory" else "gpu_utilization"
    )
    return gpu_figures.by_run(gpus_by_run(context.history, view.window, view.nodes), view.window, what)


def gpu_rows(context: Context, view: View) -> list[dict[str, Any]]:
    """A row a GPU, the least used first."""
    return [
        {
            "node": one.node,
            "gpu": one.gpu or "–",
            "utilization": _known(one.utilization),
            "memory": _known(one.memory),
            "peak": _known(one.peak),
            "used": _known(one.used),
            "total": _known(one.total),
            "temperature": _known(one.temperature),
        }
        for one in gpus(context.history, view.window, view.nodes)
    ]


def _styles(context: Context) -> trends.Styles:
    """A version has one look in all charts."""
    names = {UNVERSIONED, *(name for tier in TIERS for name in _versions(context, tier))}
    return theme.series_style(names)


def _versions(context: Context, tier: str) -> list[str]:
    return context.history.tag_values(f"performance_{tier}", "model_version")


def version_rows(context: Context, view: View) -> list[dict[str, Any]]:
    """A row a model version."""
    return [
        {
            "version": one.version,
            "answers": max(one.response_time.count, one.accuracy.count),
            "nodes": one.nodes,
            "accuracy": _known(one.accuracy.mean),
            "p50": _known(one.response_time.p50),
            "p95": _known(one.response_time.p95),
            "p99": _known(one.response_time.p99),
            "first": one.first,
            "last": one.last,
        }
        for one in queries.versions(context.history, view.window, view.nodes)
    ]


def level_of(value: float, rule: RuleSettings | None) -> Status | None:
    """What a value is by a rule; None without a rule or a value."""
    if rule is None or math.isnan(value):
        return None
    if value > rule.critical:
        return "critical"
    return "warning" if value > rule.warning else "ok"


def _response_time(context: Context, now: queries.Spread, before: queries.Spread, line: queries.Change) -> Stat:
    value, unit = split_unit(now.p95, "ms")
    change = now.p95 - before.p95
    return Stat(
        "Response time, p95",
        value,
        unit,
        signed(change, "ms") if math.isfinite(change) else "",
        None if not math.isfinite(change) or change == 0 else "bad" if change > 0 else "good",
        level_of(now.p95, rule_of("response_time", context.settings)),
        f"median {with_unit(now.p50, 'ms')}" if now.count else "",
        line.spark.mean,
        theme.metric_color("response_time", context.settings),
        f"{now.count:,} answers, slowest {with_unit(now.high, 'ms')}" if now.count else "",
    )


def _accuracy(context: Context, change: queries.Change) -> Stat:
    value, unit = split_unit(change.value, "fraction")
    points = 100 * change.change
    return Stat(
        "Model accuracy",
        value,
        unit,
        signed(points, "%") if math.isfinite(points) else "",
        None if not math.isfinite(points) or points == 0 else "good" if points > 0 else "bad",
        note=f"{number(change.count)} samples" if change.count else "",
        spark=change.spark.mean,
        color=theme.metric_color("model_accuracy", context.settings),
    )


def _efficiency(found: list[queries.Efficiency]) -> Stat:
    if not found:
        return Stat("Memory efficiency", NOTHING, note="mean of peak")
    worst = found[0]
    mean = sum(one.efficiency for one in found) / len(found)
    note = f"lowest: {worst.node}, {100 * worst.efficiency:.0f} %" if len(found) > 1 else f"peak {worst.peak:.0f} %"
    value, unit = split_unit(mean, "fraction")
    return Stat("Memory efficiency", value, unit, note=note, hint="mean memory in use ÷ its peak, by node")


def _gpu(context: Context, change: queries.Change) -> Stat:
    value, unit = split_unit(change.value, "%")
    return Stat(
        "GPU memory",
        value,
        unit,
        signed(change.change, "%") if math.isfinite(change.change) else "",
        status=level_of(change.value, rule_of("gpu_memory", context.settings)),
        note=f"peak {with_unit(change.high, '%')}" if change.count else "no node has a GPU",
        spark=change.spark.mean,
        color=theme.metric_color("gpu_memory", context.settings),
    )


def _health(found: list[queries.NodeHealth]) -> Stat:
    if not found:
        return Stat("Health, worst node", NOTHING)
    worst = found[0]
    value, _ = split_unit(worst.score, "")
    fine = sum(one.status == "ok" for one in found)
    return Stat(
        "Health, worst node",
        value,
        "of 100",
        status=worst.status,
        note=f"{worst.node} · {fine} of {len(found)} OK",
        hint=f"newest data {ago(worst.age_s)}",
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


PAGE: Final = Page(
    path="/ai",
    name="AI Performance",
    question="How fast and how well do the models answer, and what holds them back?",
    stats=stats,
    panels=(
        Chart("ai-response-time", "Response time", response_time, unit="ms: p50, p95, p99", span=8),
        Chart(
            "ai-trade",
            "Accuracy against speed",
            trade_off,
            unit="by version, 95 % intervals",
            span=4,
            help="Where the crosses of two versions overlap, chance may explain the difference.",
        ),
        Chart(
            "ai-heat",
            "Latency histogram",
            heat,
            unit="ms, log scale",
            span=6,
            choice=COLOR,
            help="Each column is a histogram of the answers of its time. Two bands are two kinds of answers.",
        ),
        Insights("ai-insights", "Insights", advice, empty="No level was crossed in this time range", span=6),
        Chart("ai-accuracy", "Model accuracy by version", accuracy, unit="%", span=4),
        Chart("ai-answers", "Throughput", answers, unit="answers a minute", span=4),
        Chart("ai-errors", "Errors", failed, unit="% of answers", span=4),
        Chart("ai-gpu", "GPU memory by node", gpu, unit="% of total"),
        Chart(
            "ai-gpu-runs",
            "GPU by training run",
            gpu_by_run,
            unit="%",
            choice=RUN_GPU,
            help="From samples that name their run, of the last seven days of the range.",
        ),
        Chart(
            "ai-memory",
            "Memory efficiency",
            efficiency,
            span=4,
            choice=MEMORY,
            help="How much of the memory that a node had to have (its peak) was in use on average (the dot).",
        ),
        Chart("ai-training", "Training status", training_status, span=4),
        Chart("ai-health", "Health", node_health, unit="0–100, with components", span=4, click="node"),
        Table(
            "ai-gpus",
            "GPUs",
            (
                Column("node", "Node", "link", 150),
                Column("gpu", "GPU", "text", 70),
                Column("utilization", "Utilisation, mean", "bar", 170),
                Column("memory", "Memory, mean", "bar", 170),
                Column("peak", "Memory, peak (%)", "number", 120),
                Column("used", "In use, mean (GB)", "number", 120),
                Column("total", "Has (GB)", "number", 100),
                Column("temperature", "Hottest (°C)", "number", 110),
            ),
            gpu_rows,
            height=220,
            empty="No GPU in this time range. Run smartlearn agent where one is, or smartlearn demo.",
        ),
        Table(
            "ai-versions",
            "Model versions",
            (
                Column("version", "Version"),
                Column("answers", "Samples", "number", 100),
                Column("nodes", "Nodes", "number", 90),
                Column("accuracy", "Accuracy", "percent", 110),
                Column("p50", "p50 (ms)", "number", 110),
                Column("p95", "p95 (ms)", "number", 110),
                Column("p99", "p99 (ms)", "number", 110),
                Column("first", "First seen", "time", 190),
                Column("last", "Last seen", "time", 190),
            ),
            version_rows,
            height=220,
            empty="No model answered in this time range. Choose a longer one, or run smartlearn demo.",
        ),
    ),
    pickers=("node",),
    icon="ai",
)
