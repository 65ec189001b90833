"""The peers' programs, built and installed once into the cache of the native servers."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import CannotRun
from smartlearn.ops.servers.recipes import cache_dir

TELEGRAF = "1.37.2"
QUIX = "3.28.1"

_GO_MODULE = f"""module native/telegraf

go 1.25.5

require github.com/influxdata/telegraf v{TELEGRAF}
"""
_PLUGINS = "custom,inputs.kafka_consumer,aggregators.basicstats,outputs.influxdb_v2,parsers.json"
_BUILD_S = 900


def telegraf() -> Path:
    """The Telegraf program, with the plugins that a pipeline needs; its build takes a minute."""
    folder = cache_dir() / f"telegraf-{TELEGRAF}"
    program = folder / "telegraf"
    if not program.is_file():
        if shutil.which("go") is None:
            raise CannotRun("it is built with Go, and there is none")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "go.mod").write_text(_GO_MODULE)
        options = ["-mod=mod", "-buildvcs=false", "-tags", _PLUGINS, "-ldflags", "-s -w", "-o", "telegraf.new"]
        _call(["go", "build", *options, "github.com/influxdata/telegraf/cmd/telegraf"], folder)
        (folder / "telegraf.new").replace(program)
    return program


def quix() -> Path:
    """The Python of an environment that has Quix Streams."""
    folder = cache_dir() / f"quixstreams-{QUIX}"
    python = folder / "bin" / "python"
    done = folder / "installed"
    if not done.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        _call([sys.executable, "-m", "venv", str(folder)], folder.parent)
        _call([str(python), "-m", "pip", "install", "--quiet", f"quixstreams=={QUIX}"], folder)
        done.touch()
    return python


def _call(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_BUILD_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"`{command[0]}` failed: {error}") from error
    if done.returncode:
        raise CannotRun(f"`{' '.join(command[:4])} …` failed: {done.stderr.strip()[-200:]}")
