"""One loaded version: the door through which every request for it goes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from trivet.backend.contract import Artifact
from trivet.backend.portable import Portable
from trivet.clock import Clock
from trivet.config import ModelConfig
from trivet.model.cache import CacheShare, key_of
from trivet.model.labels import Labels
from trivet.model.validation import Validator
from trivet.request import InferRequest, InferResponse, Stages, Timings
from trivet.scheduling.instances import Death, Instances
from trivet.scheduling.post import Post
from trivet.scheduling.scheduler import Scheduler, StreamScheduler
from trivet.scheduling.sequences.keeping import OpenSequences
from trivet.scheduling.sequences.scheduler import SequenceScheduler
from trivet.scheduling.supervision import WELL, Condition
from trivet.telemetry.failures import reason_of
from trivet.telemetry.statistics import Statistics

log = logging.getLogger(__name__)


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
        cache: CacheShare | None = None,
        instances: Instances | None = None,
        labels: Labels | None = None,
        portable: Portable | None = None,
    ) -> None:
        """cache: where answers are kept; None for a model whose requests are all computed.

        instances: what it runs on; None for a pipeline. portable: how other processes open it.
        """
        self.config = config
        self.version = version
        self.statistics = statistics
        self.labels = labels or {}
        self.portable = portable
        self._scheduler = scheduler
        self._clock = clock
        self._artifacts = artifacts
        self._cache = cache
        self._instances = instances
        self._validator = Validator(config)

    @property
    def condition(self) -> Condition:
        """Whether requests will be answered, and what is wrong with the instances."""
        return WELL if self._instances is None else self._instances.condition

    @property
    def changed(self) -> asyncio.Event:
        """Set when the condition changes next; a pipeline's never does."""
        return asyncio.Event() if self._instances is None else self._instances.changed

    @property
    def pending(self) -> int:
        """Requests that wait for an instance."""
        return self._scheduler.pending

    @property
    def posts(self) -> Sequence[Post]:
        """What its batches run on; a pipeline has none."""
        return () if self._instances is None else self._instances.posts

    @property
    def sequences(self) -> OpenSequences | None:
        """The sequences under way; None for a model that has none."""
        scheduler = self._scheduler
        return scheduler.sequences if isinstance(scheduler, SequenceScheduler) else None

    @property
    def deaths(self) -> Mapping[Death, int]:
        """Instances that ended before their time, and how."""
        return {} if self._instances is None else self._instances.deaths

    @property
    def hung_threads(self) -> int:
        """Threads that hang in the model's engine and were given up."""
        return 0 if self._instances is None else self._instances.hung_threads

    @property
    def is_cached(self) -> bool:
        """Whether answers may come from the response cache."""
        return self._cache is not None

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request.

        Raises InvalidInput if the request does not fit the model, QueueFull or Unavailable if it
        cannot be taken now, EngineFailed if the model failed on it.
        """
        started_ns = self._clock.now_ns()
        try:
            rows = self._validator.check(request)
            ahead = request.known
            if ahead and (known := ahead.answer(self, request.inputs, request.parameters)):
                response = known
                started_ns -= known.stages.compute_ns  # which it took elsewhere
            elif self._cache is None:
                response = await self._scheduler.infer(request)
            else:
                looked_up_ns = self._clock.now_ns()
                key = key_of(request, self.version)
                if kept := self._cache.get(key):
                    now_ns = self._clock.now_ns()
                    self.statistics.cache_was_hit(now_ns - started_ns, now_ns - looked_up_ns)
                    return kept
                response = await self._missed(request, key, looked_up_ns, self._cache)
        except BaseException as error:
            failed_ns = self._clock.now_ns() - started_ns
            self.statistics.request_failed(failed_ns, reason_of(error))
            raise
        if response.parameters and response.parameters.get("truncated"):
            self.statistics.truncated += 1
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
        except BaseException as error:
            failed_ns = self._clock.now_ns() - started_ns
            self.statistics.request_failed(failed_ns, reason_of(error))
            raise
        total_ns = self._clock.now_ns() - started_ns
        self.statistics.request_done(rows, total_ns, Stages.of(timings))

    async def _missed(
        self, request: InferRequest, key: bytes, looked_up_ns: int, cache: CacheShare
    ) -> InferResponse:
        self.statistics.cache_was_missed(self._clock.now_ns() - looked_up_ns)
        response = await self._scheduler.infer(request)
        answered_ns = self._clock.now_ns()
        cache.put(key, request, response)
        self.statistics.cache_was_filled(self._clock.now_ns() - answered_ns)
        return response

    async def close(self) -> None:
        """End the instances and let go of the weights; call when nobody uses the version."""
        await self._scheduler.close()
        if self._cache is not None:
            self._cache.close()
        if self.hung_threads:  # what they use must not be taken from under them
            log.warning("artifact_left", extra={"model": self.config.name, "version": self.version})
            return
        for artifact in self._artifacts:
            artifact.close()
