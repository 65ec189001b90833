"""The rows of the table: each case with its target."""

from __future__ import annotations

from benchmarks import importing, latency, memory, pages, producing, throughput
from benchmarks.report import Case

CASES = {
    "columnar": Case("samples/s", 800_000, throughput.columnar, ratios={"Telegraf": 8.0, "Quix Streams": 18.0}),
    "columnar-raw": Case("samples/s", None, throughput.columnar_raw, ratios={"Telegraf": 1.3}),
    "single": Case("samples/s", 20_000, throughput.single),
    "two-workers": Case("x one worker", 1.8, throughput.two_workers),
    "emit": Case("µs", 5.0, producing.emit, at_most=True),
    "step-hook": Case("µs", 20.0, producing.step_hook, at_most=True),
    "agent": Case("% of a core", 1.0, producing.agent, at_most=True),
    "live": Case("s (p95)", 1.0, latency.live, at_most=True),
    "alert": Case("s (p95)", 0.5, latency.alert, at_most=True),
    "pages": Case("ms (p95)", 500.0, pages.pages, at_most=True),
    "memory": Case("MB", 1000.0, memory.memory, at_most=True),
    "import": Case("samples/s", None, importing.importing),
}
