"""Sequences on real executor threads, with an accumulator that remembers what it was given."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from itertools import product

import numpy as np
import pytest
import pytest_asyncio

from tests.harness.instances import irreplaceable
from trivet.backend.contract import Answer, Batch
from trivet.config import (
    Control,
    ControlKind,
    DirectStrategy,
    ModelConfig,
    OldestStrategy,
    SequencePolicy,
    SequenceState,
    TensorSpec,
)
from trivet.errors import Code, EngineFailed, InvalidInput, ServeError, Unavailable
from trivet.request import InferRequest, InferResponse
from trivet.scheduling.executor import Executor
from trivet.scheduling.sequences.scheduler import SequenceScheduler
from trivet.scheduling.sequences.table import SequenceCancelled, SequenceTable
from trivet.telemetry.statistics import Statistics
from trivet.telemetry.stops import Stop, listen
from trivet.telemetry.subject import Subject, ids_of, make_current
from trivet.testing.clock import ManualClock, settle

IDLE_US = 1_000
CONTROLS = (
    Control(name="START", kind=ControlKind.START, datatype="INT32", false_true=(0, 1)),
    Control(name="READY", kind=ControlKind.READY, datatype="FP32", false_true=(0, 1)),
    Control(name="END", kind=ControlKind.END, datatype="BOOL", false_true=(0, 1)),
    Control(name="CORRID", kind=ControlKind.CORRID, datatype="INT64"),
)
SUM = SequenceState(
    input_name="SUM_IN", output_name="SUM_OUT", datatype="INT64", dims=(1,), initial_dims=(1,)
)
DIRECT = DirectStrategy()

Row = tuple[int, int, int, int, int]  # X, START, READY, END, CORRID
Ask = asyncio.Task[InferResponse]


class Accumulator:
    """Y = SUM_OUT = SUM_IN + X. Notes every row of every batch; waits at its gate.

    A 13 fails the batch, a 7 gets an error of its own.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Semaphore(0)
        self.batches: list[list[Row]] = []
        self.closed = 0

    @property
    def ids(self) -> list[list[int]]:
        """The sequences of each batch."""
        return [[row[4] for row in batch] for batch in self.batches]

    def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
        names = ("X", "START", "READY", "END", "CORRID")
        rows = [tuple(int(r.inputs[name].item()) for name in names) for r in batch.requests]
        self.batches.append(rows)  # type: ignore[arg-type]
        self.started.release()
        assert self.gate.wait(10)
        if any(row[0] == 13 for row in rows):
            raise RuntimeError("thirteen")
        return [self._answer(r.inputs["X"], r.inputs["SUM_IN"]) for r in batch.requests]

    def _answer(self, x: np.ndarray, before: np.ndarray) -> Answer | ServeError:
        if x.item() == 7:
            return InvalidInput("seven is refused")
        return Answer({"Y": before + x, "SUM_OUT": before + x}, {"seen": 1})

    def close(self) -> None:
        self.closed += 1


