"""Identifiers made of any name."""

from __future__ import annotations

import keyword
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet_client.stub.names import arguments, class_name


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["input_ids"], ["input_ids"]),
        (["TEXT", "text", "Text"], ["text", "text_2", "text_3"]),
        (["class", "None"], ["class_", "none"]),
        (["class", "class_"], ["class_", "class_2"]),
        (["2nd", "bert/pooler:0"], ["input_2nd", "bert_pooler_0"]),
        (["__x", "_x", "x"], ["x", "x_2", "x_3"]),
        (["self", "answer"], ["self_", "answer_"]),
        (["", "***"], ["input", "input_2"]),
        (["größe", "ﬁeld", "日本"], ["größe", "field", "日本"]),
    ],
)
def test_an_input_is_called_like_its_tensor(names: list[str], chosen: list[str]) -> None:
    assert list(arguments(names, "input", {"self", "answer"}).values()) == chosen


@pytest.mark.parametrize(
    ("model", "name"),
    [
        ("embed", "Embed"),
        ("fill_mask", "FillMask"),
        ("bert-base.v2", "BertBaseV2"),
        ("miniLM", "MiniLM"),
        ("3d-bert", "Model3dBert"),
        ("none", "NoneModel"),
        ("generator", "GeneratorModel"),
        ("***", "Model"),
    ],
)
def test_a_class_is_called_like_its_model(model: str, name: str) -> None:
    assert class_name(model, {"Generator"}) == name


@given(st.lists(st.text(), unique=True))
def test_any_names_become_different_identifiers(names: list[str]) -> None:
    reserved = {"self", "np"}
    chosen = arguments(names, "input", reserved)
    assert list(chosen) == names
    found = list(chosen.values())
    assert len(set(found)) == len(found)
    for name in found:
        assert name.isidentifier()
        assert not keyword.iskeyword(name)
        assert name not in reserved
        assert not name.startswith("_")
        assert unicodedata.normalize("NFKC", name) == name


@given(st.text())
def test_any_model_has_a_class(model: str) -> None:
    name = class_name(model, {"Generator"})
    assert name.isidentifier()
    assert not keyword.iskeyword(name)
    assert not name.startswith("_")
