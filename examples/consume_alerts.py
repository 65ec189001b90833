"""Follow the alerts: a consumer of the topic smartlearn.alerts, for notifiers and whatever else should happen.

    python examples/consume_alerts.py --data-dir .smartlearn --from-beginning --seconds 5

Every message is a transition (ok, warning, critical) with an `id` and a `revision`. The same transition may come more
than once; keep the highest revision of an id. An odd one takes the transition back, because late events changed what
had been measured.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, TopicPartition

from smartlearn.core.errors import SmartLearnError
from smartlearn.core.settings import load_settings
from smartlearn.core.stack import with_stack
from smartlearn.core.topics import ALERTS, client_config


def alerts(consumer: Consumer, seconds: float) -> Iterator[dict[str, Any]]:
    """The alerts that arrive within some seconds."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        message = consumer.poll(min(left, 0.5))
        if message is not None and message.error() is None:
            yield json.loads(message.value() or b"{}")


def main() -> int:
    """Print each alert once, and what was taken back."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data-dir", type=Path, help="of the running stack; default: SMARTLEARN_DATA_DIR, ./.smartlearn"
    )
    parser.add_argument("--from-beginning", action="store_true", help="also what happened before")
    parser.add_argument("--seconds", type=float, default=30.0, help="how long to listen")
    arguments = parser.parse_args()
    if hasattr(signal, "SIGPIPE"):
        # `| head` has had enough: end quietly, as other filters do.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)

    try:
        settings = with_stack(load_settings(data_dir=arguments.data_dir))
        consumer = Consumer(client_config(settings.kafka) | {"group.id": "example-alerts", "enable.auto.commit": False})
    except SmartLearnError as error:
        print(error, file=sys.stderr)
        return error.exit_code

    # One partition, read on its own: every copy of this program sees every alert.
    consumer.assign([TopicPartition(ALERTS, 0, OFFSET_BEGINNING if arguments.from_beginning else OFFSET_END)])
    known: dict[str, int] = {}
    for alert in alerts(consumer, arguments.seconds):
        if alert["revision"] <= known.get(alert["id"], -1):
            continue
        known[alert["id"]] = alert["revision"]
        change = f"{alert['previous']} → {alert['state']}"
        taken_back = "  (taken back)" if alert["revision"] % 2 else ""
        print(
            f"{alert['at']}  {alert['node']:16} {alert['rule']:14} {change:20} {alert['value']:8.1f}"
            f"  {alert['action']}{taken_back}",
            flush=True,
        )
    consumer.close()
    print(f"{len(known)} alerts in {arguments.seconds:g} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
