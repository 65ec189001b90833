"""Read the history: hourly CPU of every node over the last day, straight from the store.

    python examples/query_history.py --data-dir .smartlearn

`smartlearn query performance_1h --field cpu_usage_mean --last 24h --format json` answers the same to any program.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from smartlearn.core.errors import SmartLearnError
from smartlearn.core.settings import load_settings
from smartlearn.core.stores import open_store
from smartlearn.core.stores.base import SeriesQuery

HOUR = 3_600_000_000_000


def main() -> int:
    """Print a line per node."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="of the stack; default: SMARTLEARN_DATA_DIR, ./.smartlearn")
    parser.add_argument("--hours", type=int, default=24, help="how far to look back")
    arguments = parser.parse_args()

    try:
        store = open_store(load_settings(data_dir=arguments.data_dir))
        series = store.query(
            SeriesQuery(
                "performance_1h",
                start=time.time_ns() - arguments.hours * HOUR,
                fields=("cpu_usage_mean", "cpu_usage_max", "cpu_usage_count"),
            )
        )
    except SmartLearnError as error:
        print(error, file=sys.stderr)
        return error.exit_code

    print(f"{'node':32} {'hours':>5} {'samples':>8} {'mean %':>7} {'max %':>6}")
    for one in series:
        counts, means = one.fields["cpu_usage_count"], one.fields["cpu_usage_mean"]
        # The mean over hours is weighted by their samples; a mean of means would be another number.
        mean = float((counts * means).sum() / counts.sum())
        highest = float(one.fields["cpu_usage_max"].max())
        name = " ".join(one.tags[tag] for tag in ("node", "model_version", "gpu") if tag in one.tags)
        print(f"{name:32} {len(one):5} {int(counts.sum()):8} {mean:7.1f} {highest:6.1f}")
    if not series:
        print("nothing yet: start the demo with `smartlearn demo`, or send events with examples/send_events.py")
    store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
