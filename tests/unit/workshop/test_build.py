"""What a build leaves in the repository: everything, or nothing."""

from __future__ import annotations

import dataclasses
import fcntl
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from safetensors.numpy import load_file, save_file

from tests.unit.workshop.checkpoints import Recipe, write_checkpoint
from trivet.cli import main as trivet
from trivet.errors import InvalidConfig
from trivet_backends.workshop import build as build_module
from trivet_backends.workshop import entry, parity
from trivet_backends.workshop.build import build
from trivet_backends.workshop.build_file import Json
from trivet_backends.workshop.entry import Entry, Published, publish
from trivet_backends.workshop.options import BuildOptions, Pooling, Precision, Task

PLAIN = BuildOptions()


def built(
    folder: Path, repository: Path, options: BuildOptions = PLAIN
) -> dict[str, tuple[int, bool]]:
    """Build; for each model its version, and whether that is new."""
    published = build(folder, repository, options, lambda text: None)
    return {model.model: (model.version, model.is_new) for model in published}


def files(repository: Path) -> dict[str, bytes]:
    """Everything in a repository, hidden files too."""
    return {
        str(path.relative_to(repository)): path.read_bytes()
        for path in sorted(repository.rglob("*"))
        if path.is_file()
    }


def changed(checkpoint: Path, folder: Path) -> Path:
    """A copy of a checkpoint with one weight changed."""
    shutil.copytree(checkpoint, folder)
    tensors = load_file(folder / "model.safetensors")
    tensors["bert.embeddings.LayerNorm.bias"] += np.float32(0.1)
    save_file(tensors, folder / "model.safetensors")
    return folder


def one_entry(model: str, write: object = None, kind: str = "tokenizer", config: str = "") -> Entry:
    def touch(folder: Path) -> Mapping[str, Json]:
        (folder / "file").write_text("x")
        return {}

    return Entry(
        model=model,
        kind=kind,
        source="",
        config=config,
        recipe={"of": model},
        write=write or touch,  # type: ignore[arg-type]
    )


def test_a_fill_mask_build_makes_four_models_that_would_load(
    fill_mask_checkpoint: Path, tmp_path: Path
) -> None:
    assert built(fill_mask_checkpoint, tmp_path) == {
        "tiny-mlm_tokenizer": (1, True),
        "tiny-mlm": (1, True),
        "tiny-mlm_candidates": (1, True),
        "fill_mask": (1, True),
    }
    assert sorted(files(tmp_path)) == [
        "fill_mask/1/build.json",
        "fill_mask/config.pbtxt",
        "tiny-mlm/1/build.json",
        "tiny-mlm/1/model.onnx",
        "tiny-mlm/config.pbtxt",
        "tiny-mlm_candidates/1/build.json",
        "tiny-mlm_candidates/1/tokenizer.json",
        "tiny-mlm_candidates/config.pbtxt",
        "tiny-mlm_tokenizer/1/build.json",
        "tiny-mlm_tokenizer/1/tokenizer.json",
        "tiny-mlm_tokenizer/config.pbtxt",
    ]
    assert trivet(["check", str(tmp_path)]) == 0


def test_an_embed_build_makes_its_models_in_every_precision(
    embed_checkpoint: Path, tmp_path: Path
) -> None:
    precisions = (Precision.INT8, Precision.FP32, Precision.FP16)
    options = BuildOptions(name="enc", pipeline="vectors", precisions=precisions)
    assert list(built(embed_checkpoint, tmp_path, options)) == [
        "enc_tokenizer",
        "enc",
        "enc_fp32",
        "enc_fp16",
        "vectors",
    ]
    assert trivet(["check", str(tmp_path)]) == 0
    recipe = json.loads((tmp_path / "enc" / "1" / "build.json").read_text())["recipe"]
    assert recipe["precision"] == "int8"
    assert 'model_name: "enc"' in (tmp_path / "vectors" / "config.pbtxt").read_text()


