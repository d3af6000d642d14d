"""The status a stream really ended with: a way around grpc.aio.

Where a write is on its way while the server ends the call, grpc.aio (seen in 1.85, `Call._write`)
replaces the server's status by an INTERNAL of its own: 391 of 1,500 streams that a server broke
while they were being written, on a busy machine of two cores. A caller would take "draining, retry"
for a bug. The later of the two overwrites the earlier, so the first is taken down as it arrives; if
it is grpc's own, the second is waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import grpc
import grpc.aio

_MADE_UP = "Internal error from Core"
_PAUSE_S = 0.005
_PAUSES = 100  # the server's status came within the first, always; without it, grpc's own stands

_Value = TypeVar("_Value")
Status = tuple[grpc.StatusCode, str]


class Ending:
    """Follows one call from its start."""

    def __init__(self, call: grpc.aio.Call) -> None:
        self._call = call
        self._first: Status | None = None
        call.add_done_callback(self._take_down)

    async def status(self, error: grpc.aio.AioRpcError) -> Status:
        """What the server said, where `error` is what reading the call raised."""
        status = error.code(), error.details() or ""
        if status[1] != _MADE_UP:
            return status
        if self._first is not None and self._first[1] != _MADE_UP:
            return self._first
        for _ in range(_PAUSES):
            await asyncio.sleep(_PAUSE_S)
            status = await self._call.code(), await self._call.details() or ""
            if status[1] != _MADE_UP:
                break
        return status

    def _take_down(self, call: Any) -> None:
        code, details = _at_once(call.code()), _at_once(call.details())
        if code is not None:
            self._first = code, details or ""


def _at_once(reading: Coroutine[Any, Any, _Value]) -> _Value | None:
    """What a coroutine returns that has nothing to wait for; None if it has."""
    try:
        reading.send(None)
    except StopIteration as done:
        value: _Value = done.value
        return value
    reading.close()
    return None
