"""Every format of every head: written, loaded back, and the same as plain numpy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.exports import FILL_MASK, OPTIONS, cases, differences, source_of
from tests.harness.toolchains import needs
from tests.unit.workshop.checkpoints import TINY, Recipe
from trivet.errors import InvalidConfig
from trivet_backends.workshop.checkpoint import read_checkpoint
from trivet_backends.workshop.export import child
from trivet_backends.workshop.export.child import Job
from trivet_backends.workshop.export.formats import WAYS, ExportFormat
from trivet_backends.workshop.export.sample import check_batches
from trivet_backends.workshop.export.source import Source
from trivet_backends.workshop.export.to_weights import compare_safetensors
from trivet_backends.workshop.numpy_bert import NumpyBert


def each_case(formats: Iterable[ExportFormat]) -> list[Any]:
    """A parameter for each case of each format, left out where its extra is missing."""
    return [
        pytest.param(
            format_,
            case,
            id=f"{format_}-{case}",
            marks=[needs(WAYS[format_].extra)] if WAYS[format_].extra else [],
        )
        for format_ in sorted(formats)
        for case in cases(format_)
    ]


@pytest.mark.timeout(300)  # the first of a format computes all of its cases
@pytest.mark.parametrize(
    ("format_", "case"), each_case(one for one in ExportFormat if WAYS[one].run)
)
def test_a_format_answers_as_plain_numpy_does(format_: ExportFormat, case: str) -> None:
    padded, alone = differences(format_)[case]
    assert padded is not None
    assert padded < 1e-5
    assert alone is not None
    assert alone < 1e-5


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("format_", "case"), each_case([ExportFormat.COREML]))
def test_a_coreml_package_has_the_structure_of_the_source(format_: ExportFormat, case: str) -> None:
    assert differences(format_)[case] == [None]  # nothing is run, and no difference claimed


@needs("coreml")
def test_a_coreml_package_of_another_checkpoint_is_told(tmp_path: Path) -> None:
    def job(source: Source) -> Job:
        return Job(
            format=ExportFormat.COREML,
            checkpoint=source.checkpoint.folder,
            options=source.options,
            folder=tmp_path,
            desk=tmp_path,
        )

    child.write(job(source_of(tmp_path / "one", OPTIONS["embed-cls"])))
    longer = Recipe(config=dataclasses.replace(TINY, max_positions=50), seed=1)
    other = source_of(tmp_path / "other", OPTIONS["embed"], longer)
    with pytest.raises(InvalidConfig) as refused:
        child.inspect(job(other))
    text = str(refused.value)
    assert "('embedding',), expected ('embedding', 'last_hidden_state')" in text
    assert "input_ids: takes [(1, 64), (1, 48)], expected [(1, 64), (1, 50)]" in text
    assert "word_embeddings.weight: is not in it" in text


def test_safetensors_keep_every_weight_and_what_no_head_uses(tmp_path: Path) -> None:
    source = source_of(tmp_path / "tiny", OPTIONS["embed"])  # it has a fill-mask head
    WAYS[ExportFormat.SAFETENSORS].write(source, tmp_path)
    assert compare_safetensors(source, tmp_path) == 0.0
    assert read_checkpoint(tmp_path).has_head
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o044 == 0o044, "others may not read"


def test_a_safetensors_file_of_other_weights_is_told(tmp_path: Path) -> None:
    one = source_of(tmp_path / "one", OPTIONS["embed"])
    other = source_of(tmp_path / "other", OPTIONS["embed"], Recipe(seed=1))
    smaller = Recipe(config=dataclasses.replace(TINY, layers=1))
    less = source_of(tmp_path / "less", OPTIONS["embed"], smaller)
    assert compare_safetensors(one, other.checkpoint.folder) > 0.01
    with pytest.raises(InvalidConfig, match="is not as in the source"):
        compare_safetensors(one, less.checkpoint.folder)


def old_name(name: str) -> str:
    """As the first checkpoints have it."""
    name = name if name.startswith("cls.") else f"bert.{name}"
    return name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta")


def test_old_names_and_half_precision_become_todays_names_in_fp32(tmp_path: Path) -> None:
    old = Recipe(rename=old_name, dtype=np.float16)
    source = source_of(tmp_path / "tiny", FILL_MASK, old)
    WAYS[ExportFormat.SAFETENSORS].write(source, tmp_path)
    assert compare_safetensors(source, tmp_path) == 0.0
    again = read_checkpoint(tmp_path)
    assert {stored.dtype for stored in again.stored.values()} == {"F32"}
    names = {stored.name for stored in again.stored.values()}
    assert "bert.embeddings.LayerNorm.weight" in names
    assert not [name for name in names if "gamma" in name or "beta" in name]


@needs("finetune")
@pytest.mark.parametrize("format_", [ExportFormat.PYTORCH, ExportFormat.SAFETENSORS])
def test_transformers_reads_the_weights_and_answers_the_same(
    tmp_path: Path, format_: ExportFormat
) -> None:
    import torch
    from transformers import BertModel

    source = source_of(tmp_path / "tiny", OPTIONS["embed"])
    WAYS[format_].write(source, tmp_path)
    assert (tmp_path / WAYS[format_].file).is_file()
    bert = BertModel.from_pretrained(tmp_path, add_pooling_layer=False).eval()
    batch = check_batches(source.checkpoint, source.options)[0]
    with torch.inference_mode():
        answer = bert(**{name: torch.from_numpy(array) for name, array in batch.tokens.items()})
    expected = NumpyBert(source.config, source.weights).hidden_states(**batch.tokens)
    tokens = batch.tokens["attention_mask"] == 1
    difference = np.abs(answer.last_hidden_state.numpy()[tokens] - expected[tokens])
    assert difference.max() < 1e-5
