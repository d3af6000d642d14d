"""Every format of every head: written, loaded back, and the same as plain numpy."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from tests.harness.head_checkpoints import write_head_checkpoint
from tests.harness.toolchains import needs
from tests.unit.workshop.checkpoints import TINY, Recipe, write_checkpoint
from trivet.errors import InvalidConfig
from trivet_backends.workshop.bert_config import Activation
from trivet_backends.workshop.checkpoint import read_checkpoint
from trivet_backends.workshop.export.formats import WAYS, ExportFormat
from trivet_backends.workshop.export.sample import check_batches, inputs_of
from trivet_backends.workshop.export.source import Source, signature
from trivet_backends.workshop.heads import HEADS
from trivet_backends.workshop.numpy_bert import NumpyBert
from trivet_backends.workshop.options import GraphOptions, Pooling, Task
from trivet_backends.workshop.parity import COMPARE

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's words about its own build

WHOLE = Recipe(untied=True, keys={"tie_word_embeddings": False})
OPTIONS = {
    "embed": GraphOptions(task=Task.EMBED, hidden_state=True),
    "embed-cls": GraphOptions(task=Task.EMBED, pooling=Pooling.CLS, normalize=False),
    "embed-max": GraphOptions(task=Task.EMBED, pooling=Pooling.MAX),
    "fill_mask": GraphOptions(task=Task.FILL_MASK, candidates=20),
    **{task.value: GraphOptions(task=task) for task in HEADS},
}


def with_its_extra(format_: ExportFormat) -> object:
    extra = WAYS[format_].extra
    return pytest.param(format_, marks=[needs(extra)] if extra else [], id=format_)


RUNNABLE = [with_its_extra(format_) for format_ in ExportFormat if WAYS[format_].run]
ONE_OF_EACH = [
    with_its_extra(format_)
    for format_ in (ExportFormat.JAX, ExportFormat.SAVED_MODEL, ExportFormat.TORCHSCRIPT)
]


def source_of(folder: Path, options: GraphOptions, recipe: Recipe | None = None) -> Source:
    if options.task in HEADS:
        write_head_checkpoint(folder, options.task)
    else:
        write_checkpoint(folder, recipe)
    checkpoint = read_checkpoint(folder, options.task)
    return Source(checkpoint=checkpoint, weights=checkpoint.weights(), options=options)


def differences(source: Source, format_: ExportFormat, folder: Path) -> list[float]:
    """Of each batch to plain numpy, by the format's own way of running."""
    run, options = WAYS[format_].run, source.options
    assert run is not None
    reference = NumpyBert(source.config, source.weights)
    found = []
    for batch in check_batches(source.checkpoint, options)[:2]:  # 8 rows with padding, 1 without
        outputs = run(folder, options, inputs_of(batch, options))
        named = dict(zip(signature(options).outputs, outputs, strict=True))
        found.append(COMPARE[options.task](named, reference, options, batch).max_difference)
    return found


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("format_", RUNNABLE)
def test_a_format_answers_as_plain_numpy_does(
    tmp_path: Path, format_: ExportFormat, options: GraphOptions
) -> None:
    source = source_of(tmp_path / "tiny", options)
    written = tmp_path / "written"
    written.mkdir()
    WAYS[format_].write(source, written)
    assert (written / WAYS[format_].file).exists()
    found = differences(source, format_, written)
    assert len(found) == 2
    assert max(found) < 1e-5


@pytest.mark.parametrize("activation", [*Activation])
@pytest.mark.parametrize("format_", ONE_OF_EACH)
def test_every_activation_and_an_untied_decoder_are_those_of_the_checkpoint(
    tmp_path: Path, format_: ExportFormat, activation: Activation
) -> None:
    recipe = dataclasses.replace(WHOLE, config=dataclasses.replace(TINY, activation=activation))
    source = source_of(tmp_path / "tiny", OPTIONS["fill_mask"], recipe)
    assert "cls.predictions.decoder.weight" in source.weights
    WAYS[format_].write(source, tmp_path)
    assert max(differences(source, format_, tmp_path)) < 1e-5


