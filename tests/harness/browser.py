"""A real browser without a window, for tests of the page."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
SCREENSHOTS = Path(os.environ.get("TRIVET_SCREENSHOTS", ROOT / "build" / "screenshots"))

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FOUND = next(filter(None, map(shutil.which, _NAMES)), None)

needs_browser = [
    pytest.mark.skipif(
        find_spec("playwright") is None, reason="needs playwright; `make test-all` installs it"
    ),
    pytest.mark.skipif(_FOUND is None, reason=f"needs a browser ({_NAMES[0]}) on the PATH"),
]

# WCAG 2's contrast of every text that is seen, with the paper it really lies on.
_FAINT = """
() => {
  const parts = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const paper = (node) => {
    for (; node; node = node.parentElement) {
      const color = parts(getComputedStyle(node).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let text = walker.nextNode(); text; text = walker.nextNode()) {
    const node = text.parentElement;
    if (!text.data.trim() || !node.checkVisibility() || node.closest(".skip, noscript")) continue;
    const [one, other] = [light(parts(getComputedStyle(node).color)), light(paper(node))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) found.push(`${text.data.trim()} (${ratio.toFixed(2)})`);
  }
  return [...new Set(found)];
}
"""


@dataclass
class Tab:
    """One page that is open. page: playwright's own; complaints: what its console said."""

    page: Any
    complaints: list[str] = field(default_factory=list)

    def text(self, selector: str) -> str:
        return str(self.page.text_content(selector)).strip()

    def wait_for_text(self, selector: str, wanted: str) -> None:
        """Until the element says so; a text of another element does not do."""
        self.page.wait_for_function(
            "([s, t]) => document.querySelector(s)?.textContent.includes(t)", arg=[selector, wanted]
        )

    def ask(self, task: str, **filled: str) -> str:
        """Run a task in the playground; returns what is said of the answer."""
        self.page.check(f"#task-{task}", force=True)
        for name, value in filled.items():
            self.page.fill(f"#ask-{name}", value)
        self.page.click("#ask button[type=submit]")
        self.page.wait_for_selector("#answer-told:is([data-kind=ok], [data-kind=bad])")
        return self.text("#answer-told")

    def picture(self, name: str) -> None:
        """Keep what the whole page looks like."""
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        self.page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png", full_page=True)

    @property
    def faint(self) -> list[str]:
        """Texts with less contrast than 4.5 to 1."""
        return list(self.page.evaluate(_FAINT))

    @property
    def too_wide(self) -> int:
        """Pixels by which the page is wider than its window."""
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        return int(self.page.evaluate(wide))


@contextmanager
def browser() -> Iterator[Any]:
    """Chromium. Root may run it only without its sandbox."""
    playwright = import_module("playwright.sync_api").sync_playwright
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright() as running:
        chromium = running.chromium.launch(executable_path=_FOUND, args=sandbox)
        try:
            yield chromium
        finally:
            chromium.close()


@contextmanager
def tab(chromium: Any, url: str, **options: Any) -> Iterator[Tab]:
    """Open a page in a profile of its own. options: of playwright's new_context."""
    context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    try:
        opened = Tab(context.new_page())
        opened.page.set_default_timeout(20_000)
        opened.page.on("console", lambda message: _note(opened, message.type, message.text))
        opened.page.on("pageerror", lambda error: _note(opened, "error", str(error)))
        opened.page.goto(url)
        yield opened
    finally:
        context.close()


def _note(opened: Tab, kind: str, text: str) -> None:
    if kind in ("error", "warning"):
        opened.complaints.append(text)
