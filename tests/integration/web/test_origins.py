"""Whose pages may call, as the server sees to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.web.asking import SITE, Asking, echo, running
from trivet.clock import SystemClock
from trivet.frontend.access import Access, guarded
from trivet.frontend.access_tokens import TokenFile
from trivet.frontend.method import Call, Unary
from trivet.transport.options import Web

PREFLIGHT = {"access_control_request_method": "POST", "access_control_request_headers": "a,b"}


async def test_an_allowed_page_may_ask_and_read(web: Asking) -> None:
    told = await web.ask("OPTIONS", "/t.T/Echo", origin=SITE, **PREFLIGHT)
    assert (told.status, told.body) == (204, b"")
    assert told.headers["access-control-allow-origin"] == SITE
    assert told.headers["access-control-allow-methods"] == "POST"
    assert told.headers["access-control-allow-headers"] == "a,b"
    assert told.headers["vary"] == "origin"
    called = await web.call("/t.T/Echo", b"x", origin=SITE)
    assert called.messages == [b"x"]
    assert called.headers["access-control-allow-origin"] == SITE


@pytest.mark.parametrize("origin", ["https://b.test", "null", "http://127.0.0.1"])
async def test_any_other_page_is_refused_by_the_server(origin: str) -> None:
    asked: list[bytes] = []

    async def note(message: bytes, call: Call) -> bytes:
        asked.append(message)
        return message

    async with running({"/t.T/Note": Unary(note)}) as web:
        for told in (
            await web.ask("OPTIONS", "/t.T/Note", origin=origin, **PREFLIGHT),
            await web.call("/t.T/Note", b"x", origin=origin),
            await web.call("/t.T/Note", b"x", origin=origin, kind="application/grpc"),
            await web.call("/t.T/Note", b"x", origin=origin, kind="text/plain"),
            # DNS rebinding: the browser takes the page for this server's own.
            await web.call("/t.T/Note", b"x", origin=origin, host=origin.rpartition("/")[2]),
        ):
            assert told.status == 403
            assert "access-control-allow-origin" not in told.headers
            assert b"--grpc-web-allow-origin" in told.body
    assert asked == []


async def test_any_page_may_call_where_that_was_said() -> None:
    async with running(web=Web(origins=frozenset({"*"}))) as web:
        told = await web.call("/t.T/Echo", b"x", origin="https://anybody.test")
        assert told.messages == [b"x"]
        assert told.headers["access-control-allow-origin"] == "https://anybody.test"
        assert "access-control-allow-credentials" not in told.headers


async def test_tokens_are_asked_of_calls_and_not_of_preflights(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("infer secret-of-sixteen-or-more\n")
    access = Access(restrictions={}, tokens=TokenFile(file, SystemClock()))
    path = "/trivet.v1.TextService/Embed"
    async with running(guarded({path: Unary(echo)}, access)) as web:
        told = await web.ask("OPTIONS", path, origin=SITE, **PREFLIGHT)
        assert told.status == 204
        refused = await web.call(path, b"x", origin=SITE)
        assert (refused.code, refused.headers["access-control-allow-origin"]) == (16, SITE)
        token = "Bearer secret-of-sixteen-or-more"
        assert (await web.call(path, b"x", origin=SITE, authorization=token)).messages == [b"x"]
