"""`python -m smartlearn.producers`: the node agent."""

from __future__ import annotations

import signal
import sys
import threading

from smartlearn.core.errors import SmartLearnError
from smartlearn.core.settings import load_settings
from smartlearn.producers.agent import run


def main() -> None:
    """Run the node agent until SIGTERM or Ctrl-C."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    try:
        run(load_settings(), stop)
    except SmartLearnError as error:
        sys.stderr.write(f"smartlearn agent: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
