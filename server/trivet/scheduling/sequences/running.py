"""One batch of sequences' requests: run in an instance, tried again one by one, answered."""

from __future__ import annotations

from collections.abc import Sequence

from trivet.backend.contract import Answer, Batch
from trivet.clock import Clock
from trivet.config import ModelConfig
from trivet.errors import EngineFailed, InstanceDied, ServeError
from trivet.request import BatchRun, InferResponse, Stages
from trivet.scheduling.failing import told_of
from trivet.scheduling.post import Post
from trivet.scheduling.sequences.tensors import SequenceTensors
from trivet.scheduling.sequences.turns import Tracked
from trivet.telemetry.statistics import Statistics


class Runner:
    """Runs what was taken from the table. A sequence keeps its state here, and nowhere else."""

    def __init__(
        self,
        config: ModelConfig,
        version: int,
        tensors: SequenceTensors,
        statistics: Statistics,
        clock: Clock,
    ) -> None:
        self._config = config
        self._version = version
        self._tensors = tensors
        self._statistics = statistics
        self._clock = clock

    async def answer(self, places: Sequence[int], sequences: Sequence[Tracked], post: Post) -> None:
        """Run the requests of these sequences in one batch, and settle each.

        places: of each sequence. Raises InstanceDied, and leaves those unanswered that it died of.
        """
        for sequence in sequences:
            if sequence.turn.starts:
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
                await self.answer((place,), (sequence,), post)
            return
        self.reject(sequences[0], error)

    def reject(self, sequence: Tracked, error: Exception) -> None:
        """Tell the caller whose request runs of what it failed."""
        turn = sequence.turn
        turn.reject(told_of(error, self._config.name, self._version, turn.subject))

    def _settle(self, sequence: Tracked, answer: object) -> None:
        turn = sequence.turn
        try:
            if isinstance(answer, ServeError):
                raise answer
            if not isinstance(answer, Answer):
                raise EngineFailed(f"the backend gave a {type(answer).__name__} for an answer")
            sequence.state = self._tensors.kept(answer.outputs)
        except ServeError as error:
            self.reject(sequence, error)
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
            timings = sequence.turn.timings
            timings.merged_ns = batch.merged_ns or started_ns
            timings.computed_ns = batch.computed_ns or done_ns
            timings.done_ns = done_ns
            timings.batch = run
        stages = Stages.of(sequences[0].turn.timings)
        self._statistics.batch_done(run.rows, stages)
