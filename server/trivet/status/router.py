"""A small router over ASGI: from path to handler, and who may come there.

A handler is an ASGI application for one path, so it may stream; `respond` is all that most need.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trivet.errors import PermissionDenied, ServeError, Unauthenticated
from trivet.frontend.access import Access, check_bearer
from trivet.frontend.access_rules import Role

log = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[Any], Awaitable[None]]
Handler = Callable[[Scope, Receive, Send], Awaitable[None]]

TEXT = "text/plain; charset=utf-8"
_PARTS = "/page/"  # what the page is made of; nobody opens these by hand
_GET = frozenset({"GET", "HEAD"})
_STATUS: Mapping[type[ServeError], int] = {Unauthenticated: 401, PermissionDenied: 403}


@dataclass(frozen=True, slots=True)
class Route:
    """One path.

    roles: any of them will do, where callers need tokens; empty: no token is asked for.
    """

    handler: Handler
    roles: frozenset[Role] = frozenset()
    methods: frozenset[str] = _GET


class Router:
    """An ASGI application over a table of paths."""

    def __init__(self, routes: Mapping[str, Route], access: Access) -> None:
        self._routes = routes
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no websockets here: h2corn refuses what nobody accepts
        route = self._routes.get(scope["path"])
        if route is None:
            known = " ".join(sorted(path for path in self._routes if not path.startswith(_PARTS)))
            await respond(scope, send, 404, f"there is no such page; there are {known}\n")
        elif scope["method"] not in route.methods:
            allowed = ", ".join(sorted(route.methods))
            more = [(b"allow", allowed.encode())]
            await respond(scope, send, 405, f"send {allowed}\n", headers=more)
        elif refusal := self._refusal(scope, route):
            await _refuse(scope, send, refusal)
        else:
            await self._handled(route.handler, scope, receive, send)

    def _refusal(self, scope: Scope, route: Route) -> ServeError | None:
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")
        try:
            check_bearer(scope["path"], route.roles, self._access, header)
        except ServeError as error:
            return error
        return None

    async def _handled(self, handler: Handler, scope: Scope, receive: Receive, send: Send) -> None:
        begun = False

        async def noting(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await handler(scope, receive, noting)
        except Exception as error:
            log.error("page_failed", exc_info=error, extra={"path": scope["path"]})
            if begun:
                raise  # the reader has to see that it is not all there
            await respond(scope, send, 500, "this page failed; the server's log has the details\n")


async def respond(
    scope: Scope,
    send: Send,
    status: int,
    body: str | bytes,
    content_type: str = TEXT,
    headers: Sequence[tuple[bytes, bytes]] = (),
    cache: bytes = b"no-store",
) -> None:
    """A whole answer at once; to HEAD its headers alone. cache: who may keep it, and how."""
    octets = body.encode() if isinstance(body, str) else body
    told = [
        (b"content-type", content_type.encode()),
        (b"content-length", str(len(octets)).encode()),
        (b"cache-control", cache),
        (b"x-content-type-options", b"nosniff"),
        *headers,
    ]
    await send({"type": "http.response.start", "status": status, "headers": told})
    shown = b"" if scope["method"] == "HEAD" else octets
    await send({"type": "http.response.body", "body": shown, "more_body": False})


async def _refuse(scope: Scope, send: Send, error: ServeError) -> None:
    status = _STATUS.get(type(error), 403)
    more = [(b"www-authenticate", b"Bearer")] if status == 401 else []
    await respond(scope, send, status, error.message + "\n", headers=more)
