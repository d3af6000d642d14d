"""Whatever comes, in whatever order: every request is answered once, with its own, as promised.

Hypothesis makes up arrivals, lengths, rows, priorities, timeouts, cancellations and failures; time
is the test's own, also the time that a batch takes, so that a run is the same each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.harness.instances import irreplaceable
from trivet.backend.contract import Answer, Batch
from trivet.config import (
    BatchOrder,
    BatchPolicy,
    ModelConfig,
    Priorities,
    QueuePolicy,
    TensorSpec,
    TimeoutAction,
)
from trivet.errors import EngineFailed, InvalidInput, QueueFull, ServeError, Unavailable
from trivet.request import InferRequest, InferResponse
from trivet.scheduling.batching import BatchScheduler
from trivet.scheduling.executor import Executor
from trivet.scheduling.queue import RequestQueue
from trivet.scheduling.slot import Slot
from trivet.telemetry.statistics import Statistics
from trivet.testing.clock import ManualClock, settle

P = ParamSpec("P")
T = TypeVar("T")

LEVELS = 3


@dataclass(frozen=True)
class Ask:
    """One request, and what becomes of it on the caller's side."""

    length: int
    rows: int
    level: int = 0
    timeout_us: int = 0
    fault: str = ""  # "refuse": an error of its own; "raise": the whole batch fails


@dataclass(frozen=True)
class Leave:
    """The caller of one of the requests so far cancels it."""

    which: int


@dataclass(frozen=True)
class Wait:
    """Time goes by."""

    us: int


@dataclass(frozen=True)
class Serve:
    """Somebody free asks for a batch."""


FAULTS = ("", "refuse", "raise")

asks = st.builds(
    Ask,
    length=st.sampled_from([1, 5, 5, 6, 20, 40]),
    rows=st.sampled_from([1, 1, 1, 2, 8]),
    level=st.integers(0, LEVELS + 1),
    timeout_us=st.sampled_from([0, 0, 0, 50, 1_000]),
    fault=st.sampled_from(["", "", "", "", "", "", "", "", "refuse", "raise"]),
)
waits = st.builds(Wait, us=st.sampled_from([0, 10, 49, 50, 100, 300]))
leaves = st.builds(Leave, which=st.integers(0, 20))
MOSTLY_ASKS = asks | asks | asks | asks | asks | waits | leaves
queue_policies = st.builds(
    QueuePolicy,
    max_size=st.sampled_from([0, 0, 1, 4]),
    timeout_us=st.sampled_from([0, 100, 1_000]),
    timeout_action=st.sampled_from(TimeoutAction),
    allow_timeout_override=st.booleans(),
)
batch_policies = st.builds(
    BatchPolicy,
    order=st.sampled_from(BatchOrder),
    max_batch_size=st.integers(8, 16),
    max_queue_delay_us=st.sampled_from([0, 0, 100]),
    preferred_batch_sizes=st.sampled_from([(), (), (4,), (2, 8)]),
    max_batch_tokens=st.sampled_from([0, 32, 128]),
    max_padding_percent=st.sampled_from([25, 100]),
    window=st.sampled_from([4, 256]),
)


@st.composite
def configs(draw: st.DrawFn) -> ModelConfig:
    policy = draw(batch_policies)
    levels = draw(st.sampled_from([0, LEVELS]))
    policies = draw(st.dictionaries(st.integers(1, LEVELS), queue_policies)) if levels else {}
    return ModelConfig(
        name="m",
        max_batch_size=policy.max_batch_size,
        inputs=(TensorSpec(name="X", datatype="INT64", dims=(-1,)),),
        dynamic_batching=policy,
        queue_policy=draw(queue_policies),
        priorities=Priorities(levels=levels, default_level=2 if levels else 0, policies=policies),
    )


def promised_us(ask: Ask, policy: QueuePolicy) -> int:
    """Microseconds after which the request must have been rejected if it still waits; 0: never."""
    if policy.timeout_action is TimeoutAction.DELAY:
        return 0
    asked = ask.timeout_us if policy.allow_timeout_override else 0
    return min((us for us in (policy.timeout_us, asked) if us), default=0)


def level_of(ask: Ask, config: ModelConfig) -> int:
    known = 1 <= ask.level <= config.priorities.levels
    return ask.level if known else config.priorities.default_level


def policy_of(ask: Ask, config: ModelConfig) -> QueuePolicy:
    return config.priorities.policies.get(level_of(ask, config), config.queue_policy)


