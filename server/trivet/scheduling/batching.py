"""The scheduler of a model that runs on instances: a queue, and one driver per instance."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from trivet.backend.contract import Answer, Batch, QuickInstance, Rows
from trivet.clock import Clock
from trivet.config import BatchPolicy, ModelConfig
from trivet.errors import InstanceDied, ServeError, Unavailable
from trivet.request import BatchRun, InferRequest, InferResponse, Stages
from trivet.scheduling.executor import run_here
from trivet.scheduling.failing import told_of
from trivet.scheduling.instances import Instances
from trivet.scheduling.ordering import Line
from trivet.scheduling.parts import joined, part_of, parts
from trivet.scheduling.post import Post
from trivet.scheduling.queue import RequestQueue
from trivet.scheduling.slot import Slot, measure_of
from trivet.scheduling.supervision import blamed
from trivet.telemetry.statistics import Statistics
from trivet.telemetry.stops import stopped

Run = Callable[[Batch], Awaitable[Sequence[Answer | ServeError]]]

ONE_AT_A_TIME = BatchPolicy(max_batch_size=1)


class BatchScheduler:
    """Whichever instance is free takes the next batch from the one queue."""

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
        self._measure = measure_of(config)
        self._policy = config.dynamic_batching or ONE_AT_A_TIME
        if config.dynamic_batching is None:
            hold_until = 0  # as in Triton: without a batcher there is nobody to hold back
        self._queue = RequestQueue(config, self._policy, clock, hold_until)
        self._line = Line() if self._policy.preserve_ordering else None
        self._drivers = [asyncio.create_task(self._drive(post)) for post in instances.posts]

    @property
    def pending(self) -> int:
        return self._queue.requests

    async def infer(self, request: InferRequest) -> InferResponse:
        """Raises QueueFull, Unavailable if its timeout expires in the queue or no instance is left,
        or what the model says.
        """
        self._instances.check()
        if self._line is None:
            return await self._infer(request)
        ticket = self._line.join()
        try:
            response = await self._infer(request)
            await ticket
            return response
        except Unavailable:
            raise  # it never ran: full, or its time was over, which is said at once
        except ServeError:
            await ticket
            raise
        finally:
            self._line.leave(ticket)

    async def _infer(self, request: InferRequest) -> InferResponse:
        rows, length, shape = self._measure(request.inputs)
        if rows * length > self._policy.max_batch_tokens:
            pieces = parts(rows, length, self._policy)
            if len(pieces) > 1:
                return await self._infer_parts(request, pieces, length)
        slot = Slot(request, rows, length, shape, self._clock.now_ns(), _reply())
        self._queue.put_nowait(slot)
        try:
            return await slot.reply
        except BaseException:
            self._left(slot)
            raise

    async def _infer_parts(
        self, request: InferRequest, pieces: Sequence[slice], length: int
    ) -> InferResponse:
        """Answer a request in several executions; the first part that fails fails all of it."""
        now_ns = self._clock.now_ns()
        slots = [
            Slot(part_of(request, rows), rows.stop - rows.start, length, None, now_ns, _reply())
            for rows in pieces
        ]
        for further in slots[1:]:
            further.counted = False
        self._queue.put_nowait(*slots)
        try:
            return joined(await asyncio.gather(*(slot.reply for slot in slots)))
        except BaseException:
            for slot in slots:
                slot.reply.cancel()
            self._left(*slots)
            raise

    def _left(self, *slots: Slot) -> None:
        """A request failed, or its caller left: what of it waits is taken out."""
        for slot in slots:
            self._queue.discard(slot)
        # Of parts the one that was taken first tells most.
        first = max(slots, key=lambda slot: (slot.timings.taken_ns > 0, -slot.timings.taken_ns))
        taken_ns = first.timings.taken_ns
        stopped(self._config.name, first.queued_ns, taken_ns, self._clock.now_ns())

    async def close(self) -> None:
        for driver in self._drivers:
            driver.cancel()
        await asyncio.gather(*self._drivers, return_exceptions=True)
        self._queue.close()
        await self._instances.close()

    async def _drive(self, post: Post) -> None:
        """Answer batches on whichever instance holds the post, until cancelled."""
        while True:
            try:
                await self._serve(post)
            except InstanceDied as died:
                await self._instances.replace(post, died, self._queue.refuse)

    async def _serve(self, post: Post) -> None:
        """Answer batches on one instance. Raises InstanceDied once every slot is answered or back
        in the queue.
        """
        run = _runner(post, self._clock)
        while True:
            slots = await post.next_batch(self._queue)
            post.begin(self._stamp_taken(slots))
            try:
                await self._answer(slots, run)
            finally:
                post.release(self._clock.now_ns())
            post.has_answered()
            del slots  # the batch's arrays would live until the next one comes

    def _stamp_taken(self, slots: Sequence[Slot]) -> int:
        taken_ns = self._clock.now_ns()
        for slot in slots:
            slot.timings.queued_ns, slot.timings.taken_ns = slot.queued_ns, taken_ns
        return taken_ns

    async def _answer(self, slots: Sequence[Slot], run: Run) -> None:
        batch = Batch([_rows_of(slot) for slot in slots], self._clock.now_ns)
        started_ns = self._clock.now_ns()
        try:
            answers = _complete(await run(batch), len(slots))
        except InstanceDied as died:
            self._try_elsewhere(slots, died)
            raise
        except Exception as error:  # an instance may raise anything; only this batch may feel it
            await self._fail(slots, error, run)
            return
        self._stamp(slots, batch, started_ns)
        for slot, answer in zip(slots, answers, strict=True):
            self._settle(slot, answer)

    async def _fail(self, slots: Sequence[Slot], error: Exception, run: Run) -> None:
        """Try the requests of a failed batch once more, one by one: only the guilty one fails."""
        if len(slots) > 1:
            await self._answer_each(slots, run)
            return
        self._reject(slots[0], error)

    async def _answer_each(self, slots: Sequence[Slot], run: Run) -> None:
        for position, slot in enumerate(slots):
            slot.alone = True
            if slot.reply.done():
                continue
            try:
                await self._answer((slot,), run)
            except InstanceDied:
                self._put_back(slots[position + 1 :], alone=True)
                raise

    def _try_elsewhere(self, slots: Sequence[Slot], died: InstanceDied) -> None:
        """Let other instances try the requests of a batch that this one died of, each by itself.

        One that another instance dies of, too, is the guilty one.
        """
        for slot in slots:
            slot.deaths += not died.idle
            if slot.deaths > 1:
                self._reject(slot, blamed(died))
        self._put_back(slots, alone=not died.idle)

    def _put_back(self, slots: Sequence[Slot], *, alone: bool) -> None:
        for slot in slots:
            if not slot.reply.done():
                slot.alone = slot.alone or alone
                self._queue.put_back(slot)

    def _stamp(self, slots: Sequence[Slot], batch: Batch, started_ns: int) -> None:
        done_ns = self._clock.now_ns()
        computed_ns = batch.computed_ns or done_ns
        run = BatchRun(len(slots), sum(slot.rows for slot in slots))
        for slot in slots:
            slot.timings.merged_ns = batch.merged_ns or started_ns
            slot.timings.computed_ns = computed_ns
            slot.timings.done_ns = done_ns
            slot.timings.batch = run
        self._statistics.batch_done(run.rows, Stages.of(slots[0].timings))
        if longest := max(slot.length for slot in slots):
            run.tokens = sum(slot.rows * slot.length for slot in slots)
            run.padding_tokens = run.rows * longest - run.tokens
            self._statistics.tokens_computed(run.tokens, run.padding_tokens)

    def _settle(self, slot: Slot, answer: Answer | ServeError) -> None:
        if isinstance(answer, ServeError):
            self._reject(slot, answer)
            return
        stages = Stages.of(slot.timings)
        name, version = self._config.name, self._version
        slot.resolve(InferResponse(name, version, answer.outputs, answer.parameters, stages))

    def _reject(self, slot: Slot, error: Exception) -> None:
        slot.reject(told_of(error, self._config.name, self._version, slot.subject))


def _rows_of(slot: Slot) -> Rows:
    request = slot.request
    return Rows(request.inputs, request.parameters, request.id, request.outputs, slot.reply.done)


def _reply() -> asyncio.Future[InferResponse]:
    return asyncio.get_running_loop().create_future()


def _runner(post: Post, clock: Clock) -> Run:
    """How batches run: in the instance's thread, or here where that is quicker."""
    instance = post.instance

    async def in_its_thread(batch: Batch) -> Sequence[Answer | ServeError]:
        since_ns = clock.now_ns()
        return await post.run(lambda: since_ns, instance.execute, batch)

    if not isinstance(instance, QuickInstance):
        return in_its_thread
    quick = instance

    async def where_it_is_quicker(batch: Batch) -> Sequence[Answer | ServeError]:
        if not quick.is_quick(batch):
            return await in_its_thread(batch)
        answers = run_here(quick.execute, batch)
        await asyncio.sleep(0)  # many quick batches in a row must not keep the loop
        return answers

    return where_it_is_quicker


def _complete(answers: Sequence[Answer | ServeError], count: int) -> Sequence[Answer | ServeError]:
    """The answers as they are. Raises ValueError if they are not one per request.

    A backend that breaks its contract must not end the driver, on which every later request of the
    model depends; and whose answers they are cannot be told any more.
    """
    if len(answers) != count:
        raise ValueError(f"the backend gave {len(answers)} answers to {count} requests")
    for answer in answers:
        if not isinstance(answer, Answer | ServeError):
            raise TypeError(f"the backend gave a {type(answer).__name__} for an answer")
    return answers
