"""The tokenizers backend: pairs, what is told of each token, and targets of fill-mask."""

from __future__ import annotations

import gc
import shutil
import time
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trivet.backend.contract import Answer, Batch, LoadContext, Rows
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidInput
from trivet_backends.tokenizers import TokenizersBackend
from trivet_backends.tokenizers.instance import TokenizerInstance
from trivet_backends.tokenizers.sharing import open_tokenizer

MLM = Path(__file__).parents[3] / "model_repository" / "checkpoints" / "minilm-mlm"
DETAILS = ("input_ids", "token_type_ids", "special_tokens_mask", "tokens", "offsets", "word_ids")
PLAIN = ("input_ids", "attention_mask", "token_type_ids")
DIMS = {"offsets": (-1, 2)}


def tokenizer(
    folder: Path, outputs: tuple[str, ...], *, rows: bool = True, **parameters: str
) -> TokenizerInstance:
    """Over the vocabulary of bert-base-uncased."""
    shutil.copyfile(MLM / "tokenizer.json", folder / "tokenizer.json")
    specs = tuple(
        TensorSpec(
            name=name,
            datatype="BYTES" if name == "tokens" else "INT64",
            dims=DIMS.get(name, (-1,)),
        )
        for name in outputs
    )
    config = ModelConfig(
        name="m",
        backend="tokenizers",
        max_batch_size=64 if rows else 0,
        outputs=specs,
        parameters=parameters,
    )
    context = LoadContext(version=1, path=folder, where="m/1", threads=1)
    return TokenizersBackend().open(config, context).instance(config)


def column(*texts: str) -> np.ndarray:
    return np.array([text.encode() for text in texts], dtype=object)[:, None]


def ask(instance: TokenizerInstance, inputs: dict[str, np.ndarray], **parameters: Any) -> Any:
    (found,) = instance.execute(Batch([Rows(inputs, parameters)], time.monotonic_ns))
    return found


def outputs_of(
    instance: TokenizerInstance, inputs: dict[str, np.ndarray], **parameters: Any
) -> dict[str, np.ndarray]:
    found = ask(instance, inputs, **parameters)
    assert isinstance(found, Answer), found
    return dict(found.outputs)


def refusal(instance: TokenizerInstance, inputs: dict[str, np.ndarray]) -> str:
    found = ask(instance, inputs)
    assert isinstance(found, InvalidInput), found
    return found.message


def test_every_token_is_told_with_its_place_its_word_and_its_kind(tmp_path: Path) -> None:
    text = "Émile isn't in 東京 🙂 tokenizing"
    found = outputs_of(tokenizer(tmp_path, DETAILS), {"TEXT": column(text)})
    tokens = [token.decode() for token in found["tokens"][0]]
    spans = [text[start:end] for start, end in found["offsets"][0]]
    words = found["word_ids"][0].tolist()
    assert tokens == "[CLS] emile isn ' t in 東 京 [UNK] token ##izing [SEP]".split()
    assert spans == ["", "Émile", "isn", "'", "t", "in", "東", "京", "🙂", "token", "izing", ""]
    assert words == [-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, 8, -1]
    assert found["special_tokens_mask"][0].tolist() == [1, *[0] * 10, 1]


def test_a_shorter_row_is_padded(tmp_path: Path) -> None:
    found = outputs_of(tokenizer(tmp_path, DETAILS), {"TEXT": column("one", "one two")})
    assert found["tokens"][0].tolist() == [b"[CLS]", b"one", b"[SEP]", b""]
    assert found["offsets"][0].tolist() == [[0, 0], [0, 3], [0, 0], [0, 0]]
    assert found["word_ids"][0].tolist() == [-1, 0, -1, -1]
    assert found["special_tokens_mask"][0].tolist() == [1, 0, 1, 1]


def test_a_model_without_a_batch_dimension_tells_the_same(tmp_path: Path) -> None:
    inputs = {"TEXT": column("one two")[0], "TEXT_PAIR": column("three")[0]}
    found = outputs_of(tokenizer(tmp_path, DETAILS, rows=False), inputs)
    assert found["tokens"].tolist() == b"[CLS] one two [SEP] three [SEP]".split()
    assert found["offsets"].shape == (6, 2)


