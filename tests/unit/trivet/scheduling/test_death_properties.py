"""Whenever instances die: every request is answered once, with its own, and the guilty one told.

Hypothesis makes up arrivals, cancellations, deaths at any batch and replacements that fail; time
is the test's own, also the time that a batch takes, so that a run is the same each time.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.backend.contract import Answer, Batch, Instance
from trivet.config import BatchOrder, BatchPolicy, ModelConfig, QueuePolicy, TensorSpec
from trivet.errors import EngineFailed, InstanceDied, Unavailable
from trivet.request import InferRequest, InferResponse
from trivet.scheduling.batching import BatchScheduler
from trivet.scheduling.executor import Executor
from trivet.scheduling.instances import Instances
from trivet.scheduling.supervision import WELL
from trivet.telemetry.statistics import Statistics
from trivet.testing.clock import ManualClock, settle

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Ask:
    """One request. kind: "kill" kills every instance that computes it, "raise" fails its batch."""

    length: int
    kind: str = ""


@dataclass(frozen=True)
class Leave:
    """The caller of one of the requests so far cancels it."""

    which: int


@dataclass(frozen=True)
class Wait:
    us: int


@dataclass(frozen=True)
class Death:
    """An instance dies: between batches, or of its next one, or is given up while it computes."""

    instance: int
    how: str


KINDS = ("", "raise", "kill")
asks = st.builds(
    Ask,
    length=st.sampled_from([1, 5, 5, 40]),
    kind=st.sampled_from(["", "", "", "", "", "", "raise", "kill"]),
)
events = st.one_of(
    asks,
    asks,
    asks,
    asks,
    st.builds(Leave, which=st.integers(0, 10)),
    st.builds(Wait, us=st.sampled_from([10, 30, 100, 60_000])),
    st.builds(Death, instance=st.integers(0, 2), how=st.sampled_from(["idle", "next", "given up"])),
)


class Mortal:
    """Echoes; dies of its next batch where told, or of a request that kills."""

    def __init__(self, executions: Counter[int]) -> None:
        self.executions = executions  # of each request, over all instances
        self.dead = self.doomed = False

    def execute(self, batch: Batch) -> Sequence[Answer]:
        if self.dead:
            raise InstanceDied("it was dead", idle=True)
        arrays = [request.inputs["X"] for request in batch.requests]
        self.executions.update(int(array[0, 0]) // 3 for array in arrays)
        kinds = [KINDS[int(array[0, 0]) % 3] for array in arrays]
        if "raise" in kinds:
            raise RuntimeError("as asked")
        if self.doomed or "kill" in kinds:
            self.dead = True
            raise InstanceDied("of this batch")
        return [Answer({"Y": array}) for array in arrays]

    def close(self) -> None: ...


class TimedExecutor(Executor):
    """Runs in the loop, and takes 30 us of the test's time for each request of a batch."""

    def __init__(self, clock: ManualClock) -> None:
        self._clock = clock
        self._given_up: InstanceDied | None = None
        self.ended = False

    @property
    def is_abandoned(self) -> bool:
        return self._given_up is not None

    @property
    def is_running(self) -> bool:
        return not self.ended

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        idle = self._given_up
        for batch in args:
            assert isinstance(batch, Batch)
            await self._clock.sleep_until(self._clock.now_ns() + 30_000 * len(batch.requests))
        if self._given_up is not None:
            raise InstanceDied("it was given up", idle=idle is not None)
        return function(*args, **kwargs)

    def abandon(self, died: InstanceDied) -> None:
        self._given_up = died

    def retire(self, last: Callable[[], None]) -> None:
        self.ended = True

    async def close(self, timeout_s: float | None = None) -> None:
        self.ended = True


