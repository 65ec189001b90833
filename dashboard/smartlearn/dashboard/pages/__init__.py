"""The five dashboards, one file each."""

from __future__ import annotations

from typing import Final

from smartlearn.dashboard.pages import ai, system, training, users
from smartlearn.dashboard.panels import Page

PAGES: Final[tuple[Page, ...]] = (system.PAGE, ai.PAGE, training.PAGE, users.PAGE)
"""The pages that are declared; the first also stands at "/". Real-time Metrics is built in `realtime`."""

NAVIGATION: Final[tuple[tuple[str, str, str], ...]] = (
    *((page.path, page.name, page.icon) for page in PAGES),
    ("/realtime", "Real-time Metrics", "realtime"),
)
"""Path, name and icon of every page, in the order of the menu."""
