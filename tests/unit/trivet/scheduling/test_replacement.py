"""An instance that dies: its batch is answered by others, and another takes its place."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import threading
from collections.abc import AsyncGenerator, Sequence

import numpy as np
import pytest

from trivet.backend.contract import Answer, Batch, Instance, Rows, Sender
from trivet.config import (
    BatchPolicy,
    DirectStrategy,
    ModelConfig,
    OldestStrategy,
    QueuePolicy,
    SequencePolicy,
    TensorSpec,
)
from trivet.errors import EngineFailed, InstanceDied, InvalidInput, Unavailable
from trivet.request import InferRequest, InferResponse, Timings
from trivet.scheduling.batching import BatchScheduler
from trivet.scheduling.decoupled import DecoupledScheduler
from trivet.scheduling.executor import Executor
from trivet.scheduling.instances import Instances
from trivet.scheduling.sequences.scheduler import SequenceScheduler
from trivet.scheduling.supervision import PATIENCE, WELL
from trivet.telemetry.statistics import Statistics
from trivet.testing.clock import ManualClock, settle

Ask = asyncio.Task[InferResponse]

DEADLY, FRAIL = 666, 667  # a value that kills every instance; one that kills the first only
POISON = 13  # the whole batch raises
TALKATIVE = 99  # a stream that dies after its first answer
SECONDS = 10


class Mortal:
    """Echoes until it dies; notes what it was given."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.seen: list[list[int]] = []
        self.dead = False
        self.closed = 0
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Semaphore(0)

    def execute(self, batch: Batch) -> Sequence[Answer]:
        self.check_alive()
        values = [int(request.inputs["X"].flat[0]) for request in batch.requests]
        self.note(values)
        return [Answer({"Y": request.inputs["X"]}) for request in batch.requests]

    def stream(self, request: Rows, answers: Sender) -> None:
        self.check_alive()
        value = int(request.inputs["X"].flat[0])
        self.note([value])
        answers.send(Answer({"Y": request.inputs["X"]}))
        if value == TALKATIVE:
            raise self.died("it talked too much")

    def note(self, values: list[int]) -> None:
        self.seen.append(values)
        self.started.release()
        assert self.gate.wait(SECONDS)
        if POISON in values:
            raise RuntimeError("thirteen")
        if DEADLY in values or (FRAIL in values and self is self.world.made[0]):
            raise self.died(f"it was killed by {max(values)}")

    def died(self, why: str) -> InstanceDied:
        self.dead = True
        return InstanceDied(why)

    def check_alive(self) -> None:
        if self.dead:
            raise InstanceDied("it has been dead for long", idle=True)

    def close(self) -> None:
        self.closed += 1


class World:
    """A model, its mortal instances, and how new ones are made: at once, or with `allowed`."""

    def __init__(self, count: int, config: ModelConfig) -> None:
        self.config = config
        self.clock = ManualClock()
        self.made: list[Mortal] = []
        self.allowed = asyncio.Event()
        self.allowed.set()
        self.refused = 0  # attempts yet to fail
        self.attempts = 0
        self.threads: list[Executor] = []
        pairs = [self.pair(number) for number in range(count)]
        self.instances = Instances("m", 1, self.clock, pairs, self.make)

    def pair(self, number: int) -> tuple[Instance, Executor]:
        self.made.append(Mortal(self))
        self.threads.append(Executor(f"m-{number}"))
        return self.made[-1], self.threads[-1]

    async def make(self, number: int) -> tuple[Instance, Executor]:
        self.attempts += 1
        await self.allowed.wait()
        if self.refused:
            self.refused -= 1
            raise EngineFailed("there is no memory left")
        return self.pair(number)

    @property
    def seen(self) -> list[list[int]]:
        return [values for mortal in self.made for values in mortal.seen]

    async def until(self, reason: str) -> None:
        """Wait for a condition that says so. Times out after ten seconds."""
        async with asyncio.timeout(SECONDS):
            while reason not in self.instances.condition.reason:
                await self.instances.changed.wait()

    async def until_well(self) -> None:
        async with asyncio.timeout(SECONDS):
            while self.instances.condition != WELL:
                await self.instances.changed.wait()


