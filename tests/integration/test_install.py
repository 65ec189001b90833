"""What a user installs: one distribution, beside folders that happen to be called like ours."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]

PROGRAM = """
from datetime import datetime
from smartlearn.metrics import PerformanceMetrics, add_training_metrics, get_metrics_collector
add_training_metrics(epoch=1, step=1, training_loss=0.5, learning_rate=1e-4)
collector = get_metrics_collector()
collector.add_performance_metrics(PerformanceMetrics(datetime.now(), 50.0, 60.0))
print(len(collector.training_metrics), len(collector.performance_metrics))
"""


def test_an_install_into_a_project_with_folders_of_the_same_names_gives_the_command_and_the_sdk(tmp_path: Path) -> None:
    for name in ("infra", "dashboard", "producers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SMARTLEARN_")}

    def run(*command: str) -> str:
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    pip = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    run(str(python), *pip, "--constraint", str(ROOT / "constraints.txt"), str(ROOT))
    assert "import" in run(str(python.parent / "smartlearn"), "--help")
    (tmp_path / "program.py").write_text(PROGRAM)
    assert run(str(python), "program.py").split() == ["1", "1"]
