"""One loaded version: the door through which every request for it goes."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from trivet.backend.contract import Artifact
from trivet.clock import Clock
from trivet.config import ModelConfig
from trivet.model.validation import Validator
from trivet.request import InferRequest, InferResponse, Stages, Timings
from trivet.scheduling.scheduler import Scheduler, StreamScheduler
from trivet.telemetry.statistics import Statistics


class Model:
    """A version that is ready: checks requests, schedules them, counts them."""

    def __init__(
        self,
        config: ModelConfig,
        version: int,
        scheduler: Scheduler,
        statistics: Statistics,
        clock: Clock,
        artifacts: Sequence[Artifact] = (),
    ) -> None:
        self.config = config
        self.version = version
        self.statistics = statistics
        self._scheduler = scheduler
        self._clock = clock
        self._artifacts = artifacts
        self._validator = Validator(config)

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request.

        Raises InvalidInput if the request does not fit the model, QueueFull or Unavailable if it
        cannot be taken now, EngineFailed if the model failed on it.
        """
        started_ns = self._clock.now_ns()
        try:
            rows = self._validator.check(request)
            response = await self._scheduler.infer(request)
        except BaseException:
            self.statistics.request_failed(self._clock.now_ns() - started_ns)
            raise
        self.statistics.request_done(rows, self._clock.now_ns() - started_ns, response.stages)
        return response

    async def stream(self, request: InferRequest) -> AsyncGenerator[InferResponse, None]:
        """The answers to one request as they come: one, or of a decoupled model any number.

        Raises as `infer` does, perhaps after some answers. Closing it gives the request up; one
        read to its end counts as a success.
        """
        if not isinstance(self._scheduler, StreamScheduler):
            yield await self.infer(request)
            return
        started_ns, timings = self._clock.now_ns(), Timings()
        try:
            rows = self._validator.check(request)
            async with aclosing(self._scheduler.stream(request, timings)) as responses:
                async for response in responses:
                    yield response
        except BaseException:
            self.statistics.request_failed(self._clock.now_ns() - started_ns)
            raise
        total_ns = self._clock.now_ns() - started_ns
        self.statistics.request_done(rows, total_ns, Stages.of(timings))

    async def close(self) -> None:
        """End the instances and let go of the weights; call when nobody uses the version."""
        await self._scheduler.close()
        for artifact in self._artifacts:
            artifact.close()