def request_of(number: int, ask: Ask) -> InferRequest:
    """Rows that carry the request's number, their own and what is to become of them."""
    inputs = np.zeros((ask.rows, ask.length), dtype=np.int64)
    inputs[:, 0] = (number * 100 + np.arange(ask.rows)) * 3 + FAULTS.index(ask.fault)
    parameters = {"priority": ask.level, "timeout": ask.timeout_us}
    return InferRequest(model="m", inputs={"X": inputs}, parameters=parameters)


class Engine:
    """Echoes; notes every batch as (rows, length) of its requests."""

    def __init__(self, policy: BatchPolicy) -> None:
        self.policy = policy
        self.batches: list[list[tuple[int, int]]] = []

    def execute(self, batch: Batch) -> Sequence[Answer | ServeError]:
        arrays = [request.inputs["X"] for request in batch.requests]
        self.batches.append([array.shape for array in arrays])
        if any((array[:, 0] % 3 == 2).any() for array in arrays):
            raise RuntimeError("as asked")
        return [
            InvalidInput("as asked") if (array[:, 0] % 3 == 1).any() else Answer({"Y": array})
            for array in arrays
        ]

    def close(self) -> None: ...


class TimedExecutor(Executor):
    """Runs in the loop, and takes 30 us of the test's time for each request of a batch."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock

    @property
    def is_abandoned(self) -> bool:
        return False

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        for batch in args:
            assert isinstance(batch, Batch)
            await self._clock.sleep_until(self._clock.now_ns() + 30_000 * len(batch.requests))
        return function(*args, **kwargs)

    async def close(self, timeout_s: float | None = None) -> None: ...


def check_budget(batch: list[tuple[int, int]], policy: BatchPolicy) -> None:
    """batch: (rows, length) of each request. One that is too large for the budget runs alone."""
    rows, longest = sum(rows for rows, _ in batch), max(length for _, length in batch)
    assert rows <= policy.max_batch_size
    if policy.max_batch_tokens and len(batch) > 1:
        assert policy.order is BatchOrder.EQUAL_SHAPES or rows * longest <= policy.max_batch_tokens
    if policy.order is BatchOrder.EQUAL_SHAPES:
        assert len({length for _, length in batch}) == 1


@dataclass
class Run:
    """A scheduler, and everything that was asked of it."""

    config: ModelConfig
    instances: int
    clock: ManualClock = field(default_factory=ManualClock)
    asked: list[tuple[Ask, int, asyncio.Task[InferResponse]]] = field(default_factory=list)
    answered_us: dict[int, int] = field(default_factory=dict)

    def start(self) -> None:
        assert self.config.dynamic_batching is not None
        self.engines = [Engine(self.config.dynamic_batching) for _ in range(self.instances)]
        pairs = [(engine, TimedExecutor(self.clock)) for engine in self.engines]
        self.scheduler = BatchScheduler(
            self.config, 1, irreplaceable(pairs), Statistics(), self.clock
        )

    def ask(self, ask: Ask) -> None:
        number = len(self.asked)
        task = asyncio.create_task(self.scheduler.infer(request_of(number, ask)))
        task.add_done_callback(lambda _: self.note(number))
        self.asked.append((ask, self.clock.now_ns() // 1_000, task))

    def note(self, number: int) -> None:
        assert number not in self.answered_us
        self.answered_us[number] = self.clock.now_ns() // 1_000

    async def follow(self, events: Sequence[Ask | Leave | Wait]) -> None:
        for event in events:
            match event:
                case Ask():
                    self.ask(event)
                    await settle()
                case Leave(which) if which < len(self.asked):  # counted from the last that came
                    self.asked[-1 - which][2].cancel()
                case Wait(us):
                    await self.clock.advance(us=us)
        for _ in range(1_000):
            if len(self.answered_us) == len(self.asked):
                return
            await self.clock.advance(us=100)

    def check(self, number: int) -> None:
        ask, queued_us, task = self.asked[number]
        policy = policy_of(ask, self.config)
        waited_us = self.answered_us[number] - queued_us
        if task.cancelled():
            return
        error = task.exception()
        match error:
            case None:
                assert ask.fault == ""
                answer, asked = task.result().outputs["Y"], request_of(number, ask).inputs["X"]
                assert answer.shape == asked.shape
                assert (answer == asked).all()
                promised = promised_us(ask, policy)
                assert not promised or task.result().stages.queue_ns < promised * 1_000
            case QueueFull():
                assert policy.max_size
                assert waited_us == 0
            case Unavailable():
                promised = promised_us(ask, policy)
                assert promised
                assert waited_us >= promised
            case InvalidInput():
                assert ask.fault == "refuse"
            case EngineFailed():
                assert ask.fault == "raise"
            case _:
                raise AssertionError(error)


@settings(deadline=None, max_examples=150)
@given(configs(), st.lists(MOSTLY_ASKS, min_size=20, max_size=50), st.integers(1, 2))
def test_every_request_is_answered_once_with_its_own_rows_within_its_policy(
    config: ModelConfig, events: list[Ask | Leave | Wait], instances: int
) -> None:
    async def scenario() -> None:
        run = Run(config, instances)
        run.start()
        await run.follow(events)
        try:
            assert sorted(run.answered_us) == list(range(len(run.asked)))
            for number in range(len(run.asked)):
                run.check(number)
            for engine in run.engines:
                for batch in engine.batches:
                    check_budget(batch, engine.policy)
                    if engine.policy.order is BatchOrder.LENGTH and engine.policy.max_batch_tokens:
                        rows, length = batch[0]  # what is too large has been taken apart
                        assert rows == 1 or rows * length <= engine.policy.max_batch_tokens
        finally:
            await run.scheduler.close()

    asyncio.run(scenario())


@settings(deadline=None, max_examples=150)
@given(configs(), st.lists(MOSTLY_ASKS | st.builds(Serve), min_size=30, max_size=80))
def test_the_first_of_the_highest_level_is_in_every_batch_and_nobody_waits_past_a_timeout(
    config: ModelConfig, events: list[Ask | Leave | Wait | Serve]
) -> None:
    policy = config.dynamic_batching
    assert policy is not None

    async def scenario() -> None:
        clock = ManualClock()
        queue = RequestQueue(config, policy, clock)
        slots: list[tuple[Ask, Slot]] = []
        waiting: list[Slot] = []  # by hand, in order of arrival

        def still_waiting() -> list[Slot]:
            return [slot for slot in waiting if not slot.reply.done()]

        for event in events:
            match event:
                case Ask():
                    request = request_of(len(slots), event)
                    reply = asyncio.get_running_loop().create_future()
                    reply.add_done_callback(lambda done: done.cancelled() or done.exception())
                    shape = event.length if policy.order is BatchOrder.EQUAL_SHAPES else None
                    slot = Slot(request, event.rows, event.length, shape, clock.now_ns(), reply)
                    ahead = [s for s in still_waiting() if s.level == level_of(event, config)]
                    limit = policy_of(event, config).max_size
                    try:
                        queue.put_nowait(slot)
                    except QueueFull:
                        assert limit
                        assert len(ahead) >= limit
                        continue
                    assert not limit or len(ahead) < limit
                    slots.append((event, slot))
                    waiting.append(slot)
                case Leave(which) if which < len(waiting):
                    left = waiting.pop(which)
                    left.reply.cancel()
                    queue.discard(left)
                case Wait(us):
                    await clock.advance(us=us)
                    for ask, slot in slots:
                        promised = promised_us(ask, policy_of(ask, config))
                        if promised and slot in waiting:
                            is_over = clock.now_ns() >= slot.queued_ns + promised * 1_000
                            assert slot.reply.done() == is_over
                case Serve():
                    taking = asyncio.create_task(queue.next_batch())
                    await settle()
                    if not taking.done():
                        taking.cancel()
                        await settle()
                        continue
                    batch = taking.result()
                    assert batch
                    here = still_waiting()
                    assert all(slot in here for slot in batch)
                    highest = [s for s in here if s.level == min(s.level for s in here)]
                    fresh = [s for s in highest if not is_late(s, config, clock.now_ns())]
                    assert (fresh or highest)[0] is batch[0] or not fresh
                    check_budget([(slot.rows, slot.length) for slot in batch], policy)
                    waiting = [slot for slot in here if slot not in batch]
            assert len(queue) == len(still_waiting())
        queue.close()

    asyncio.run(scenario())


def is_late(slot: Slot, config: ModelConfig, now_ns: int) -> bool:
    """Whether a request has been put behind the others of its level."""
    policy = config.priorities.policies.get(slot.level, config.queue_policy)
    if policy.timeout_action is TimeoutAction.REJECT:
        return False
    asked = int(slot.request.parameters["timeout"]) if policy.allow_timeout_override else 0
    allowed = min((us for us in (policy.timeout_us, asked) if us), default=0)
    return bool(allowed) and now_ns >= slot.queued_ns + allowed * 1_000
