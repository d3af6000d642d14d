"""Tasks of TextService asked in JSON: for the page, which has no protobuf.

Only the way in and out differs. What is asked is the method that gRPC's transports call, with its
check of tokens, its limits and its counting; the JSON is protobuf's own of the task's messages,
with the names of the .proto file.
"""

from __future__ import annotations

import asyncio
from typing import Any

from google.protobuf import json_format

from trivet.errors import InvalidInput, ResourceExhausted, Unavailable
from trivet.frontend.method import Call, Methods, Unary
from trivet.frontend.refusal import refusal
from trivet.frontend.text_tasks.task import Task

# Bytes of an answer. As JSON it is four times as long, and takes the interpreter half a second.
MAX_ANSWER_BYTES = 1 << 18

_SERVICE = "/trivet.v1.TextService/"


class JsonCalls:
    """Asks methods of a table, which is filled when the server has one."""

    def __init__(self, methods: Methods) -> None:
        self._methods = methods

    async def ask(self, task: Task[Any, Any], body: bytes, call: Call) -> str:
        """The answer to a request for many items. Raises ServeError."""
        name = f"{_SERVICE}{task.name}"
        method = self._methods.get(name)
        if not isinstance(method, Unary):
            raise Unavailable("the server has only just begun to start; try again in a moment")
        asked = _parsed(task.messages.request(), body)
        try:
            answer = await method.handler(asked.SerializeToString(), call)
        except Exception as error:
            raise refusal(error, name) from None
        if len(answer) > MAX_ANSWER_BYTES:
            raise ResourceExhausted(
                f"the answer has {len(answer)} bytes, and {MAX_ANSWER_BYTES} are the most that is"
                " written as JSON; ask for less, or over gRPC"
            )
        return await asyncio.to_thread(_written, task, answer)


def _parsed(message: Any, body: bytes) -> Any:
    try:
        return json_format.Parse(body, message)
    except (json_format.ParseError, ValueError, RecursionError) as error:
        what = "is nested too deep" if isinstance(error, RecursionError) else str(error)
        raise InvalidInput(
            f"this is no {message.DESCRIPTOR.full_name} in JSON: {what[:300]}"
        ) from None


def _written(task: Task[Any, Any], answer: bytes) -> str:
    message = task.messages.response.FromString(answer)
    return json_format.MessageToJson(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        indent=None,
    )
