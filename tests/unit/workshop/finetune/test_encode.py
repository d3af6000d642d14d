"""Rows as token ids with targets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.unit.workshop.checkpoints import word_tokenizer
from trivet_backends.workshop.finetune.encode import IGNORED, Encoder, Masking, Row, padded
from trivet_backends.workshop.finetune.examples import (
    Asked,
    HeadTask,
    Labelled,
    Plain,
    Tagged,
)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    word_tokenizer(120).save(str(path))
    return path


def test_pairs_have_segments_and_long_rows_are_cut_and_counted(tokenizer: Path) -> None:
    encoder = Encoder(tokenizer=tokenizer, task=HeadTask.CLASSIFY, labels=("x", "y"), max_tokens=8)
    pair = Labelled(line=1, text="a b", pair="c", label="y")
    long = Labelled(line=2, text="a b c d e f g h i", pair=None, label="x")
    encoded = encoder.encode([pair, long], "f")
    first, second = encoded.rows
    assert first.types.tolist() == [0, 0, 0, 0, 1, 1]
    assert (first.target.tolist(), second.target.tolist()) == ([1], [0])
    assert encoded.lengths == [6, 8]
    assert encoded.cut == 1


def test_the_first_piece_of_a_word_has_its_tag(tokenizer: Path) -> None:
    encoder = Encoder(
        tokenizer=tokenizer, task=HeadTask.TAG_TOKENS, labels=("N", "O"), max_tokens=9
    )
    row = Tagged(line=1, words=("abc", "d"), tags=("N", "O"), lines=(1, 1))
    (made,) = encoder.encode([row], "f").rows
    assert made.target.tolist() == [IGNORED, 0, IGNORED, IGNORED, 1, IGNORED]


def test_windows_of_a_passage_overlap_and_find_the_answer(tokenizer: Path) -> None:
    encoder = Encoder(tokenizer=tokenizer, task=HeadTask.ANSWER, labels=(), max_tokens=16)
    passage = " ".join("abcdefghijklmnopqrst")
    asked = Asked(line=1, question="u", passage=passage, answer="m n", start=passage.index("m"))
    none = Asked(line=2, question="u", passage="a b", answer="", start=0)
    rows = encoder.encode([asked, none], "f").rows
    found = [row for row in rows if row.example == 0 and row.target.any()]
    assert len([row for row in rows if row.example == 0]) > 1
    assert found
    for row in found:
        assert row.spans is not None
        first, last = row.target
        assert passage[row.spans[first][0] : row.spans[last][1]] == "m n"
    assert [row.target.tolist() for row in rows if row.example == 1] == [[0, 0]]


def test_masks_are_drawn_by_the_seed_and_never_none(tokenizer: Path) -> None:
    encoder = Encoder(tokenizer=tokenizer, task=HeadTask.FILL_MASK, labels=(), max_tokens=64)
    texts = [Plain(line=1, text="a b c d e f g h i j k l m n o p q r s t"), Plain(line=2, text="a")]
    long, short = encoder.encode(texts, "f").rows
    masking = Masking(mask_id=4, vocab_size=120)
    one, again, other = (masking.masked(long, [seed]) for seed in (1, 1, 2))
    assert np.array_equal(one.ids, again.ids)
    assert not np.array_equal(one.target, other.target)
    assert (one.target != IGNORED).sum() == 3
    hidden = one.target != IGNORED
    assert np.array_equal(one.target[hidden], long.ids[hidden])
    assert (masking.masked(short, [0]).target != IGNORED).sum() == 1
    assert one.ids[0] == long.ids[0], "special tokens are never hidden"


def test_rows_are_filled_up_on_the_right() -> None:
    rows = [
        Row(example=0, ids=np.array(ids), types=np.zeros(len(ids)), target=np.zeros(1))
        for ids in ([2, 7, 3], [2, 3])
    ]
    arrays = padded(rows, pad_id=9)
    assert arrays["input_ids"].tolist() == [[2, 7, 3], [2, 3, 9]]
    assert arrays["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