class Bed(World):
    """A BatchScheduler over them."""

    def __init__(self, count: int = 1, policy: QueuePolicy | None = None) -> None:
        super().__init__(
            count,
            ModelConfig(
                name="m",
                max_batch_size=4,
                inputs=(TensorSpec(name="X", datatype="INT64", dims=(-1,)),),
                dynamic_batching=BatchPolicy(max_batch_size=4),
                queue_policy=policy or QueuePolicy(),
            ),
        )
        self.statistics = Statistics()
        self.scheduler = BatchScheduler(self.config, 1, self.instances, self.statistics, self.clock)

    def ask(self, value: int) -> Ask:
        inputs = {"X": np.full((1, 2), value)}
        return asyncio.create_task(self.scheduler.infer(InferRequest(model="m", inputs=inputs)))

    async def together(self, *values: int) -> list[Ask]:
        """Ask for values that wait until the first instance is free, so that they share a batch."""
        gates = [mortal.gate for mortal in self.made]
        busy = []
        for gate, mortal in zip(gates, self.made, strict=True):
            gate.clear()
            busy.append(self.ask(1))
            await settle()
            assert await asyncio.to_thread(mortal.started.acquire, timeout=SECONDS)
        tasks = [self.ask(value) for value in values]
        await settle()
        for gate in gates:
            gate.set()
        await asyncio.gather(*busy)
        return tasks


@pytest.fixture
async def bed() -> AsyncGenerator[Bed, None]:
    made = Bed()
    yield made
    await made.scheduler.close()
    check_ended(made)


@pytest.fixture
async def pair() -> AsyncGenerator[Bed, None]:
    made = Bed(2)
    yield made
    await made.scheduler.close()
    check_ended(made)


def check_ended(world: World) -> None:
    """Every instance was closed once, and no thread is left."""
    assert [mortal.closed for mortal in world.made] == [1] * len(world.made)
    assert not any(executor.is_running for executor in world.threads)


def value(response: InferResponse) -> int:
    return int(response.outputs["Y"].flat[0])


async def answered(*tasks: Ask) -> list[int | BaseException]:
    """The values, or errors, within ten seconds."""
    async with asyncio.timeout(SECONDS):
        told = await asyncio.gather(*tasks, return_exceptions=True)
    return [one if isinstance(one, BaseException) else value(one) for one in told]


async def test_the_batch_of_an_instance_that_died_is_answered_by_its_replacement(bed: Bed) -> None:
    tasks = await bed.together(5, FRAIL, 6)
    assert await answered(*tasks) == [5, FRAIL, 6]
    assert bed.made[0].seen[-1] == [5, FRAIL, 6]
    assert bed.made[1].seen == [[5], [FRAIL], [6]]  # each by itself, in their order
    assert bed.instances.condition == WELL


async def test_a_request_that_two_instances_died_of_is_told_so_and_only_it(bed: Bed) -> None:
    tasks = await bed.together(5, DEADLY, 6)
    five, deadly, six = tasks
    assert await answered(deadly, five) != []
    error = deadly.exception()
    assert isinstance(error, EngineFailed)
    assert not isinstance(error, InstanceDied)
    assert error.message == (
        "model 'm': two instances died while they computed this request, the last so: it was"
        " killed by 666; it is not tried again. Check its inputs"
    )
    assert await answered(five, six) == [5, 6]
    assert len(bed.made) == 3


async def test_the_others_go_on_while_one_is_replaced_and_the_condition_says_why(pair: Bed) -> None:
    pair.allowed.clear()
    assert await answered(pair.ask(FRAIL)) == [FRAIL]  # by the other one
    await pair.until("1 of 2 instances is being replaced: it was killed by 667")
    assert pair.instances.condition.able
    assert await answered(*(pair.ask(n) for n in range(8))) == list(range(8))
    assert len(pair.made) == 2
    pair.allowed.set()
    await pair.until_well()
    assert len(pair.made) == 3


