"""The example notebook runs from top to bottom, on an export and on a store, with no server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.imports import import_into
from tests.pipeline import Pipeline
from tests.stacks import environment

NOTEBOOK = Path(__file__).parents[3] / "examples" / "figures.ipynb"

REPORT = """
import json as _json
print(_json.dumps({
    "titles": {name: len(globals()[name].data) for name in ("system", "training", "users", "ai", "busiest")},
    "busiest": [None if value != value else value for value in by_hour.tolist()],
}))
"""


def cells(kind: str) -> list[dict[str, Any]]:
    document = json.loads(NOTEBOOK.read_text())
    return [cell for cell in document["cells"] if cell["cell_type"] == kind]


def run(folder: Path) -> dict[str, Any]:
    """Run the code cells in order in a new interpreter, in a folder; what they made."""
    code = "\n".join("".join(cell["source"]) for cell in cells("code")) + REPORT
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120, check=False,
        env=environment(),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def records() -> dict[str, list[dict[str, Any]]]:
    """A small export: two hours of a node, a run, and enough learners to be shown."""
    performance = [
        {
            "timestamp": f"2026-03-02T{8 + minute // 60:02}:{minute % 60:02}:00", "cpu_usage": 10.0 + minute / 2,
            "memory_usage": 40.0, "gpu_memory_used": 5.0, "gpu_memory_total": 10.0, "response_time": 200.0,
            "model_accuracy": 0.9, "user_engagement": 7.0,
        }
        for minute in range(120)
    ]  # fmt: skip
    training = [
        {
            "timestamp": f"2026-03-02T08:00:{step:02}", "epoch": 1, "step": step, "training_loss": 1 / (1 + step),
            "learning_rate": 0.01, "validation_loss": 2 / (1 + step), "accuracy": 0.5,
        }
        for step in range(60)
    ]  # fmt: skip
    users = [
        {
            "timestamp": f"2026-03-02T08:{n:02}:00", "user_id": f"learner-{n % 12}", "action": "quiz",
            "subject": "physics", "difficulty": "easy", "response_time": 900.0, "accuracy": 0.5,
            "engagement_score": 6.0,
        }
        for n in range(60)
    ]  # fmt: skip
    return {"performance_metrics": performance, "training_metrics": training, "user_metrics": users}


def means() -> dict[int, float]:
    """CPU by hour, computed from the records alone."""
    minutes = {8: range(60), 9: range(60, 120)}
    return {hour: sum(10.0 + minute / 2 for minute in found) / 60 for hour, found in minutes.items()}


def check(found: dict[str, Any]) -> None:
    assert all(found["titles"].values()), found["titles"]
    told = {hour: value for hour, value in enumerate(found["busiest"]) if value is not None}
    assert told == pytest.approx(means())


def test_the_notebook_holds_no_output() -> None:
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells("code"))
    assert NOTEBOOK.stat().st_size < 10_000


def test_the_notebook_draws_from_an_export(tmp_path: Path) -> None:
    (tmp_path / "smartlearn_export.json").write_text(json.dumps(records()))
    check(run(tmp_path))


def test_the_notebook_draws_from_a_store(tmp_path: Path) -> None:
    export = tmp_path / "kept" / "elsewhere.json"
    export.parent.mkdir()
    export.write_text(json.dumps(records()))
    pipeline = Pipeline(tmp_path / ".smartlearn")
    import_into(pipeline, export)
    pipeline.store.close()
    check(run(tmp_path))
