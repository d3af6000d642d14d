"""Paths, methods, tokens and pages that fail."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from trivet.frontend.access import Access
from trivet.frontend.access_rules import Role
from trivet.status.router import Receive, Route, Router, Scope, Send, respond

NOBODY = Access(restrictions={}, tokens=None)


class Listed:
    """Two tokens."""

    def roles(self, token: str) -> frozenset[Role] | None:
        return {"o": frozenset({Role.OBSERVE}), "i": frozenset({Role.INFER})}.get(token)


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(scope, send, 200, "hello\n")


async def fails(scope: Scope, receive: Receive, send: Send) -> None:
    raise KeyError("a bug with a secret")


async def fails_late(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    raise KeyError("a bug")


ROUTES = {
    "/": Route(hello),
    "/private": Route(hello, frozenset({Role.OBSERVE})),
    "/ask": Route(hello, methods=frozenset({"POST"})),
    "/fails": Route(fails),
    "/late": Route(fails_late),
}


async def ask(
    path: str, method: str = "GET", access: Access = NOBODY, token: str = ""
) -> tuple[int, str, Mapping[bytes, bytes]]:
    sent: list[Any] = []
    headers = [(b"authorization", f"Bearer {token}".encode())] if token else []
    scope = {"type": "http", "path": path, "method": method, "headers": headers}

    async def receive() -> Mapping[str, Any]:
        raise AssertionError("nobody sends anything")

    async def send(message: Any) -> None:
        sent.append(message)

    await Router(ROUTES, access)(scope, receive, send)
    return sent[0]["status"], sent[1]["body"].decode(), dict(sent[0]["headers"])


async def test_a_path_leads_to_its_handler() -> None:
    status, body, headers = await ask("/")
    assert (status, body, headers[b"content-length"]) == (200, "hello\n", b"6")
    status, body, headers = await ask("/", "HEAD")
    assert (status, body, headers[b"content-length"]) == (200, "", b"6")
    assert (await ask("/ask", "POST"))[:2] == (200, "hello\n")


async def test_what_is_not_there_is_said_with_what_is() -> None:
    status, body, _ = await ask("/nothing")
    assert (status, body) == (
        404,
        "there is no such page; there are / /ask /fails /late /private\n",
    )
    status, _, headers = await ask("/ask")
    assert (status, headers[b"allow"]) == (405, b"POST")


async def test_tokens_are_asked_for_where_there_are_any() -> None:
    access = Access(restrictions={}, tokens=Listed())
    assert (await ask("/private"))[0] == 200
    status, body, headers = await ask("/private", access=access)
    assert (status, headers[b"www-authenticate"]) == (401, b"Bearer")
    assert "needs a token" in body
    assert (await ask("/private", access=access, token="x"))[0] == 401
    assert (await ask("/private", access=access, token="i"))[0] == 403
    assert (await ask("/private", access=access, token="o"))[0] == 200
    assert (await ask("/", access=access))[0] == 200


async def test_a_page_that_fails_says_so_and_no_more() -> None:
    status, body, _ = await ask("/fails")
    assert status == 500
    assert "secret" not in body
    with pytest.raises(KeyError):  # its reader has to see that it is cut short
        await ask("/late")


async def test_what_is_not_http_is_left_alone() -> None:
    async def never(*_: object) -> Any:
        raise AssertionError("nothing is sent, nothing is read")

    await Router(ROUTES, NOBODY)({"type": "websocket"}, never, never)
