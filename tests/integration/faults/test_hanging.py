"""Engines that hang: given up and replaced, told of, and no harm to other models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path

import numpy as np
import pytest

from tests.harness.managed import Bed
from tests.harness.repositories import add_model, fake_config
from trivet.errors import EngineFailed, ServeError, Unavailable
from trivet.model.model import Model
from trivet.request import InferRequest, InferResponse
from trivet.scheduling.watchdog import MOST_HUNG
from trivet.testing.clock import settle

HANGS, WELL = 666, 5
LIMIT_S = 8
SECONDS = 10
DECOUPLED = "model_transaction_policy { decoupled: true }"
SEQUENCES = "sequence_batching { max_sequence_idle_microseconds: 999000000 }"

Asked = asyncio.Task[InferResponse]


@pytest.fixture
async def bed(tmp_path: Path) -> AsyncGenerator[Bed, None]:
    """A model "m" of which 666 hangs, and a neighbour."""
    add_model(tmp_path, "m", fake_config(hang=f"{HANGS}.0", execution_timeout_seconds=LIMIT_S))
    add_model(tmp_path, "neighbour")
    made = Bed(tmp_path)
    await made.follow()
    yield made
    await end(made)


def parameters(asked: Mapping[str, object]) -> str:
    return "\n".join(
        f'parameters {{ key: "{name}" value {{ string_value: "{value}" }} }}'
        for name, value in asked.items()
    )


async def end(bed: Bed) -> None:
    bed.backend.release()
    async with asyncio.timeout(SECONDS):
        await bed.manager.unload_all()


def ask(bed: Bed, value: float, model: str = "m", **parameters: int | bool) -> Asked:
    inputs = {"IN": np.full((1, 2), value, np.float32)}
    request = InferRequest(model=model, inputs=inputs, parameters=parameters)

    async def asked() -> InferResponse:
        with bed.registry.acquire(model) as served:
            return await served.infer(request)

    return asyncio.create_task(asked())


def served(bed: Bed, model: str = "m") -> Model:
    with bed.registry.acquire(model) as found:
        return found


async def hanging(bed: Bed, count: int) -> None:
    """Return when so many calls hang."""
    await asyncio.to_thread(bed.backend.wait_for_hanging, count, timeout_s=SECONDS)


async def until(bed: Bed, index: str, model: str = "m/1") -> None:
    """Wait until the index says so of the model."""
    async with asyncio.timeout(SECONDS):
        while bed.index()[model] != index:
            await asyncio.sleep(0.001)


async def passed(bed: Bed, seconds: float) -> None:
    await bed.clock.advance(us=int(seconds * 1e6))


async def told(asked: Asked) -> str:
    """What the caller is told within ten seconds."""
    with pytest.raises(ServeError) as error:
        await asyncio.wait_for(asked, SECONDS)
    return f"{error.value.code.name}: {error.value.message}"


async def hang_twice(bed: Bed, before: int = 0) -> str:
    """Let a request hang two instances; returns what its caller is told."""
    guilty = ask(bed, HANGS)
    await hanging(bed, before + 1)
    await passed(bed, LIMIT_S)
    await hanging(bed, before + 2)  # a second instance tries it, alone
    await passed(bed, LIMIT_S)
    return await told(guilty)


async def test_a_request_that_hangs_two_instances_is_told_so_and_the_model_goes_on(
    bed: Bed,
) -> None:
    guilty = ask(bed, HANGS)
    await hanging(bed, 1)
    await passed(bed, LIMIT_S - 0.001)
    assert bed.index()["m/1"] == "READY"
    assert await bed.echo("neighbour") == 1
    await passed(bed, 0.001)
    await hanging(bed, 2)
    assert not guilty.done()
    await passed(bed, LIMIT_S)
    assert await told(guilty) == (
        "INTERNAL: model 'm': two instances died while they computed this request, the last so: an"
        " execution took longer than 8 s; it is not tried again. Check its inputs"
    )
    await passed(bed, 0.1)  # the pause before a third
    answer = await asyncio.wait_for(ask(bed, WELL), SECONDS)
    assert answer.outputs["OUT"].tolist() == [[5, 5]]
    assert bed.index() == {"m/1": "READY 2 threads hang in the engine", "neighbour/1": "READY"}
    assert (served(bed).hung_threads, dict(served(bed).deaths)) == (2, {"died": 0, "hung": 2})


async def test_those_in_a_batch_with_it_are_answered(bed: Bed) -> None:
    before, guilty, behind = (ask(bed, value) for value in (1, HANGS, 3))
    await hanging(bed, 1)
    assert bed.backend.batches[-1].rows == (1, 1, 1)
    await passed(bed, LIMIT_S)
    assert await asyncio.wait_for(before, SECONDS)
    await hanging(bed, 2)
    await passed(bed, LIMIT_S)
    assert await asyncio.wait_for(behind, SECONDS)
    assert "two instances died" in await told(guilty)


async def test_a_thread_that_comes_back_counts_no_more_and_its_answer_reaches_nobody(
    bed: Bed,
) -> None:
    await hang_twice(bed)
    await passed(bed, 0.1)
    await until(bed, "READY 2 threads hang in the engine")
    bed.backend.release()
    async with asyncio.timeout(SECONDS):
        while served(bed).hung_threads:
            await asyncio.sleep(0.001)
    await passed(bed, LIMIT_S)  # when it is looked at next
    assert bed.index()["m/1"] == "READY"


async def test_after_too_many_hung_threads_no_instance_is_made_until_one_comes_back(
    bed: Bed,
) -> None:
    await hang_twice(bed)
    await passed(bed, 0.1)
    assert await asyncio.wait_for(ask(bed, WELL), SECONDS)
    await hang_twice(bed, before=MOST_HUNG - 2)
    waiting = ask(bed, WELL)
    for pause_s in (0.1, 0.2, 0.4, 0.8, 1.6):
        await settle()
        await passed(bed, pause_s)
    assert await told(waiting) == (
        "UNAVAILABLE: model 'm': its only instance is being replaced: an execution took longer than"
        " 8 s; 5 attempts failed, the last so: 4 threads hang in the engine and cannot be ended;"
        " mend the model, and restart the server; retry later"
    )
    assert bed.index()["m/1"].startswith("UNAVAILABLE its only instance is being replaced")
    assert not bed.registry.all_ready()
    assert await bed.echo("neighbour") == 1
    bed.backend.release()
    async with asyncio.timeout(SECONDS):
        while served(bed).hung_threads:
            await asyncio.sleep(0.001)
    await passed(bed, 30)  # the next attempt
    await until(bed, "READY")
    assert await asyncio.wait_for(ask(bed, WELL), SECONDS)


async def test_a_machine_that_stood_still_takes_no_engine_for_hung(bed: Bed) -> None:
    asked = ask(bed, HANGS)
    await hanging(bed, 1)
    await passed(bed, 3600)  # nobody was awake in between
    assert bed.index()["m/1"] == "READY"
    bed.backend.release()
    assert await asyncio.wait_for(asked, SECONDS)


async def test_an_execution_that_began_while_another_was_watched_has_its_full_time(
    tmp_path: Path,
) -> None:
    two = "instance_group { count: 2 }"
    config = fake_config(more=two, hang=f"{HANGS}.0", execution_timeout_seconds=LIMIT_S)
    add_model(tmp_path, "m", config)
    bed = Bed(tmp_path)
    await bed.follow()
    ask(bed, HANGS)
    await hanging(bed, 1)
    await passed(bed, LIMIT_S - 1)
    later = ask(bed, HANGS)
    await hanging(bed, 2)
    await passed(bed, 1)
    await hanging(bed, 3)  # the first was given up, and is tried elsewhere
    assert served(bed).hung_threads == 1
    assert not later.done()
    bed.backend.release()
    assert await asyncio.wait_for(later, SECONDS)
    await end(bed)


async def test_a_sequence_ends_with_the_instance_that_hung(tmp_path: Path) -> None:
    config = fake_config(batching=SEQUENCES, hang=f"{HANGS}.0", execution_timeout_seconds=LIMIT_S)
    add_model(tmp_path, "m", config)
    bed = Bed(tmp_path)
    await bed.follow()
    guilty = ask(bed, HANGS, sequence_id=7, sequence_start=True)
    await hanging(bed, 1)
    await passed(bed, LIMIT_S)
    message = await told(guilty)
    assert message.startswith("UNAVAILABLE: ")
    assert "an execution took longer than 8 s" in message
    other = ask(bed, WELL, sequence_id=8, sequence_start=True, sequence_end=True)
    assert await asyncio.wait_for(other, SECONDS)
    await end(bed)


async def test_a_decoupled_request_is_told_and_not_tried_again(tmp_path: Path) -> None:
    config = fake_config(more=DECOUPLED, hang=f"{HANGS}.0", execution_timeout_seconds=LIMIT_S)
    add_model(tmp_path, "m", config)
    bed = Bed(tmp_path)
    await bed.follow()
    request = InferRequest(model="m", inputs={"IN": np.full((1, 2), HANGS, np.float32)})

    async def read() -> list[InferResponse]:
        return [answer async for answer in served(bed).stream(request)]

    reading = asyncio.create_task(read())
    await hanging(bed, 1)
    await passed(bed, LIMIT_S)
    with pytest.raises(Unavailable, match="an execution took longer than 8 s; ask again"):
        await asyncio.wait_for(reading, SECONDS)
    await end(bed)


@pytest.mark.parametrize("step", ["hang_to_open", "hang_to_start"])
async def test_a_load_that_hangs_fails_and_the_others_are_served(tmp_path: Path, step: str) -> None:
    asked = {"load_timeout_seconds": LIMIT_S, step: "true"}
    add_model(tmp_path, "m", fake_config(more=parameters(asked)))
    add_model(tmp_path, "neighbour")
    bed = Bed(tmp_path)
    loading = asyncio.create_task(bed.follow())
    await hanging(bed, 1)
    await until(bed, "READY", "neighbour/1")
    await passed(bed, LIMIT_S)
    await asyncio.wait_for(loading, SECONDS)
    what = {"hang_to_open": "opening it", "hang_to_start": "making and warming up an instance"}
    assert bed.index()["m/1"] == (
        f"UNAVAILABLE m/1: {what[step]} took longer than 8 s; see what it waits for, or give it"
        ' longer by parameters["load_timeout_seconds"]'
    )
    assert await bed.echo("neighbour") == 1
    await end(bed)


async def test_loads_that_hang_are_not_tried_for_ever(tmp_path: Path) -> None:
    folder = add_model(tmp_path, "m")
    bed = Bed(tmp_path)
    await bed.follow()
    for attempt in range(MOST_HUNG + 1):  # each is a change to look at
        config = fake_config(load_timeout_seconds=LIMIT_S, hang_to_open="true", delay_us=attempt)
        (folder / "config.pbtxt").write_text(config)
        loading = asyncio.create_task(bed.follow())
        if attempt < MOST_HUNG:
            await hanging(bed, attempt + 1)
            await passed(bed, LIMIT_S)
        await asyncio.wait_for(loading, SECONDS)
        assert await bed.echo("m") == 1  # what served serves on
    assert "4 threads hang in the engine and cannot be ended" in bed.index()["m/1"]
    await end(bed)


async def test_without_a_limit_nothing_is_given_up(tmp_path: Path) -> None:
    add_model(tmp_path, "m", fake_config(hang=f"{HANGS}.0", execution_timeout_seconds=0))
    bed = Bed(tmp_path)
    await bed.follow()
    asked = ask(bed, HANGS)
    await hanging(bed, 1)
    for _ in range(3):
        await passed(bed, 1e6)
    assert bed.index()["m/1"] == "READY"
    bed.backend.release()
    assert await asyncio.wait_for(asked, SECONDS)
    await end(bed)


async def test_a_model_that_hangs_is_unloaded_all_the_same(bed: Bed) -> None:
    guilty = ask(bed, HANGS)
    await hanging(bed, 1)
    leaving = asyncio.create_task(bed.manager.unload_all())
    await passed(bed, LIMIT_S)
    await hanging(bed, 2)
    await passed(bed, LIMIT_S)
    with pytest.raises(EngineFailed):
        await asyncio.wait_for(guilty, SECONDS)
    await asyncio.wait_for(leaving, SECONDS)
    assert bed.index()["m/1"] == "UNAVAILABLE unloaded"
