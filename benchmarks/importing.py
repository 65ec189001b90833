"""`smartlearn import --wait` of one node's samples, beside what the store takes of the same points by itself."""

from __future__ import annotations

import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import orjson

from benchmarks import loads
from benchmarks.pages import store_of
from benchmarks.report import CannotRun, Figure
from benchmarks.stage import Stage, owners
from smartlearn.core.stores.base import Points

ROWS = 100_000
FULL_ROWS = 1_000_000
_TOO_LONG_S = 900
_FIELDS = ("cpu_usage", "memory_usage", "gpu_memory_used", "gpu_memory_total", "response_time", "model_accuracy")


def importing(stage: Stage) -> Figure:
    """Rows a second from the file to the last rollup, and the store's own rate for the raw points."""
    rows = FULL_ROWS if stage.full else ROWS
    file = stage.folder / f"{stage.name('export')}.json"
    _write(file, rows)
    environment = stage.environment()
    with stage.worker(environment) as worker:
        owners(stage, ["worker"])
        before = worker.cpu_times()
        started = time.monotonic()
        command = [sys.executable, "-m", "smartlearn.ops.cli", "import", str(file), "--wait"]
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_TOO_LONG_S, check=False
        )
        took = time.monotonic() - started
        busy = sum(worker.cpu_times()[:2]) - sum(before[:2])
    if done.returncode:
        raise CannotRun(done.stderr.strip()[-200:])
    alone = _store_alone(stage, rows)
    note = f"{rows:,} rows in {took:.0f} s; the worker was busy {100 * busy / took:.0f} % of a core"
    return Figure(rows / took, {"the store's raw points alone": alone}, [note])


def _write(file: Path, rows: int) -> None:
    values = {name: column.tolist() for name, column in loads.columns(3, 1000).items()}
    with file.open("wb") as out:
        head = {"export_timestamp": "2026-09-25T00:00:00", "demo_info": {"total_performance_metrics": rows}}
        out.write(orjson.dumps(head)[:-1] + b',"training_metrics":[],"user_metrics":[],"performance_metrics":[')
        for number in range(rows):
            moment = datetime.fromtimestamp(loads.START / 1e6 - rows + number, UTC).replace(tzinfo=None)
            sample = {"timestamp": moment.isoformat(), **{name: values[name][number % 1000] for name in _FIELDS}}
            out.write((b"," if number else b"") + orjson.dumps(sample))
        out.write(b"]}")


def _store_alone(stage: Stage, rows: int) -> float:
    """Points a second that the store takes, of the same fields, written as the workers write them."""
    store = store_of(stage.environment())
    try:
        numbers = loads.columns(3, rows)
        times = (loads.START - np.arange(rows, dtype=np.int64)[::-1] * 1_000_000) * 1000
        points = Points(
            "performance", times, {"node": "node", "source": "import"}, {name: numbers[name] for name in _FIELDS}
        )
        started = time.monotonic()
        store.write([points])
        return rows / (time.monotonic() - started)
    finally:
        store.close()
