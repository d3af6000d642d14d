"""Who may run with the resources there are: the decision, and the accounts around it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trivet.config import InstanceGroup, ModelConfig, ResourceNeed
from trivet.config_file import Faults
from trivet.scheduling.rate_limit import (
    Limit,
    Waiting,
    amounts,
    check_limits,
    granted,
)
from trivet.scheduling.resources import Permit, ResourcePool, permitted
from trivet.testing.clock import settle

R1, R2, R3, R4 = (("R1", 0), ("R2", 0), ("R3", 0), ("R4", 0))
EVERYWHERE = ("R", None)


def waiting(turn: int, **needs: int) -> Waiting:
    return Waiting((turn, turn), {(name, 0): count for name, count in needs.items()})


@pytest.mark.parametrize(
    ("those", "free", "positions"),
    [
        ([], {}, ()),
        ([waiting(1, R1=1)], {R1: 1}, (0,)),
        ([waiting(1, R1=2)], {R1: 1}, ()),
        ([waiting(1, R1=2)], {}, ()),
        ([waiting(2, R1=1), waiting(1, R1=1)], {R1: 1}, (1,)),  # in their turns
        ([waiting(1, R1=1), waiting(2, R1=1)], {R1: 2}, (0, 1)),
        ([waiting(1, R1=1, R2=1)], {R1: 1}, ()),  # all or nothing
        ([waiting(1, R1=4), waiting(2, R1=1)], {R1: 3}, ()),  # kept for the first
        ([waiting(1, R1=4), waiting(2, R2=1)], {R1: 3, R2: 1}, (1,)),  # no use to the first
        ([waiting(1, R1=4, R2=1), waiting(2, R2=1)], {R1: 3, R2: 1}, ()),
        ([waiting(1, R1=4, R2=1), waiting(2, R2=1)], {R1: 3, R2: 2}, (1,)),  # more than it needs
    ],
)
def test_who_may_run(
    those: list[Waiting], free: Mapping[tuple[str, int | None], int], positions: tuple[int, ...]
) -> None:
    assert granted(those, free) == positions


def test_there_is_as_much_as_the_largest_need_as_in_tritons_example() -> None:
    a, b = {R1: 4, R2: 4}, {R2: 5, R3: 10, R4: 5}
    c = {R1: 1, R3: 7, R4: 2}
    assert amounts([a, b, c], ()) == {R1: 4, R2: 5, R3: 10, R4: 5}


def test_there_is_what_was_given_as_in_tritons_example() -> None:
    limits = [
        Limit(name="R1", count=10),
        Limit(name="R2", count=5, device=0),
        Limit(name="R2", count=8, device=1),
        Limit(name="R3", count=2),
    ]
    needs = {(name, device): 1 for name in ("R1", "R2") for device in (0, 1)}
    assert amounts([needs, {("R3", None): 1}], limits) == {
        ("R1", 0): 10,
        ("R1", 1): 10,
        ("R2", 0): 5,
        ("R2", 1): 8,
        ("R3", None): 2,
    }


def test_of_a_global_resource_the_device_that_is_named_does_not_count() -> None:
    assert amounts([{EVERYWHERE: 1}], [Limit(name="R", count=3, device=0)]) == {EVERYWHERE: 3}


def test_what_was_given_to_other_devices_only_is_not_here() -> None:
    assert amounts([{R1: 1}], [Limit(name="R1", count=3, device=1)]) == {R1: 0}


def test_a_device_there_is_not_is_refused() -> None:
    faults = Faults()
    check_limits([Limit(name="R1", count=3), Limit(name="R1", count=3, device=7)], (0,), faults)
    assert list(map(str, faults)) == [
        "--rate-limit-resource=R1:3:7: there is no device 7; name one of 0 (the CPU is device 0),"
        " or none, for every device"
    ]


def group(count: int = 1, priority: int = 1, **needs: int) -> InstanceGroup:
    """A name with an underscore is of a global resource."""
    resources = tuple(
        ResourceNeed(name=name.strip("_"), count=number, is_global="_" in name)
        for name, number in needs.items()
    )
    return InstanceGroup(count=count, priority=priority, resources=resources)


def joined(pool: ResourcePool, *groups: InstanceGroup, name: str = "m") -> list[Permit]:
    """The permits of a model that needs something in each group."""
    faults = Faults()
    permits = pool.join(ModelConfig(name=name, instance_groups=groups), faults)
    faults.raise_if_any()
    assert None not in permits
    return [permit for permit in permits if permit is not None]


def refusals(pool: ResourcePool, *groups: InstanceGroup) -> list[str]:
    faults = Faults()
    assert pool.join(ModelConfig(name="n", instance_groups=groups), faults) == []
    return list(map(str, faults))


def test_only_instances_that_need_something_wait() -> None:
    config = ModelConfig(name="m", instance_groups=(group(2), group(1, R1=1)))
    permits = ResourcePool().join(config, Faults())
    assert [permit is None for permit in permits] == [True, True, False]


def test_each_gpu_has_resources_of_its_own() -> None:
    on_gpus = replace(group(2, R1=1, _G=1), gpus=(0, 1))
    needs = [permit.needs for permit in joined(ResourcePool(), on_gpus, group(R1=1))]
    first, second = {("R1", 0): 1, ("G", None): 1}, {("R1", 1): 1, ("G", None): 1}
    assert needs == [first, first, second, second, {("R1", 0): 1}]
    pool = ResourcePool([Limit(name="R1", count=3, device=0), Limit(name="R1", count=1, device=1)])
    (refused,) = refusals(pool, replace(group(R1=2), gpus=(0, 1)))
    assert "is 2, and the server has 1 of 'R1'" in refused
    assert joined(pool, replace(group(R1=2), gpus=(0,)))


def test_a_need_that_can_never_be_met_is_refused_with_its_place() -> None:
    pool = ResourcePool([Limit(name="R1", count=3)])
    assert refusals(pool, group(), group(R2=1, R1=5)) == [
        "n/config.pbtxt: instance_group[1].rate_limiter.resources[1].count: is 5, and the server"
        " has 3 of 'R1'; lower it, or start the server with --rate-limit-resource=R1:5"
    ]
    assert joined(pool, group(R1=3))


def test_a_resource_is_global_everywhere_or_nowhere() -> None:
    pool = ResourcePool()
    (permit,) = joined(pool, group(R1=1))
    at = "n/config.pbtxt: instance_group[0].rate_limiter.resources[0].global"
    told = f"{at}: 'R1' is global here and on each device elsewhere; write the same in every model"
    assert refusals(pool, group(R1_=1)) == [told]
    assert len(refusals(pool, group(R2=1), group(R2_=1))) == 2
    permit.leave()
    assert joined(pool, group(R1_=1))


async def test_a_permit_is_held_until_it_is_released() -> None:
    first, second = joined(ResourcePool(), group(2, R1=1))
    await first.acquire()
    taking = asyncio.create_task(second.acquire())
    await settle()
    assert not taking.done()
    assert first.is_wanted
    first.release()
    await taking
    assert not first.is_wanted


@pytest.mark.parametrize("how", ["cancelled", "cancelled when granted", "left"])
async def test_nothing_is_lost_with_one_that_waits_no_more(how: str) -> None:
    first, second, third = joined(ResourcePool(), group(3, R1=1))
    await first.acquire()
    taking = asyncio.create_task(second.acquire())
    await settle()
    if how == "cancelled":
        taking.cancel()
        await settle()
        first.release()
    elif how == "left":
        taking.cancel()
        first.leave()
    else:
        first.release()  # grants it, and then it is cancelled before it knows
        taking.cancel()
    await settle()
    await asyncio.wait_for(third.acquire(), 10)


async def test_resources_of_a_model_that_is_gone_go_with_it() -> None:
    pool = ResourcePool()
    (large,) = joined(pool, group(R1=4), name="large")
    small = joined(pool, group(3, R1=1), name="small")
    for permit in small:
        await permit.acquire()  # there are four
    large.leave()  # and now one, of which three are held
    small[0].release()
    taking = asyncio.create_task(small[0].acquire())
    await settle()
    assert not taking.done()
    small[1].release()
    small[2].release()
    await asyncio.wait_for(taking, 10)


async def test_one_of_priority_2_gets_half_the_turns_of_one_of_priority_1() -> None:
    pool = ResourcePool()
    permits = [joined(pool, group(priority=priority, R1=1))[0] for priority in (1, 2, 4)]
    runs = await turns_of(permits, 70)
    assert [runs[number] for number in range(3)] == [40, 20, 10]


async def test_one_that_had_nothing_to_run_for_long_does_not_make_up_for_it() -> None:
    pool = ResourcePool()
    busy, late = joined(pool, group(2, R1=1))
    await turns_of([busy], 1_000)
    runs = await turns_of([busy, late], 20)
    assert abs(runs[0] - runs[1]) <= 1


async def turns_of(permits: list[Permit], count: int) -> Counter[int]:
    """How often each ran, of so many runs, if all want to run all the time."""
    runs: Counter[int] = Counter()

    async def run(number: int, permit: Permit) -> None:
        while True:
            await permit.acquire()
            await asyncio.sleep(0)  # it computes
            if runs.total() == count:
                permit.release(used=False)
                return
            runs[number] += 1
            permit.release()

    async with asyncio.timeout(10):
        await asyncio.gather(*(run(*numbered) for numbered in enumerate(permits)))
    return runs


async def test_what_others_took_meanwhile_gives_the_permit_back_unused() -> None:
    pool = ResourcePool()
    first, second = joined(pool, group(2, R1=1))
    batches = [[], ["batch"]]  # type: ignore[var-annotated]

    async def wait_due() -> None:
        await asyncio.sleep(0)

    assert await permitted(first, wait_due, lambda: batches.pop(0)) == ["batch"]
    taking = asyncio.create_task(second.acquire())
    await settle()
    assert not taking.done()  # the first holds it
    first.release()
    await taking


needs = st.dictionaries(st.sampled_from(["R1", "R2", "R3"]), st.integers(1, 5), min_size=1)


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.tuples(needs, st.integers(1, 4), st.integers(0, 5)), min_size=1, max_size=8),
    st.integers(0, 3),
)
def test_nobody_starves_nothing_is_taken_twice_and_all_is_given_back(
    models: list[tuple[dict[str, int], int, int]], spare: int
) -> None:
    """Instances with any needs, priorities and times to run all want to run all the time."""
    largest: Counter[str] = Counter()
    for told, _, _ in models:
        for name, count in told.items():
            largest[name] = max(largest[name], count)
    there = {name: count + spare for name, count in largest.items()}

    async def scenario() -> None:
        pool = ResourcePool([Limit(name=name, count=count) for name, count in there.items()])
        held: Counter[str] = Counter()
        runs: Counter[int] = Counter()

        async def run(number: int, permit: Permit, told: dict[str, int], ticks: int) -> None:
            for _ in range(10):
                await permit.acquire()
                held.update(told)
                assert all(held[name] <= there[name] for name in held)
                for _ in range(ticks):
                    await asyncio.sleep(0)
                held.subtract(told)
                runs[number] += 1
                permit.release()

        async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
            for number, (told, priority, ticks) in enumerate(models):
                (permit,) = joined(pool, group(priority=priority, **told), name=f"m{number}")
                tasks.create_task(run(number, permit, told, ticks))
        assert runs == Counter(dict.fromkeys(range(len(models)), 10))
        assert held.total() == 0

    asyncio.run(scenario())
