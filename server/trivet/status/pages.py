"""Every path that HTTP answers: one more is one more line here."""

from __future__ import annotations

from trivet.frontend.access import Access
from trivet.frontend.access_rules import Role
from trivet.frontend.method import Methods
from trivet.status.observation import Observation
from trivet.status.options import PageOptions
from trivet.status.router import Handler, Receive, Route, Router, Scope, Send, respond
from trivet.status.sources import Sources
from trivet.status.view import view
from trivet.telemetry.exposition import CONTENT_TYPE

_OBSERVERS = frozenset({Role.OBSERVE})


def pages(
    sources: Sources,
    access: Access,
    page: PageOptions | None = None,
    methods: Methods | None = None,
) -> Router:
    """All of them, as an ASGI application.

    page: None leaves out the one to look at. methods: what its playground asks.
    """
    routes = {
        "/metrics": Route(_metrics(Observation(sources)), _OBSERVERS),
        # Whoever probes needs no token, as with the RPCs of these names.
        "/v2/health/live": Route(_live),
        "/v2/health/ready": Route(_ready(sources)),
        **(view(sources, access, page, {} if methods is None else methods) if page else {}),
    }
    return Router(routes, access)


def _metrics(observation: Observation) -> Handler:
    async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
        await respond(scope, send, 200, await observation.text(), CONTENT_TYPE)

    return metrics


async def _live(scope: Scope, receive: Receive, send: Send) -> None:
    await respond(scope, send, 200, "live\n")


def _ready(sources: Sources) -> Handler:
    async def ready(scope: Scope, receive: Receive, send: Send) -> None:
        if sources.is_ready:
            await respond(scope, send, 200, "ready\n")
        else:
            await respond(scope, send, 503, "not ready: models load, or the server takes leave\n")

    return ready
