"""`trivet quantize` on tiny checkpoints, from the command line to what is served."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.harness.head_checkpoints import write_head_checkpoint
from tests.harness.openvino_artifacts import needs_openvino
from tests.harness.server import serving
from tests.unit.workshop.checkpoints import TINY, Recipe, write_checkpoint
from trivet.cli import main as trivet
from trivet_backends.workshop.options import Task
from trivet_backends.workshop.quantize import to_onnx
from trivet_client import Client

ONNX = "onnx-int8-dynamic,onnx-int8-static,onnx-fp16"
QUICK = ("--rounds", "1", "--lengths", "8")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    words = "cat sat on the mat and saw a dog in fog who had no hat at all".split()
    lines = [" ".join(rng.choice(words, rng.integers(2, 7))) for _ in range(48)]
    file = tmp_path_factory.mktemp("texts") / "texts.txt"
    file.write_text("\n".join(lines))
    return file


@pytest.fixture
def repository(embed_checkpoint: Path, tmp_path: Path) -> Path:
    built = tmp_path / "models"
    argv = ["build", str(embed_checkpoint), "--model-repository", str(built)]
    assert trivet([*argv, "--name", "tiny"]) == 0
    return built


def quantize(*arguments: str | Path) -> int:
    return trivet(["quantize", *map(str, arguments), *QUICK])


def test_a_model_gets_its_best_variant_with_a_pipeline_that_serves(
    repository: Path, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    numbers = repository.parent / "numbers.json"
    asked = ("--model-repository", repository, "--texts", texts, "--variants", ONNX)
    assert (
        quantize("tiny", *asked, "--publish", "all", "--min-accuracy", "0.9", "--json", numbers)
        == 0
    )
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:5] == ["VARIANT", "ENGINE", "MB", "SMALLER", "KEPT"]
    assert lines[1].split()[0] == "source"
    told = {entry["variant"]: entry for entry in json.loads(numbers.read_text())["variants"]}
    assert set(told) == {"source", *ONNX.split(",")}
    assert told["onnx-fp16"]["score"]["details"]["mean_cosine"] > 0.9999
    assert told["onnx-int8-dynamic"]["bytes"] < told["source"]["bytes"]
    assert (repository / "tiny_onnx_fp16" / "1" / "quantize.json").is_file()
    log = repository.parent / "log"
    with serving(repository, log=log) as server, Client(server.address) as client:
        plain = client.embed(["a cat sat"], model="embed").vectors[0]
        small = client.embed(["a cat sat"], model="embed_onnx_fp16").vectors[0]
    assert plain @ small == pytest.approx(1, abs=1e-3)


def test_a_variant_below_the_bar_is_not_published(
    repository: Path, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(repository.iterdir())
    asked = ("--model-repository", repository, "--texts", texts)
    coarse = ("--variants", "onnx-int8-static", "--per-tensor", "--no-symmetric")
    assert quantize("tiny", *asked, *coarse, "--min-accuracy", "1") == 1
    out = capsys.readouterr().out
    assert "below 1: not published" in out
    assert "nothing is published" in out
    assert sorted(repository.iterdir()) == before


def test_the_next_version_runs_in_the_same_pipeline_and_is_not_quantized_again(
    repository: Path, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ("--texts", texts, "--variants", "onnx-int8-dynamic", "--min-accuracy", "0")
    assert quantize(repository / "tiny", *asked, "--next-version") == 0
    assert "tiny 2: published" in capsys.readouterr().out
    assert trivet(["check", str(repository)]) == 0
    assert quantize(repository / "tiny", *asked) == 2
    assert "tiny/2: is INT8 already; start from the FP32 model" in capsys.readouterr().err


def test_an_edited_config_gets_no_next_version(
    repository: Path, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = repository / "tiny" / "config.pbtxt"
    config.write_text(config.read_text() + "# mine\n")
    asked = ("--texts", texts, "--variants", "onnx-fp16", "--min-accuracy", "0")
    assert quantize(repository / "tiny", *asked, "--next-version") == 2
    assert "tiny/config.pbtxt: was edited by hand" in capsys.readouterr().err
    assert not (repository / "tiny" / "2").exists()


def test_a_checkpoint_brings_its_tokenizer_along(
    fill_mask_checkpoint: Path, texts: Path, tmp_path: Path
) -> None:
    asked = ("--model-repository", tmp_path / "models", "--texts", texts, "--name", "lm")
    assert quantize(fill_mask_checkpoint, *asked, "--variants", "onnx-fp16") == 0
    made = {path.name for path in (tmp_path / "models").iterdir()}
    assert made == {"lm_tokenizer", "lm_candidates", "lm_onnx_fp16", "fill_mask_onnx_fp16"}
    assert trivet(["check", str(tmp_path / "models")]) == 0


@pytest.mark.parametrize(
    "variant",
    [
        "onnx-int8-static",
        pytest.param("openvino-fp16", marks=needs_openvino),
        pytest.param("openvino-int8-weights", marks=needs_openvino),
        "torch-int8",
    ],
)
def test_a_variant_that_fills_masks_serves_targets_too(
    texts: Path, tmp_path: Path, variant: str
) -> None:
    if variant == "torch-int8":
        pytest.importorskip("torch", reason="needs the extra 'torch'; `make test-all` installs it")
    models = tmp_path / "models"
    as_tokenizer = Recipe(config=replace(TINY, vocab_size=65))  # of words the tokenizer knows
    checkpoint = write_checkpoint(tmp_path / "lm", as_tokenizer)
    asked = ("--model-repository", models, "--texts", texts, "--min-accuracy", "0")
    assert quantize(checkpoint, *asked, "--variants", variant) == 0
    model = f"fill_mask_{variant.replace('-', '_')}"
    with serving(models, log=tmp_path / "log") as server, Client(server.address) as client:
        (mask,) = client.fill_mask("a [MASK] sat", model=model, targets=["d", "a"]).masks
        assert {candidate.token for candidate in mask.candidates} == {"d", "a"}
        assert len(client.fill_mask("a [MASK] sat", model=model).masks[0].candidates) == 5


def test_a_variant_that_the_server_would_not_load_is_not_published(
    repository: Path,
    texts: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def with_another_input(source: Path, target: Path) -> None:
        model = onnx.load(source)
        model.graph.input[0].name = "token_ids"
        for node in model.graph.node:
            names = ["token_ids" if name == "input_ids" else name for name in node.input]
            node.input[:] = names
        onnx.save(model, target)

    monkeypatch.setattr(to_onnx, "write_half", with_another_input)
    before = sorted(repository.iterdir())
    asked = ("--model-repository", repository, "--texts", texts, "--variants", "onnx-fp16")
    assert quantize("tiny", *asked) == 1
    out = capsys.readouterr().out
    assert "cannot be made: the server would not load it: " in out
    assert "input_ids" in out
    assert sorted(repository.iterdir()) == before


def test_labelled_rows_give_the_tasks_metric(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = write_head_checkpoint(tmp_path / "mood", Task.CLASSIFY)
    rows = tmp_path / "rows.csv"
    rows.write_text("text,label\n" + "the cat sat,negative\nada,positive\nlondon,neutral\n" * 4)
    asked = ("--labelled", rows, "--publish", "none", "--variants", "onnx-fp16")
    assert quantize(checkpoint, *asked, "--min-accuracy", "0") == 0
    out = capsys.readouterr().out
    assert "source_accuracy" in out
    assert "KEPT: accuracy" in out
    rows.write_text("text,label\nthe cat,negative\nada,positive,oops\n")
    assert quantize(checkpoint, *asked) == 2
    assert "rows.csv, line 3: has 3 fields, the header 2" in capsys.readouterr().err
    rows.write_text("text,label\nthe cat,negative\nada,joyful\n")
    assert quantize(checkpoint, *asked) == 2
    assert "rows.csv, line 3: there is no label 'joyful'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--variants", "int3"), "there is no variant 'int3'"),
        (("--min-accuracy", "1.5"), "--min-accuracy: is 1.5; give a share"),
        (("--min-accuracy", "nan"), "--min-accuracy: is nan"),
        (("--labelled", __file__), "embed is judged by pairs of texts; name the column of"),
        (("--labelled", "x.csv"), "--labelled x.csv: there is no such file; give a file"),
        (("--texts", "."), "--texts .: is a folder; give a file"),
        (("--json", "nowhere/x.json"), "--json nowhere/x.json: its folder is not there; make it"),
        (("--model-repository", __file__), "is a file; give a folder"),
        (("--next-version", "--publish", "all"), "takes the best alone, --publish all several"),
    ],
)
def test_what_is_wrong_is_told_with_its_cure(
    repository: Path,
    texts: Path,
    flags: tuple[str, str],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ("--model-repository", repository, "--texts", texts)
    assert quantize("tiny", *asked, "--variants", "onnx-fp16", *flags) == 2
    assert told in capsys.readouterr().err


def test_without_texts_there_is_nothing_to_compare_on(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert quantize(repository / "tiny") == 2
    assert "there is nothing to compare on; give --texts FILE" in capsys.readouterr().err
    (tmp_path / "empty").write_text("\n")
    assert quantize(repository / "tiny", "--texts", tmp_path / "empty") == 2
    assert "holds no text" in capsys.readouterr().err
    assert quantize("nothing", "--texts", tmp_path / "empty") == 2
    assert "nothing: is no model and no checkpoint" in capsys.readouterr().err


@needs_openvino
def test_openvinos_8_bit_weights_serve(repository: Path, texts: Path) -> None:
    asked = ("--model-repository", repository, "--texts", texts, "--min-accuracy", "0.5")
    assert (
        quantize(
            "tiny", *asked, "--variants", "openvino-int8-weights,openvino-fp16", "--publish", "all"
        )
        == 0
    )
    config = (repository / "tiny_openvino_int8_weights" / "config.pbtxt").read_text()
    assert 'backend: "openvino"' in config
    log = repository.parent / "log"
    with serving(repository, log=log) as server, Client(server.address) as client:
        plain = client.embed(["a cat sat"], model="embed").vectors[0]
        small = client.embed(["a cat sat"], model="embed_openvino_int8_weights").vectors[0]
    assert plain @ small > 0.99


@needs_openvino
def test_nncfs_static_int8_is_made_from_the_texts(
    repository: Path, texts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("nncf", reason="needs the extra 'nncf'; `make test-all` installs it")
    asked = ("--texts", texts, "--variants", "openvino-int8-static", "--publish", "none")
    assert quantize(repository / "tiny", *asked, "--min-accuracy", "0") == 0
    out = capsys.readouterr().out
    (made,) = [line for line in out.splitlines() if "int8-static" in line]
    assert "passed" in made
    assert out.startswith("VARIANT"), "bars are drawn on a terminal only"


def test_torchs_int8_is_made_from_a_checkpoint(
    embed_checkpoint: Path, texts: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="needs the extra 'torch'; `make test-all` installs it")
    models = tmp_path / "models"
    asked = ("--model-repository", models, "--texts", texts, "--variants", "torch-int8")
    assert quantize(embed_checkpoint, *asked, "--min-accuracy", "0.5", "--name", "tiny") == 0
    with serving(models, log=tmp_path / "log") as server, Client(server.address) as client:
        vector = client.embed(["a cat sat"], model="embed_torch_int8").vectors[0]
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-3)
