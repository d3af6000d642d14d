"""The page to look at: its files, its events, and its playground, each under its path."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress

from trivet.errors import PermissionDenied, ResourceExhausted, ServeError, Unauthenticated
from trivet.frontend.access import Access, check_bearer
from trivet.frontend.access_rules import Role
from trivet.frontend.json_calls import JsonCalls
from trivet.frontend.method import Methods
from trivet.frontend.text_tasks.table import TASKS
from trivet.status.feed import MAX_BEHIND, Event, Feed
from trivet.status.files import SECURE, page_files, sending
from trivet.status.guard import check_asking, check_host
from trivet.status.options import PageOptions
from trivet.status.playground import asking, refuse
from trivet.status.router import Handler, Receive, Route, Scope, Send
from trivet.status.sources import Sources

# Seconds that an event may take to be sent; see MAX_BEHIND.
SLOW_S = float(MAX_BEHIND)

_EVENTS = b"text/event-stream; charset=utf-8"
_OBSERVERS, _CALLERS = frozenset({Role.OBSERVE}), frozenset({Role.INFER})
_POST = frozenset({"POST"})


def view(
    sources: Sources, access: Access, options: PageOptions, methods: Methods
) -> Mapping[str, Route]:
    """Files are for everybody: they say nothing of this server. What they ask for needs a token,
    where there are tokens."""
    feed = Feed(sources, playground=options.playground)
    routes = {path: Route(_known(sending(file), options)) for path, file in page_files().items()}
    routes["/page/events"] = Route(
        _known(_events(feed, access), options), _OBSERVERS, frozenset({"GET"})
    )
    if options.playground:
        calls = JsonCalls(methods)
        for task in TASKS:
            handler = _known(_own(asking(task, calls, sources.draining)), options)
            routes[f"/page/ask/{task.name}"] = Route(handler, _CALLERS, _POST)
    return routes


def _known(handler: Handler, options: PageOptions) -> Handler:
    """The same for those who know the page by a name that is its own."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check_host(scope, options)
        except ServeError as error:
            await refuse(scope, send, error)
        else:
            await handler(scope, receive, send)

    return checked


def _own(handler: Handler) -> Handler:
    """The same for requests that a page of our own made."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            check_asking(scope)
        except ServeError as error:
            await refuse(scope, send, error)
        else:
            await handler(scope, receive, send)

    return checked


def _events(feed: Feed, access: Access) -> Handler:
    async def events(scope: Scope, receive: Receive, send: Send) -> None:
        header = dict(scope["headers"]).get(b"authorization", b"").decode("latin-1")

        def check() -> None:  # as a stream of gRPC, it does not outlive its token
            check_bearer(scope["path"], _OBSERVERS, access, header)

        try:
            with feed.watcher() as told:
                await _send_on(send, told, check)
        except ResourceExhausted as error:
            await refuse(scope, send, error)

    return events


async def _send_on(send: Send, told: asyncio.Queue[Event], check: Callable[[], None]) -> None:
    """Send events as they come, until there are no more or the reader does not read."""
    headers = [(b"content-type", _EVENTS), (b"cache-control", b"no-store"), *SECURE]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    with suppress(Unauthenticated, PermissionDenied):  # it ends; the next attempt is refused
        while event := await told.get():
            check()
            try:
                async with asyncio.timeout(SLOW_S):
                    await send({"type": "http.response.body", "body": event, "more_body": True})
            except TimeoutError:
                return  # left unfinished, which ends the connection
    await send({"type": "http.response.body", "body": b"", "more_body": False})
