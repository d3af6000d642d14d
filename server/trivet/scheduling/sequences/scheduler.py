"""The scheduler of a model that remembers: here sequences meet the instances.

A sequence stays with one instance until it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from trivet.clock import Clock
from trivet.config import DirectStrategy, ModelConfig, OldestStrategy, SequencePolicy
from trivet.errors import InstanceDied
from trivet.request import InferRequest, InferResponse
from trivet.scheduling.instances import Instances
from trivet.scheduling.post import Post
from trivet.scheduling.resources import permitted
from trivet.scheduling.sequences.keeping import OpenSequences
from trivet.scheduling.sequences.policy import Head, TakeHeads, WaitUntil, plan_heads
from trivet.scheduling.sequences.running import Runner
from trivet.scheduling.sequences.table import SequenceTable
from trivet.scheduling.sequences.tensors import SequenceTensors, measure_shape
from trivet.scheduling.sequences.turns import Tracked, Turn, new_turn
from trivet.telemetry.statistics import Statistics
from trivet.telemetry.stops import stopped


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A head with the shapes of its state, which no other part of a batch may differ in."""

    queued_ns: int
    shape: object


class SequenceScheduler:
    """Keeps each sequence at its place of one instance, and answers its requests in turn."""

    def __init__(
        self,
        config: ModelConfig,
        version: int,
        instances: Instances,
        initial: Mapping[str, np.ndarray],
        statistics: Statistics,
        clock: Clock,
        hold_until: int = 0,
    ) -> None:
        """config: the client's, with sequence_batching. initial: see `initial_states`.

        hold_until: requests that must wait at their places before the first batch leaves.
        """
        policy = cast(SequencePolicy, config.sequence_batching)
        self._config = config
        self._strategy = policy.strategy
        self._instances = instances
        self._clock = clock
        self._tensors = SequenceTensors(config, policy, initial)
        self._runner = Runner(config, version, self._tensors, statistics, clock)
        self._shape_of = measure_shape(config)
        self._hold_until = hold_until
        self._max_rows = max(1, config.max_batch_size)
        self._table = SequenceTable(
            config.name,
            len(instances.posts),
            _places(policy.strategy, self._max_rows),
            policy.max_idle_us,
        )
        self.sequences = OpenSequences(self._table, version, self._wake)
        self._changed = [asyncio.Event() for _ in instances.posts]
        self._expiry_changed = asyncio.Event()
        self._look_ns: int | None = None  # when the table is looked through next; None: never
        self._tasks = [asyncio.create_task(self._drive(post)) for post in instances.posts]
        self._tasks.append(asyncio.create_task(self._expire()))

    @property
    def pending(self) -> int:
        return self._table.pending

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request of a sequence.

        Raises InvalidInput: no sequence id, more than one row, a sequence that is not under way;
        Unavailable: the instance that kept the sequence died, or none is left.
        """
        self._instances.check()
        turn = new_turn(request, self._config, self._shape_of, self._clock.now_ns())
        self._tensors.check_id(turn.id)
        self._table.put(turn)
        self._look_in_time_for(turn)
        self._wake()
        try:
            return await turn.reply
        except BaseException as error:
            if isinstance(error, asyncio.CancelledError):
                self._table.cancel(turn)
                self._wake()
            taken_ns = turn.timings.taken_ns
            stopped(self._config.name, turn.queued_ns, taken_ns, self._clock.now_ns())
            raise

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._table.close()
        await self._instances.close()

    def _wake(self) -> None:
        """Something changed that may let a request run."""
        self.sequences.look()
        for event in self._changed:
            event.set()

    def _look_in_time_for(self, turn: Turn) -> None:
        """Let `_expire` look sooner than it would, if this request may be due before.

        What a sequence under way does only puts off when it is idle for too long. Looking through
        ten thousand that wait takes 9 ms, which no request is to pay for.
        """
        look_ns, expires_ns = self._look_ns, turn.expires_ns
        if look_ns is None or (expires_ns is not None and expires_ns < look_ns):
            self._expiry_changed.set()

    async def _expire(self) -> None:
        """End sequences that are idle for too long, until cancelled."""
        while True:
            self._expiry_changed.clear()
            self._look_ns = self._table.expire(self._clock.now_ns())
            self._wake()  # the next in the backlog may have got a place
            await self._wait(self._expiry_changed, self._look_ns)

    async def _drive(self, post: Post) -> None:
        """Answer batches on whichever instance holds the post, until cancelled."""
        while True:
            try:
                await self._serve(post)
            except InstanceDied as died:
                await self._instances.replace(post, died, self._table.refuse)
                self._table.regain(post.number)
                self._wake()

    async def _serve(self, post: Post) -> None:
        """Answer batches on one instance.

        Raises InstanceDied if it dies: what ran in it is answered, and its sequences are over.
        """
        while True:
            try:
                places = await self._next_places(post)
            except InstanceDied as died:  # found dead while nothing ran
                self._lose(post, died)
                raise
            await self._run(places, post)
            post.has_answered()

    async def _run(self, places: Sequence[int], post: Post) -> None:
        """Answer the requests at these places. Raises InstanceDied."""
        sequences = self._take(places, post)
        try:
            await self._runner.answer(places, sequences, post)
        except InstanceDied as died:
            for sequence in sequences:
                sequence.turn.reject(self._table.lost(sequence.id, died.message))
            self._lose(post, died)
            raise
        except Exception as error:  # a driver that ended would leave all later requests waiting
            for sequence in sequences:
                self._runner.reject(sequence, error)
        finally:
            for sequence in sequences:
                sequence.turn.reject(self._table.gone())  # not answered: the scheduler is closed
                self._table.done(sequence, self._clock.now_ns())
            post.release(self._clock.now_ns())
            self._wake()

    def _lose(self, post: Post, died: InstanceDied) -> None:
        self._table.lose(post.number, died.message, self._clock.now_ns())

    def _take(self, places: Sequence[int], post: Post) -> list[Tracked]:
        sequences = self._table.take(post.number, places)
        taken_ns = self._clock.now_ns()
        post.begin(taken_ns)
        for sequence in sequences:
            timings = sequence.turn.timings
            timings.queued_ns, timings.taken_ns = sequence.turn.queued_ns, taken_ns
        return sequences

    async def _next_places(self, post: Post) -> tuple[int, ...]:
        """Wait for the heads that the strategy would send now, and until the instance may run."""
        wait = partial(self._wait_places, post.number)
        if post.permit is None:
            return await post.idle(wait)
        due = partial(self._due_places, post.number)
        return await post.idle(partial(permitted, post.permit, wait, due))

    async def _wait_places(self, number: int) -> tuple[int, ...]:
        while True:
            self._changed[number].clear()
            match self._decision(number):
                case TakeHeads(places):
                    return places
                case WaitUntil(when_ns):
                    await self._wait(self._changed[number], when_ns)

    def _due_places(self, number: int) -> tuple[int, ...]:
        """Those of now; none if what was due has gone."""
        decision = self._decision(number)
        return decision.places if isinstance(decision, TakeHeads) else ()

    def _decision(self, number: int) -> TakeHeads | WaitUntil:
        if self._hold_until and self._table.waiting < self._hold_until:
            return WaitUntil(None)
        self._hold_until = 0
        heads = [self._candidate(sequence) for sequence in self._table.placed(number)]
        return plan_heads(heads, self._clock.now_ns(), self._strategy, self._max_rows)

    def _candidate(self, sequence: Tracked | None) -> Head | None:
        if sequence is None or (turn := sequence.head) is None:
            return None
        state = self._tensors.state(turn, sequence.state)
        shapes = [array.shape for array in state.values()]
        return _Candidate(turn.queued_ns, (turn.shape, shapes))

    async def _wait(self, event: asyncio.Event, until_ns: int | None) -> None:
        """Until the event is set or the time has come; None: the event alone counts."""
        if until_ns is None:
            await event.wait()
            return
        set_ = asyncio.ensure_future(event.wait())
        due = asyncio.ensure_future(self._clock.sleep_until(until_ns))
        try:
            await asyncio.wait((set_, due), return_when=asyncio.FIRST_COMPLETED)
        finally:
            set_.cancel()
            due.cancel()


def _places(strategy: DirectStrategy | OldestStrategy, max_rows: int) -> int:
    """Sequences under way on one instance."""
    if isinstance(strategy, OldestStrategy):
        return strategy.max_candidate_sequences
    return max_rows
