"""The scheduler of a decoupled model: each request runs alone and is answered while it runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from trivet.backend.contract import Batch, DecoupledInstance, Instance, Rows, Sender
from trivet.clock import Clock
from trivet.config import BatchPolicy, ModelConfig
from trivet.errors import InstanceDied, ServeError, Unavailable, Unimplemented
from trivet.request import InferRequest, InferResponse, Stages, Timings
from trivet.scheduling.answers import AnswerBuffer, Sent
from trivet.scheduling.failing import told_of
from trivet.scheduling.instances import Instances
from trivet.scheduling.post import Post
from trivet.scheduling.queue import RequestQueue
from trivet.scheduling.slot import Slot
from trivet.scheduling.supervision import blamed
from trivet.telemetry.statistics import Statistics
from trivet.telemetry.stops import stopped

# A caller who does not read keeps an instance from all others. After so long, and only while
# somebody waits for it, the instance is taken away.
PATIENCE_NS = 10_000_000_000
_LOOK_EVERY_NS = PATIENCE_NS // 10


_ALONE = BatchPolicy(max_batch_size=1)


class _StreamSlot(Slot):
    """A place in the queue whose answers are several; its `reply` is not used."""

    def __init__(self, request: InferRequest, rows: int, clock: Clock, timings: Timings) -> None:
        reply: asyncio.Future[InferResponse] = asyncio.get_running_loop().create_future()
        super().__init__(request, rows, 0, None, clock.now_ns(), reply, timings)
        self.answers = AnswerBuffer(clock)

    def reject(self, error: BaseException) -> None:
        """The queue's word: the request has waited too long."""
        self.answers.close(error if isinstance(error, ServeError) else None)


def _rows_of(slot: _StreamSlot) -> Rows:
    request, has_left = slot.request, slot.answers.is_cancelled
    return Rows(request.inputs, request.parameters, request.id, request.outputs, has_left)