class Bed:
    """A scheduler over accumulators."""

    def __init__(
        self,
        strategy: DirectStrategy | OldestStrategy = DIRECT,
        *,
        instances: int = 1,
        rows: int = 4,
        initial: int = 0,
        instance: type[Accumulator] = Accumulator,
        hold_until: int = 0,
    ) -> None:
        policy = SequencePolicy(
            strategy=strategy, max_idle_us=IDLE_US, controls=CONTROLS, states=(SUM,)
        )
        config = ModelConfig(
            name="m",
            max_batch_size=rows,
            inputs=(TensorSpec(name="X", datatype="INT64", dims=(1,)),),
            outputs=(TensorSpec(name="Y", datatype="INT64", dims=(1,)),),
            sequence_batching=policy,
        )
        self.clock, self.statistics = ManualClock(), Statistics()
        self.instances = [instance() for _ in range(instances)]
        pairs = [(one, Executor(f"m-{n}")) for n, one in enumerate(self.instances)]
        self.scheduler = SequenceScheduler(
            config,
            1,
            irreplaceable(pairs),
            {"SUM_IN": np.full((1, 1) if rows else (1,), initial)},
            self.statistics,
            self.clock,
            hold_until,
        )
        self._shape = (1, 1) if rows else (1,)

    def ask(self, sequence: object, x: int, flags: str = "", **parameters: object) -> Ask:
        """flags: S starts the sequence, E ends it."""
        given = {
            "sequence_id": sequence,
            "sequence_start": "S" in flags,
            "sequence_end": "E" in flags,
        }
        request = InferRequest(
            model="m",
            inputs={"X": np.full(self._shape, x)},
            parameters={**given, **parameters},  # type: ignore[dict-item]
        )
        return asyncio.create_task(self.scheduler.infer(request))

    async def say(self, sequence: object, x: int, flags: str = "") -> int:
        """Ask, and return the sum so far."""
        return value(await self.ask(sequence, x, flags))

    async def busy(self, sequence: object, instance: int = 0) -> Ask:
        """Start a sequence whose first request is held at the gate."""
        self.instances[instance].gate.clear()
        task = self.ask(sequence, 1, "S")
        assert await asyncio.to_thread(self.instances[instance].started.acquire, timeout=10)
        return task

    def open(self) -> None:
        for instance in self.instances:
            instance.gate.set()


def value(response: InferResponse) -> int:
    return int(response.outputs["Y"].item())


Beds = Callable[..., Bed]


@pytest_asyncio.fixture
async def beds() -> AsyncIterator[Beds]:
    made: list[Bed] = []

    def make(*arguments: object, **options: object) -> Bed:
        made.append(Bed(*arguments, **options))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for bed in made:
        bed.open()
        await bed.scheduler.close()


STRATEGIES = [DIRECT, OldestStrategy(max_candidate_sequences=3)]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_interleaved_sequences_have_each_their_own_sum(
    beds: Beds, strategy: DirectStrategy | OldestStrategy
) -> None:
    """More sequences than places: the rest wait for one, in turn."""
    bed = beds(strategy, rows=2, instances=2)
    asked = {}
    for step, sequence in product(range(1, 6), range(1, 13)):
        flags = "S" * (step == 1) + "E" * (step == 5)
        asked[sequence, step] = bed.ask(sequence, 100 * sequence * step, flags)
    for (sequence, step), task in asked.items():
        assert value(await task) == 50 * sequence * step * (step + 1)
        assert task.result().outputs.keys() == {"Y"}
        assert task.result().parameters == {"seen": 1}
    homes = [{row[4] for batch in one.batches for row in batch if row[2]} for one in bed.instances]
    assert all(homes) and not homes[0] & homes[1]  # a sequence never changes its instance
    assert homes[0] | homes[1] == set(range(1, 13))


async def test_controls_tell_start_ready_end_and_id(beds: Beds) -> None:
    bed = beds()
    await bed.say(5, 1, "S")
    await bed.say(5, 2)
    await bed.say(5, 3, "E")
    await bed.say(6, 4, "SE")
    assert bed.instances[0].batches == [
        [(1, 1, 1, 0, 5)],
        [(2, 0, 1, 0, 5)],
        [(3, 0, 1, 1, 5)],
        [(4, 1, 1, 1, 6)],
    ]


