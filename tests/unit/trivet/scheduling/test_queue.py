"""The queue alone, on a clock under the test's control: who leaves, in which order, and when."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from trivet.config import (
    BatchOrder,
    BatchPolicy,
    ModelConfig,
    Priorities,
    QueuePolicy,
    TimeoutAction,
)
from trivet.errors import QueueFull, Unavailable
from trivet.request import InferRequest, ParameterValue
from trivet.scheduling.queue import RequestQueue
from trivet.scheduling.slot import Slot
from trivet.testing.clock import ManualClock, settle

BATCHES = BatchPolicy(order=BatchOrder.ARRIVAL, max_batch_size=2)
DELAY_500 = QueuePolicy(timeout_us=500, timeout_action=TimeoutAction.DELAY)
LEVELS = Priorities(levels=3, default_level=2, policies={1: QueuePolicy(max_size=2)})


class Bed:
    """A queue, and slots that are known by their names."""

    def __init__(
        self,
        queue_policy: QueuePolicy | None = None,
        priorities: Priorities | None = None,
        policy: BatchPolicy = BATCHES,
        hold_until: int = 0,
    ) -> None:
        config = ModelConfig(
            name="m",
            max_batch_size=policy.max_batch_size,
            dynamic_batching=policy,
            queue_policy=queue_policy or QueuePolicy(),
            priorities=priorities or Priorities(),
        )
        self.clock = ManualClock()
        self.queue = RequestQueue(config, policy, self.clock, hold_until)

    def slot(self, name: str, **parameters: ParameterValue) -> Slot:
        inputs = {"X": np.zeros((1, 4))}
        request = InferRequest(model="m", id=name, inputs=inputs, parameters=parameters)
        reply = asyncio.get_running_loop().create_future()
        return Slot(request, 1, 4, None, self.clock.now_ns(), reply)

    def put(self, name: str, **parameters: ParameterValue) -> Slot:
        slot = self.slot(name, **parameters)
        self.queue.put_nowait(slot)
        return slot

    async def take(self) -> list[str]:
        return [slot.request.id for slot in await self.queue.next_batch()]


async def test_higher_levels_are_served_first_and_each_in_order_of_arrival() -> None:
    bed = Bed(priorities=LEVELS)
    for name, level in {"a": 3, "b": 2, "c": 1, "d": 0, "e": 1, "f": 9, "g": 3}.items():
        bed.put(name, priority=level)
    assert [await bed.take() for _ in range(4)] == [["c", "e"], ["b", "d"], ["f", "a"], ["g"]]


async def test_a_level_is_full_for_itself() -> None:
    bed = Bed(QueuePolicy(max_size=1), LEVELS)
    bed.put("a", priority=1)
    bed.put("b", priority=1)
    bed.put("c", priority=3)
    for level, size in ((1, 2), (3, 1)):
        with pytest.raises(QueueFull, match=f"maximum queue size of {size} requests"):
            bed.put("d", priority=level)
    bed.put("e", priority=2)
    assert await bed.take() == ["a", "b"]
    bed.put("f", priority=1)


async def test_a_caller_who_leaves_makes_room_at_once() -> None:
    bed = Bed(QueuePolicy(max_size=1))
    bed.queue.discard(bed.put("a"))
    bed.put("b")
    assert await bed.take() == ["b"]


async def test_discarding_what_was_taken_harms_nobody() -> None:
    bed = Bed(QueuePolicy(max_size=1))
    gone = bed.put("a")
    assert await bed.take() == ["a"]
    bed.put("b")
    bed.queue.discard(gone)
    assert len(bed.queue) == 1
    with pytest.raises(QueueFull):
        bed.put("c")


async def test_a_timeout_is_answered_when_it_expires_although_nobody_takes_anything() -> None:
    bed = Bed(QueuePolicy(timeout_us=500))
    slot = bed.put("a")
    await bed.clock.advance(us=499)
    assert not slot.reply.done()
    await bed.clock.advance(us=1)
    assert slot.reply.done()
    told = "model 'm': Request timeout expired: it waited 500 us in the queue, .* retry later"
    with pytest.raises(Unavailable, match=told):
        slot.reply.result()
    assert len(bed.queue) == 0


async def test_what_has_expired_is_not_taken_even_before_the_alarm_rings() -> None:
    bed = Bed(QueuePolicy(timeout_us=500))
    bed.put("a").reply.add_done_callback(lambda reply: reply.exception())
    bed.clock._now_ns += 600_000  # time went on, and the loop had no turn yet
    bed.put("b")
    assert await bed.take() == ["b"]


async def test_a_shorter_timeout_of_a_later_request_expires_first() -> None:
    bed = Bed(QueuePolicy(timeout_us=500, allow_timeout_override=True))
    patient, hasty = bed.put("a"), bed.put("b", timeout=100)
    await bed.clock.advance(us=100)
    assert isinstance(hasty.reply.exception(), Unavailable)
    assert not patient.reply.done()
    await bed.clock.advance(us=400)
    assert isinstance(patient.reply.exception(), Unavailable)


async def test_timeouts_of_a_queue_take_one_task_and_none_when_nothing_waits_for_one() -> None:
    before = len(asyncio.all_tasks())
    bed = Bed(priorities=Priorities(levels=2, default_level=2, policies={1: DELAY_500}))
    bed.put("a", timeout=5)
    assert len(asyncio.all_tasks()) == before
    for name in "bcd":
        bed.put(name, priority=1)
    assert len(asyncio.all_tasks()) == before + 1
    await bed.clock.advance(us=500)
    assert len(asyncio.all_tasks()) == before


async def test_delay_puts_a_request_behind_the_others_of_its_level_but_not_of_lower_ones() -> None:
    policies = {1: DELAY_500, 2: QueuePolicy()}
    bed = Bed(priorities=Priorities(levels=2, default_level=1, policies=policies))
    bed.put("low", priority=2)
    late = bed.put("late")
    await bed.clock.advance(us=500)
    bed.put("b")
    assert not late.reply.done()
    assert [await bed.take(), await bed.take()] == [["b", "late"], ["low"]]


async def test_a_delayed_request_still_counts_for_the_size_of_its_level() -> None:
    bed = Bed(QueuePolicy(timeout_us=5, timeout_action=TimeoutAction.DELAY, max_size=1))
    bed.put("a")
    await bed.clock.advance(us=5)
    with pytest.raises(QueueFull):
        bed.put("b")
    assert await bed.take() == ["a"]
    bed.put("c")


async def test_parts_count_as_one_request_and_none_is_put_if_it_is_one_too_many() -> None:
    bed = Bed(QueuePolicy(max_size=2))
    pieces = [bed.slot(name) for name in "ab"]
    pieces[1].counted = False
    bed.queue.put_nowait(*pieces)
    bed.put("c")
    with pytest.raises(QueueFull):
        bed.queue.put_nowait(bed.slot("d"), bed.slot("e"))
    assert [await bed.take(), await bed.take()] == [["a", "b"], ["c"]]


async def test_a_held_queue_takes_nothing_until_enough_wait_and_is_never_held_again() -> None:
    bed = Bed(hold_until=3)
    taking = asyncio.create_task(bed.take())
    for name in "ab":
        bed.put(name)
        await settle()
        assert not taking.done()
    bed.put("c")
    assert await taking == ["a", "b"]
    assert await bed.take() == ["c"]
    bed.put("d")
    assert await bed.take() == ["d"]


async def test_the_delay_of_a_batch_counts_from_its_oldest_request_of_any_level() -> None:
    delayed = BatchPolicy(order=BatchOrder.ARRIVAL, max_batch_size=4, max_queue_delay_us=500)
    bed = Bed(priorities=Priorities(levels=2, default_level=2), policy=delayed)
    taking = asyncio.create_task(bed.take())
    bed.put("old")
    await bed.clock.advance(us=400)
    bed.put("urgent", priority=1)
    await bed.clock.advance(us=99)
    assert not taking.done()
    await bed.clock.advance(us=1)
    assert await taking == ["urgent", "old"]


async def test_a_closed_queue_lets_no_task_behind() -> None:
    before = len(asyncio.all_tasks())
    bed = Bed(QueuePolicy(timeout_us=500))
    bed.put("a")
    bed.queue.close()
    await settle()
    assert len(asyncio.all_tasks()) == before
