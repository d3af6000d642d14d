"""Following a repository by the clock: what is looked at, when, and what is made of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.harness.managed import Bed
from tests.harness.repositories import add_model, fake_config
from trivet.repository.options import ControlMode, ControlOptions
from trivet.repository.watcher import Watcher

POLL = ControlOptions(mode=ControlMode.POLL, poll_s=10, settle_s=2)


@asynccontextmanager
async def watching(*repositories: Path) -> AsyncIterator[Bed]:
    """A watcher whose looks are made by `look`."""
    bed = Bed(*repositories)
    await bed.follow()
    bed.watcher = Watcher(bed.manager, bed.clock, POLL, await bed.manager.look())
    yield bed
    await bed.end()


async def look(bed: Bed, after_s: float = 0) -> None:
    await bed.clock.advance(us=int(after_s * 1e6))
    assert bed.watcher
    await bed.watcher.look()


async def test_a_version_that_is_copied_in_slowly_is_not_read_half_way(tmp_path: Path) -> None:
    folder = add_model(tmp_path, "echo")
    async with watching(tmp_path) as bed:
        file = folder / "2" / "weights"
        file.parent.mkdir()
        for size in range(1, 5):
            file.write_bytes(b"x" * size)
            await look(bed, after_s=1.9)
            assert bed.opened == ["echo/1"]
        await look(bed, after_s=1.9)
        assert bed.opened == ["echo/1"]
        await look(bed, after_s=0.1)
        assert bed.opened == ["echo/1", "echo/2"]
        assert await bed.echo("echo") == 2


async def test_a_version_that_is_renamed_to_its_place_is_taken_at_the_first_look(
    tmp_path: Path,
) -> None:
    folder = add_model(tmp_path, "echo")
    async with watching(tmp_path) as bed:
        made = folder / ".2"
        made.mkdir()
        (made / "weights").write_bytes(b"all")
        later(made)
        made.rename(folder / "2")
        await look(bed)
        assert bed.opened == ["echo/1", "echo/2"]


async def test_a_model_that_is_moved_in_is_taken_at_the_first_look(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    add_model(repository, "echo")
    made = add_model(tmp_path / "made", "new")
    async with watching(repository) as bed:
        later(made)
        made.rename(repository / "new")
        await look(bed)
        assert bed.opened == ["echo/1", "new/1"]


async def test_what_did_not_change_is_looked_at_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_model(tmp_path, "echo")
    async with watching(tmp_path) as bed:
        monkeypatch.setattr(bed.manager, "reconcile", None)  # calling it would raise
        for _ in range(3):
            await look(bed, after_s=10)
            (tmp_path / "echo" / "config.pbtxt").touch()


async def test_looks_come_by_the_clock_and_sooner_while_something_changes(tmp_path: Path) -> None:
    folder = add_model(tmp_path, "echo")
    async with watching(tmp_path) as bed:
        assert bed.watcher
        looks: list[float] = []
        look_once = bed.watcher.look

        async def noted() -> None:
            looks.append(bed.clock.now_ns() / 1e9)
            await look_once()
            looked.set()

        looked = asyncio.Event()
        bed.watcher.look = noted  # type: ignore[method-assign]
        task = asyncio.create_task(bed.watcher.watch())
        await asyncio.sleep(0)
        (folder / "config.pbtxt").write_text(fake_config(delay_us=1))
        for step in (10, 1, 1, 9, 1):
            looked.clear()
            before = len(looks)
            await bed.clock.advance(us=step * 1_000_000)
            if len(looks) > before:
                await looked.wait()
                await asyncio.sleep(0)
        task.cancel()
        assert looks == [10, 12, 22]
        assert bed.opened == ["echo/1", "echo/1"]


async def test_a_look_that_fails_is_not_the_last(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_model(tmp_path, "echo")
    async with watching(tmp_path) as bed:
        assert bed.watcher
        looks = 0

        async def failing() -> None:
            nonlocal looks
            looks += 1
            raise OSError("disk on fire")

        bed.watcher.look = failing  # type: ignore[method-assign]
        task = asyncio.create_task(bed.watcher.watch())
        for _ in range(3):
            await asyncio.sleep(0)
            await bed.clock.advance(us=10_000_000)
        task.cancel()
        assert looks == 3
        assert "repository_look_failed" in caplog.text


async def test_a_change_that_could_not_be_acted_on_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = add_model(tmp_path, "echo")
    async with watching(tmp_path) as bed:
        (folder / "2").mkdir()
        await look(bed)
        with monkeypatch.context() as broken, pytest.raises(TypeError):
            broken.setattr(bed.manager, "reconcile", None)
            await look(bed, after_s=2)
        await look(bed, after_s=10)
        assert bed.opened == ["echo/1", "echo/2"]


def later(folder: Path) -> None:
    """Wait until the file system's clock has moved on since all in a folder was written."""
    probe = folder.parent / ".probe"
    newest = max(path.stat().st_ctime_ns for path in (folder, *folder.rglob("*")))
    while True:
        probe.write_text("x")
        if probe.stat().st_ctime_ns > newest:
            probe.unlink()
            return