class DecoupledScheduler:
    """Whichever instance is free takes the oldest request, and sends answers while it computes."""

    def __init__(
        self,
        config: ModelConfig,
        version: int,
        instances: Instances,
        statistics: Statistics,
        clock: Clock,
        hold_until: int = 0,
    ) -> None:
        """hold_until: a model that batches computes nothing before so many requests wait, once."""
        self._config = config
        self._version = version
        self._instances = instances
        self._statistics = statistics
        self._clock = clock
        if config.dynamic_batching is None:
            hold_until = 0  # as in Triton: without a batcher there is nobody to hold back
        self._queue = RequestQueue(config, _ALONE, clock, hold_until)
        self._drivers = [asyncio.create_task(self._drive(post)) for post in instances.posts]

    @property
    def pending(self) -> int:
        return self._queue.requests

    async def infer(self, request: InferRequest) -> InferResponse:
        """Raises Unimplemented: there may be no answer, or several."""
        raise Unimplemented(
            f"model '{self._config.name}' is decoupled and gives any number of answers; ask it"
            " through ModelStreamInfer"
        )

    async def stream(
        self, request: InferRequest, timings: Timings
    ) -> AsyncGenerator[InferResponse, None]:
        self._instances.check()
        timings.queued_ns = self._clock.now_ns()
        slot = _StreamSlot(request, self._rows(request), self._clock, timings)
        self._queue.put_nowait(slot)
        answers, place = slot.answers, 0
        try:
            async with aclosing(answers.read()) as sents:
                async for sent in sents:
                    self._statistics.response(place).succeeded(sent.compute_ns)
                    place += 1
                    yield self._response(sent)
            if not answers.final_was_sent:
                self._statistics.response(place).empty_response.add(answers.since_last_ns)
        except ServeError:
            self._statistics.response(place).fail.add(answers.since_last_ns)
            self._stopped(timings)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            self._statistics.response(place).cancel.add(answers.since_last_ns)
            self._stopped(timings)
            raise
        finally:
            answers.close()
            self._queue.discard(slot)

    async def close(self) -> None:
        for driver in self._drivers:
            driver.cancel()
        await asyncio.gather(*self._drivers, return_exceptions=True)
        self._queue.close()
        await self._instances.close()

    def _stopped(self, timings: Timings) -> None:
        now_ns = self._clock.now_ns()
        stopped(self._config.name, timings.queued_ns, timings.taken_ns, now_ns)

    def _rows(self, request: InferRequest) -> int:
        return request.rows if self._config.max_batch_size else 1

    async def _drive(self, post: Post) -> None:
        """Answer requests on whichever instance holds the post, until cancelled."""
        while True:
            try:
                await self._serve(post)
            except InstanceDied as died:
                await self._instances.replace(post, died, self._queue.refuse)

    async def _serve(self, post: Post) -> None:
        """Answer requests on one instance. Raises InstanceDied once the one it died of is answered
        or back in the queue.
        """
        instance = post.instance
        run = instance.stream if isinstance(instance, DecoupledInstance) else self._once(instance)
        while True:
            (slot,) = await post.next_batch(self._queue)
            assert isinstance(slot, _StreamSlot)
            post.begin(self._clock.now_ns())
            watcher = asyncio.create_task(self._take_from_idle_reader(slot.answers, post))
            try:
                await self._run(slot, run, post)
            finally:
                watcher.cancel()
                post.release(self._clock.now_ns())
            post.has_answered()
            del slot, watcher  # the request's arrays would live until the next one comes

    async def _run(
        self, slot: _StreamSlot, run: Callable[[Rows, Sender], None], post: Post
    ) -> None:
        answers, timings = slot.answers, slot.timings
        timings.taken_ns = timings.merged_ns = self._clock.now_ns()
        answers.begin()
        error = None
        try:
            await post.run(answers.computing_since_ns, run, _rows_of(slot), answers)
        except InstanceDied as died:
            self._try_elsewhere(slot, died, post)
            raise
        except Exception as raised:  # an instance may raise anything; only this request may feel it
            error = self._told(raised, slot)
        timings.computed_ns = timings.done_ns = self._clock.now_ns()
        if error is None and not answers.is_cancelled():
            self._statistics.batch_done(slot.rows, Stages.of(timings))
        answers.close(error)

    def _try_elsewhere(self, slot: _StreamSlot, died: InstanceDied, post: Post) -> None:
        """Let another instance answer the request, unless the caller has had answers already.

        From a thread that was given up answers may still come, which must not mix with others. A
        request that a second instance dies of, too, is the guilty one.
        """
        answers = slot.answers
        slot.deaths += not died.idle
        if slot.deaths > 1:
            answers.close(self._told(blamed(died), slot))
        elif answers.were_sent or (post.executor.is_abandoned and not died.idle):
            what = f"its instance died before all answers were there: {died.message}"
            answers.close(self._told(Unavailable(f"{what}; ask again"), slot))
        elif not answers.is_cancelled():
            self._queue.put_back(slot)

    def _told(self, error: Exception, slot: _StreamSlot) -> ServeError | None:
        """What the caller is told; None if it has left, or has had what it was told is the end."""
        told = told_of(error, self._config.name, self._version, slot.subject)
        answers = slot.answers
        return None if answers.is_cancelled() or answers.final_was_sent else told

    def _once(self, instance: Instance) -> Callable[[Rows, Sender], None]:
        """`stream` for an instance that has none: one answer, and that is the last."""

        def run(request: Rows, answers: Sender) -> None:
            told = instance.execute(Batch([request], self._clock.now_ns))
            if len(told) != 1:
                raise ValueError(f"the backend gave {len(told)} answers to 1 request")
            if isinstance(told[0], ServeError):
                raise told[0]
            answers.send(told[0], final=True)

        return run

    async def _take_from_idle_reader(self, answers: AnswerBuffer, post: Post) -> None:
        while True:
            await answers.wait_full()
            await self._clock.sleep_until(self._clock.now_ns() + _LOOK_EVERY_NS)
            wanted = self._queue or (post.permit is not None and post.permit.is_wanted)
            if wanted and answers.blocked_ns >= PATIENCE_NS:
                seconds = PATIENCE_NS // 1_000_000_000
                what = f"answers were not read for {seconds} s while other requests waited"
                cure = "read them as they come, or ask for fewer"
                answers.close(Unavailable(f"model '{self._config.name}': {what}; {cure}"))
                return

    def _response(self, sent: Sent) -> InferResponse:
        return InferResponse(
            model=self._config.name,
            version=self._version,
            outputs=sent.answer.outputs,
            parameters=sent.answer.parameters,
            final=sent.final,
        )
