"""The page's way to ask models: POST JSON, one path for each task."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from trivet.errors import Code, DeadlineExceeded, Draining, InvalidInput, ServeError
from trivet.frontend.json_calls import JsonCalls
from trivet.frontend.text_tasks.task import Task
from trivet.status.files import SECURE
from trivet.status.guard import JSON
from trivet.status.router import Handler, Receive, Scope, Send, respond

MAX_BODY_BYTES = 1 << 16  # a playground's texts; more is for gRPC
ANSWER_S = 30.0

# As google.rpc.Code says.
_STATUS: Mapping[int, int] = {
    Code.INVALID_ARGUMENT: 400,
    Code.FAILED_PRECONDITION: 400,
    Code.OUT_OF_RANGE: 400,
    Code.UNAUTHENTICATED: 401,
    Code.PERMISSION_DENIED: 403,
    Code.NOT_FOUND: 404,
    Code.ABORTED: 409,
    Code.ALREADY_EXISTS: 409,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.CANCELLED: 499,
    Code.UNIMPLEMENTED: 501,
    Code.UNAVAILABLE: 503,
    Code.DEADLINE_EXCEEDED: 504,
}


@dataclass(frozen=True, slots=True)
class _Call:
    """A request of HTTP as methods see calls. deadline_s: on the event loop's clock."""

    metadata: Mapping[str, str | bytes]
    peer: str
    deadline_s: float

    def header(self, name: str) -> str | bytes | None:
        return self.metadata.get(name)

    @property
    def time_left_s(self) -> float:
        return max(0.0, self.deadline_s - asyncio.get_running_loop().time())

    def set_trailers(self, trailers: object) -> None:
        pass  # nobody reads them here


def asking(task: Task[Any, Any], calls: JsonCalls, draining: asyncio.Event) -> Handler:
    """Answers requests for one task.

    draining: when it is set, no more are taken, as the transports take no new calls then.
    """

    async def ask(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if draining.is_set():
                raise Draining("the server is shutting down; ask another")
            call = _call(scope)
            async with asyncio.timeout_at(call.deadline_s):  # whoever sends slowly, too
                answer = await calls.ask(task, await _body(receive), call)
        except TimeoutError:
            await refuse(scope, send, DeadlineExceeded(f"no answer within {ANSWER_S:g} s"))
        except ServeError as error:
            await refuse(scope, send, error)
        else:
            await respond(scope, send, 200, answer, JSON, SECURE)

    return ask


async def refuse(scope: Scope, send: Send, error: ServeError) -> None:
    """Tell of a failure in JSON."""
    told = json.dumps({"code": Code(error.code).name, "message": error.message})
    await respond(scope, send, _STATUS.get(error.code, 500), told, JSON, SECURE)


async def _body(receive: Receive) -> bytes:
    """Raises InvalidInput for one that is too long."""
    body, more = bytearray(), True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MAX_BODY_BYTES:
            raise InvalidInput(
                f"the request has more than {MAX_BODY_BYTES} bytes; ask for less, or over gRPC"
            )
    return bytes(body)


def _call(scope: Scope) -> _Call:
    metadata = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    host, port = scope.get("client") or ("unknown", 0)
    return _Call(
        metadata=metadata,
        peer=f"http:{host}:{port}",
        deadline_s=asyncio.get_running_loop().time() + ANSWER_S,
    )
