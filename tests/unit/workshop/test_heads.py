"""Heads of checkpoints: found, checked, and built into a repository."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from tests.harness.head_checkpoints import NER_LABELS, write_head_checkpoint
from tests.harness.openvino_artifacts import needs_openvino
from trivet.errors import InvalidConfig
from trivet_backends.workshop.build import build
from trivet_backends.workshop.checkpoint import read_checkpoint
from trivet_backends.workshop.entry import Published
from trivet_backends.workshop.heads import HEADS, Scoring, read_labels
from trivet_backends.workshop.options import BuildOptions, Format, Precision, Task
from trivet_backends.workshop.parity import BARS, OPENVINO_BARS


def built(checkpoint: Path, folder: Path, **options: object) -> list[Published]:
    return build(checkpoint, folder / "models", BuildOptions(**options), lambda _: None)  # type: ignore[arg-type]


def edited(checkpoint: Path, **keys: object) -> Path:
    """The checkpoint with other keys in config.json; None leaves one out."""
    path = checkpoint / "config.json"
    raw: Mapping[str, object] = json.loads(path.read_text()) | keys
    path.write_text(json.dumps({key: value for key, value in raw.items() if value is not None}))
    return checkpoint


@pytest.mark.parametrize("task", HEADS)
def test_config_json_tells_what_a_head_was_trained_for(tmp_path: Path, task: Task) -> None:
    published = built(write_head_checkpoint(tmp_path / "tiny", task), tmp_path)
    names = [model.model for model in published]
    last = [] if task is Task.NEXT_SENTENCE else ["tiny_labels"]
    assert names == ["tiny_tokenizer", "tiny", *last, task.value]
    encoder = published[1]
    assert float(str(encoder.build.measured["max_difference"])) < 1e-4


@needs_openvino
def test_heads_are_built_for_openvino_in_8_bits(tmp_path: Path) -> None:
    checkpoint = write_head_checkpoint(tmp_path / "tiny", Task.TAG_TOKENS)
    published = built(checkpoint, tmp_path, format=Format.OPENVINO, precisions=(Precision.INT8,))
    encoder = published[1]
    assert set(encoder.build.files) == {"model.bin", "model.xml"}
    assert float(str(encoder.build.measured["least_cosine"])) > 0.99


@pytest.mark.parametrize("task", HEADS)
def test_every_precision_has_its_bar(task: Task) -> None:
    for precision in Precision:
        assert (precision, task) in BARS
        assert (precision, task) in OPENVINO_BARS


def test_nothing_is_built_again_that_is_up_to_date(tmp_path: Path) -> None:
    checkpoint = write_head_checkpoint(tmp_path / "tiny", Task.CLASSIFY)
    built(checkpoint, tmp_path)
    assert not any(model.is_new for model in built(checkpoint, tmp_path))
    edited(checkpoint, id2label={"0": "a", "1": "b", "2": "c"})
    again = {model.model: model for model in built(checkpoint, tmp_path)}
    assert again["tiny_labels"].version == 2
    labels = tmp_path / "models" / "tiny_labels" / "2" / "labels.txt"
    assert labels.read_text() == "a\nb\nc\n"


def test_labels_may_come_from_a_file(tmp_path: Path) -> None:
    checkpoint = edited(write_head_checkpoint(tmp_path / "tiny", Task.CLASSIFY), id2label=None)
    with pytest.raises(InvalidConfig, match=r"id2label: is missing; give the labels with --labels"):
        built(checkpoint, tmp_path)
    file = tmp_path / "labels.txt"
    file.write_text("schlecht\nmäßig\ngut\n", encoding="utf-8")
    built(checkpoint, tmp_path, labels=file)
    written = tmp_path / "models" / "tiny_labels" / "1" / "labels.txt"
    assert written.read_text(encoding="utf-8") == "schlecht\nmäßig\ngut\n"


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ("a\nb\n", r"labels.txt: has 2 labels, the head 3 outputs; give one for each output"),
        ("a\nb\na\n", r"labels.txt: labels 0 and 2 are both 'a'; give each output a label"),
        ("a\n \nb\n", r"labels.txt: label 1 is ' '"),
        (None, r"labels.txt: cannot be read"),
    ],
)
def test_a_file_of_labels_that_is_no_good_is_refused(
    tmp_path: Path, labels: str | None, told: str
) -> None:
    checkpoint = write_head_checkpoint(tmp_path / "tiny", Task.CLASSIFY)
    file = tmp_path / "labels.txt"
    if labels is not None:
        file.write_text(labels)
    with pytest.raises(InvalidConfig, match=told):
        built(checkpoint, tmp_path, labels=file)


@pytest.mark.parametrize(
    ("id2label", "told"),
    [
        ({"0": "a", "2": "b", "3": "c"}, "does not name the labels"),
        (["a", "b", "c"], "does not name the labels"),
        ({"0": "a", "1": "b"}, "has 2 labels, the head 3 outputs"),
        ({"0": "a", "1": "b", "2": "a"}, "labels 0 and 2 are both 'a'"),
    ],
)
def test_an_id2label_that_is_no_good_is_refused(
    tmp_path: Path, id2label: object, told: str
) -> None:
    checkpoint = write_head_checkpoint(tmp_path / "tiny", Task.CLASSIFY)
    with pytest.raises(InvalidConfig, match=f"tiny/config.json: id2label: {told}"):
        built(edited(checkpoint, id2label=id2label), tmp_path)


@pytest.mark.parametrize(
    ("problem", "count", "scoring"),
    [
        (None, 3, Scoring.SOFTMAX),
        (None, 1, Scoring.SIGMOID),
        ("single_label_classification", 3, Scoring.SOFTMAX),
        ("multi_label_classification", 3, Scoring.SIGMOID),
        ("regression", 1, Scoring.NONE),
    ],
)
def test_problem_type_decides_how_logits_become_scores(
    tmp_path: Path, problem: str | None, count: int, scoring: Scoring
) -> None:
    labels = ("a", "b", "c")[:count]
    folder = write_head_checkpoint(tmp_path / "t", Task.CLASSIFY, labels, problem_type=problem)
    assert read_labels(folder, count, None).scoring is scoring


def test_an_unknown_problem_type_is_refused(tmp_path: Path) -> None:
    folder = write_head_checkpoint(tmp_path / "t", Task.CLASSIFY, problem_type="ranking")
    with pytest.raises(InvalidConfig, match=r"problem_type: is 'ranking'; known are single_label"):
        built(folder, tmp_path)


@pytest.mark.parametrize(
    ("has", "asked", "told"),
    [
        (
            Task.TAG_TOKENS,
            Task.CLASSIFY,
            "has a head for tag_tokens, not classify; build it with --task tag_tokens",
        ),
        (Task.CLASSIFY, Task.TAG_TOKENS, "has a head for classify, not tag_tokens"),
        (Task.CLASSIFY, Task.ANSWER, "has no head for answer; build it with --task classify"),
        (Task.ANSWER, Task.NEXT_SENTENCE, "has no head for next_sentence"),
    ],
)
def test_another_task_than_the_heads_is_refused(
    tmp_path: Path, has: Task, asked: Task, told: str
) -> None:
    checkpoint = write_head_checkpoint(tmp_path / "tiny", has)
    with pytest.raises(InvalidConfig, match=told):
        built(checkpoint, tmp_path, task=asked)


def test_labels_for_a_task_without_any_are_refused(tmp_path: Path) -> None:
    checkpoint = write_head_checkpoint(tmp_path / "tiny", Task.ANSWER)
    with pytest.raises(InvalidConfig, match="--labels: answer has no labels; leave it out"):
        built(checkpoint, tmp_path, labels=tmp_path / "labels.txt")


def test_a_head_without_its_pooler_is_refused(tmp_path: Path) -> None:
    checkpoint = write_head_checkpoint(tmp_path / "tiny", Task.CLASSIFY)
    stored = load_file(checkpoint / "model.safetensors")
    kept = {name: array for name, array in stored.items() if "pooler" not in name}
    save_file(kept, checkpoint / "model.safetensors")
    with pytest.raises(InvalidConfig, match=r"pooler.dense.weight: the tensor is missing"):
        built(checkpoint, tmp_path)


def test_a_misshapen_head_is_refused(tmp_path: Path) -> None:
    checkpoint = write_head_checkpoint(tmp_path / "tiny", Task.ANSWER)
    stored = load_file(checkpoint / "model.safetensors")
    stored["qa_outputs.weight"] = np.zeros((3, 32), np.float32)
    save_file(stored, checkpoint / "model.safetensors")
    with pytest.raises(InvalidConfig, match=r"qa_outputs.weight: has shape \[3, 32\]"):
        built(checkpoint, tmp_path)


def test_a_head_may_be_left_aside(tmp_path: Path) -> None:
    checkpoint = write_head_checkpoint(tmp_path / "tiny", Task.CLASSIFY)
    published = built(checkpoint, tmp_path, task=Task.EMBED)
    assert [model.model for model in published] == ["tiny_tokenizer", "tiny", "embed"]


def test_the_encoder_alone_is_read_where_nobody_asks_for_the_head(tmp_path: Path) -> None:
    checkpoint = read_checkpoint(write_head_checkpoint(tmp_path / "tiny", Task.TAG_TOKENS))
    assert not any(name.startswith("classifier") for name in checkpoint.stored)
    assert not checkpoint.has_head


def test_ner_labels_reach_the_config(tmp_path: Path) -> None:
    built(write_head_checkpoint(tmp_path / "tiny", Task.TAG_TOKENS), tmp_path)
    config = (tmp_path / "models" / "tiny" / "config.pbtxt").read_text()
    assert f'name: "logits" data_type: TYPE_FP32 dims: [ -1, {len(NER_LABELS)} ]' in config
