"""The registry: who may use which version, in which state, and who hears of changes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from tests.harness.frontend import echo_model, publish
from trivet.errors import NotFound, ServeError, Unavailable
from trivet.repository.entry import State
from trivet.repository.registry import Registry
from trivet.scheduling.supervision import WELL, Condition


@pytest.fixture
def registry() -> Registry:
    return Registry()


def served(registry: Registry, name: str, version: int | None = None) -> int:
    with registry.acquire(name, version) as model:
        return model.version


async def test_the_latest_ready_version_answers_where_none_is_named(registry: Registry) -> None:
    for version in (3, 1, 2):
        publish(registry, echo_model(version=version))
    registry.loading("echo", 5)
    registry.failed("echo", 4, "broken")
    assert served(registry, "echo") == 3
    assert served(registry, "echo", 1) == 1


async def test_an_unknown_model_is_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound, match="Request for unknown model: 'nobody' is not found") as told:
        served(registry, "nobody")
    assert "RepositoryIndex" in told.value.message


async def test_an_unknown_version_is_not_found_and_the_known_ones_are_named(
    registry: Registry,
) -> None:
    publish(registry, echo_model(version=2))
    registry.loading("echo", 3)
    with pytest.raises(NotFound, match="'echo' version 7 is not found; versions known: 2, 3"):
        served(registry, "echo", 7)


@pytest.mark.parametrize("version", [None, 1])
async def test_a_version_that_could_not_be_loaded_is_not_found_and_says_why(
    registry: Registry, version: int | None
) -> None:
    registry.failed("echo", 1, "no such file")
    with pytest.raises(NotFound, match=r"Request for unknown model: 'echo'.*no such file"):
        served(registry, "echo", version)


@pytest.mark.parametrize("version", [None, 1])
async def test_a_version_that_is_loading_is_unavailable(
    registry: Registry, version: int | None
) -> None:
    registry.loading("echo", 1)
    with pytest.raises(Unavailable, match=r"model 'echo'.*LOADING; retry later"):
        served(registry, "echo", version)


async def test_a_version_that_lost_instances_is_ready_with_a_reason_until_none_is_left(
    registry: Registry,
) -> None:
    model = echo_model()
    publish(registry, model)
    changing = asyncio.create_task(registry.wait_changed())
    await asyncio.sleep(0)
    model.condition = Condition(reason="1 of 2 instances is being replaced: it was tired")
    model.changed.set()
    await asyncio.wait_for(changing, 10)
    (entry,) = registry.index()
    assert (entry.state, entry.reason) == (State.READY, model.condition.reason)
    assert registry.is_ready("echo")
    assert registry.all_ready()
    model.condition = Condition(able=False, reason="none is left")
    (entry,) = registry.index()
    assert (entry.state, entry.reason) == (State.UNAVAILABLE, "none is left")
    assert not registry.is_ready("echo")
    assert not registry.all_ready()
    model.condition = WELL
    (entry,) = registry.index()
    assert (entry.state, entry.reason) == (State.READY, "")


async def test_a_retired_version_goes_when_its_last_user_has_left(registry: Registry) -> None:
    model = echo_model()
    publish(registry, model)
    with registry.acquire("echo"):
        with registry.acquire("echo"):
            retiring = asyncio.create_task(registry.retire("echo", 1))
            await asyncio.sleep(0)
            with pytest.raises(Unavailable, match="UNLOADING"):
                served(registry, "echo")
            assert [entry.state for entry in registry.index()] == [State.UNLOADING]
        await asyncio.sleep(0)
        assert not retiring.done()
    assert id(await retiring) == id(model)
    with pytest.raises(NotFound, match="unloaded"):
        served(registry, "echo")


async def test_a_user_who_fails_leaves_as_well(registry: Registry) -> None:
    publish(registry, echo_model())
    with pytest.raises(ServeError, match="mine"), registry.acquire("echo"):
        raise ServeError("mine")
    assert await registry.retire("echo", 1) is not None


async def test_retiring_the_latest_leaves_the_one_before_it(registry: Registry) -> None:
    for version in (1, 2):
        publish(registry, echo_model(version=version))
    await registry.retire("echo", 2)
    assert served(registry, "echo") == 1
    assert list(registry.versions("echo")) == [1]


async def test_a_version_that_never_was_retires_to_nothing(registry: Registry) -> None:
    registry.failed("echo", 1, "broken")
    assert await registry.retire("echo", 1) is None


async def test_every_change_is_announced_to_all_who_wait(registry: Registry) -> None:
    changes: list[Callable[[], None]] = [
        lambda: registry.loading("echo", 1),
        lambda: registry.failed("echo", 1, "broken"),
        lambda: publish(registry, echo_model()),
    ]
    for change in changes:
        waiting = [asyncio.create_task(registry.wait_changed()) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        change()
        await asyncio.gather(*waiting)


async def test_retiring_announces_both_its_steps(registry: Registry) -> None:
    publish(registry, echo_model())
    with registry.acquire("echo"):
        going = asyncio.create_task(registry.wait_changed())
        await asyncio.sleep(0)
        retiring = asyncio.create_task(registry.retire("echo", 1))
        await going
        gone = asyncio.create_task(registry.wait_changed())
        await asyncio.sleep(0)
        assert not gone.done()
    await asyncio.gather(retiring, gone)


async def test_the_index_is_in_the_order_of_names_and_versions(registry: Registry) -> None:
    publish(registry, echo_model("b", version=10))
    publish(registry, echo_model("b", version=9))
    registry.failed("a", 0, "no config")
    registry.loading("c", 1)
    index = [(entry.name, entry.version, entry.state, entry.reason) for entry in registry.index()]
    assert index == [
        ("a", 0, State.UNAVAILABLE, "no config"),
        ("b", 9, State.READY, ""),
        ("b", 10, State.READY, ""),
        ("c", 1, State.LOADING, ""),
    ]
    assert [model.version for model in registry.models()] == [9, 10]


async def test_the_whole_is_ready_when_every_model_is(registry: Registry) -> None:
    assert registry.all_ready()  # of none
    publish(registry, echo_model("a"))
    registry.loading("b", 1)
    assert not registry.all_ready()
    registry.failed("b", 1, "broken")
    assert not registry.all_ready()
    publish(registry, echo_model("b", version=2))
    assert registry.all_ready()
    registry.loading("b", 3)
    assert not registry.all_ready()


async def test_readiness_of_what_is_unknown_is_no_error(registry: Registry) -> None:
    publish(registry, echo_model())
    assert registry.is_ready("echo")
    assert registry.is_ready("echo", 1)
    assert not registry.is_ready("echo", 2)
    assert not registry.is_ready("nobody")


async def test_one_that_takes_leave_serves_on_and_is_not_ready(registry: Registry) -> None:
    publish(registry, echo_model())
    changing = asyncio.create_task(registry.wait_changed())
    await asyncio.sleep(0)
    registry.leave()
    await changing
    assert not registry.is_ready("echo")
    assert not registry.all_ready()
    assert served(registry, "echo") == 1


async def test_nobody_hears_of_an_unknown_model_because_the_server_leaves(
    registry: Registry,
) -> None:
    publish(registry, echo_model())
    registry.leave()
    await registry.retire("echo", 1)
    with pytest.raises(Unavailable, match="'echo': the server is shutting down") as told:
        served(registry, "echo")
    assert told.value.retry_after_s > 0
    with pytest.raises(NotFound):
        served(registry, "nobody")


async def test_the_versions_of_an_unknown_model_are_not_found(registry: Registry) -> None:
    with pytest.raises(NotFound, match="unknown model: 'nobody'"):
        registry.versions("nobody")
    registry.loading("echo", 1)
    assert registry.versions("echo") == {}
