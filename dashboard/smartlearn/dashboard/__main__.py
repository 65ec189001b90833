"""`python -m smartlearn.dashboard`: serve the dashboards until SIGTERM."""

from __future__ import annotations

import logging
import sys

from smartlearn.core.errors import SmartLearnError
from smartlearn.core.settings import Settings, load_settings
from smartlearn.core.stack import with_stack
from smartlearn.dashboard.app import create_app, serve


def run(settings: Settings) -> None:
    """Serve the dashboards until SIGTERM or SIGINT.

    Raises:
        StoreUnavailable: the store cannot be opened.
    """
    serve(create_app(settings), settings)


def main() -> None:
    """The entry point: settings from the environment, one sentence on stderr when it cannot work."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        run(with_stack(load_settings()))
    except SmartLearnError as error:
        sys.stderr.write(f"smartlearn dashboard: {error}\n")
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
