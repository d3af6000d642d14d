"""The page of clients/web in a real browser: it calls without a proxy, if its site may."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.harness.browser import Tab, browser, needs_browser, tab
from tests.harness.server import ServerProcess, serving
from tests.harness.transports import serving_on
from trivet.transport.options import Transport
from trivet_client import Client

pytestmark = needs_browser

WEB = Path(__file__).parents[2] / "clients" / "web"
TEXT = "He opened the [MASK] and walked into the [MASK]."
WAIT_S = 30


class Files(SimpleHTTPRequestHandler):
    """As `python -m http.server` gives them out, without a word."""

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def files() -> Iterator[int]:
    """The page's files on a port of their own, so that it is another site's than the server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(WEB))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True)
class Site:
    """A server, and where its page is; pages of 127.0.0.1 may call, of localhost not."""

    server: ServerProcess
    port: int
    chromium: Any
    idle: int  # connections without any caller

    def opened(self, host: str) -> Any:
        url = f"http://{host}:{self.port}/?server=http://{self.server.address}"
        return tab(self.chromium, url)

    @property
    def connections(self) -> int:
        """That the server has open, with those that listen and its own."""
        entries = Path(f"/proc/{self.server.process.pid}/fd").iterdir()
        return sum(str(entry.readlink()).startswith("socket:") for entry in entries)

    def wait_until_alone(self) -> None:
        """Until the server holds no caller's connection."""
        ends = time.monotonic() + WAIT_S
        while self.connections > self.idle:
            assert time.monotonic() < ends, "the server still holds a closed page's connection"
            time.sleep(0.05)


@pytest.fixture(scope="module")
def site(examples: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    pytest.importorskip("h2corn")
    log = tmp_path_factory.mktemp("web") / "stderr.log"
    with files() as port, serving_on(Transport.H2CORN), browser() as chromium:
        flags = ("--allow-grpc-web=true", f"--grpc-web-allow-origin=http://127.0.0.1:{port}")
        with serving(examples, *flags, log=log) as server:
            site = Site(server, port, chromium, idle=0)
            yield replace(site, idle=site.connections)
            assert server.process.poll() is None, "the server died while it was asked"


def asked(page: Tab, text: str, candidates: int = 3) -> str:
    page.page.fill("#text", text)
    page.page.fill("#top", str(candidates))
    page.page.click("button")
    page.page.wait_for_function("() => document.querySelector('#told').textContent.length > 1")
    return page.text("#told")


def test_a_page_that_may_call_shows_the_clients_answers(site: Site) -> None:
    with site.opened("127.0.0.1") as page:
        assert asked(page, TEXT).startswith("Answered by fill_mask, version ")
        items = page.page.locator("#answer li").all_text_contents()
        with Client(site.server.address) as client:
            masks = client.fill_mask(TEXT, top_k=3).masks
        assert [item.split() for item in items] == [
            [candidate.token, f"{100 * candidate.probability:.1f}", "%"]
            for mask in masks
            for candidate in mask.candidates
        ]
        assert not page.complaints


def test_a_refusal_is_shown_with_its_cause(site: Site) -> None:
    with site.opened("127.0.0.1") as page:
        told = asked(page, "there is none: 100 % é")
        assert told.startswith("INVALID_ARGUMENT: ")
        assert "[MASK]" in told


def test_a_stream_lasts_until_the_page_is_closed(site: Site) -> None:
    site.wait_until_alone()
    with site.opened("127.0.0.1") as page:
        page.wait_for_text("#health", "serving")
        assert page.text("#health") == "serving"
        assert site.connections > site.idle
    site.wait_until_alone()


def test_a_page_of_another_site_may_not(site: Site) -> None:
    with site.opened("localhost") as page:
        cure = f"--grpc-web-allow-origin=http://localhost:{site.port}"
        page.wait_for_text("#health", cure)
        told = asked(page, TEXT)
        assert told.startswith("UNAVAILABLE: ")
        assert cure in told
        assert page.page.locator("#answer li").count() == 0
        assert any("CORS policy" in complaint for complaint in page.complaints)
