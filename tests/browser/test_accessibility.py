"""What axe finds on every page, light and dark: nothing that keeps someone out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import axe_playwright_python
import pytest
from tests.browser.conftest import Tab

pytestmark = pytest.mark.browser

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
ADDRESSES = ("/system", "/system?node=demo-tutor-1", "/ai", "/training", "/users", "/realtime")
GRAVE = {"serious", "critical"}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("address", ADDRESSES)
def test_axe_reports_nothing_serious(new_tab: Callable[..., Tab], address: str, dark: bool) -> None:
    tab = new_tab(dark=dark)
    page = tab.open(address)
    # Not every node sends what its detailed view has places for.
    page.wait_for_function("() => document.querySelectorAll('.stat .value').length > 0")
    if "node=" not in address:
        tab.filled()
    page.evaluate(AXE)
    found: dict[str, Any] = page.evaluate("() => axe.run({resultTypes: ['violations']})")
    grave = [
        f"{fault['id']}: {node['target']} {node['failureSummary']}"
        for fault in found["violations"]
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]
    assert found["passes"] != []
    assert grave == []
