"""A browser that notes all that a page should not do, and the measures that every page has to pass."""

import gzip
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from axe_playwright_python.base import AXE_FILE_PATH
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Page,
    Request,
    Response,
    sync_playwright,
)

from tests.website.browser.seeded import Seeded

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 320, "height": 640}
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
ANSWER_MS_MAX = 15_000
Scheme = Literal["light", "dark"]

# Code may be wider than a phone, and the box that holds it scrolls; nothing else may.
_TOO_WIDE = """() => {
  const found = [];
  const root = document.scrollingElement;
  if (root.scrollWidth > root.clientWidth) {
    const width = root.clientWidth;
    const widest = [...document.querySelectorAll("body *")]
      .filter(each => each.getBoundingClientRect().right > width + 1 && !each.closest("pre, [role=log]"))
      .slice(0, 3).map(each => each.outerHTML.slice(0, 120));
    found.push(`the page is ${root.scrollWidth} px wide: ${widest.join(" | ")}`);
  }
  for (const each of document.querySelectorAll("main *")) {
    const flow = getComputedStyle(each).overflowX;
    const scrolls = (flow === "auto" || flow === "scroll") && each.scrollWidth > each.clientWidth + 1;
    if (scrolls && !each.closest("pre, [role=log]"))
      found.push(`this scrolls sideways by ${each.scrollWidth - each.clientWidth} px: ${each.outerHTML.slice(0, 120)}`);
  }
  return found;
}"""
_AXE = """standards => axe.run(document, {runOnly: {type: "tag", values: standards}, resultTypes: ["violations"]}).then(
  results => results.violations.flatMap(rule => rule.nodes.map(
    node => `${rule.id}: ${node.html.slice(0, 160)} ${node.failureSummary.replace(/\\s+/g, " ").slice(0, 300)}`)))"""


class ChromiumMissing(Exception):
    """There is no browser to test with."""

    def __str__(self) -> str:
        return f"none of {', '.join(CHROMIUM_NAMES)} is here: run .ci/set-up-browser as root, or install chromium"


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser of this machine. Raises ChromiumMissing: a test that cannot look does not pass."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found is None:
        raise ChromiumMissing
    with sync_playwright() as playwright:
        # Without its sandbox, because tests may run as root; without /dev/shm, because containers have little of it.
        browser = playwright.chromium.launch(
            executable_path=found, args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
        )
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Watch:
    """What happened in a context that should not: it is empty at the end of a good test."""

    words: list[str] = field(default_factory=list)
    dialogs: int = 0
    refused: set[int] = field(default_factory=lambda: {500, 503})
    """Answers that nobody expects in this test."""

    def attach(self, context: BrowserContext, address: str) -> None:
        """Notes the errors of all its pages from now on."""
        context.on("console", self._console)
        context.on("weberror", lambda error: self.words.append(f"script error: {error.error}"))
        context.on("dialog", self._dialog)
        context.on("request", lambda request: self._request(request, address))
        context.on("response", self._response)

    def _console(self, message: ConsoleMessage) -> None:
        # The browser says by itself that a page was answered by 403, 404 or 422: what such a page is for.
        is_status = message.text.startswith("Failed to load resource: the server responded")
        if message.type in ("error", "warning") and not is_status:
            self.words.append(f"console: {message.text}")

    def _dialog(self, dialog: Dialog) -> None:
        self.dialogs += 1
        self.words.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _request(self, request: Request, address: str) -> None:
        if not request.url.startswith((address, "data:", "blob:")):
            self.words.append(f"asks elsewhere: {request.url}")

    def _response(self, response: Response) -> None:
        is_static = "/static/" in response.url
        if response.status in self.refused or (is_static and response.status not in (200, 304)):
            self.words.append(f"{response.status} for {response.url}")


class Browsing:
    """Opens pages of the instance as somebody, with or without scripts; everything is watched."""

    def __init__(self, browser: Browser, seeded: Seeded) -> None:
        self._browser = browser
        self.seeded = seeded
        self.watch = Watch()
        self._contexts: list[BrowserContext] = []

    def context(
        self, name: str | None, *, script: bool = True, scheme: Scheme = "light", phone: bool = False
    ) -> BrowserContext:
        """A browser of its own, in which this person is signed in."""
        size = PHONE if phone else WIDE
        context = self._browser.new_context(
            java_script_enabled=script,
            color_scheme=scheme,
            viewport={"width": size["width"], "height": size["height"]},
            reduced_motion="reduce",
            base_url=self.seeded.address,
        )
        context.set_default_timeout(ANSWER_MS_MAX)
        if name is not None:
            value = self.seeded.cookie(name)
            context.add_cookies([{"name": "orchestra", "value": value, "url": self.seeded.address}])
        self.watch.attach(context, self.seeded.address)
        self._contexts.append(context)
        return context

    def page(self, name: str | None, *, script: bool = True, scheme: Scheme = "light", phone: bool = False) -> Page:
        """A page in a browser of its own."""
        return self.context(name, script=script, scheme=scheme, phone=phone).new_page()

    def close(self) -> None:
        """Closes what was opened."""
        for context in self._contexts:
            context.close()


def resize(page: Page, size: Mapping[str, int]) -> None:
    """Makes the window so large."""
    page.set_viewport_size({"width": size["width"], "height": size["height"]})


def too_wide(page: Page) -> list[str]:
    """What scrolls sideways and may not."""
    found: list[str] = page.evaluate(_TOO_WIDE)
    return found


def shown_markup(page: Page) -> list[str]:
    """Markup that readers see as text, because something was escaped twice."""
    found = re.findall(r"</\w+>|<(?:p|a|span|div)[ >][^\n]{0,60}|&(?:lt|amp|quot|#\d+);", page.inner_text("body"))
    return [f"markup stands in the text: {text}" for text in found]


def axe_violations(page: Page) -> list[str]:
    """What axe finds against WCAG 2.2 AA on the page as it is shown now."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE_FILE_PATH.read_text())
    found: list[str] = page.evaluate(_AXE, STANDARDS)
    return found


def keyboard_faults(page: Page) -> list[str]:
    """What hinders somebody who has no mouse: the skip link comes first and leads into the content."""
    page.evaluate("() => { document.activeElement.blur(); window.scrollTo(0, 0); }")
    page.keyboard.press("Tab")
    if not page.evaluate("() => document.activeElement.matches('a.skip') || document.activeElement.closest('main')"):
        return ["the first stop of the tabulator is not the skip link"]
    if page.evaluate("() => document.activeElement.matches('a.skip')"):
        page.keyboard.press("Enter")
    if not page.evaluate("() => document.activeElement.closest('main')"):
        return ["the skip link does not lead into the content"]
    stops = page.evaluate("() => document.querySelectorAll('main :is(a[href], button, input, select, summary)').length")
    page.keyboard.press("Tab")
    if stops and not page.evaluate("() => document.activeElement.closest('main')"):
        return ["behind the skip link the tabulator does not go on in the content"]
    return []


@dataclass
class Weight:
    """How much a first view costs on the wire, compressed."""

    bodies: dict[str, int] = field(default_factory=dict)

    def note(self, response: Response) -> None:
        """Adds an answer."""
        # Streams have no end to wait for.
        if "event-stream" not in response.headers.get("content-type", "") and response.status == 200:
            self.bodies[response.url] = len(gzip.compress(response.body(), 6))

    def of(self, ending: str) -> int:
        """All files of this kind."""
        return sum(size for url, size in self.bodies.items() if url.partition("?")[0].endswith(ending))

    @property
    def total(self) -> int:
        """Everything."""
        return sum(self.bodies.values())
