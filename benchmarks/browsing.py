"""The dashboard's process, and a headless Chromium that looks at it."""

from __future__ import annotations

import shutil
import socket
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from playwright.sync_api import Page, sync_playwright

from benchmarks.report import CannotRun
from benchmarks.stage import Stage, await_true

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@contextmanager
def dashboard(stage: Stage, environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a dashboard that answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    variables = {**environment, "SMARTLEARN_DASHBOARD__PORT": str(port)}
    with stage.running([sys.executable, "-m", "smartlearn.dashboard"], variables, "dashboard"):
        await_true(lambda: _answers(address))
        yield address


def _answers(address: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{address}/system", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


@contextmanager
def tab() -> Iterator[Page]:
    """A tab of a headless Chromium."""
    path = next((found for name in _NAMES if (found := shutil.which(name))), None)
    if path is None:
        raise CannotRun(f"there is no Chromium on the path ({', '.join(_NAMES)})")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield browser.new_page(viewport={"width": 1440, "height": 900})
        finally:
            browser.close()
