"""The ids by which callbacks find what pages are made of."""

from __future__ import annotations

from typing import Any, Final

CUSTOM_ID: Final = {"type": "custom-range", "name": "pickers"}
"""The two pickers of fixed times."""


def graph_id(panel: str) -> dict[str, str]:
    """The id of a chart's graph."""
    return {"type": "chart", "id": panel}


def note_id(panel: str) -> dict[str, str]:
    """The id of what stands over a panel while it has nothing to show."""
    return {"type": "note", "id": panel}


def body_id(panel: str) -> dict[str, str]:
    """The id of a panel's content: a list of advice, or a table."""
    return {"type": "body", "id": panel}


def stats_id(path: str) -> dict[str, str]:
    """The id of a page's row of figures."""
    return {"type": "stats", "page": path}


def view_id(path: str) -> dict[str, str]:
    """The id of the store that holds what a page's address asks for."""
    return {"type": "view", "page": path}


def page_id(path: str) -> dict[str, str]:
    """The id of the store that says which page this is and what its defaults are."""
    return {"type": "page", "page": path}


def root_id(path: str) -> dict[str, str]:
    """The id of the element around a page."""
    return {"type": "root", "page": path}


def notice_id(path: str) -> dict[str, str]:
    """The id of a page's message about where its data is."""
    return {"type": "notice", "page": path}


def filter_id(name: str) -> dict[str, str]:
    """The id of a control whose value stands in the address under `name`."""
    return {"type": "filter", "name": name}


def aria(**values: str) -> dict[str, Any]:
    """Attributes for screen readers: label="…" becomes aria-label."""
    return {f"aria-{name}": value for name, value in values.items()}