@dataclass
class Run:
    """A scheduler whose instances die, and everything that was asked of it."""

    instances: int
    order: BatchOrder
    refused: list[bool]  # which attempts to replace an instance fail
    timeout_us: int
    clock: ManualClock = field(default_factory=ManualClock)
    executions: Counter[int] = field(default_factory=Counter)
    asked: list[tuple[Ask, asyncio.Task[InferResponse]]] = field(default_factory=list)
    answered: Counter[int] = field(default_factory=Counter)
    deaths: int = 0

    def start(self) -> None:
        config = ModelConfig(
            name="m",
            max_batch_size=8,
            inputs=(TensorSpec(name="X", datatype="INT64", dims=(-1,)),),
            dynamic_batching=BatchPolicy(max_batch_size=8, order=self.order),
            queue_policy=QueuePolicy(timeout_us=self.timeout_us),
        )
        pairs = [self.pair() for _ in range(self.instances)]
        self.posts = Instances("m", 1, self.clock, pairs, self.make)
        self.scheduler = BatchScheduler(config, 1, self.posts, Statistics(), self.clock)

    def pair(self) -> tuple[Instance, Executor]:
        return Mortal(self.executions), TimedExecutor(self.clock)

    async def make(self, number: int) -> tuple[Instance, Executor]:
        await self.clock.sleep_until(self.clock.now_ns() + 50_000)
        if self.refused and self.refused.pop():
            raise EngineFailed("no memory")
        return self.pair()

    def ask(self, ask: Ask) -> None:
        number = len(self.asked)
        inputs = np.zeros((1, ask.length), dtype=np.int64)
        inputs[:, 0] = number * 3 + KINDS.index(ask.kind)
        request = InferRequest(model="m", inputs={"X": inputs})
        task = asyncio.create_task(self.scheduler.infer(request))
        task.add_done_callback(lambda _: self.answered.update([number]))
        self.asked.append((ask, task))

    def die(self, death: Death) -> None:
        post = self.posts.posts[death.instance % self.instances]
        assert isinstance(post.instance, Mortal)
        self.deaths += 1
        match death.how:
            case "idle":
                post.instance.dead = True
            case "next":
                post.instance.doomed = True
            case _:
                post.executor.abandon(InstanceDied("hangs"))

    async def follow(self, happenings: Sequence[object]) -> None:
        for event in happenings:
            match event:
                case Ask():
                    self.ask(event)
                    await settle()
                case Leave(which) if which < len(self.asked):
                    self.asked[-1 - which][1].cancel()
                case Wait(us):
                    await self.clock.advance(us=us)
                case Death():
                    self.die(event)
        for step in range(1_000):  # deaths in a row make pauses of up to 30 s before the next try
            if len(self.answered) == len(self.asked):
                return
            await self.clock.advance(us=20_000 if step < 500 else 1_000_000)

    def check(self, number: int) -> None:
        ask, task = self.asked[number]
        assert self.executions[number] <= 4  # in a batch, alone; and once more of each elsewhere
        if task.cancelled():
            return
        match task.exception():
            case None:
                assert ask.kind == ""
                assert task.result().outputs["Y"][0, 0] == number * 3
                assert task.result().outputs["Y"].shape == (1, ask.length)
            case Unavailable() as error:
                given_up = "attempts failed" in error.message
                assert given_up or self.timeout_us
            case EngineFailed() as error if ask.kind == "raise":
                assert "failed on this request" in error.message or "two instances" in error.message
            case EngineFailed() as error:  # it killed, or was computed by two that died
                assert "two instances died" in error.message
                assert ask.kind == "kill" or self.deaths
            case error:
                raise AssertionError(error)


@settings(deadline=None, max_examples=150)
@given(
    st.lists(events, min_size=10, max_size=40),
    st.integers(1, 3),
    st.sampled_from([BatchOrder.ARRIVAL, BatchOrder.EQUAL_SHAPES]),
    st.lists(st.booleans(), max_size=8),
    st.sampled_from([0, 0, 200]),
)
def test_no_request_is_lost_or_answered_twice_and_every_post_is_filled_again(
    happenings: list[object],
    instances: int,
    order: BatchOrder,
    refused: list[bool],
    timeout_us: int,
) -> None:
    async def scenario() -> None:
        run = Run(instances, order, refused, timeout_us)
        run.start()
        try:
            await run.follow(happenings)
            assert run.answered == Counter(range(len(run.asked)))
            for number in range(len(run.asked)):
                run.check(number)
            for _ in range(50):  # pauses between attempts grow to 30 s
                if run.posts.condition != WELL:
                    await run.clock.advance(us=30_000_000)
            assert run.posts.condition == WELL
        finally:
            await run.scheduler.close()

    asyncio.run(scenario())
