"""Counts calls by task and status, whichever service they belong to and however they end.

`counted` wraps the unary methods that ask models; messages of streams, whose failures are told
in-band, are counted by the services themselves. Without counters nothing is wrapped.
"""

from __future__ import annotations

from trivet.errors import Code
from trivet.frontend.access_rules import Group, rule_of
from trivet.frontend.method import Call, Method, Methods, Unary, UnaryHandler
from trivet.telemetry.calls import CALL, MESSAGE, Calls, Kind, Nowhere, code_of

_TASKS = {"ModelInfer": "Infer", "ModelStreamInfer": "Infer"}


def counted(methods: Methods, calls: Calls | None) -> Methods:
    """The same methods; each call is counted once, also one that is refused at the door."""
    if calls is None:
        return methods
    return {name: _counted(name, method, calls) for name, method in methods.items()}


def messages_of(calls: Calls | None, method: str) -> Kind | Nowhere:
    """Where the messages of a stream are counted. method: its name, without Stream at the end."""
    return Nowhere() if calls is None else calls.kind(_TASKS.get(method, method), MESSAGE)


def _counted(name: str, method: Method, calls: Calls) -> Method:
    if not isinstance(method, Unary) or rule_of(name).group is not Group.INFERENCE:
        return method
    task = name.rpartition("/")[2]
    return Unary(_unary(method.handler, calls.kind(_TASKS.get(task, task), CALL)))


def _unary(handler: UnaryHandler, kind: Kind) -> UnaryHandler:
    async def answer(message: bytes, call: Call) -> bytes:
        started_ns = kind.now_ns()  # written out: `kind.one()` takes twice as long
        try:
            told = await handler(message, call)
        except BaseException as error:
            code = code_of(error)
            if code is Code.CANCELLED and call.time_left_s == 0:
                code = Code.DEADLINE_EXCEEDED  # the transport cancels what is late
            kind.over(code, started_ns, error)
            raise
        kind.over(Code.OK, started_ns)
        return told

    return answer
