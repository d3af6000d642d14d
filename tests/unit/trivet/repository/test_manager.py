"""The manager, on real folders and the fake backend: what is served, shown, and told apart."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from tests.harness.managed import Bed
from tests.harness.repositories import add_model, fake_config, pipeline_config
from trivet.errors import InvalidConfig, NotFound
from trivet.repository.entry import State
from trivet.testing.clock import settle


async def test_a_model_is_loaded_served_and_taken_out(tmp_path: Path) -> None:
    add_model(tmp_path, "echo")
    bed = Bed(tmp_path)
    await bed.follow()
    assert bed.index() == {"echo/1": "READY"}
    assert await bed.echo("echo") == 1
    assert bed.faults == []
    await bed.manager.unload_all()
    assert bed.index() == {"echo/1": "UNAVAILABLE unloaded"}
    assert not [t for t in threading.enumerate() if t.name.startswith("echo-")]


async def test_what_was_scanned_shows_as_loading_until_it_is_warm(tmp_path: Path) -> None:
    add_model(tmp_path, "echo")
    gate = threading.Event()
    bed = Bed(tmp_path, gate=gate)
    snapshot = await bed.manager.look()
    bed.manager.show(snapshot)
    assert bed.index() == {"echo/1": "LOADING"}
    assert bed.backend.batches == []
    loading = asyncio.create_task(bed.manager.reconcile(snapshot))
    await asyncio.to_thread(bed.backend.wait_for_batches, 1, timeout_s=10)  # the warm-up
    assert bed.index() == {"echo/1": "LOADING"}
    assert not bed.registry.all_ready()
    gate.set()
    await loading
    assert bed.index() == {"echo/1": "READY"}
    await bed.manager.unload_all()


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("", [11]),
        ("version_policy { latest {} }", []),
        ("version_policy { latest { num_versions: 1 } }", [11]),
        ("version_policy { latest { num_versions: 2 } }", [9, 11]),
        ("version_policy { latest { num_versions: 9 } }", [2, 9, 11]),
        ("version_policy { all {} }", [2, 9, 11]),
        ("version_policy { specific { versions: [ 9, 2 ] } }", [2, 9]),
    ],
)
async def test_the_version_policy_says_which_versions_are_served(
    tmp_path: Path, policy: str, served: list[int]
) -> None:
    add_model(tmp_path, "echo", fake_config(more=policy), versions=(2, 9, 11))
    (tmp_path / "echo" / "007").mkdir()
    bed = Bed(tmp_path)
    await bed.follow()
    assert list(bed.registry.versions("echo")) == served
    for version in served:
        assert await bed.echo("echo", version) == version
    if served:
        assert await bed.echo("echo") == max(served)
    await bed.manager.unload_all()


async def test_a_version_the_policy_names_has_to_be_there(tmp_path: Path) -> None:
    policy = "version_policy { specific { versions: [ 1, 3, 4 ] } }"
    add_model(tmp_path, "echo", fake_config(more=policy))
    bed = Bed(tmp_path)
    await bed.follow()
    assert [fault.what for fault in bed.faults] == [
        "there is no version 3, 4",
    ]
    assert list(bed.index()) == ["echo/0"]


FAULTY = {
    "config": (fake_config(max_batch_size=-1), "bad/config.pbtxt: max_batch_size"),
    "no config text": ("name: ", "bad/config.pbtxt"),
    "backend unknown": (fake_config().replace('"fake"', '"none"'), "there is no backend 'none'"),
    "backend untold": (
        fake_config().replace('backend: "fake"', ""),
        "bad/1: neither config.pbtxt nor the name of a file tells which backend runs it",
    ),
    "a GPU": (
        fake_config(more="instance_group { kind: KIND_GPU }"),
        "backend 'fake' computes on no GPU",
    ),
    "open": (fake_config(fail_to_open="true"), 'parameters["fail_to_open"]'),
    "warm-up": (fake_config(fail="true"), "told to fail"),
}


@pytest.mark.parametrize("case", FAULTY, ids=list(FAULTY))
async def test_a_faulty_model_is_shown_while_the_others_serve(tmp_path: Path, case: str) -> None:
    config, reason = FAULTY[case]
    add_model(tmp_path, "bad", config)
    add_model(tmp_path, "good")
    bed = Bed(tmp_path)
    await bed.follow()
    states = bed.index()
    assert states.pop("good/1") == "READY"
    ((place, shown),) = states.items()
    assert place in ("bad/0", "bad/1")
    assert shown.startswith("UNAVAILABLE ")
    assert reason in shown
    assert bed.faults
    assert not bed.registry.all_ready()
    with pytest.raises(NotFound, match="Request for unknown model: 'bad'"):
        await bed.echo("bad")
    assert await bed.echo("good") == 1
    await bed.manager.unload_all()


async def test_all_faults_of_a_config_are_told(tmp_path: Path) -> None:
    config = """
        name: "other"
        backend: "fake"
        max_batch_size: -2
        input { name: "IN" data_type: TYPE_FP32 dims: [ 0 ] }
        output { name: "OUT" dims: [ -1 ] }
        instance_group { count: -1 }
    """
    add_model(tmp_path, "bad", config)
    bed = Bed(tmp_path)
    await bed.follow()
    places = [fault.where.removeprefix("bad/config.pbtxt: ") for fault in bed.faults]
    assert places == [
        "name",
        "max_batch_size",
        "input[0].dims",
        "output[0].data_type",
        "instance_group[0].count",
    ]
    for fault in bed.faults:
        assert str(fault) in bed.index()["bad/0"]


async def test_a_model_without_a_version_is_shown_with_the_cure(tmp_path: Path) -> None:
    add_model(tmp_path, "empty", versions=())
    bed = Bed(tmp_path)
    await bed.follow()
    assert bed.index() == {
        "empty/0": "UNAVAILABLE empty: has no version; make a folder empty/1, with the model's"
        " files in it"
    }


async def test_a_config_that_cannot_be_read_concerns_its_model_only(tmp_path: Path) -> None:
    add_model(tmp_path, "good")
    add_model(tmp_path, "bad")
    (tmp_path / "bad" / "config.pbtxt").write_bytes(b"\xff\xfe")
    add_model(tmp_path, "pipe", pipeline_config(["good", "bad"]))
    (tmp_path / "no:name").mkdir()
    bed = Bed(tmp_path)
    await bed.follow()
    assert bed.index() == {
        "bad/0": "UNAVAILABLE bad/config.pbtxt: is not UTF-8; save it as UTF-8 text",
        "good/1": "READY",
        "pipe/0": "UNAVAILABLE pipe/config.pbtxt: ensemble_scheduling.step[1].model_name:"
        " model 'bad' cannot be loaded; see what is wrong with it",
    }
    assert any("'no:name' cannot be a model's name" in str(fault) for fault in bed.faults)
    await bed.manager.unload_all()


async def test_a_repository_that_is_not_there_is_refused(tmp_path: Path) -> None:
    bed = Bed(tmp_path, tmp_path / "nowhere")
    with pytest.raises(InvalidConfig, match="there is no such model repository"):
        await bed.manager.look()


async def test_several_repositories_are_one(tmp_path: Path) -> None:
    add_model(tmp_path / "a", "one")
    add_model(tmp_path / "b", "two")
    bed = Bed(tmp_path / "a", tmp_path / "b")
    await bed.follow()
    assert bed.index() == {"one/1": "READY", "two/1": "READY"}
    await bed.manager.unload_all()


async def test_a_pipeline_is_loaded_after_its_members_whatever_the_names(tmp_path: Path) -> None:
    add_model(tmp_path, "a_outer", pipeline_config(["b_inner", "z"]))
    add_model(tmp_path, "b_inner", pipeline_config(["z", "y"]))
    add_model(tmp_path, "y")
    add_model(tmp_path, "z")
    bed = Bed(tmp_path)
    await bed.follow()
    assert set(bed.index().values()) == {"READY"}
    assert await bed.echo("a_outer") == 1
    await bed.manager.unload_all()


async def test_a_pipeline_whose_members_config_is_faulty_says_so(tmp_path: Path) -> None:
    add_model(tmp_path, "bad", fake_config(max_batch_size=-1))
    add_model(tmp_path, "good")
    add_model(tmp_path, "pipe", pipeline_config(["good", "bad"]))
    add_model(tmp_path, "outer", pipeline_config(["pipe"]))
    bed = Bed(tmp_path)
    await bed.follow()
    states = bed.index()
    assert states["good/1"] == "READY"
    assert "step[1].model_name: model 'bad' cannot be loaded" in states["pipe/0"]
    assert "step[0].model_name: model 'pipe' cannot be loaded" in states["outer/0"]
    await bed.manager.unload_all()


async def test_a_pipeline_whose_member_failed_to_load_says_so(tmp_path: Path) -> None:
    add_model(tmp_path, "bad", fake_config(fail="true"))
    add_model(tmp_path, "pipe", pipeline_config(["bad"]))
    bed = Bed(tmp_path)
    await bed.follow()
    shown = bed.index()["pipe/1"]
    assert shown.startswith("UNAVAILABLE pipe/config.pbtxt: ensemble_scheduling.step[0]: ")
    assert "told to fail" in shown
    assert "mend that model first" in shown


async def test_a_pipeline_that_does_not_fit_its_members_is_shown_with_all_that_is_wrong(
    tmp_path: Path,
) -> None:
    add_model(tmp_path, "words", fake_config(datatype="BYTES"))
    add_model(tmp_path, "pipe", pipeline_config(["words"]))
    bed = Bed(tmp_path)
    await bed.follow()
    states = bed.index()
    assert states["words/1"] == "READY"
    assert "tensor 'IN' is FP32, but input 'IN' of model 'words' takes BYTES" in states["pipe/0"]
    assert "output 'OUT': is FP32, but the step that makes it gives BYTES" in states["pipe/0"]
    await bed.manager.unload_all()


async def test_a_pipeline_of_a_model_there_is_not(tmp_path: Path) -> None:
    add_model(tmp_path, "pipe", pipeline_config(["nobody"]))
    bed = Bed(tmp_path)
    await bed.follow()
    assert "step[0].model_name: there is no model 'nobody'" in bed.index()["pipe/0"]


async def test_one_version_may_fail_while_another_of_the_model_serves(tmp_path: Path) -> None:
    folder = add_model(
        tmp_path, "echo", fake_config(more="version_policy { all {} }"), versions=(1, 2)
    )
    config = (folder / "config.pbtxt").read_text()
    # A folder's file tells the backend where the config does not: here one that is not there.
    (folder / "config.pbtxt").write_text(config.replace('backend: "fake"', ""))
    (folder / "2" / "model.onnx").touch()
    (folder / "1" / "model.fake").touch()
    bed = Bed(tmp_path)
    await bed.follow()
    assert bed.index()["echo/1"].startswith("UNAVAILABLE echo/1: neither")
    assert "backend 'onnxruntime'" in bed.index()["echo/2"]
    assert {entry.state for entry in bed.registry.index()} == {State.UNAVAILABLE}


async def test_a_folder_without_a_version_policy_notes_what_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = add_model(tmp_path, "echo")
    (folder / "01").mkdir()
    bed = Bed(tmp_path)
    await bed.follow()
    notes = [getattr(record, "note", "") for record in caplog.records]
    assert any(note.startswith("echo/01: passed over") for note in notes)
    await bed.manager.unload_all()


async def test_unloading_waits_for_those_who_still_use_a_model(tmp_path: Path) -> None:
    add_model(tmp_path, "echo")
    gate = threading.Event()
    gate.set()
    bed = Bed(tmp_path, gate=gate)
    await bed.follow()
    gate.clear()
    asking = asyncio.create_task(bed.echo("echo"))
    await asyncio.to_thread(bed.backend.wait_for_batches, 2, timeout_s=10)
    unloading = asyncio.create_task(bed.manager.unload_all())
    await settle()
    assert bed.index() == {"echo/1": "UNLOADING"}
    assert not unloading.done()
    gate.set()
    assert await asking == 1
    await unloading
