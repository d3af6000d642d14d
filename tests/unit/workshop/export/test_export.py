"""`trivet export` as a person calls it: what is written, what is not, and what it says."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.harness.toolchains import needs
from tests.unit.workshop.checkpoints import Recipe, write_checkpoint
from trivet.cli import main as trivet
from trivet.errors import InvalidConfig
from trivet_backends.workshop.export import child, export
from trivet_backends.workshop.export.child import Job
from trivet_backends.workshop.export.formats import WAYS, ExportFormat
from trivet_backends.workshop.options import GraphOptions, Precision, Task
from trivet_backends.workshop.parity import BARS, Bar

LIGHT = "safetensors,onnx"  # in an order that is not the table's


def exported(checkpoint: Path, output: Path, *flags: str, to: str = LIGHT) -> int:
    return trivet(["export", str(checkpoint), "--to", to, "--output", str(output), *flags])


def table(text: str) -> list[list[str]]:
    """The printed rows, the titles first, to the first empty line."""
    return [line.split() for line in text.split("\n\n")[0].splitlines()]


def test_formats_are_written_checked_and_shown_in_order(
    tmp_path: Path, fill_mask_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported(fill_mask_checkpoint, tmp_path / "out") == 0
    shown = capsys.readouterr()
    titles, onnx, safetensors = table(shown.out)
    assert titles == ["FORMAT", "MB", "MAX", "DIFF", "CHECKED", "SECONDS"]
    assert (onnx[0], onnx[3], onnx[5:]) == ("onnx", "run", ["written,", "with", "tokenizer"])
    assert float(onnx[2]) < 1e-4
    assert safetensors[0] == "safetensors"
    assert safetensors[2:5] == ["0.0e+00", "every", "weight"]
    assert "onnx: loading it back, and comparing" in shown.err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["onnx", "safetensors"]
    about = json.loads((tmp_path / "out" / "onnx" / "export.json").read_text())
    assert about["inputs"][-1] == "mask_positions"
    assert about["outputs"] == ["token_ids", "probabilities"]
    assert about["max_difference"] == pytest.approx(float(onnx[2]), rel=0.1)
    assert about["tools"]["onnx"]
    assert about["tokenizer"] == ["tokenizer.json"]
    for format_ in ("onnx", "safetensors"):
        copied = tmp_path / "out" / format_ / "tokenizer.json"
        assert copied.read_bytes() == (fill_mask_checkpoint / "tokenizer.json").read_bytes()


def test_a_format_that_misses_its_bar_is_not_written_and_the_others_are(
    tmp_path: Path,
    embed_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert exported(embed_checkpoint, tmp_path) == 0
    before = (tmp_path / "onnx" / "model.onnx").read_bytes()
    strict: Mapping[object, Bar] = {**BARS, (Precision.FP32, Task.EMBED): Bar(max_difference=0.0)}
    monkeypatch.setattr(export, "BARS", strict)
    other = write_checkpoint(tmp_path / "other", Recipe(head=False, seed=1))
    capsys.readouterr()
    assert exported(other, tmp_path) == 1
    out = capsys.readouterr().out
    assert [row[-1] for row in table(out)[1:]] == ["written", "tokenizer"]
    assert table(out)[1][-2:] == ["not", "written"]
    assert "onnx: is " in out
    assert "away from numpy, 0e+00 is allowed; nothing was written" in out
    assert (tmp_path / "onnx" / "model.onnx").read_bytes() == before
    assert json.loads((tmp_path / "safetensors" / "export.json").read_text())["source"] == "other"
    assert (tmp_path / "onnx.log").is_file()
    monkeypatch.undo()
    assert exported(other, tmp_path) == 0
    assert (tmp_path / "onnx" / "model.onnx").read_bytes() != before
    assert not (tmp_path / "onnx.log").exists()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_child_that_fails_tells_its_last_words(tmp_path: Path, embed_checkpoint: Path) -> None:
    job = Job(
        format=ExportFormat.ONNX,
        checkpoint=embed_checkpoint,
        options=GraphOptions(task=Task.EMBED),
        folder=tmp_path / "not-made",
        desk=tmp_path,
    )
    with pytest.raises(InvalidConfig, match=r"failed in 'write' with exit status 1: .*not-made"):
        child.write(job)
    assert "Traceback" in job.log.read_text()


def test_a_missing_toolchain_names_its_extra_and_the_others_are_written(
    tmp_path: Path,
    embed_checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from trivet_backends.workshop.export import formats

    here = formats.find_spec
    absent = ("jax", "tensorflow")
    monkeypatch.setattr(formats, "find_spec", lambda name: None if name in absent else here(name))
    assert exported(embed_checkpoint, tmp_path, to="tflite,jax,safetensors") == 1
    out = capsys.readouterr().out
    assert "jax: jax not installed; pip install 'trivet[jax]'" in out
    assert "tflite: tensorflow not installed; pip install 'trivet[tensorflow]'" in out
    assert [path.name for path in tmp_path.iterdir()] == ["safetensors"]


def test_what_is_not_of_an_export_is_left_alone(
    tmp_path: Path, embed_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "precious").write_text("mine")
    assert exported(embed_checkpoint, tmp_path) == 2
    assert "is there already and was not written by trivet export" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["onnx"]
    assert (tmp_path / "onnx" / "precious").read_text() == "mine"


@pytest.mark.parametrize(
    ("flag", "words"),
    [
        ("onnx,zip", "'onnx,zip': give all, or some of coreml, jax, onnx"),
        ("onnx,onnx", "names a format twice"),
        ("", "give all, or some of"),
    ],
)
def test_formats_that_are_none_are_refused_with_the_known_ones(
    tmp_path: Path, flag: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported(tmp_path, tmp_path / "out", to=flag) == 2
    assert words in " ".join(capsys.readouterr().err.split())


def test_a_head_that_the_checkpoint_lacks_is_refused(
    tmp_path: Path, embed_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported(embed_checkpoint, tmp_path / "out", "--task", "fill_mask") != 0
    assert "has no masked language model head" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_served_formats_become_models_of_a_repository(
    tmp_path: Path, fill_mask_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = tmp_path / "models"
    flags = ["--model-repository", str(repository), "--candidates", "7"]
    assert exported(fill_mask_checkpoint, tmp_path / "out", *flags) == 0
    assert f"{repository / 'tiny-mlm_onnx'}: version 1 published" in capsys.readouterr().out
    assert [path.name for path in repository.iterdir()] == ["tiny-mlm_onnx"]
    version = {path.name for path in (repository / "tiny-mlm_onnx" / "1").iterdir()}
    assert version == {"build.json", "model.onnx"}
    config = (repository / "tiny-mlm_onnx" / "config.pbtxt").read_text()
    assert 'name: "probabilities" data_type: TYPE_FP32 dims: [ -1, 7 ]' in config
    assert 'key: "pad.mask_positions" value { string_value: "-1" }' in config
    assert trivet(["check", str(repository)]) == 0
    capsys.readouterr()
    assert exported(fill_mask_checkpoint, tmp_path / "out", *flags) == 0
    assert "tiny-mlm_onnx: version 1 up to date" in capsys.readouterr().out


@pytest.mark.slow
@needs("coreml")
@needs("jax")
@needs("openvino")
@needs("tensorflow")
@needs("torch")
@pytest.mark.timeout(600)
def test_all_formats_in_one_go(
    tmp_path: Path, fill_mask_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exported(fill_mask_checkpoint, tmp_path, to="all") == 0
    out = capsys.readouterr().out
    rows = {row[0]: row for row in table(out)[1:]}
    assert list(rows) == sorted(ExportFormat)
    assert rows["coreml"][2:5] == ["-", "structure", "only"]
    assert all(float(row[2]) < 1e-4 for name, row in rows.items() if name != "coreml")
    for format_ in ExportFormat:
        assert (tmp_path / format_ / WAYS[format_].file).exists()
        assert (tmp_path / format_ / "tokenizer.json").is_file()
    shutil.rmtree(tmp_path)
