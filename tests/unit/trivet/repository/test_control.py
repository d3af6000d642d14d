"""Loading and unloading as clients ask: what is done, what is left behind, and what is refused."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from pathlib import Path

import pytest

from tests.harness.managed import Bed
from tests.harness.repositories import add_model, fake_config, pipeline_config
from trivet.errors import InvalidConfig, Unavailable, Unimplemented
from trivet.repository.control import Control, NotPolled, NotStarted
from trivet.repository.options import ControlMode, ControlOptions

CONFIG = """{"backend": "fake", "max_batch_size": 8,
    "input": [{"name": "IN", "data_type": "TYPE_FP32", "dims": [-1]}],
    "output": [{"name": "OUT", "data_type": "TYPE_FP32", "dims": [-1]}]}"""
FAILING = CONFIG.replace(
    '"max_batch_size"',
    '"parameters": {"fail_to_open": {"string_value": "true"}}, "max_batch_size"',
)


@pytest.fixture(autouse=True)
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where uploads go in these tests."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


async def started(bed: Bed, *names: str, mode: ControlMode = ControlMode.EXPLICIT) -> Control:
    options = ControlOptions(mode=mode, load_models=names, allow_upload=True)
    control = Control(bed.manager, bed.clock, options)
    await control.scan()
    assert await control.start() == []
    return control


async def test_a_load_goes_on_although_its_caller_leaves(tmp_path: Path) -> None:
    add_model(tmp_path / "r", "echo")
    gate = threading.Event()
    bed = Bed(tmp_path / "r", gate=gate)
    control = await started(bed)
    calling = asyncio.create_task(control.load("echo"))
    await asyncio.to_thread(bed.backend.wait_for_batches, 1, timeout_s=10)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    gate.set()
    await control.load("echo")  # waits for the first, and finds all done
    assert bed.index() == {"echo/1": "READY"}
    assert bed.opened == ["echo/1"]
    await control.close()


async def test_closing_gives_up_a_load_that_is_under_way(tmp_path: Path) -> None:
    add_model(tmp_path / "r", "echo")
    gate = threading.Event()
    bed = Bed(tmp_path / "r", gate=gate)
    control = await started(bed)
    calling = asyncio.create_task(control.load("echo"))
    await asyncio.to_thread(bed.backend.wait_for_batches, 1, timeout_s=10)
    closing = asyncio.create_task(control.close())
    await asyncio.sleep(0)
    gate.set()
    await closing
    with pytest.raises(asyncio.CancelledError):
        await calling
    assert not [t for t in threading.enumerate() if t.name.startswith("echo-")]


async def test_uploads_live_until_the_next_load_or_unload(tmp_path: Path, scratch: Path) -> None:
    add_model(tmp_path / "r", "echo")
    bed = Bed(tmp_path / "r")
    control = await started(bed, "echo")
    await control.load("echo", CONFIG, {"file:3/w": b"three"})
    (first,) = scratch.iterdir()
    assert await bed.echo("echo") == 3
    await control.load("echo", CONFIG, {"file:4/w": b"four"})
    (second,) = scratch.iterdir()
    assert first != second
    with pytest.raises(NotStarted, match="fail_to_open"):
        await control.load("echo", FAILING, {"file:5/w": b"five"})
    assert [second] == list(scratch.iterdir())
    assert await bed.echo("echo") == 4
    with pytest.raises(NotPolled, match="names no version"):
        await control.load("echo", CONFIG, {"file:../w": b"out"})
    await control.load("echo")
    assert await bed.echo("echo") == 1
    assert not list(scratch.iterdir())
    await control.load("echo", CONFIG, {"file:3/w": b"three"})
    await control.unload("echo")
    assert not list(scratch.iterdir())
    await control.load("sent", CONFIG, {"file:3/w": b"three"})
    await control.close()
    assert not list(scratch.iterdir())


async def test_a_model_that_is_sent_and_cannot_start_leaves_nothing(
    tmp_path: Path, scratch: Path
) -> None:
    add_model(tmp_path / "r", "echo")
    bed = Bed(tmp_path / "r")
    control = await started(bed, "echo")
    with pytest.raises(NotStarted, match="failed to load 'sent'"):
        await control.load("sent", FAILING, {"file:1/w": b""})
    assert not list(scratch.iterdir())
    await control.unload("sent")
    await control.refresh()
    assert bed.index() == {"echo/1": "READY"}
    assert bed.registry.all_ready()
    await control.close()


async def test_the_files_that_serve_are_kept_when_others_are_loaded(tmp_path: Path) -> None:
    folder = add_model(tmp_path / "r", "echo")
    add_model(tmp_path / "r", "other")
    bed = Bed(tmp_path / "r")
    control = await started(bed, "echo")
    (folder / "2").mkdir()
    (folder / "config.pbtxt").write_text("broken {")
    await control.load("other")
    assert bed.index() == {"echo/1": "READY", "other/1": "READY"}
    with pytest.raises(NotPolled, match=r"echo/config\.pbtxt: line 1"):
        await control.load("echo")
    (folder / "config.pbtxt").write_text(fake_config(fail_to_open="true"))
    with pytest.raises(NotStarted, match="fail_to_open"):
        await control.load("echo")
    with pytest.raises(NotStarted, match="fail_to_open"):
        await control.load("echo")
    assert bed.opened.count("echo/2") == 2, "asked again, it is tried again"
    assert await bed.echo("echo") == 1
    (folder / "config.pbtxt").write_text(fake_config())
    await control.load("echo")
    assert await bed.echo("echo") == 2
    await control.close()


async def test_what_is_wrong_with_a_member_is_told_with_the_pipeline(tmp_path: Path) -> None:
    add_model(tmp_path / "r", "member", fake_config(fail_to_open="true"))
    add_model(tmp_path / "r", "pipe", pipeline_config(["member"]))
    bed = Bed(tmp_path / "r")
    control = await started(bed)
    with pytest.raises(NotStarted, match="fail_to_open"):
        await control.load("pipe")
    (tmp_path / "r" / "member" / "config.pbtxt").write_text(fake_config())
    await control.load("pipe")
    assert await bed.echo("pipe") == 1
    await control.close()


async def test_the_index_shows_what_comes_and_goes(tmp_path: Path) -> None:
    folder = add_model(tmp_path / "r", "echo")
    bed = Bed(tmp_path / "r")
    control = await started(bed)
    add_model(tmp_path / "r", "new")
    await control.refresh()
    idle = "UNAVAILABLE not loaded; RepositoryModelLoad loads it"
    assert bed.index() == {"echo/0": idle, "new/0": idle}
    await control.load("echo")
    shutil.rmtree(tmp_path / "r" / "new")
    shutil.rmtree(folder)
    await control.refresh()
    assert bed.index() == {"echo/1": "READY"}
    await control.unload("echo")
    await control.refresh()
    assert bed.index() == {}
    await control.close()


async def test_all_models_may_be_asked_for_at_the_start(tmp_path: Path) -> None:
    add_model(tmp_path / "r", "a")
    add_model(tmp_path / "r", "b")
    bed = Bed(tmp_path / "r")
    control = await started(bed, "*")
    assert bed.index() == {"a/1": "READY", "b/1": "READY"}
    await control.close()


async def test_a_model_to_start_with_that_is_not_there_is_refused(tmp_path: Path) -> None:
    add_model(tmp_path / "r", "a")
    control = Control(
        Bed(tmp_path / "r").manager,
        Bed().clock,
        ControlOptions(mode=ControlMode.EXPLICIT, load_models=("b",)),
    )
    with pytest.raises(
        InvalidConfig, match="--load-model=b: there is no such model; name one of a"
    ):
        await control.scan()


@pytest.mark.parametrize("mode", [ControlMode.NONE, ControlMode.POLL])
async def test_in_other_modes_clients_load_nothing(tmp_path: Path, mode: ControlMode) -> None:
    add_model(tmp_path / "r", "echo")
    bed = Bed(tmp_path / "r")
    control = await started(bed, mode=mode)
    with pytest.raises(Unavailable, match="is not allowed"):
        await control.load("echo")
    with pytest.raises(Unavailable, match="is not allowed"):
        await control.unload("echo")
    assert bed.index() == {"echo/1": "READY"}
    await control.close()


async def test_uploads_are_refused_unless_switched_on(tmp_path: Path, scratch: Path) -> None:
    add_model(tmp_path / "r", "echo")
    bed = Bed(tmp_path / "r")
    control = Control(bed.manager, bed.clock, ControlOptions(mode=ControlMode.EXPLICIT))
    await control.scan()
    with pytest.raises(Unimplemented, match="--allow-model-upload"):
        await control.load("echo", CONFIG, {"file:1/w": b""})
    assert not list(scratch.iterdir())


async def test_a_repository_that_is_away_is_told_and_told_no_more_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_model(tmp_path / "one", "a")
    add_model(tmp_path / "two", "b")
    bed = Bed(tmp_path / "one", tmp_path / "two")
    control = await started(bed, "a", "b")
    (tmp_path / "one").rename(tmp_path / "gone")
    for _ in range(2):
        await control.refresh()
    away = "READY repository 'one': there is no such model repository; served as it was last seen"
    assert bed.index() == {"a/1": away, "b/1": "READY"}
    assert [r.message for r in caplog.records].count("repository_away") == 1
    await control.load("b")
    assert bed.index() == {"a/1": away, "b/1": "READY"}
    (tmp_path / "gone").rename(tmp_path / "one")
    await control.refresh()
    assert bed.index() == {"a/1": "READY", "b/1": "READY"}
    await control.close()