def test_a_pair_has_segment_ids_and_offsets_in_its_own_text(tmp_path: Path) -> None:
    inputs = {"TEXT": column("who came?"), "TEXT_PAIR": column("nobody came")}
    found = outputs_of(tokenizer(tmp_path, DETAILS), inputs)
    assert b" ".join(found["tokens"][0]) == b"[CLS] who came ? [SEP] nobody came [SEP]"
    assert found["token_type_ids"][0].tolist() == [0, 0, 0, 0, 0, 1, 1, 1]
    assert found["offsets"][0][5:7].tolist() == [[0, 6], [7, 11]]
    assert found["word_ids"][0].tolist() == [-1, 0, 1, 2, -1, 0, 1, -1]


@pytest.mark.parametrize(
    ("first", "second", "kept"),
    [
        (9, 2, "0 1 2 3 4 | a b"),
        (2, 9, "0 1 | a b c d e"),
        (9, 9, "0 1 2 | a b c d"),
        (4, 5, "0 1 2 | a b c d"),
        (5, 4, "0 1 2 3 | a b c"),
    ],
)
def test_of_a_pair_that_is_too_long_the_longer_text_is_cut(
    tmp_path: Path, first: int, second: int, kept: str
) -> None:
    instance = tokenizer(tmp_path, DETAILS, max_tokens="10")
    inputs = {"TEXT": column(*[" ".join("012345678"[:first])])}
    inputs["TEXT_PAIR"] = column(" ".join("abcdefghi"[:second]))
    assert "the two texts have" in refusal(instance, inputs)
    found = outputs_of(instance, inputs, truncate=True)
    tokens = b" ".join(found["tokens"][0]).decode()
    assert tokens == "[CLS] " + kept.replace("|", "[SEP]") + " [SEP]"
    assert found["input_ids"].shape == (1, 10)


@pytest.mark.parametrize(("pair", "fault"), [("", "is empty"), (" ", "nothing but white space")])
def test_a_pair_needs_two_texts(tmp_path: Path, pair: str, fault: str) -> None:
    said = refusal(tokenizer(tmp_path, PLAIN), {"TEXT": column("a"), "TEXT_PAIR": column(pair)})
    assert said.startswith("the second text ")
    assert fault in said


def test_targets_become_ids(tmp_path: Path) -> None:
    instance = tokenizer(tmp_path, (*PLAIN, "target_ids"))
    words = np.array([[b"door", b"House", b"##s"], [b"cat", b"", b""]], dtype=object)
    found = outputs_of(instance, {"TEXT": column("a", "b"), "TARGET": words})
    assert found["target_ids"].tolist() == [[2341, 2160, 2015], [4937, -1, -1]]


def test_without_targets_there_is_the_padding(tmp_path: Path) -> None:
    instance = tokenizer(tmp_path, (*PLAIN, "target_ids"))
    assert outputs_of(instance, {"TEXT": column("a", "b")})["target_ids"].tolist() == [[-1], [-1]]
    flat = tokenizer(tmp_path, (*PLAIN, "target_ids"), rows=False)
    assert outputs_of(flat, {"TEXT": column("a")[0]})["target_ids"].tolist() == [-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["unbelievableness"], "targets[0]: 'unbelievableness' is no single token, but 2: "),
        (["cat", "ice cream"], "targets[1]: 'ice cream' is no single token, but 2: 'ice', 'cream'"),
        (["🙂"], "targets[0]: '🙂' has characters that the vocabulary lacks"),
        (["cat", "Cat"], "targets[1]: 'Cat' is the same token as 'cat'; name it once"),
        ([""], "targets is empty; name at least one word"),
        ([" "], "targets[0]: ' ' has characters that the vocabulary lacks"),
    ],
)
def test_a_target_that_is_no_token_is_refused(tmp_path: Path, words: list[str], said: str) -> None:
    instance = tokenizer(tmp_path, (*PLAIN, "target_ids"))
    targets = np.array([[word.encode() for word in words]], dtype=object)
    assert refusal(instance, {"TEXT": column("a"), "TARGET": targets}).startswith(said)


def test_models_of_the_same_file_share_one_tokenizer_for_as_long_as_there_is_one(
    tmp_path: Path,
) -> None:
    folders = [tmp_path / name for name in ("one", "same", "other")]
    for folder in folders:
        folder.mkdir()
        shutil.copyfile(MLM / "tokenizer.json", folder / "tokenizer.json")
    written = (folders[2] / "tokenizer.json").read_text()
    (folders[2] / "tokenizer.json").write_text(written + "\n")
    one, same, other = (
        open_tokenizer(
            ModelConfig(name="m", backend="tokenizers"),
            LoadContext(version=1, path=folder, where="m/1", threads=1),
        )
        for folder in folders
    )
    assert one is same
    assert one.tokenizer is not other.tokenizer
    gone = weakref.ref(other)
    del other
    gc.collect()
    assert gone() is None
