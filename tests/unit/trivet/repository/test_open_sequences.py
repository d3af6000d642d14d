"""Sequences that are open when another load is published: they stay where they are."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from tests.harness.managed import Bed
from tests.harness.repositories import add_model, fake_config, pipeline_config
from trivet.errors import ServeError
from trivet.model.model import Model
from trivet.repository.keepers import Keepers
from trivet.request import InferRequest
from trivet.testing.clock import settle

IDLE_US = 5_000_000
ALIAS = 'parameters {{ key: "version_alias.stable" value {{ string_value: "{}" }} }}'


def sequences(*, delay_us: int = 0, more: str = "") -> str:
    """A config.pbtxt. delay_us: of each batch; another one is another load."""
    batching = f"sequence_batching {{ max_sequence_idle_microseconds: {IDLE_US} }}"
    return fake_config(batching=batching, more=more, delay_us=delay_us)


def asked(
    number: int | str, flags: str = "", version: int | str | None = None, model: str = "m"
) -> InferRequest:
    """flags: S starts the sequence, E ends it."""
    return InferRequest(
        model=model,
        version=version,
        inputs={"IN": np.ones((1, 3), np.float32)},
        parameters={
            "sequence_id": number,
            "sequence_start": "S" in flags,
            "sequence_end": "E" in flags,
        },
    )


async def say(bed: Bed, request: InferRequest) -> Model:
    """Have it answered; returns the load that did."""
    with bed.registry.acquire_for(request) as model:
        await model.infer(request)
        return model


async def refusal(bed: Bed, request: InferRequest) -> str:
    with pytest.raises(ServeError) as told:
        await say(bed, request)
    return told.value.message


class Reloaded:
    """A model whose sequence 1 is open on its first load while a second one serves."""

    def __init__(self, bed: Bed, old: Model, new: Model) -> None:
        self.bed, self.old, self.new = bed, old, new

    @classmethod
    async def made(cls, repository: Path, version: int | str | None = None) -> Reloaded:
        folder, bed = add_model(repository, "m", sequences(more=ALIAS.format(1))), Bed(repository)
        await bed.follow()
        old = await say(bed, asked(1, "S", version))
        (folder / "config.pbtxt").write_text(sequences(delay_us=1, more=ALIAS.format(1)))
        await bed.follow()
        with bed.registry.acquire("m") as new:
            assert new is not old
        return cls(bed, old, new)

    async def close(self) -> None:
        await asyncio.wait_for(self.bed.departures(), 10)
        assert threads() == 1, "of the new load's instance"
        await self.bed.end()


def threads() -> int:
    """Instances of the model that live."""
    return len([thread for thread in threading.enumerate() if thread.name.startswith("m-")])


@pytest.mark.parametrize("version", [None, 1, "stable"])
async def test_an_open_sequence_stays_with_the_load_before_and_new_ones_do_not(
    tmp_path: Path, version: int | str | None
) -> None:
    one = await Reloaded.made(tmp_path, version)
    assert await say(one.bed, asked(1, "", version)) is one.old
    assert await say(one.bed, asked(2, "S", version)) is one.new
    assert await say(one.bed, asked(2, "", version)) is one.new
    assert one.bed.manager.departing(), "a sequence is open"
    assert await say(one.bed, asked(1, "E", version)) is one.old
    await asyncio.wait_for(one.bed.departures(), 10)
    assert "START" in await refusal(one.bed, asked(1, "", version))
    assert await say(one.bed, asked(1, "S", version)) is one.new
    await one.close()


async def test_an_open_sequence_stays_with_its_version_when_a_newer_one_is_the_latest(
    tmp_path: Path,
) -> None:
    folder, bed = add_model(tmp_path, "m", sequences(more=ALIAS.format(1))), Bed(tmp_path)
    await bed.follow()
    for number, version in ((1, None), (2, 1), (3, "stable")):
        await say(bed, asked(number, "S", version))
    (folder / "2").mkdir()
    (folder / "config.pbtxt").write_text(sequences(more=ALIAS.format(2)))
    await bed.follow()
    assert bed.index() == {"m/1": "UNLOADING", "m/2": "READY"}
    for number, version in ((1, None), (2, 1), (3, "stable")):
        assert (await say(bed, asked(number, "", version))).version == 1
    assert (await say(bed, asked(4, "S"))).version == 2
    assert (await say(bed, asked(5, "S", "stable"))).version == 2
    assert "not ready" in await refusal(bed, asked(6, "S", 1))
    for number, version in ((1, None), (2, 1), (3, "stable")):
        assert (await say(bed, asked(number, "E", version))).version == 1
    await asyncio.wait_for(bed.departures(), 10)
    assert bed.index() == {"m/1": "UNAVAILABLE unloaded", "m/2": "READY"}
    await bed.end()


async def test_two_versions_that_are_served_keep_their_callers_apart(tmp_path: Path) -> None:
    """The ids of who asks for version 1 and of who asks for the latest may be the same."""
    config = sequences(more="version_policy { all {} }")
    folder, bed = add_model(tmp_path, "m", config), Bed(tmp_path)
    await bed.follow()
    await say(bed, asked(1, "S", 1))
    await say(bed, asked(2, "S"))
    (folder / "2").mkdir()
    await bed.follow()
    assert "START" in await refusal(bed, asked(1))
    assert (await say(bed, asked(1, "S"))).version == 2
    assert (await say(bed, asked(1, "", 1))).version == 1
    assert (await say(bed, asked(1))).version == 2
    assert (await say(bed, asked(2))).version == 1, "it was the latest when the sequence began"
    await bed.end()


async def test_a_sequence_that_begins_anew_leaves_the_load_before(tmp_path: Path) -> None:
    one = await Reloaded.made(tmp_path)
    assert await say(one.bed, asked(1, "S")) is one.new
    assert await say(one.bed, asked(1)) is one.new
    await one.close()


async def test_a_sequence_that_is_idle_for_too_long_lets_its_load_go(tmp_path: Path) -> None:
    one = await Reloaded.made(tmp_path)
    await one.bed.clock.advance(us=IDLE_US)
    await one.close()


async def test_a_sequence_that_is_cancelled_lets_its_load_go(tmp_path: Path) -> None:
    """Of two requests the second waits for the first; its caller leaves."""
    folder = add_model(tmp_path, "m", sequences())
    gate = threading.Event()
    gate.set()
    bed = Bed(tmp_path, gate=gate)
    await bed.follow()
    await say(bed, asked(1, "S"))
    (folder / "config.pbtxt").write_text(sequences(delay_us=1))
    await bed.follow()
    gate.clear()
    running, waiting = [asyncio.create_task(say(bed, asked(1))) for _ in range(2)]
    await settle()
    waiting.cancel()
    with suppress(asyncio.CancelledError):
        await waiting
    gate.set()
    await running
    await asyncio.wait_for(bed.departures(), 10)
    assert "START" in await refusal(bed, asked(1))
    await bed.end()


async def test_an_unload_waits_for_no_sequence_of_any_load(tmp_path: Path) -> None:
    one = await Reloaded.made(tmp_path)
    await say(one.bed, asked(2, "S"))
    await one.bed.manager.reconcile(await one.bed.manager.look(), names=())
    await asyncio.wait_for(one.bed.departures(), 10)
    assert one.bed.index() == {"m/1": "UNAVAILABLE unloaded"}
    assert threads() == 0
    for number in (1, 2):
        assert "unloaded" in await refusal(one.bed, asked(number))


async def test_the_end_of_the_server_waits_for_no_sequence(tmp_path: Path) -> None:
    one = await Reloaded.made(tmp_path)
    await say(one.bed, asked(2, "S"))
    await asyncio.wait_for(one.bed.end(), 10)
    assert threads() == 0


async def test_a_version_that_comes_back_meanwhile_takes_the_new_sequences(tmp_path: Path) -> None:
    folder, bed = add_model(tmp_path, "m", sequences()), Bed(tmp_path)
    await bed.follow()
    first = await say(bed, asked(1, "S"))
    (folder / "2").mkdir()
    await bed.follow()
    second = await say(bed, asked(2, "S"))
    (folder / "2").rmdir()
    await bed.follow()
    third = await say(bed, asked(3, "S"))
    assert [model.version for model in (first, second, third)] == [1, 2, 1]
    assert third is not first
    for number, model in ((1, first), (2, second), (3, third)):
        assert await say(bed, asked(number, "E")) is model
    await asyncio.wait_for(bed.departures(), 10)
    assert threads() == 1
    await bed.end()


async def test_a_pipeline_stays_with_the_load_of_its_member(tmp_path: Path) -> None:
    folder = add_model(tmp_path, "m", sequences())
    add_model(tmp_path, "pipe", pipeline_config(["m"]))
    bed = Bed(tmp_path)
    await bed.follow()
    await say(bed, asked(1, "S", model="pipe"))
    with bed.registry.acquire("m") as old:
        pass
    (folder / "config.pbtxt").write_text(sequences(delay_us=1))
    await bed.follow()
    before = old.statistics.success.count
    await say(bed, asked(1, "E", model="pipe"))
    assert old.statistics.success.count == before + 1
    await asyncio.wait_for(bed.departures(), 10)
    await bed.end()


async def test_a_model_that_keeps_no_sequences_any_more_leaves_them_where_they_are(
    tmp_path: Path,
) -> None:
    folder, bed = add_model(tmp_path, "m", sequences()), Bed(tmp_path)
    await bed.follow()
    old = await say(bed, asked(1, "S"))
    (folder / "config.pbtxt").write_text(fake_config())
    await bed.follow()
    assert await say(bed, asked(2)) is not old
    assert await say(bed, asked(1, "E")) is old
    await asyncio.wait_for(bed.departures(), 10)
    await bed.end()


async def test_who_serves_no_sequences_looks_at_no_request(tmp_path: Path) -> None:
    add_model(tmp_path, "m")
    bed = Bed(tmp_path)
    await bed.follow()
    with bed.registry.acquire("m") as model:
        assert model.sequences is None
    keepers = Keepers()
    assert not keepers
    assert keepers.keeper_of(asked(1)) is None
    await bed.end()