@pytest.mark.parametrize("format_", [with_its_extra(ExportFormat.PYTORCH)])
def test_old_names_and_half_precision_become_todays_names_in_fp32(
    tmp_path: Path, format_: ExportFormat
) -> None:
    def old(name: str) -> str:
        name = name if name.startswith("cls.") else f"bert.{name}"
        return name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta")

    recipe = Recipe(rename=old, dtype=np.float16)
    source = source_of(tmp_path / "tiny", OPTIONS["fill_mask"], recipe)
    for one in (format_, ExportFormat.SAFETENSORS):
        (tmp_path / one).mkdir()
        WAYS[one].write(source, tmp_path / one)
    assert max(differences(source, format_, tmp_path / format_)) < 1e-5
    again = read_checkpoint(tmp_path / ExportFormat.SAFETENSORS)
    assert {stored.dtype for stored in again.stored.values()} == {"F32"}
    assert not [stored.name for stored in again.stored.values() if "gamma" in stored.name]


def test_safetensors_keep_what_no_head_uses_and_every_weight(tmp_path: Path) -> None:
    source = source_of(tmp_path / "tiny", OPTIONS["embed"])  # it has a fill-mask head
    WAYS[ExportFormat.SAFETENSORS].write(source, tmp_path)
    look = WAYS[ExportFormat.SAFETENSORS].inspect
    assert look is not None
    assert look(source, tmp_path) == 0.0
    assert read_checkpoint(tmp_path).has_head


def test_a_safetensors_file_of_other_weights_is_told(tmp_path: Path) -> None:
    one = source_of(tmp_path / "one", OPTIONS["embed"])
    other = source_of(tmp_path / "other", OPTIONS["embed"], Recipe(seed=1))
    smaller = dataclasses.replace(TINY, layers=1)
    less = source_of(tmp_path / "less", OPTIONS["embed"], Recipe(config=smaller))
    look = WAYS[ExportFormat.SAFETENSORS].inspect
    assert look is not None
    difference = look(one, other.checkpoint.folder)
    assert difference is not None
    assert difference > 0.01
    with pytest.raises(InvalidConfig, match="is not as in the source"):
        look(one, less.checkpoint.folder)


@needs("coreml")
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_a_coreml_package_has_the_structure_of_the_source(
    tmp_path: Path, options: GraphOptions
) -> None:
    source = source_of(tmp_path / "tiny", options)
    way = WAYS[ExportFormat.COREML]
    way.write(source, tmp_path)
    assert way.inspect is not None
    assert way.inspect(source, tmp_path) is None  # nothing is run, and no difference claimed


@needs("coreml")
def test_a_coreml_package_of_another_checkpoint_is_told(tmp_path: Path) -> None:
    source = source_of(tmp_path / "one", OPTIONS["embed-cls"])
    longer = Recipe(config=dataclasses.replace(TINY, max_positions=50), seed=1)
    other = source_of(tmp_path / "other", OPTIONS["embed"], longer)
    WAYS[ExportFormat.COREML].write(source, tmp_path)
    look = WAYS[ExportFormat.COREML].inspect
    assert look is not None
    with pytest.raises(InvalidConfig) as refused:
        look(other, tmp_path)
    text = str(refused.value)
    assert "('embedding',), expected ('embedding', 'last_hidden_state')" in text
    assert "input_ids: takes [(1, 64), (1, 48)], expected [(1, 64), (1, 50)]" in text
    assert "word_embeddings.weight: is not in it" in text


@needs("finetune")
@pytest.mark.parametrize("format_", [ExportFormat.PYTORCH, ExportFormat.SAFETENSORS])
def test_transformers_reads_the_weights_and_answers_the_same(
    tmp_path: Path, format_: ExportFormat
) -> None:
    import torch
    from transformers import BertModel

    source = source_of(tmp_path / "tiny", OPTIONS["embed"])
    WAYS[format_].write(source, tmp_path)
    if format_ is ExportFormat.PYTORCH:
        assert not (tmp_path / "model.safetensors").exists()
    bert = BertModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    batch = check_batches(source.checkpoint, source.options)[0]
    with torch.inference_mode():
        answer = bert(**{name: torch.from_numpy(array) for name, array in batch.tokens.items()})
    expected = NumpyBert(source.config, source.weights).hidden_states(**batch.tokens)
    tokens = batch.tokens["attention_mask"] == 1
    difference = np.abs(answer.last_hidden_state.numpy()[tokens] - expected[tokens])
    assert difference.max() < 1e-5
