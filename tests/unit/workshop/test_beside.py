"""What a build makes beside its pipeline: named, whole, and refused where it makes no sense."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from trivet.errors import InvalidConfig
from trivet_backends.workshop.build import build
from trivet_backends.workshop.options import Beside, BuildOptions, Format, Task

ALL = Beside(similarity=True, zero_shot=True, few_shot=True, tokenize=True, attentions=True)


def built(checkpoint: Path, repository: Path, **options: object) -> list[str]:
    made = build(checkpoint, repository, BuildOptions(**options), lambda _: None)  # type: ignore[arg-type]
    return [one.model for one in made if one.is_new]


def test_nothing_is_beside_a_build_that_does_not_ask(
    embed_checkpoint: Path, tmp_path: Path
) -> None:
    assert built(embed_checkpoint, tmp_path) == ["tiny_tokenizer", "tiny", "embed"]


def test_everything_asked_for_is_there_and_up_to_date_the_second_time(
    embed_checkpoint: Path, tmp_path: Path
) -> None:
    assert built(embed_checkpoint, tmp_path, beside=ALL)[3:] == [
        "tokenize",
        "detokenize",
        "tiny_similarity",
        "similarity",
        "zero_shot",
        "few_shot",
        "tiny_inspect",
        "tiny_layers",
        "embed_inspect",
    ]
    assert built(embed_checkpoint, tmp_path, beside=ALL) == []
    measured = json.loads((tmp_path / "tiny_inspect" / "1" / "build.json").read_text())["measured"]
    assert 0 < measured["max_difference"] < 1e-4


def test_a_pipeline_of_another_name_lends_it_to_what_is_beside(
    embed_checkpoint: Path, tmp_path: Path
) -> None:
    made = built(embed_checkpoint, tmp_path, pipeline="mine", beside=ALL)
    beside = ("tokenize", "detokenize", "similarity", "zero_shot", "few_shot", "inspect")
    assert {f"mine_{name}" for name in beside} <= set(made)
    asked = (tmp_path / "mine_zero_shot" / "config.pbtxt").read_text()
    assert 'model_name: "mine"' in asked, "labels are embedded by the build's own pipeline"


def test_hidden_states_alone_come_without_maps(embed_checkpoint: Path, tmp_path: Path) -> None:
    built(embed_checkpoint, tmp_path, beside=Beside(hidden_states=True))
    text = (tmp_path / "embed_inspect" / "config.pbtxt").read_text()
    assert "HIDDEN_STATE" in text
    assert "ATTENTION" not in text
    assert (tmp_path / "tokenize").is_dir()


def test_what_needs_an_embedding_is_refused_of_other_tasks(
    fill_mask_checkpoint: Path, tmp_path: Path
) -> None:
    with pytest.raises(InvalidConfig) as refused:
        built(fill_mask_checkpoint, tmp_path, task=Task.FILL_MASK, beside=ALL)
    assert [fault.where for fault in refused.value.faults] == [
        *(f"--also {name}" for name in ("similarity", "zero_shot", "few_shot")),
        "--attentions",
    ]
    assert not list(tmp_path.iterdir())
    made = built(fill_mask_checkpoint, tmp_path, beside=Beside(tokenize=True))
    assert made[-2:] == ["tokenize", "detokenize"]


@pytest.mark.parametrize(("format_", "optional"), [(Format.ONNX, True), (Format.OPENVINO, False)])
def test_targets_are_always_told_to_an_engine_that_cannot_do_without(
    fill_mask_checkpoint: Path, tmp_path: Path, format_: Format, optional: bool
) -> None:
    if format_ is Format.OPENVINO:
        pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    built(fill_mask_checkpoint, tmp_path, format=format_)
    for name in ("fill_mask", "tiny-mlm", "tiny-mlm_tokenizer", "tiny-mlm_candidates"):
        text = (tmp_path / name / "config.pbtxt").read_text()
        assert "target" in text.lower(), name
    encoder = (tmp_path / "tiny-mlm" / "config.pbtxt").read_text()
    assert ("optional" in encoder) is optional