def test_a_head_is_left_out_where_embeddings_are_asked_for(
    fill_mask_checkpoint: Path, tmp_path: Path
) -> None:
    options = BuildOptions(task=Task.EMBED, hidden_state=True, pooling=Pooling.CLS)
    assert list(built(fill_mask_checkpoint, tmp_path, options))[-1] == "embed"
    session = onnxruntime.InferenceSession(tmp_path / "tiny-mlm" / "1" / "model.onnx")
    assert [output.name for output in session.get_outputs()] == ["embedding", "last_hidden_state"]
    assert trivet(["check", str(tmp_path)]) == 0


def test_provenance_tells_what_a_version_was_made_of(
    fill_mask_checkpoint: Path, tmp_path: Path
) -> None:
    built(fill_mask_checkpoint, tmp_path)
    told = json.loads((tmp_path / "tiny-mlm" / "1" / "build.json").read_text())
    assert told["source"] == "tiny-mlm"
    assert set(told["recipe"]["inputs"]) == {"config.json", "model.safetensors"}
    assert told["recipe"]["options"]["candidates"] == 100
    assert 0 < told["measured"]["max_difference"] <= 1e-4
    assert set(told["tools"]) >= {"onnx", "onnxruntime", "trivet"}
    model = tmp_path / "tiny-mlm" / "1" / "model.onnx"
    assert told["files"] == {"model.onnx": model.stat().st_size}


def test_a_second_build_changes_nothing(fill_mask_checkpoint: Path, tmp_path: Path) -> None:
    first = built(fill_mask_checkpoint, tmp_path)
    before = files(tmp_path)
    assert built(fill_mask_checkpoint, tmp_path) == dict.fromkeys(first, (1, False))
    assert files(tmp_path) == before


def test_the_same_checkpoint_elsewhere_is_still_up_to_date(
    fill_mask_checkpoint: Path, tmp_path: Path
) -> None:
    options = BuildOptions(name="m")
    built(fill_mask_checkpoint, tmp_path / "repository", options)
    copy = shutil.copytree(fill_mask_checkpoint, tmp_path / "another-name")
    assert not any(new for _, new in built(copy, tmp_path / "repository", options).values())


def test_changed_weights_become_the_next_version_of_what_they_change(
    fill_mask_checkpoint: Path, tmp_path: Path
) -> None:
    repository, options = tmp_path / "repository", BuildOptions(name="m")
    built(fill_mask_checkpoint, repository, options)
    better = changed(fill_mask_checkpoint, tmp_path / "better")
    assert built(better, repository, options) == {
        "m_tokenizer": (1, False),
        "m": (2, True),
        "m_candidates": (1, False),
        "fill_mask": (1, False),
    }
    assert (repository / "m" / "1" / "model.onnx").exists()
    assert trivet(["check", str(repository)]) == 0


def test_changed_options_become_the_next_version_and_a_new_config(
    fill_mask_checkpoint: Path, tmp_path: Path
) -> None:
    built(fill_mask_checkpoint, tmp_path)
    fewer = build(
        fill_mask_checkpoint, tmp_path, BuildOptions(candidates=7), announce=lambda text: None
    )
    told = {model.model: (model.version, model.note) for model in fewer}
    assert told["tiny-mlm"] == (2, "config.pbtxt is rewritten")
    assert told["tiny-mlm_candidates"] == (1, "config.pbtxt is rewritten")
    assert "dims: [ -1, 7 ]" in (tmp_path / "tiny-mlm" / "config.pbtxt").read_text()
    assert trivet(["check", str(tmp_path)]) == 0


def test_a_pipeline_that_another_model_takes_over_says_so(
    fill_mask_checkpoint: Path, tmp_path: Path
) -> None:
    def notes(options: BuildOptions) -> dict[str, str]:
        published = build(fill_mask_checkpoint, tmp_path, options, lambda text: None)
        return {model.model: model.note for model in published if model.note}

    assert notes(BuildOptions(name="one")) == {}
    assert notes(BuildOptions(name="two", pipeline="fill_mask_two")) == {}
    told = "config.pbtxt is rewritten: it runs two, no longer one; --pipeline gives each its own"
    assert notes(BuildOptions(name="two")) == {"fill_mask": told}


