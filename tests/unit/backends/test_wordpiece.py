"""WordPiece as transformers has it, on 10,000 odd texts; a few of them without transformers, too.

`wordpiece_golden.json` was written once by the reference, see README.md beside it.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from tests.harness.odd_texts import odd_texts
from tests.harness.toolchains import needs
from trivet.backend.contract import Answer, Batch, LoadContext, Rows
from trivet.config import ModelConfig
from trivet_backends.tokenizers import TokenizersBackend

MLM = Path(__file__).parents[3] / "model_repository" / "checkpoints" / "minilm-mlm"
GOLDEN = Path(__file__).with_name("wordpiece_golden.json")
TEXTS, GOLDEN_TEXTS = 10_000, 180
NOTHING = [101, 102]  # [CLS] [SEP]: the reference's answer to a text without a word


def ids_of(texts: Sequence[str], folder: Path) -> list[list[int]]:
    """What the backend makes of each text; it refuses those that have no word."""
    shutil.copyfile(MLM / "tokenizer.json", folder / "tokenizer.json")
    config = ModelConfig(name="m", backend="tokenizers", max_batch_size=64)
    context = LoadContext(version=1, path=folder, where="m/1", threads=1)
    artifact = TokenizersBackend().open(config, context)
    config = ModelConfig(
        name="m",
        backend="tokenizers",
        max_batch_size=64,
        inputs=artifact.signature.inputs,
        outputs=artifact.signature.outputs,
    )
    requests = [Rows({"TEXT": np.array([[text.encode()]], object)}) for text in texts]
    answers = artifact.instance(config).execute(Batch(requests, time.monotonic_ns))
    return [_ids(answer) for answer in answers]


def _ids(answer: object) -> list[int]:
    if isinstance(answer, Answer):
        ids: list[int] = answer.outputs["input_ids"][0].tolist()
        return ids
    assert "nothing but white space" in str(answer) or "is empty" in str(answer)
    return NOTHING


def test_odd_texts_have_the_ids_that_the_reference_wrote_down(tmp_path: Path) -> None:
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    assert len(golden) == GOLDEN_TEXTS
    found = ids_of([one["text"] for one in golden], tmp_path)
    for one, ids in zip(golden, found, strict=True):
        assert ids == one["ids"], one["text"]


def test_the_texts_are_odd_indeed() -> None:
    texts = odd_texts(TEXTS)
    assert len(set(texts)) > TEXTS * 0.95
    joined = "".join(texts)
    for kind in ("\u0301", "東", "🙂", "\u200d", "\x00", "İ", "한", "عر"):
        assert kind in joined
    assert any(len(word) > 200 for text in texts for word in text.split())


@needs("finetune")
@pytest.mark.parametrize(("kind", "count"), [("BertTokenizer", TEXTS), ("in plain Python", 2_000)])
def test_odd_texts_have_the_ids_of_transformers(tmp_path: Path, kind: str, count: int) -> None:
    texts = odd_texts(count)
    found = ids_of(texts, tmp_path)
    expected = _reference(texts, tmp_path, kind)
    wrong = [
        text for text, ours, theirs in zip(texts, found, expected, strict=True) if ours != theirs
    ]
    assert not wrong, f"{len(wrong)} differ, the first is {wrong[0]!r}"


def _reference(texts: Sequence[str], folder: Path, kind: str) -> list[list[int]]:
    """transformers over the same vocabulary."""
    from transformers import BertTokenizer
    from transformers.models.bert.tokenization_bert_legacy import BertTokenizerLegacy

    vocabulary = json.loads((MLM / "tokenizer.json").read_text())["model"]["vocab"]
    if kind == "BertTokenizer":
        tokenizer = BertTokenizer(vocab=vocabulary)
    else:
        path = folder / "vocab.txt"
        path.write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
        tokenizer = BertTokenizerLegacy(str(path))
    return [tokenizer(text)["input_ids"] for text in texts]


def write_golden() -> None:
    """Write the committed file anew; needs transformers."""
    import tempfile

    texts = odd_texts(GOLDEN_TEXTS)
    with tempfile.TemporaryDirectory() as folder:
        ids = _reference(texts, Path(folder), "in plain Python")
    rows = [json.dumps({"text": text, "ids": row}) for text, row in zip(texts, ids, strict=True)]
    GOLDEN.write_text("[\n" + ",\n".join(rows) + "\n]\n")
