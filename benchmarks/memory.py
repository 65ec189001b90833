"""What a worker holds for each node: its fifteen minutes of panes, merged windows and sketches.

A process of its own builds the windows of so many nodes as a worker has them after a quarter of an hour.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections import deque

import numpy as np
import psutil

from benchmarks import loads
from benchmarks.report import CannotRun, Figure
from benchmarks.stage import Stage
from smartlearn.core.summary import Summary
from smartlearn.stream_processors import app, lanes, worker
from smartlearn.stream_processors.domain import grouping
from smartlearn.stream_processors.domain.derive import OwnerPanes
from smartlearn.stream_processors.domain.windows import MICROS, PaneGrid

NODES = (100, 1000, 10_000)
PANES = 90
ROWS_A_PANE = 2
"""As many as the agent sends by default, a sample each five seconds."""

_PANE_US = 10 * MICROS
_MB = 1e6


def memory(stage: Stage) -> Figure:
    """The memory of a worker with 10,000 nodes, and how it grows with them."""
    found = {nodes: _measured(nodes) for nodes in NODES}
    a_node = {nodes: after / nodes / 1000 for nodes, (_, after) in found.items()}
    idle, after = found[NODES[-1]]
    note = ", ".join(f"{size:.0f} kB a node at {nodes:,}" for nodes, size in a_node.items())
    fails = [f"a node costs {note}"] if a_node[NODES[-1]] > 1.25 * a_node[NODES[0]] else []
    return Figure((idle + after) / _MB, notes=[f"{idle / _MB:.0f} MB without nodes; {note}"], fails=fails)


def _measured(nodes: int) -> tuple[int, int]:
    """Bytes before and what the nodes add, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", str(nodes)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotRun(done.stderr.strip()[-200:])
    idle, after = map(int, done.stdout.split())
    return idle, after


def hold(nodes: int) -> list[OwnerPanes]:
    """The windows of nodes after fifteen minutes."""
    grid = PaneGrid(_PANE_US)
    held = []
    for node in range(nodes):
        panes = _panes(f"node-{node}", node)
        last = max(panes)
        owner = OwnerPanes.of({start: value for start, value in panes.items() if start < last})
        # The last one merges the windows, as each pane of a worker does.
        deque(owner.append(grid, last, panes[last]), maxlen=0)
        held.append(owner)
    return held


def _panes(node: str, seed: int) -> dict[int, dict[tuple[tuple[str, str], ...], Summary]]:
    rows = PANES * ROWS_A_PANE
    times = loads.START - loads.START % _PANE_US + np.arange(rows, dtype=np.int64) * (_PANE_US // ROWS_A_PANE)
    group = grouping.performance(node, times, loads.columns(seed, rows), {"node": node})
    panes: dict[int, dict[tuple[tuple[str, str], ...], Summary]] = {}
    for (_, series), summaries in grouping.summarize_panes([group], _PANE_US).items():
        for start, summary in summaries.items():
            panes.setdefault(start, {})[series] = summary
    return dict(sorted(panes.items()))


def main() -> None:
    """Print the bytes held before, and those that the nodes add."""
    process = psutil.Process(os.getpid())
    # What a worker is without nodes: these are its modules.
    assert app
    assert lanes
    assert worker
    hold(1)
    before = process.memory_info().rss
    held = hold(int(sys.argv[1]))
    sys.stdout.write(f"{before} {process.memory_info().rss - before}\n")
    assert held


if __name__ == "__main__":
    main()