def test_an_edited_config_is_kept_and_that_is_said(
    fill_mask_checkpoint: Path, tmp_path: Path
) -> None:
    built(fill_mask_checkpoint, tmp_path)
    config = tmp_path / "tiny-mlm" / "config.pbtxt"
    edited = config.read_text().replace("max_batch_size: 64", "max_batch_size: 8")
    config.write_text(edited)
    published = build(fill_mask_checkpoint, tmp_path, PLAIN, lambda text: None)
    notes = {model.model: model.note for model in published if model.note}
    assert notes == {"tiny-mlm": "config.pbtxt was edited by hand and is kept"}
    assert config.read_text() == edited


def test_a_lost_config_or_artifact_is_made_again(
    fill_mask_checkpoint: Path, tmp_path: Path
) -> None:
    built(fill_mask_checkpoint, tmp_path)
    config = tmp_path / "fill_mask" / "config.pbtxt"
    text = config.read_text()
    config.unlink()
    (tmp_path / "tiny-mlm" / "1" / "model.onnx").unlink()
    again = built(fill_mask_checkpoint, tmp_path)
    assert config.read_text() == text
    assert again["tiny-mlm"] == (2, True)
    assert (tmp_path / "tiny-mlm" / "2" / "model.onnx").exists()


def test_a_checkout_that_leaves_artifacts_out_is_completed(
    fill_mask_checkpoint: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "models"
    built(fill_mask_checkpoint, repository)
    before = files(repository)
    for version in repository.glob("*/1"):
        shutil.rmtree(version)
    assert set(built(fill_mask_checkpoint, repository).values()) == {(1, True)}
    assert {name for name in files(repository) if "config.pbtxt" in name} == {
        name for name in before if "config.pbtxt" in name
    }
    assert files(repository).keys() == before.keys()


def test_nothing_stays_behind_when_a_graph_misses_its_bar(
    fill_mask_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    impossible = {
        key: dataclasses.replace(bar, max_difference=0.0) for key, bar in parity.BARS.items()
    }
    monkeypatch.setattr(parity, "BARS", impossible)
    with pytest.raises(InvalidConfig, match=r"tiny-mlm in fp32: the graph is .* away from numpy"):
        built(fill_mask_checkpoint, tmp_path / "repository")
    assert not (tmp_path / "repository").exists()


def test_the_version_before_serves_on_when_the_next_one_fails(
    fill_mask_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "repository"
    built(fill_mask_checkpoint, repository, BuildOptions(name="m"))
    before = files(repository)
    better = changed(fill_mask_checkpoint, tmp_path / "better")
    monkeypatch.setattr(build_module, "check_parity", interrupt)
    with pytest.raises(KeyboardInterrupt):
        built(better, repository, BuildOptions(name="m"))
    assert files(repository) == before
    assert not list(repository.glob(".*"))


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def test_renames_are_taken_back_when_a_later_one_fails(tmp_path: Path) -> None:
    publish(tmp_path, [one_entry("old", config="a")])
    before = files(tmp_path)

    def take_its_place(folder: Path) -> Mapping[str, Json]:
        (tmp_path / "second" / "1").mkdir(parents=True)
        (tmp_path / "second" / "1" / "stranger").touch()
        (tmp_path / "second" / "config.pbtxt").touch()
        return {}

    changed_recipe = dataclasses.replace(one_entry("old", config="b"), recipe={"of": "new"})
    entries = [one_entry("first"), changed_recipe, one_entry("second", take_its_place)]
    with pytest.raises(InvalidConfig, match="second/1: cannot be made"):
        publish(tmp_path, entries)
    shutil.rmtree(tmp_path / "second")
    assert files(tmp_path) == before


def test_a_killed_builds_folder_is_removed_and_a_running_ones_is_not(tmp_path: Path) -> None:
    for name in ("dead", "alive"):
        folder = tmp_path / f".trivet-build-{name}"
        folder.mkdir()
        (folder / "lock").touch()
    with (tmp_path / ".trivet-build-alive" / "lock").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        publish(tmp_path, [one_entry("model")])
        assert [path.name for path in tmp_path.glob(".*")] == [".trivet-build-alive"]


def test_a_name_that_is_somebody_elses_is_refused(
    fill_mask_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "fill_mask" / "1").mkdir(parents=True)
    (tmp_path / "fill_mask" / "config.pbtxt").write_text("backend: 'python'")
    before = files(tmp_path)
    with pytest.raises(InvalidConfig, match="fill_mask: is there already and was not written by"):
        built(fill_mask_checkpoint, tmp_path)
    assert files(tmp_path) == before
    with pytest.raises(InvalidConfig, match="fill_mask: is there already and was not written by"):
        built(fill_mask_checkpoint, tmp_path, BuildOptions(name="fill_mask", pipeline="p"))


def test_a_name_of_another_kind_is_refused(fill_mask_checkpoint: Path, tmp_path: Path) -> None:
    built(fill_mask_checkpoint, tmp_path)
    with pytest.raises(InvalidConfig, match="tiny-mlm: is there already as the encoder of"):
        built(fill_mask_checkpoint, tmp_path, BuildOptions(name="other", pipeline="tiny-mlm"))
    with pytest.raises(InvalidConfig, match="would name two models of this build"):
        built(fill_mask_checkpoint, tmp_path, BuildOptions(name="same", pipeline="same"))


@pytest.mark.parametrize("name", ["../out", "a/b", "", ".hidden", "ein Haus"])
def test_a_name_that_is_no_name_is_refused(
    fill_mask_checkpoint: Path, tmp_path: Path, name: str
) -> None:
    with pytest.raises(InvalidConfig, match=r"--name: .* is no model name"):
        built(fill_mask_checkpoint, tmp_path, BuildOptions(name=name))


def test_a_folders_name_is_made_safe(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / ".my model (v2)", Recipe(head=False))
    assert "my_model_v2_" in built(folder, tmp_path / "repository")


def test_fill_mask_needs_a_head_and_a_mask_token(embed_checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="tiny: has no masked language model head"):
        built(embed_checkpoint, tmp_path, BuildOptions(task=Task.FILL_MASK))
    folder = write_checkpoint(tmp_path / "unmasked")
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [
        token for token in tokenizer["added_tokens"] if token["content"] != "[MASK]"
    ]
    del tokenizer["model"]["vocab"]["[MASK]"]
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(InvalidConfig, match=r"tokenizer\.json: knows no \[MASK\] token"):
        built(folder, tmp_path)


def test_pooling_is_what_the_model_was_trained_with(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "cls-model", Recipe(head=False))
    (folder / "1_Pooling").mkdir()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_cls_token": True}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    built(folder, tmp_path / "repository")
    build_json = tmp_path / "repository" / "cls-model" / "1" / "build.json"
    assert json.loads(build_json.read_text())["recipe"]["options"]["pooling"] == "cls"
    built(folder, tmp_path / "repository", BuildOptions(pooling=Pooling.MAX))
    build_json = tmp_path / "repository" / "cls-model" / "2" / "build.json"
    assert json.loads(build_json.read_text())["recipe"]["options"]["pooling"] == "max"


def test_a_repository_that_cannot_be_made_is_said_plainly(
    fill_mask_checkpoint: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InvalidConfig, match="file/models: cannot be written"):
        built(fill_mask_checkpoint, tmp_path / "file" / "models")


def test_publishing_reports_sizes_and_measurements(tmp_path: Path) -> None:
    def write(folder: Path) -> Mapping[str, Json]:
        (folder / "a").write_bytes(b"x" * 1000)
        return {"seconds": 1.5}

    (model,) = publish(tmp_path, [one_entry("model", write)])
    assert isinstance(model, Published)
    assert model.build.size_bytes == 1000
    assert model.build.measured == {"seconds": 1.5}
    assert entry.CONFIG == "config.pbtxt"