async def test_each_event_is_logged_once(bed: Bed, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert await answered(bed.ask(FRAIL)) == [FRAIL]
    await bed.until_well()
    told = [(record.getMessage(), record.__dict__.get("reason")) for record in caplog.records]
    assert told == [("instance_died", "it was killed by 667"), ("instance_replaced", None)]
    assert {
        (record.__dict__["model"], record.__dict__["instance"]) for record in caplog.records
    } == {("m", 0)}


async def test_requests_wait_for_the_only_instance_and_their_timeouts_still_hold() -> None:
    bed = Bed(policy=QueuePolicy(timeout_us=1_000))
    bed.allowed.clear()
    killed = bed.ask(FRAIL)
    await bed.until("its only instance is being replaced")
    await bed.clock.advance(us=500)
    later = bed.ask(5)
    await settle()
    assert not killed.done()
    await bed.clock.advance(us=501)
    with pytest.raises(Unavailable, match="timeout"):
        await asyncio.wait_for(killed, SECONDS)
    assert not later.done()
    bed.allowed.set()
    assert await answered(later) == [5]
    await bed.scheduler.close()


async def test_a_caller_who_leaves_while_it_is_replaced_is_not_computed_for(bed: Bed) -> None:
    bed.allowed.clear()
    killed, waiting = await bed.together(FRAIL, 5)
    await bed.until("being replaced")
    killed.cancel()
    await settle()
    bed.allowed.set()
    assert await answered(waiting) == [5]
    assert bed.made[1].seen == [[5]]


async def test_attempts_that_fail_are_made_again_ever_later_and_told(bed: Bed) -> None:
    bed.refused = PATIENCE - 1
    killed = bed.ask(FRAIL)
    for attempts in range(1, PATIENCE):
        await bed.until(f"{attempts} attempt")
        assert bed.attempts == attempts
        assert bed.instances.condition.able
        assert bed.instances.condition.reason.endswith("the last so: there is no memory left")
        await bed.clock.advance(us=(100_000 << (attempts - 1)) - 1)
        assert bed.attempts == attempts
        await bed.clock.advance(us=1)
    assert await answered(killed) == [FRAIL]


async def test_when_nothing_is_left_to_wait_for_callers_are_told_and_attempts_go_on(
    bed: Bed,
) -> None:
    bed.refused = PATIENCE
    killed = bed.ask(FRAIL)
    await settle()
    waiting = bed.ask(5)
    for attempts in range(1, PATIENCE):
        await bed.until(f"{attempts} attempt")
        await bed.clock.advance(us=100_000 << (attempts - 1))
    for error in await answered(killed, waiting):
        assert isinstance(error, Unavailable)
        assert str(error) == (
            "model 'm': its only instance is being replaced: it was killed by 667; 5 attempts"
            " failed, the last so: there is no memory left; retry later"
        )
    assert not bed.instances.condition.able
    (refused,) = await answered(bed.ask(6))
    assert isinstance(refused, Unavailable)
    await bed.clock.advance(us=100_000 << PATIENCE)
    await bed.until_well()
    assert await answered(bed.ask(7)) == [7]


async def test_an_instance_that_dies_again_without_an_answer_is_not_replaced_at_once(
    bed: Bed,
) -> None:
    await answered(bed.ask(DEADLY))
    await settle()
    assert (len(bed.made), bed.attempts) == (2, 1)
    await bed.clock.advance(us=100_000)
    assert await answered(bed.ask(5)) == [5]
    await answered(bed.ask(FRAIL))
    assert len(bed.made) == 3  # FRAIL kills the first only
    bed.made[2].dead = True
    assert await answered(bed.ask(6)) == [6]  # it had answered: the next is made at once
    assert len(bed.made) == 4


async def test_nobody_is_to_blame_for_an_instance_that_was_dead_before(bed: Bed) -> None:
    for mortal in range(3):
        bed.made[mortal].dead = True
        tasks = await asyncio.wait_for(_ask_and_tick(bed, 5), SECONDS)
        assert await answered(*tasks) == [5, 5]
        assert bed.made[-1].seen == [[5, 5]]  # a batch as any other


async def _ask_and_tick(bed: Bed, number: int) -> list[Ask]:
    return [bed.ask(number), bed.ask(number)]


async def test_a_request_of_a_failed_batch_that_kills_leaves_the_rest_to_others(bed: Bed) -> None:
    tasks = await bed.together(5, POISON, FRAIL, 6)
    five, thirteen, frail, six = await answered(*tasks)
    assert (five, frail, six) == (5, FRAIL, 6)
    assert isinstance(thirteen, EngineFailed)
    # The batch raises, since thirteen is in it; then they are tried one by one, and one kills.
    assert bed.made[0].seen[1:] == [[5, POISON, FRAIL, 6], [5], [POISON], [FRAIL]]
    assert bed.made[1].seen == [[FRAIL], [6]]


async def test_a_hanging_instance_can_be_given_up_from_outside(bed: Bed) -> None:
    """What a watchdog will do."""
    hung = bed.made[0]
    hung.gate.clear()
    asked = bed.ask(5)
    await settle()
    assert await asyncio.to_thread(hung.started.acquire, timeout=SECONDS)
    bed.threads[0].abandon(InstanceDied("no answer for 30 s"))
    assert await answered(asked) == [5]
    assert bed.made[1].seen == [[5]]
    hung.gate.set()  # what it answers now reaches nobody


async def test_a_thread_that_fails_is_an_instance_that_died(bed: Bed) -> None:
    thread = await bed.threads[0].run(threading.current_thread)
    assert thread.ident
    told = ctypes.c_long(thread.ident)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(told, ctypes.py_object(MemoryError))
    assert await answered(bed.ask(5)) == [5]
    assert bed.made[1].seen == [[5]]
    assert bed.threads[0].is_abandoned


async def test_closing_while_one_is_replaced_ends_at_once_and_leaves_nothing(bed: Bed) -> None:
    bed.allowed.clear()
    killed = bed.ask(FRAIL)
    await bed.until("being replaced")
    killed.cancel()
    await asyncio.wait_for(bed.scheduler.close(), SECONDS)


class Streams(World):
    """A DecoupledScheduler over them."""

    def __init__(self, count: int = 1) -> None:
        spec = TensorSpec(name="X", datatype="INT64", dims=(1,))
        super().__init__(
            count, ModelConfig(name="m", max_batch_size=1, inputs=(spec,), decoupled=True)
        )
        self.scheduler = DecoupledScheduler(
            self.config, 1, self.instances, Statistics(), self.clock
        )

    async def ask(self, value: int) -> list[int]:
        request = InferRequest(model="m", inputs={"X": np.full((1, 1), value)})
        answers = self.scheduler.stream(request, Timings())
        return [int(answer.outputs["Y"].flat[0]) async for answer in answers]


@pytest.fixture
async def streams() -> AsyncGenerator[Streams, None]:
    made = Streams()
    async with asyncio.timeout(SECONDS):
        yield made
        await made.scheduler.close()
    check_ended(made)


async def test_a_stream_without_an_answer_yet_is_tried_elsewhere_once(streams: Streams) -> None:
    assert await streams.ask(FRAIL) == [FRAIL]
    assert streams.seen == [[FRAIL], [FRAIL]]
    with pytest.raises(EngineFailed, match=r"two instances died .* killed by 666; it is not tried"):
        await streams.ask(DEADLY)
    assert streams.seen[2:] == [[DEADLY], [DEADLY]]


async def test_a_stream_that_was_answered_in_part_is_told_to_ask_again(streams: Streams) -> None:
    request = InferRequest(model="m", inputs={"X": np.full((1, 1), TALKATIVE)})
    answers = streams.scheduler.stream(request, Timings())
    assert value(await anext(answers)) == TALKATIVE
    with pytest.raises(Unavailable, match="before all answers were there: it talked too much"):
        await anext(answers)
    assert await streams.ask(5) == [5]
    assert streams.seen == [[TALKATIVE], [5]]


async def test_answers_of_a_thread_that_was_given_up_do_not_mix_with_others(
    streams: Streams,
) -> None:
    hung = streams.made[0]
    hung.gate.clear()
    asked = asyncio.create_task(streams.ask(5))
    await settle()
    assert await asyncio.to_thread(hung.started.acquire, timeout=SECONDS)
    streams.threads[0].abandon(InstanceDied("no answer for 30 s"))
    with pytest.raises(Unavailable, match=r"no answer for 30 s; ask again"):
        await asked
    hung.gate.set()
    assert await streams.ask(6) == [6]


class Sequences(World):
    """A SequenceScheduler over them: one place, or two, on each instance."""

    def __init__(self, count: int = 1, rows: int = 2, *, oldest: bool = False) -> None:
        strategy = OldestStrategy(max_candidate_sequences=rows) if oldest else DirectStrategy()
        policy = SequencePolicy(strategy=strategy, max_idle_us=1_000_000)
        super().__init__(
            count,
            ModelConfig(
                name="m",
                max_batch_size=rows,
                inputs=(TensorSpec(name="X", datatype="INT64", dims=(1,)),),
                outputs=(TensorSpec(name="Y", datatype="INT64", dims=(1,)),),
                sequence_batching=policy,
            ),
        )
        self.scheduler = SequenceScheduler(
            self.config, 1, self.instances, {}, Statistics(), self.clock
        )

    def ask(self, sequence: int, value: int, flags: str = "", timeout_us: int = 0) -> Ask:
        request = InferRequest(
            model="m",
            inputs={"X": np.full((1, 1), value)},
            parameters={
                "sequence_id": sequence,
                "sequence_start": "S" in flags,
                "sequence_end": "E" in flags,
                "timeout": timeout_us,
            },
        )
        return asyncio.create_task(self.scheduler.infer(request))


@pytest.mark.parametrize("oldest", [False, True])
async def test_sequences_of_an_instance_that_died_are_told_to_start_again(oldest: bool) -> None:
    world = Sequences(oldest=oldest)
    assert await answered(world.ask(1, 10, "S"), world.ask(2, 20, "S")) == [10, 20]
    world.made[0].gate.clear()
    killer = world.ask(1, DEADLY)
    await settle()
    assert await asyncio.to_thread(world.made[0].started.acquire, timeout=SECONDS)
    behind, beside = world.ask(1, 11), world.ask(2, 21)
    await settle()
    world.made[0].gate.set()
    for number, error in zip((1, 1, 2), await answered(killer, behind, beside), strict=True):
        assert isinstance(error, Unavailable)
        assert str(error) == (
            f"model 'm': the instance that kept sequence {number} died: it was killed by 666;"
            " start the sequence again with sequence_start"
        )
    # Also those that had nothing waiting just then; the places are free again.
    (late,) = await answered(world.ask(2, 22))
    assert isinstance(late, Unavailable)
    assert await answered(world.ask(2, 30, "S"), world.ask(1, 31, "S")) == [30, 31]
    assert await answered(world.ask(2, 32, "E"), world.ask(1, 33, "E")) == [32, 33]
    await world.scheduler.close()
    check_ended(world)


async def test_a_lost_sequence_is_forgotten_when_it_would_have_been_idle_for_too_long() -> None:
    world = Sequences()
    assert await answered(world.ask(1, 10, "S")) == [10]
    await answered(world.ask(2, DEADLY, "S"))
    await world.until_well()
    await world.clock.advance(us=1_000_001)
    assert await answered(world.ask(3, 30, "SE")) == [30]
    (told,) = await answered(world.ask(1, 11))
    assert isinstance(told, InvalidInput)
    await world.scheduler.close()


async def test_sequences_of_other_instances_go_on_and_new_ones_wait_for_a_place() -> None:
    world = Sequences(count=2, rows=1)
    world.allowed.clear()
    assert await answered(world.ask(1, 10, "S"), world.ask(2, 20, "S")) == [10, 20]
    await answered(world.ask(1, DEADLY))
    await world.until("1 of 2 instances is being replaced")
    waiting = world.ask(3, 30, "SE")
    impatient = world.ask(4, 40, "SE", timeout_us=1_000)
    assert await answered(world.ask(2, 21)) == [21]
    assert not waiting.done()
    await world.clock.advance(us=1_001)
    (late,) = await answered(impatient)
    assert isinstance(late, Unavailable)
    world.allowed.set()
    assert await answered(waiting) == [30]
    assert world.made[2].seen == [[30]]
    await world.scheduler.close()


async def test_one_that_waited_for_a_place_on_the_instance_that_died_is_not_lost_with_it() -> None:
    world = Sequences(rows=1)
    world.made[0].gate.clear()
    last = world.ask(1, DEADLY, "SE")  # its place becomes free with its answer
    waiting = world.ask(2, 20, "SE")
    await settle()
    world.made[0].gate.set()
    assert isinstance((await answered(last))[0], Unavailable)
    assert await answered(waiting) == [20]
    await world.scheduler.close()


async def test_sequences_that_wait_for_an_instance_are_refused_when_there_will_be_none() -> None:
    world = Sequences(rows=1)
    world.refused = PATIENCE
    assert await answered(world.ask(1, 10, "S")) == [10]
    waiting = world.ask(2, 20, "S")
    await answered(world.ask(1, DEADLY))
    for attempts in range(1, PATIENCE):
        await world.until(f"{attempts} attempt")
        await world.clock.advance(us=100_000 << (attempts - 1))
    (told,) = await answered(waiting)
    assert isinstance(told, Unavailable)
    assert "5 attempts failed" in str(told)
    assert isinstance((await answered(world.ask(3, 30, "S")))[0], Unavailable)
    await world.scheduler.close()
