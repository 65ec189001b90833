"""`python -m benchmarks [--cases a,b] [--json FILE] [--runs N]`: medians of several runs, beside the peers."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.cases import CASES
from benchmarks.report import CannotRun, entry, lines
from benchmarks.stage import Stage, opened

RUNS = 3


def main() -> int:
    """Run the cases, print a table, and write the figures as JSON if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES), help="which, separated by commas")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--runs", type=int, default=RUNS, help="how often each is run; the table has the medians")
    parser.add_argument("--full", action="store_true", help="import a million samples, not a tenth of that")
    arguments = parser.parse_args()
    names = arguments.cases.split(",")
    unknown = [name for name in names if name not in CASES]
    if unknown:
        print(f"there is no case {unknown[0]}: choose from {', '.join(CASES)}", file=sys.stderr)
        return 2
    started = time.monotonic()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; medians of {arguments.runs} runs")
    with opened(arguments.runs, full=arguments.full) as stage:
        rows = [_row(name, stage) for name in names]
    print(f"took {(time.monotonic() - started) / 60:.1f} minutes")
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


def _row(name: str, stage: Stage) -> dict[str, Any]:
    """Run one case and print it; whatever goes wrong in it is said in its row, and the next one goes on."""
    case = CASES[name]
    figure, reason = None, ""
    try:
        figure = case.run(stage)
    except CannotRun as error:
        reason = str(error)
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    row = entry(name, case, figure)
    print("\n".join(lines(row, case, figure, reason)), flush=True)
    return row


if __name__ == "__main__":
    sys.exit(main())
