"""What a model's requests are handed to, however they are then run."""

from __future__ import annotations

from typing import Protocol

from trivet.request import InferRequest, InferResponse


class Scheduler(Protocol):
    """Answers requests, in an order and company of its own choosing."""

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer a valid request. Cancelling the call takes its queued work out at once."""

    async def close(self) -> None:
        """Free threads and instances; call when nobody waits for an answer any more."""
