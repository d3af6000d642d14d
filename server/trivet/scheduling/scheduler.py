"""What a model's requests are handed to, however they are then run."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol, runtime_checkable

from trivet.request import InferRequest, InferResponse, Timings


class Scheduler(Protocol):
    """Answers requests, in an order and company of its own choosing."""

    @property
    def pending(self) -> int:
        """Requests that wait for an instance."""

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer a valid request. Cancelling the call takes its queued work out at once."""

    async def close(self) -> None:
        """Free threads and instances; call when nobody waits for an answer any more."""


@runtime_checkable
class StreamScheduler(Scheduler, Protocol):
    """A scheduler whose requests may have no answer, one or many."""

    def stream(
        self, request: InferRequest, timings: Timings
    ) -> AsyncGenerator[InferResponse, None]:
        """The answers to a valid request as they come; the last is `final` if that was known.

        timings: stamped on the way. Closing the generator ends the work at once.
        """
