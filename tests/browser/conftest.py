"""Chromium on a running stack.

`SMARTLEARN_TEST_STACK` names the data directory of a stack that runs already, with the demo in it; otherwise one is
started for the session.
"""

from __future__ import annotations

import json
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright
from playwright.sync_api import TimeoutError as PlaywrightTimeoutError
from tests.stacks import running_stack, until

ARGUMENTS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip
FILLED_S = 180.0
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Running:
    """A stack with the demo in it.

    Attributes:
        data_dir: its data directory.
        dashboard: where its dashboards are.
        kafka: where its broker is.
    """

    data_dir: Path
    dashboard: str
    kafka: str

    @classmethod
    def of(cls, data_dir: Path) -> Running:
        """The stack that runs on a data directory."""
        record = json.loads((data_dir / "stack.json").read_bytes())
        return cls(data_dir, record["dashboard"], record["kafka"])

    def health(self) -> dict[str, object]:
        """What /health says."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.dashboard}/health", timeout=5) as answer:
                found: dict[str, object] = json.loads(answer.read())
        except urllib.error.HTTPError as degraded:
            with degraded:
                found = json.loads(degraded.read())
        return found


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A stack with 24 hours of demo history, going on live."""
    given = os.environ.get("SMARTLEARN_TEST_STACK")
    if given:
        yield Running.of(Path(given))
        return
    with running_demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


@contextmanager
def running_demo(data_dir: Path, *arguments: str) -> Iterator[Running]:
    """A stack of one's own with 24 hours of demo history in it."""
    with running_stack(data_dir, "--demo", *arguments) as stack:
        running = Running.of(stack.data_dir)
        until(lambda: len(stack.query("performance_1h", "--last", "24h", "--field", "cpu_usage_count")) > 100, FILLED_S)
        until(lambda: bool(stack.query("training_steps", "--field", "training_loss_count")), FILLED_S)
        until(
            lambda: len(stack.query("interactions_1h", "--where", "by=all", "--field", "accuracy_count")) > 20, FILLED_S
        )
        until(lambda: not any(dict(running.health()["lag"]).values()), FILLED_S)  # type: ignore[call-overload]
        yield running


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A headless Chromium."""
    path = next((found for name in NAMES if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no Chromium on the path: install one of {', '.join(NAMES)}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGUMENTS))
        yield browser
        browser.close()


@dataclass
class Tab:
    """A tab, and everything that went wrong in it.

    Attributes:
        page: Playwright's page.
        errors: errors in the console, uncaught ones, and requests that failed.
        strangers: requests to any other address.
    """

    page: Page
    base: str
    errors: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Write down what goes wrong from now on."""
        host = urlsplit(self.base).netloc
        page = self.page
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("requestfailed", self._failed)
        page.on(
            "response", lambda found: self.errors.append(f"{found.status} {found.url}") if found.status >= 400 else None
        )
        page.on(
            "request",
            lambda asked: self.strangers.append(asked.url) if urlsplit(asked.url).netloc not in {host, ""} else None,
        )

    def _failed(self, request: Request) -> None:
        """A request that the page itself gave up, to go elsewhere, did not fail."""
        if request.failure != "net::ERR_ABORTED":
            self.errors.append(f"{request.url}: {request.failure}")

    def open(self, path: str) -> Page:
        """Go to a path and wait for the page around its panels."""
        self.page.goto(self.base + path)
        try:
            self.page.wait_for_selector(".page .grid")
        except PlaywrightTimeoutError as error:
            body = self.page.inner_text("body")
            raise AssertionError(f"{path} does not open: {body!r}; went wrong: {self.errors}") from error
        return self.page

    def filled(self) -> None:
        """Wait until every panel and figure holds data; name those that do not."""
        try:
            self.page.wait_for_function(f"() => ({EMPTY_PANELS})().length === 0", timeout=60_000)
        except PlaywrightTimeoutError as error:
            raise AssertionError(f"still empty: {self.empty()}; went wrong: {self.errors}") from error

    def empty(self) -> list[str]:
        """The panels that hold nothing."""
        found: list[str] = self.page.evaluate(f"() => ({EMPTY_PANELS})()")
        return found


EMPTY_PANELS = """() => {
  const holds = (card) => {
    const plot = card.querySelector('.js-plotly-plot');
    const some = (values) => Boolean(values && (values.length || values.bdata));
    if (plot) return (plot.data || []).some((trace) => some(trace.x) || some(trace.y) || some(trace.z));
    if (card.querySelector('.table')) return card.querySelectorAll('.ag-center-cols-container .ag-row').length > 0;
    if (card.querySelector('.advice')) return card.querySelectorAll('.advice-line').length > 0;
    return card.querySelector('.card-body').innerText.trim().length > 0;
  };
  const seen = (selector) => [...document.querySelectorAll(selector)].filter((part) => part.checkVisibility());
  const cards = seen('.card').filter((card) => !holds(card)).map((card) => card.id);
  const waiting = seen('.over').filter((over) => over.children.length).map((over) => over.id);
  const figures = [...document.querySelectorAll('.stat')].filter((stat) => !stat.querySelector('.value'));
  const page = document.querySelector('.card') ? [] : ['the page'];
  return [...page, ...cards, ...waiting, ...figures.map(() => 'a figure')];
}"""


@pytest.fixture
def new_tab(chromium: Browser, demo: Running) -> Iterator[Callable[..., Tab]]:
    """Makes tabs of their own profile, which are closed at the end."""
    contexts: list[BrowserContext] = []

    def make(width: int = 1440, height: int = 900, *, dark: bool = False) -> Tab:
        context = chromium.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
        context.set_default_timeout(45_000)
        contexts.append(context)
        if dark:
            stored = "window.localStorage.setItem('_dash_persistence.dark.checked.true', '[true]')"
            context.add_init_script(f"try {{ {stored} }} catch {{ /* a page without storage */ }}")
        tab = Tab(context.new_page(), demo.dashboard)
        tab.watch()
        return tab

    yield make
    for context in contexts:
        context.close()


@pytest.fixture
def tab(new_tab: Callable[..., Tab]) -> Tab:
    """A tab of a laptop's size."""
    return new_tab()
