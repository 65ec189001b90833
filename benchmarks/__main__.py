"""`python -m benchmarks [--cases a,b] [--json FILE]`: medians of several runs, one line a case.

The cases are whole calls of the product in one process, without servers: what a comparison with other systems needs on
top (their installation, Kafka, InfluxDB) is not here yet.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from pathlib import Path

from benchmarks.cases import CASES

RUNS = 5


def main() -> int:
    """Run the cases, print a table, and write the figures as JSON if asked to."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", default=",".join(CASES), help="which, separated by commas")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    arguments = parser.parse_args()
    names = arguments.cases.split(",")
    unknown = [name for name in names if name not in CASES]
    if unknown:
        print(f"there is no case {unknown[0]}: choose from {', '.join(CASES)}", file=sys.stderr)
        return 2
    rows = []
    print(f"{'case':10} {'median':>14} {'lowest':>14} {'highest':>14}  unit")
    for name in names:
        case = CASES[name]
        values = [case.run() for _ in range(RUNS)]
        median = statistics.median(values)
        print(f"{name:10} {median:14,.2f} {min(values):14,.2f} {max(values):14,.2f}  {case.unit}")
        rows.append({"case": name, "value": median, "unit": case.unit, "lowest": min(values), "highest": max(values)})
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
