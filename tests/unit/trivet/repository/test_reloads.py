"""Repositories that change while they are served: what is loaded, what stays, and what is told."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.harness.labelling import add_labelling
from tests.harness.managed import Bed
from tests.harness.repositories import add_model, fake_config, pipeline_config
from trivet.config import LabelTask
from trivet.config_file import Faults
from trivet.errors import InvalidInput, NotFound
from trivet.repository.inspection import inspect
from trivet.repository.layout import read_repositories
from trivet.testing.clock import settle

ALL = "version_policy { all {} }"

# It has a text and a vector for each; the fake backend's output echoes its first input.
EMBED = """
    backend: "fake"
    max_batch_size: 8
    input [
      { name: "VECTOR" data_type: TYPE_FP32 dims: [ 4 ] optional: true },
      { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] }
    ]
    output { name: "EMBEDDING" data_type: TYPE_FP32 dims: [ 4 ] }
"""


def write_config(folder: Path, text: str) -> None:
    (folder / "config.pbtxt").write_text(text)


def alias(**versions: int) -> str:
    return "\n".join(
        f'parameters {{ key: "version_alias.{name}" value {{ string_value: "{version}" }} }}'
        for name, version in versions.items()
    )


async def test_a_new_version_takes_over_when_it_is_warm(tmp_path: Path) -> None:
    folder = add_model(tmp_path, "echo")
    gate = threading.Event()
    gate.set()
    bed = Bed(tmp_path, gate=gate)
    await bed.follow()
    gate.clear()
    (folder / "2").mkdir()
    following = asyncio.create_task(bed.follow())
    await asyncio.to_thread(bed.backend.wait_for_batches, 2, timeout_s=10)  # its warm-up
    assert bed.index() == {"echo/1": "READY", "echo/2": "LOADING"}
    assert bed.registry.all_ready(), "a version to come does not make the server less ready"
    with bed.registry.acquire("echo") as served:
        assert served.version == 1
    gate.set()
    await following
    await bed.departures()
    assert bed.index() == {"echo/1": "UNAVAILABLE unloaded", "echo/2": "READY"}
    assert await bed.echo("echo") == 2
    shutil.rmtree(folder / "1")
    await bed.follow()
    assert bed.index() == {"echo/2": "READY"}
    await bed.end()


async def test_the_old_version_drains_when_the_new_one_serves(tmp_path: Path) -> None:
    folder = add_model(tmp_path, "echo")
    bed = Bed(tmp_path)
    await bed.follow()
    with bed.registry.acquire("echo") as used:
        (folder / "2").mkdir()
        await bed.follow()
        assert bed.index() == {"echo/1": "UNLOADING", "echo/2": "READY"}
        assert used.version == 1
    await bed.departures()
    assert bed.index()["echo/1"] == "UNAVAILABLE unloaded"
    await bed.end()


CHANGES: dict[str, Callable[[Path], object]] = {
    "config": lambda folder: write_config(folder, fake_config(delay_us=1)),
    "a version's file": lambda folder: (folder / "1" / "weights").write_text("other"),
    "a file added": lambda folder: (folder / "1" / "more").write_text(""),
    "labels": lambda folder: (folder / "labels.txt").write_text("b\na\n"),
    "warm-up data": lambda folder: (folder / "warmup" / "ones").write_bytes(b"\2"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_what_changes_is_loaded_again(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    bed, folder = Bed(tmp_path), with_files(tmp_path)
    await bed.follow()
    with bed.registry.acquire("echo") as before:
        pass
    change(folder)
    await bed.follow()
    with bed.registry.acquire("echo") as after:
        assert after is not before
    assert bed.index() == {"echo/1": "READY"}
    assert await bed.echo("echo") == 1
    await bed.end()


SAME: dict[str, Callable[[Path], object]] = {
    "touched": lambda folder: [os.utime(path) for path in folder.rglob("*")],
    "written again": lambda folder: (folder / "1" / "weights").write_text("one"),
    "hidden": lambda folder: (folder / "1" / ".part").write_text("x"),
    "unfinished": lambda folder: (folder / "1" / "weights.tmp").write_text("x"),
    "a version to come": lambda folder: (folder / "2.tmp").mkdir(),
    "a comment": lambda folder: write_config(folder, f"# told\n{fake_config()}"),
}


@pytest.mark.parametrize("change", SAME.values(), ids=SAME)
async def test_what_only_looks_changed_is_not(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    bed, folder = Bed(tmp_path), with_files(tmp_path)
    await bed.follow()
    with bed.registry.acquire("echo") as before:
        pass
    change(folder)
    await bed.follow()
    with bed.registry.acquire("echo") as after:
        assert after is before
    await bed.end()


def with_files(repository: Path) -> Path:
    folder = add_model(repository, "echo")
    (folder / "1" / "weights").write_text("one")
    (folder / "labels.txt").write_text("a\nb\n")
    (folder / "warmup").mkdir()
    (folder / "warmup" / "ones").write_bytes(b"\1")
    return folder


async def test_a_broken_version_leaves_the_old_one_serving_and_says_why(tmp_path: Path) -> None:
    folder = add_model(tmp_path, "echo", fake_config().replace('backend: "fake"', ""))
    (folder / "1" / "model.py").touch()
    bed = Bed(tmp_path, installed=("fake", "python"), stand_in=True)
    await bed.follow()
    (folder / "2").mkdir()
    await bed.follow()
    states = bed.index()
    assert states.pop("echo/1") == "READY"
    assert states == {
        "echo/2": "UNAVAILABLE echo/2: neither config.pbtxt nor the name of a file tells which"
        ' backend runs it; set backend, e.g. backend: "onnxruntime"'
    }
    assert await bed.echo("echo") == 1
    (folder / "2" / "model.py").touch()
    await bed.follow()
    assert await bed.echo("echo") == 2
    await bed.end()


async def test_a_broken_config_leaves_all_that_serves_and_every_fault_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = add_model(tmp_path, "echo")
    bed = Bed(tmp_path)
    await bed.follow()
    write_config(folder, fake_config(max_batch_size=-2) + "\nfoo: 1")
    await bed.follow()
    await bed.follow()
    shown = bed.index()["echo/1"]
    assert shown.startswith("READY echo/config.pbtxt: line ")
    assert "no field 'foo'" in shown
    assert "max_batch_size: is -2" in shown
    logged = [r for r in caplog.records if r.message == "model_not_loaded"]
    assert len(logged) == 2, "each fault is logged once, however often it is looked at"
    assert await bed.echo("echo") == 1
    write_config(folder, fake_config())
    await bed.follow()
    assert bed.index() == {"echo/1": "READY"}
    await bed.end()


async def test_a_reload_that_fails_leaves_the_same_version_serving(tmp_path: Path) -> None:
    folder = add_model(tmp_path, "echo")
    bed = Bed(tmp_path)
    await bed.follow()
    write_config(folder, fake_config(fail_to_open="true"))
    await bed.follow()
    assert bed.index()["echo/1"].startswith('READY echo/config.pbtxt: parameters["fail_to_open"]')
    assert await bed.echo("echo") == 1
    attempts = len(bed.opened)
    await bed.follow()
    assert len(bed.opened) == attempts, "what failed is not tried again until it changes"
    write_config(folder, fake_config())
    await bed.follow()
    assert bed.index() == {"echo/1": "READY"}
    assert len(bed.opened) == attempts, "the files are again those that serve"
    await bed.end()


async def test_a_model_that_is_removed_goes_and_may_come_back(tmp_path: Path) -> None:
    add_model(tmp_path, "stays")
    folder = add_model(tmp_path, "goes")
    bed = Bed(tmp_path)
    await bed.follow()
    shutil.rmtree(folder)
    await bed.follow()
    await bed.departures()
    with pytest.raises(NotFound):
        await bed.echo("goes")
    await bed.follow()
    assert bed.index() == {"stays/1": "READY"}
    assert bed.registry.all_ready()
    add_model(tmp_path, "goes", versions=(4,))
    await bed.follow()
    assert bed.index() == {"goes/4": "READY", "stays/1": "READY"}
    await bed.end()


async def test_members_reload_under_a_pipeline(tmp_path: Path) -> None:
    first = add_model(tmp_path, "first")
    add_model(tmp_path, "second")
    add_model(tmp_path, "pipe", pipeline_config(["first", "second"]))
    bed = Bed(tmp_path)
    await bed.follow()
    with bed.registry.acquire("pipe") as before:
        pass
    (first / "2").mkdir()
    write_config(tmp_path / "second", fake_config(delay_us=1))
    await bed.follow()
    with bed.registry.acquire("pipe") as after:
        assert after is before, "it is looked at, and keeps its counters"
    await bed.echo("pipe")
    await bed.end()


async def test_a_pipeline_goes_with_its_member_and_comes_back_with_it(tmp_path: Path) -> None:
    member = add_model(tmp_path, "member")
    add_model(tmp_path, "inner", pipeline_config(["member"]))
    add_model(tmp_path, "outer", pipeline_config(["inner"]))
    bed = Bed(tmp_path)
    await bed.follow()
    with bed.registry.acquire("outer"):
        shutil.move(member, tmp_path.parent / "elsewhere")
        await bed.follow()
        await settle()
        assert bed.index()["outer/1"].startswith("UNLOADING")
        # What was accepted needs its members to the end.
        assert await bed.echo("inner") == await bed.echo("member") == 1
    await bed.departures()
    assert bed.index() == {
        "inner/1": "UNAVAILABLE inner/config.pbtxt: ensemble_scheduling.step[0].model_name: there"
        " is no model 'member'; name a model of the repository",
        "outer/1": "UNAVAILABLE outer/config.pbtxt: ensemble_scheduling.step[0].model_name: model"
        " 'inner' cannot be loaded; see what is wrong with it",
    } | {"member/1": "UNAVAILABLE unloaded"}
    assert not bed.registry.all_ready()
    shutil.move(tmp_path.parent / "elsewhere", member)
    await bed.follow()
    assert set(bed.index().values()) == {"READY"}
    assert await bed.echo("outer") == 1
    await bed.end()


async def test_a_model_that_labels_texts_goes_with_what_embeds_and_comes_back(
    tmp_path: Path,
) -> None:
    embed = add_model(tmp_path, "embed", EMBED)
    add_labelling(tmp_path, LabelTask.ZERO_SHOT)
    bed = Bed(tmp_path)
    await bed.follow()
    assert set(bed.index().values()) == {"READY"}
    shutil.move(embed, tmp_path.parent / "elsewhere")
    await bed.follow()
    await bed.departures()
    assert bed.index() == {
        "embed/1": "UNAVAILABLE unloaded",
        "zero_shot/1": "UNAVAILABLE zero_shot/config.pbtxt: ensemble_scheduling.step[0].model_name:"
        " there is no model 'embed'; name a model of the repository",
    }
    shutil.move(tmp_path.parent / "elsewhere", embed)
    await bed.follow()
    assert set(bed.index().values()) == {"READY"}
    await bed.end()


async def test_a_pipeline_that_its_members_no_longer_fit_goes_and_says_so(tmp_path: Path) -> None:
    add_model(tmp_path, "member", fake_config())
    add_model(tmp_path, "pipe", pipeline_config(["member"]))
    bed = Bed(tmp_path)
    await bed.follow()
    write_config(tmp_path / "member", fake_config(datatype="INT32"))
    await bed.follow()
    await bed.departures()
    states = bed.index()
    assert states["member/1"] == "READY"
    assert "tensor 'IN' is FP32, but input 'IN' of model 'member' takes INT32" in states["pipe/1"]
    write_config(tmp_path / "member", fake_config())
    await bed.follow()
    assert await bed.echo("pipe") == 1
    await bed.end()


async def test_a_version_that_a_pipeline_calls_by_number_stays_as_long_as_it_does(
    tmp_path: Path,
) -> None:
    member = add_model(tmp_path, "member", fake_config(more=ALL))
    config = pipeline_config(["member"]).replace("model_version: -1", "model_version: 1")
    pipe = add_model(tmp_path, "pipe", config)
    bed = Bed(tmp_path)
    await bed.follow()
    (member / "2").mkdir()
    write_config(member, fake_config())
    write_config(pipe, config.replace("model_version: 1", "model_version: 2"))
    await bed.follow()
    await bed.departures()
    assert bed.index() == {
        "member/1": "UNAVAILABLE unloaded",
        "member/2": "READY",
        "pipe/1": "READY",
    }
    assert await bed.echo("pipe") == 1
    await bed.end()


async def test_an_alias_stands_for_a_version_and_moves_without_a_load(tmp_path: Path) -> None:
    folder = add_model(
        tmp_path, "echo", fake_config(more=ALL + alias(stable=1, canary=2)), versions=(1, 2)
    )
    bed = Bed(tmp_path)
    await bed.follow()
    assert await bed.echo("echo", "stable") == 1
    assert await bed.echo("echo", "canary") == 2
    assert bed.registry.is_ready("echo", "canary")
    with pytest.raises(InvalidInput, match="no alias of the model; aliases known: canary, stable"):
        await bed.echo("echo", "beta")
    with pytest.raises(NotFound, match="unknown model"):
        await bed.echo("nobody", "stable")
    opened = len(bed.opened)
    write_config(folder, fake_config(more=ALL + alias(stable=2)))
    await bed.follow()
    assert await bed.echo("echo", "stable") == 2
    assert len(bed.opened) == opened
    write_config(folder, fake_config(more=ALL + alias(stable=7, Loud=1)))
    await bed.follow()
    shown = bed.index()["echo/2"]
    assert "parameters[\"version_alias.Loud\"]: 'Loud' cannot be an alias" in shown
    assert "'7' is no version that is served; name one of 1, 2" in shown
    assert await bed.echo("echo", "stable") == 2
    await bed.end()


async def test_a_repository_that_is_away_is_served_on_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    add_model(tmp_path / "one", "a")
    add_model(tmp_path / "two", "b")
    bed = Bed(tmp_path / "one", tmp_path / "two")
    await bed.follow()
    (tmp_path / "one").rename(tmp_path / "gone")
    add_model(tmp_path / "two", "c")
    for _ in range(3):
        await bed.follow()
    assert bed.index() == {
        "a/1": "READY repository 'one': there is no such model repository;"
        " served as it was last seen",
        "b/1": "READY",
        "c/1": "READY",
    }
    assert await bed.echo("a") == 1
    told = [r for r in caplog.records if r.message == "repository_away"]
    assert len(told) == 1
    assert "served as it was last seen" in told[0].fault  # type: ignore[attr-defined]
    (tmp_path / "gone").rename(tmp_path / "one")
    opened = len(bed.opened)
    await bed.follow()
    assert set(bed.index().values()) == {"READY"}
    assert len(bed.opened) == opened
    (tmp_path / "one").rename(tmp_path / "gone")
    await bed.follow()
    assert len([r for r in caplog.records if r.message == "repository_away"]) == 2
    await bed.end()


async def test_an_empty_mount_point_is_a_repository_that_is_away(tmp_path: Path) -> None:
    add_model(tmp_path / "disk", "a")
    bed = Bed(tmp_path / "disk")
    await bed.follow()
    (tmp_path / "disk").rename(tmp_path / "unmounted")
    (tmp_path / "disk").mkdir()
    await bed.follow()
    assert "is another folder than before, and empty" in bed.index()["a/1"]
    assert await bed.echo("a") == 1
    await bed.end()


async def test_a_model_whose_folder_cannot_be_read_serves_on(tmp_path: Path) -> None:
    folder = add_model(tmp_path, "echo")
    bed = Bed(tmp_path)
    await bed.follow()
    (folder / "config.pbtxt").write_bytes(b"\xff")
    await bed.follow()
    assert bed.index() == {"echo/1": "READY echo/config.pbtxt: is not UTF-8; save it as UTF-8 text"}
    write_config(folder, fake_config())
    await bed.follow()
    assert bed.index() == {"echo/1": "READY"}
    await bed.end()


async def test_serve_and_check_tell_the_same_faults(tmp_path: Path) -> None:
    add_model(tmp_path, "good")
    add_model(tmp_path, "bad", fake_config(max_batch_size=-1) + "foo: 1")
    add_model(tmp_path, "none", versions=())
    add_model(tmp_path, "torn", 'backend: "fake" default_model_filename: "weights"')
    add_model(tmp_path, "pipe", pipeline_config(["bad", "nobody"]))
    add_model(tmp_path, "mapped", pipeline_config(["good"], datatype="INT8"))
    (tmp_path / "a:b").mkdir()
    bed = Bed(tmp_path)
    await bed.follow()
    faults = Faults()
    snapshot = read_repositories([tmp_path], faults)
    for model in inspect(snapshot, ("fake",)):
        faults.extend(model.faults)
    assert sorted(map(str, bed.faults)) == sorted(map(str, faults))
    assert len(bed.faults) >= 8
    await bed.end()


async def test_a_pipeline_serves_on_while_what_is_new_of_its_member_is_broken(
    tmp_path: Path,
) -> None:
    member = add_model(tmp_path, "member")
    config = pipeline_config(["member"]).replace("model_version: -1", "model_version: 1")
    add_model(tmp_path, "pipe", config)
    bed = Bed(tmp_path)
    await bed.follow()
    for broken in (b"max_batch_size: -1", b"\xff"):
        (member / "config.pbtxt").write_bytes(broken)
        await bed.follow()
        assert await bed.echo("pipe") == 1
        assert "model 'member' cannot be loaded" in bed.index()["pipe/1"]
    write_config(member, fake_config())
    await bed.follow()
    assert bed.index() == {"member/1": "READY", "pipe/1": "READY"}
    await bed.end()