async def test_direct_keeps_each_sequence_in_its_row_and_fills_the_others(beds: Beds) -> None:
    bed = beds()
    for sequence in (1, 2, 3):
        await bed.say(sequence, sequence, "S")
    await bed.say(3, 9)
    assert bed.instances[0].batches == [
        [(1, 1, 1, 0, 1)],
        [(0, 0, 0, 0, 0), (2, 1, 1, 0, 2)],
        [(0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (3, 1, 1, 0, 3)],
        [(0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (9, 0, 1, 0, 3)],
    ]
    assert bed.statistics.batches.keys() == {1}  # rows without a request are not counted


async def test_direct_computes_what_is_ready_together(beds: Beds) -> None:
    bed = beds()
    held = await bed.busy(1)
    tasks = [bed.ask(1, 2), bed.ask(2, 10, "S"), bed.ask(1, 3), bed.ask(3, 100, "SE")]
    await settle()
    bed.open()
    assert [value(await task) for task in (held, *tasks)] == [1, 3, 10, 6, 100]
    assert [[row[4] for row in batch] for batch in bed.instances[0].batches] == [
        [1],
        [1, 2, 3],
        [1],
    ]


async def test_direct_waits_for_the_share_of_rows_asked_for(beds: Beds) -> None:
    strategy = DirectStrategy(max_queue_delay_us=500, minimum_slot_utilization=0.5)
    bed = beds(strategy)
    first = bed.ask(1, 1, "S")
    await settle()
    assert bed.instances[0].batches == []
    second = bed.ask(2, 2, "S")
    assert [value(await first), value(await second)] == [1, 2]
    third = bed.ask(1, 1)
    await settle()
    assert len(bed.instances[0].batches) == 1
    await bed.clock.advance(us=500)
    assert value(await third) == 2


async def test_oldest_batches_without_gaps_up_to_the_batch_size(beds: Beds) -> None:
    bed = beds(OldestStrategy(max_candidate_sequences=8), rows=2)
    held = await bed.busy(1)
    tasks = []
    for sequence, x, flags in ((2, 2, "S"), (3, 3, "S"), (4, 4, "S"), (1, 5, "")):
        tasks.append(bed.ask(sequence, x, flags))
        await bed.clock.advance(us=1)
    bed.open()
    assert [value(await task) for task in (held, *tasks)] == [1, 2, 3, 4, 6]
    assert bed.instances[0].ids == [[1], [2, 3], [4, 1]]


async def test_oldest_waits_for_company(beds: Beds) -> None:
    strategy = OldestStrategy(
        max_candidate_sequences=8, preferred_batch_sizes=(3,), max_queue_delay_us=200
    )
    bed = beds(strategy)
    tasks = [bed.ask(sequence, 1, "S") for sequence in (1, 2)]
    await settle()
    assert bed.instances[0].batches == []
    tasks.append(bed.ask(3, 1, "S"))
    await asyncio.gather(*tasks)
    assert [len(batch) for batch in bed.instances[0].batches] == [3]
    late = bed.ask(1, 1)
    await settle()
    await bed.clock.advance(us=200)
    assert value(await late) == 2


async def test_a_scheduler_can_be_held_until_so_many_wait(beds: Beds) -> None:
    bed = beds(hold_until=3)
    tasks = [bed.ask(1, 1, "S"), bed.ask(1, 2), bed.ask(2, 3, "S")]
    await asyncio.gather(*tasks[:1])
    assert [value(await task) for task in tasks] == [1, 3, 3]
    assert bed.instances[0].ids == [[1, 2], [1]]
    assert await bed.say(1, 1) == 4  # once


async def test_a_model_that_does_not_batch_takes_one_sequence_at_a_time(beds: Beds) -> None:
    bed = beds(rows=0)
    first, second = bed.ask(1, 1, "S"), bed.ask(2, 10, "SE")
    assert value(await first) == 1
    assert not second.done()  # no place yet
    assert await bed.say(1, 2, "E") == 3
    assert value(await second) == 10


async def test_a_sequence_begins_with_its_initial_state(beds: Beds) -> None:
    bed = beds(initial=1_000)
    assert await bed.say(1, 1, "S") == 1_001
    assert await bed.say(1, 1) == 1_002
    assert await bed.say(1, 1, "S") == 1_001  # started again: nothing is left of the old one


async def test_int_and_text_ids_are_different_sequences_without_a_corrid_input(beds: Beds) -> None:
    with pytest.raises(InvalidInput, match="'CORRID' data-type is 'STRING', but model 'm' expects"):
        await beds().say("5", 1, "S")


@pytest.mark.parametrize("missing", [0, ""])
async def test_a_request_without_an_id_is_refused(beds: Beds, missing: object) -> None:
    with pytest.raises(InvalidInput, match="must specify a non-zero or non-empty correlation ID"):
        await beds().say(missing, 1, "S")


async def test_a_sequence_must_be_started(beds: Beds) -> None:
    bed = beds()
    with pytest.raises(InvalidInput, match="sequence 4 to model 'm' must specify the START flag"):
        await bed.say(4, 1)
    await bed.say(4, 1, "SE")
    with pytest.raises(InvalidInput, match="must specify the START flag"):
        await bed.say(4, 1)  # it has ended
    assert len(bed.instances[0].batches) == 1


async def test_a_request_of_several_rows_is_refused(beds: Beds) -> None:
    bed = beds()
    parameters = {"sequence_id": 1, "sequence_start": True}
    request = InferRequest(model="m", inputs={"X": np.ones((2, 1))}, parameters=parameters)
    with pytest.raises(InvalidInput, match="'m' must specify batch-size 1"):
        await bed.scheduler.infer(request)


async def test_an_idle_sequence_is_given_up_and_its_place_goes_to_the_next(beds: Beds) -> None:
    bed = beds(rows=1)
    await bed.say(1, 1, "S")
    waiting = bed.ask(2, 5, "S")
    await bed.clock.advance(us=IDLE_US - 1)
    assert not waiting.done()
    await bed.clock.advance(us=1)
    assert value(await waiting) == 5
    with pytest.raises(InvalidInput, match="none of this id under way"):
        await bed.say(1, 1)


async def test_a_sequence_is_not_idle_while_its_request_runs_or_comes_in_time(beds: Beds) -> None:
    bed = beds()
    held = await bed.busy(1)
    await bed.clock.advance(us=5 * IDLE_US)
    bed.open()
    assert value(await held) == 1
    for total in (2, 3, 4):
        await bed.clock.advance(us=IDLE_US - 1)
        assert await bed.say(1, 1) == total


async def test_only_the_guilty_request_of_a_batch_fails_and_its_sequence_goes_on(
    beds: Beds,
) -> None:
    bed = beds()
    held = await bed.busy(1)
    tasks = [bed.ask(1, 2), bed.ask(2, 13, "S"), bed.ask(3, 7, "S"), bed.ask(4, 3, "S")]
    await settle()
    bed.open()
    await held
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [value(await tasks[0]), value(await tasks[3])] == [3, 3]
    assert isinstance(outcomes[1], EngineFailed)
    assert "thirteen" not in str(outcomes[1])
    assert isinstance(outcomes[2], InvalidInput)
    assert outcomes[2].message == "model 'm': seven is refused"
    assert [await bed.say(n, 1) for n in (1, 2, 3, 4)] == [4, 1, 1, 4]


async def test_a_bug_is_logged_with_the_trace_of_its_request(
    beds: Beds, caplog: pytest.LogCaptureFixture
) -> None:
    bed, subject = beds(), Subject("Service/Method", None, 0)
    make_current(subject)  # the instances' drivers began before, and have none
    with pytest.raises(EngineFailed):
        await bed.say(1, 13, "S")
    (record,) = [record for record in caplog.records if record.getMessage() == "model_failed"]
    assert vars(record).items() >= ids_of(subject).items()


async def test_requests_of_one_batch_share_its_mark(beds: Beds) -> None:
    bed = beds()
    held = await bed.busy(1)
    tasks = [bed.ask(2, 5, "S"), bed.ask(3, 6, "S")]
    await settle()
    bed.open()
    await held
    first, second = await asyncio.gather(*tasks)
    assert first.stages.batch is second.stages.batch
    assert first.stages.batch and first.stages.batch.requests == 2


async def test_who_traces_is_told_where_a_failed_request_was(beds: Beds) -> None:
    bed = beds()
    stops = listen()
    with pytest.raises(EngineFailed):
        await bed.say(1, 13, "S")
    assert stops == [Stop("m", 0, 0, 0)]
    bed.instances[0].gate.clear()
    await bed.clock.advance(us=5)
    running, waiting = bed.ask(2, 1, "S"), bed.ask(2, 1)
    await asyncio.to_thread(bed.instances[0].started.acquire)
    await settle()
    await bed.clock.advance(us=5)
    waiting.cancel()
    await asyncio.wait((waiting,))
    assert stops[1:] == [Stop("m", 5_000, 0, 10_000)]
    bed.instances[0].gate.set()
    await running


async def test_a_failed_last_request_frees_the_place(beds: Beds) -> None:
    bed = beds(rows=1)
    with pytest.raises(EngineFailed):
        await bed.say(1, 13, "SE")
    assert await bed.say(2, 1, "S") == 1


async def test_a_failed_start_leaves_nothing_of_the_sequence_before(beds: Beds) -> None:
    bed = beds()
    assert await bed.say(1, 50, "S") == 50
    with pytest.raises(InvalidInput):
        await bed.say(1, 7, "S")
    assert await bed.say(1, 1) == 1


async def test_cancelling_a_request_that_waits_ends_its_sequence(beds: Beds) -> None:
    """The later requests would be answered as if it had been computed."""
    bed = beds(rows=1)
    held = await bed.busy(1)
    second, third, other = bed.ask(1, 2), bed.ask(1, 3), bed.ask(2, 9, "S")
    await settle()
    second.cancel()
    with pytest.raises(SequenceCancelled, match="before this one was cancelled") as caught:
        await third
    assert caught.value.code is Code.CANCELLED
    with pytest.raises(InvalidInput, match="START flag"):
        await bed.say(1, 4)
    bed.open()
    assert value(await held) == 1
    assert value(await other) == 9  # the place is free
    assert [[row[0] for row in batch] for batch in bed.instances[0].batches] == [[1], [9]]


async def test_cancelling_a_request_that_runs_lets_its_sequence_go_on(beds: Beds) -> None:
    bed = beds()
    held = await bed.busy(1)
    held.cancel()
    await settle()
    bed.open()
    assert await bed.say(1, 2) == 3


async def test_cancelling_a_sequence_that_waits_for_its_place_takes_it_out(beds: Beds) -> None:
    bed = beds(rows=1)
    held = await bed.busy(1)
    gone, kept, ended = bed.ask(2, 1, "S"), bed.ask(3, 5, "S"), bed.ask(1, 1, "E")
    await settle()
    gone.cancel()
    await settle()
    bed.open()
    assert [value(await task) for task in (held, ended, kept)] == [1, 2, 5]


async def test_the_timeout_parameter_bounds_the_wait_for_a_place(beds: Beds) -> None:
    bed = beds(rows=1)
    held = await bed.busy(1)
    hurried, patient = bed.ask(2, 1, "S", timeout=300), bed.ask(3, 5, "S")
    await settle()
    await bed.clock.advance(us=299)
    assert not hurried.done()
    await bed.clock.advance(us=1)
    with pytest.raises(Unavailable, match="timeout of the corresponding sequence has been expired"):
        await hurried
    bed.open()
    await held
    await bed.say(1, 0, "E")
    assert value(await patient) == 5


async def test_requests_do_not_make_it_look_through_all_sequences(
    beds: Beds, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, expire = 0, SequenceTable.expire

    def counted(table: SequenceTable, now_ns: int) -> int | None:
        nonlocal looks
        looks += 1
        return expire(table, now_ns)

    monkeypatch.setattr(SequenceTable, "expire", counted)
    bed = beds(rows=1)
    held = await bed.busy(1)
    waiting = [bed.ask(number, 1, "SE", timeout=2 * IDLE_US) for number in range(2, 50)]
    await settle()
    before = looks
    waiting[7].cancel()
    bed.open()
    await bed.say(1, 0, "E")
    await asyncio.gather(held, *waiting, return_exceptions=True)
    assert looks == before


async def test_a_request_that_can_wait_less_than_all_others_is_told_in_time(beds: Beds) -> None:
    bed = beds(rows=1)
    await bed.busy(1)
    patient, hurried = bed.ask(2, 1, "S", timeout=500), bed.ask(3, 1, "S", timeout=100)
    await settle()
    await bed.clock.advance(us=100)
    with pytest.raises(Unavailable, match="has been expired"):
        await hurried
    assert not patient.done()


async def test_an_id_may_be_used_again_before_its_last_request_is_answered(beds: Beds) -> None:
    bed = beds()
    held = await bed.busy(1)
    ended, again = bed.ask(1, 2, "E"), bed.ask(1, 100, "S")
    await settle()
    bed.open()
    assert [value(await task) for task in (held, ended, again)] == [1, 3, 100]


@pytest.mark.parametrize("strategy", STRATEGIES)
async def test_sequences_spread_over_instances(
    beds: Beds, strategy: DirectStrategy | OldestStrategy
) -> None:
    bed = beds(strategy, instances=2)
    for sequence in range(1, 5):
        await bed.say(sequence, 1, "S")
    assert [len(one.batches) for one in bed.instances] == [2, 2]


async def test_closing_refuses_what_waits_and_frees_everything() -> None:
    bed = Bed(rows=1)
    await bed.say(1, 1, "S")
    waiting = bed.ask(2, 1, "S")
    await settle()
    await bed.scheduler.close()
    with pytest.raises(Unavailable, match="being unloaded"):
        await waiting
    assert bed.instances[0].closed == 1
    assert not [t for t in threading.enumerate() if t.name == "m-0"]


async def test_closing_answers_also_what_runs() -> None:
    bed = Bed()
    held = await bed.busy(1)
    closing = asyncio.create_task(bed.scheduler.close())
    with pytest.raises(Unavailable, match="being unloaded"):
        await held
    bed.open()
    await closing
    assert bed.instances[0].closed == 1


class Broken(Accumulator):
    """Answers with what is no answer, once; then without its state, once."""

    def _answer(self, x: np.ndarray, before: np.ndarray) -> Answer | ServeError:
        if len(self.batches) == 1:
            return Answer(None)  # type: ignore[arg-type]
        if len(self.batches) == 2:
            return Answer({"Y": x})
        return super()._answer(x, before)


async def test_a_backend_that_breaks_its_contract_harms_only_that_request(beds: Beds) -> None:
    bed = beds(instance=Broken)
    with pytest.raises(EngineFailed, match="failed on this request"):
        await bed.say(1, 1, "S")
    with pytest.raises(EngineFailed, match="the model gave no output 'SUM_OUT'"):
        await bed.say(1, 1)
    assert await bed.say(1, 1) == 1
    assert await bed.say(1, 1, "E") == 2


async def test_many_sequences_with_cancellations_and_failures_leave_nothing_behind(
    beds: Beds,
) -> None:
    """Every request is answered once, every sum is its sequence's own, every place is free."""
    random = np.random.default_rng(0)
    bed = beds(OldestStrategy(max_candidate_sequences=3), rows=2, instances=2)

    async def converse(sequence: int) -> int:
        total, steps = 0, int(random.integers(1, 8))
        for step in range(steps):
            flags = "S" * (step == 0) + "E" * (step == steps - 1)
            if sequence % 5 == 0 and step == steps - 1:
                task = bed.ask(sequence, 1, flags)
                await asyncio.sleep(0)
                task.cancel()
                return steps
            x = 13 if sequence % 7 == 0 and step == 1 else int(random.integers(100, 1000))
            if x == 13:
                with pytest.raises(EngineFailed):
                    await bed.say(sequence, x, flags)
            else:
                total += x
                assert await bed.say(sequence, x, flags) == total
        return steps

    await asyncio.wait_for(asyncio.gather(*(converse(n) for n in range(1, 60))), 30)
    await bed.clock.advance(us=2 * IDLE_US)
    for number in range(2):
        assert not any(bed.scheduler._table.placed(number))
    assert await bed.say(1, 4, "SE") == 4
