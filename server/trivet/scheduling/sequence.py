"""The scheduler of a model that remembers: requests of one sequence run in order, one at a time.

`sequence_table` knows the sequences and their places, `sequence_policy` decides what leaves,
`sequence_tensors` adds what the model needs beside the client's inputs; here they meet the
instances. A sequence stays with one instance until it is over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from trivet.backend.contract import Answer, Batch
from trivet.clock import Clock
from trivet.config import DirectStrategy, ModelConfig, OldestStrategy, SequencePolicy
from trivet.errors import EngineFailed, InstanceDied, ServeError
from trivet.request import BatchRun, InferRequest, InferResponse, Stages
from trivet.scheduling.failing import told_of
from trivet.scheduling.instances import Instances
from trivet.scheduling.post import Post
from trivet.scheduling.resources import permitted
from trivet.scheduling.sequence_keeping import OpenSequences
from trivet.scheduling.sequence_policy import Head, TakeHeads, WaitUntil, plan_heads
from trivet.scheduling.sequence_table import SequenceTable
from trivet.scheduling.sequence_tensors import SequenceTensors, measure_shape
from trivet.scheduling.sequence_turns import Tracked, Turn, new_turn
from trivet.telemetry.statistics import Statistics


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
        self._version = version
        self._strategy = policy.strategy
        self._instances = instances
        self._statistics = statistics
        self._clock = clock
        self._tensors = SequenceTensors(config, policy, initial)
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
        except asyncio.CancelledError:
            self._table.cancel(turn)
            self._wake()
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
        """Answer batches on one instance. Raises InstanceDied if it dies of one: what ran in it is
        answered then.
        """
        while True:
            try:
                places = await self._next_places(post)
            except InstanceDied as died:  # found dead while nothing ran
                self._table.lose(post.number, died.message, self._clock.now_ns())
                raise
            sequences = self._table.take(post.number, places)
            taken_ns = self._clock.now_ns()
            post.begin(taken_ns)
            for sequence in sequences:
                timings = _turn_of(sequence).timings
                timings.queued_ns, timings.taken_ns = _turn_of(sequence).queued_ns, taken_ns
            try:
                await self._answer(places, sequences, post)
            except InstanceDied as died:
                for sequence in sequences:
                    _turn_of(sequence).reject(self._table.lost(sequence.id, died.message))
                self._table.lose(post.number, died.message, self._clock.now_ns())
                raise
            except Exception as error:  # a driver that ended would leave all later requests waiting
                for sequence in sequences:
                    self._reject(sequence, error)
            finally:
                for sequence in sequences:
                    # Not answered: the scheduler is being closed.
                    _turn_of(sequence).reject(self._table.gone())
                    self._table.done(sequence, self._clock.now_ns())
                post.release(self._clock.now_ns())
                self._wake()
            post.has_answered()

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
        turn = sequence.head if sequence else None
        if turn is None or sequence is None:
            return None
        state = self._tensors.state(turn, sequence.state)
        shapes = [array.shape for array in state.values()]
        return _Candidate(turn.queued_ns, (turn.shape, shapes))

    async def _answer(
        self,
        places: Sequence[int],
        sequences: Sequence[Tracked],
        post: Post,
    ) -> None:
        """Run the requests of these sequences in one batch, and settle each."""
        for sequence in sequences:
            if _turn_of(sequence).starts:
                sequence.state.clear()  # also if this request fails: the old sequence is no more
        rows = self._tensors.rows(places, sequences)
        batch = Batch([row for row, _ in rows], self._clock.now_ns)
        started_ns = self._clock.now_ns()
        try:
            answers = await post.run(lambda: started_ns, post.instance.execute, batch)
            if len(answers) != len(rows):
                raise ValueError(f"the backend gave {len(answers)} answers to {len(rows)} requests")
        except InstanceDied:
            raise
        except Exception as error:  # an instance may raise anything; only this batch may feel it
            await self._fail(places, sequences, error, post)
            return
        self._stamp(sequences, batch, started_ns)
        for (_, own), answer in zip(rows, answers, strict=True):
            if own is not None:
                self._settle(own, answer)

    async def _fail(
        self,
        places: Sequence[int],
        sequences: Sequence[Tracked],
        error: Exception,
        post: Post,
    ) -> None:
        """Try the requests of a failed batch once more, one by one: only the guilty one fails.

        Their sequences go on: which of the failures matters to its caller, only the caller knows.
        """
        if len(sequences) > 1:
            for place, sequence in zip(places, sequences, strict=True):
                await self._answer((place,), (sequence,), post)
            return
        self._reject(sequences[0], error)

    def _reject(self, sequence: Tracked, error: Exception) -> None:
        turn = _turn_of(sequence)
        turn.reject(told_of(error, self._config.name, self._version, turn.subject))

    def _settle(self, sequence: Tracked, answer: object) -> None:
        turn = _turn_of(sequence)
        try:
            if isinstance(answer, ServeError):
                raise answer
            if not isinstance(answer, Answer):
                raise EngineFailed(f"the backend gave a {type(answer).__name__} for an answer")
            sequence.state = self._tensors.kept(answer.outputs)
        except ServeError as error:
            self._reject(sequence, error)
            return
        turn.resolve(
            InferResponse(
                model=self._config.name,
                version=self._version,
                outputs=self._tensors.answered(answer.outputs),
                parameters=answer.parameters,
                stages=Stages.of(turn.timings),
            )
        )

    def _stamp(self, sequences: Sequence[Tracked], batch: Batch, started_ns: int) -> None:
        done_ns, run = self._clock.now_ns(), BatchRun(len(sequences), len(sequences))
        for sequence in sequences:
            timings = _turn_of(sequence).timings
            timings.merged_ns = batch.merged_ns or started_ns
            timings.computed_ns = batch.computed_ns or done_ns
            timings.done_ns = done_ns
            timings.batch = run
        stages = Stages.of(_turn_of(sequences[0]).timings)
        self._statistics.batch_done(run.rows, stages)

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


def _turn_of(sequence: Tracked) -> Turn:
    """The request of a sequence that runs."""
    assert sequence.running is not None
    return sequence.running
