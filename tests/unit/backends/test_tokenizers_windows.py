"""Texts longer than the model: refused, truncated, or seen through a window, as asked."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from tests.harness import head_checkpoints
from tests.harness.head_reference import needs_transformers
from trivet.backend.contract import Answer, Batch, LoadContext, Rows
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidConfig, ServeError
from trivet_backends.tokenizers import TokenizersBackend
from trivet_backends.tokenizers.encoder import Encoder, Limits
from trivet_backends.tokenizers.fitting import Fit, LongText, Truncation, truncated, windows
from trivet_backends.tokenizers.instance import TokenizerInstance

MAX_TOKENS = 12
INT64 = ("input_ids", "attention_mask", "token_type_ids", "offsets", "sequence_ids", "window")
TOLD = ("input_ids", "token_type_ids", "offset_mapping")
PASSAGE = "a b c d e f g h i j k l"


def instance(
    folder: Path,
    outputs: tuple[str, ...] = (*INT64, "texts"),
    max_batch_size: int = 8,
    **parameters: str,
) -> TokenizerInstance:
    head_checkpoints.tokenizer().save(str(folder / "tokenizer.json"))
    config = ModelConfig(
        name="m",
        backend="tokenizers",
        max_batch_size=max_batch_size,
        inputs=tuple(
            TensorSpec(name=name, datatype="BYTES", dims=(1,)) for name in ("TEXT", "TEXT_PAIR")
        ),
        outputs=tuple(
            TensorSpec(name=name, datatype="INT64" if name in INT64 else "BYTES", dims=(-1,))
            for name in outputs
        ),
        parameters={"max_tokens": str(MAX_TOKENS), **parameters},
    )
    context = LoadContext(version=1, path=folder, where="m/1", threads=1)
    return TokenizersBackend().open(config, context).instance(config)


def asked(
    one: TokenizerInstance, *texts: str, pair: str | None = None, **parameters: object
) -> Answer | ServeError:
    inputs = {"TEXT": np.array([[text.encode()] for text in texts], object)}
    if pair is not None:
        inputs["TEXT_PAIR"] = np.array([[pair.encode()] for _ in texts], object)
    (answer,) = one.execute(Batch([Rows(inputs, parameters)], lambda: 0))  # type: ignore[arg-type]
    return answer


def answered(one: TokenizerInstance, *texts: str, **more: object) -> Answer:
    answer = asked(one, *texts, **more)  # type: ignore[arg-type]
    assert isinstance(answer, Answer), answer
    return answer


def refusal(one: TokenizerInstance, *texts: str, **more: object) -> str:
    answer = asked(one, *texts, **more)  # type: ignore[arg-type]
    assert isinstance(answer, ServeError), answer
    return answer.message


def odd_text(rng: random.Random, words: int) -> str:
    letters = "abcé東京💡xyz.,!0ñ́"
    return " ".join(
        "".join(rng.choice(letters) for _ in range(rng.randint(1, 5))) for _ in range(words)
    )


@pytest.mark.parametrize("seed", range(4))
def test_windows_are_those_of_hugging_faces_tokenizers(seed: int) -> None:
    rng, own = random.Random(seed), head_checkpoints.tokenizer()
    reference = head_checkpoints.tokenizer()
    for _ in range(60):
        text, passage = odd_text(rng, rng.randint(1, 6)), odd_text(rng, rng.randint(1, 40))
        pair = passage if rng.random() < 0.6 else None
        most, stride = rng.randint(45, 60), rng.randint(0, 8)
        fit = Fit(long_text=LongText.WINDOW, most=most, stride=stride, max_windows=99)
        encoder = Encoder(own, Limits(max_tokens=most, max_text_bytes=10**6), places=True)
        content = None if pair is None else pair.encode()
        (found,) = encoder.encode([encoder.read(text.encode(), "", fit, pair=content)])
        strategy = "only_first" if pair is None else "only_second"
        reference.enable_truncation(most, stride=stride, strategy=strategy)
        expected = reference.encode(text, pair)
        assert isinstance(found, list), found
        for window, encoding in zip(found, [expected, *expected.overflowing], strict=True):
            assert window.ids == encoding.ids
            assert window.type_ids == encoding.type_ids
            assert [window.encoding.offsets[i] for i in window.kept] == encoding.offsets


@needs_transformers
def test_pairs_and_windows_are_those_of_transformers_bert_tokenizer() -> None:
    import transformers

    vocabulary = {word: number for number, word in enumerate(head_checkpoints.VOCABULARY)}
    reference = transformers.BertTokenizer(vocab=vocabulary)
    rng, own = random.Random(9), head_checkpoints.tokenizer()
    for number in range(200):
        text, pair = odd_text(rng, rng.randint(1, 5)), odd_text(rng, rng.randint(1, 30))
        most, windows_asked = rng.randint(40, 60), number % 2 == 0
        encoder = Encoder(own, Limits(max_tokens=most, max_text_bytes=10**6), places=True)
        kind = LongText.WINDOW if windows_asked else LongText.TRUNCATE
        fit = Fit(long_text=kind, most=most, stride=5, max_windows=99)
        (found,) = encoder.encode([encoder.read(text.encode(), "", fit, pair=pair.encode())])
        told = reference(
            text,
            pair,
            truncation="only_second" if windows_asked else "longest_first",
            max_length=most,
            stride=5 if windows_asked else 0,
            return_overflowing_tokens=windows_asked,
            return_offsets_mapping=True,
        )
        rows = (
            zip(*(told[name] for name in TOLD), strict=True)
            if windows_asked
            else [[told[name] for name in TOLD]]
        )
        assert isinstance(found, list), found
        for window, (ids, types, offsets) in zip(found, rows, strict=True):
            assert (window.ids, window.type_ids) == (ids, types)
            assert [window.encoding.offsets[i] for i in window.kept] == offsets


@pytest.mark.parametrize("seed", range(4))
def test_pairs_are_truncated_as_hugging_faces_tokenizers_do(seed: int) -> None:
    rng, own = random.Random(seed), head_checkpoints.tokenizer()
    reference = head_checkpoints.tokenizer()
    for _ in range(60):
        text, pair = odd_text(rng, rng.randint(1, 20)), odd_text(rng, rng.randint(1, 20))
        most = rng.randint(8, 60)
        encoder = Encoder(own, Limits(max_tokens=most, max_text_bytes=10**6))
        fit = Fit(long_text=LongText.TRUNCATE, most=most)
        (found,) = encoder.encode([encoder.read(text.encode(), "", fit, pair=pair.encode())])
        reference.enable_truncation(most, strategy="longest_first")
        assert isinstance(found, list), found
        assert found[0].ids == reference.encode(text, pair).ids


def test_a_window_slides_over_the_second_text_of_a_pair(tmp_path: Path) -> None:
    one = instance(tmp_path, long_text="window")
    answer = answered(one, "the cat", pair=PASSAGE, stride=2)
    # 12 positions less [CLS], the cat, [SEP] and [SEP]: 7 of the passage, 5 of them new.
    assert answer.outputs["window"].tolist() == [[0, 0], [0, 5]]
    assert answer.outputs["offsets"][1, 4:6].tolist() == [[10, 11], [12, 13]]
    assert answer.outputs["sequence_ids"][0].tolist() == [-1, 0, 0, -1, *[1] * 7, -1]
    assert answer.outputs["token_type_ids"][0].tolist() == [0] * 4 + [1] * 8
    assert answer.outputs["texts"].tolist() == [[PASSAGE.encode()]] * 2
    assert answer.parameters == {"tokens": 24, "truncated": False, "windows": 2}


def test_windows_of_several_rows_tell_their_row(tmp_path: Path) -> None:
    one = instance(tmp_path)
    answer = answered(one, "the cat", "a b c d e f g h i j k l m", long_text="window", stride=0)
    assert answer.outputs["window"].tolist() == [[0, 0], [1, 0], [1, 10]]
    assert [text for (text,) in answer.outputs["texts"]] == [
        b"the cat",
        *[b"a b c d e f g h i j k l m"] * 2,
    ]
    assert answer.outputs["attention_mask"].sum(axis=1).tolist() == [4, 12, 5]


def test_a_text_that_fits_is_one_window(tmp_path: Path) -> None:
    answer = answered(instance(tmp_path), "the cat", pair="sat", long_text="window")
    assert answer.outputs["window"].tolist() == [[0, 0]]
    assert answer.parameters["windows"] == 1


def test_only_the_passage_is_cut_where_the_config_says_so(tmp_path: Path) -> None:
    one = instance(tmp_path, truncation="only_second")
    answer = answered(one, "a b c d", pair="e f g h i j", truncate=True)
    assert answer.outputs["sequence_ids"][0].tolist().count(0) == 4
    assert answer.outputs["sequence_ids"][0].tolist().count(1) == 5
    assert answer.parameters["truncated"] is True


def test_offsets_are_characters_of_the_original_text(tmp_path: Path) -> None:
    text = (
        "E\u0301a 東京💡\u200b cafe\u0301 Café"  # an accent of its own, and one within its letter
    )
    answer = answered(instance(tmp_path), text)
    spans = [text[begin:end] for begin, end in answer.outputs["offsets"][0].tolist()[1:-1]]
    assert spans == ["E", "a", "東", "京", "💡", "cafe", "Café"]


@pytest.mark.parametrize(
    ("parameters", "told"),
    [
        ({"long_text": "slide"}, "'long_text' is 'slide'; send one of refuse, truncate, window"),
        ({"long_text": True}, "'long_text' is True; send one of"),
        ({"truncate": "yes"}, "'truncate' is 'yes'; send true or false"),
        ({"truncate": True, "long_text": "window"}, "contradict each other; send one"),
        ({"long_text": "window", "stride": 7}, "share 7 tokens (stride), but a window of 12 holds"),
        ({"long_text": "window", "stride": 7}, "send a stride of at most 6"),
        ({"long_text": "window", "stride": -1}, "'stride' is -1; send 0 to 12 tokens"),
        ({"long_text": "window", "window": 13}, "'window' is 13; send 1 to 12 tokens"),
        ({"long_text": "window", "window": 5}, "leaves no room for the second in the 5"),
        ({"long_text": "window", "window": 5}, "shorten the first text by at least 1 tokens"),
        ({"stride": 2}, "'stride' is 2, but long texts are not to be seen through a window"),
        ({}, "the two texts have 17 tokens and the model takes at most 12"),
    ],
)
def test_what_cannot_be_done_is_refused(
    tmp_path: Path, parameters: dict[str, object], told: str
) -> None:
    assert told in refusal(instance(tmp_path), "the cat", pair=PASSAGE, **parameters)


def test_a_window_without_room_for_a_single_text_is_refused(tmp_path: Path) -> None:
    told = refusal(instance(tmp_path), PASSAGE, long_text="window", window=2)
    assert told.startswith("a row of 2 tokens (window) has no room for the text beside 2 special")


def test_too_many_windows_are_refused(tmp_path: Path) -> None:
    one = instance(tmp_path, max_windows="4")
    told = refusal(one, "a " * 99, long_text="window", stride=0)
    assert told == (
        "the text makes 10 windows and at most 4 are computed; send it in parts, or with a smaller"
        " stride"
    )
    told = refusal(one, "a " * 29, "a " * 29, long_text="window", stride=0)
    assert told == (
        "the 2 texts of the request make 6 windows and at most 4 are computed at once; send fewer"
        " rows in a request"
    )


def test_windows_of_a_model_that_takes_one_row_are_refused(tmp_path: Path) -> None:
    one = instance(tmp_path, max_batch_size=0)
    inputs = {"TEXT": np.array([PASSAGE.encode()], object)}
    (answer,) = one.execute(Batch([Rows(inputs, {"long_text": "window"})], lambda: 0))
    assert isinstance(answer, ServeError)
    assert answer.message.startswith("the text makes 2 windows, and this model takes one row")


def test_windows_that_nobody_puts_together_are_refused(tmp_path: Path) -> None:
    one = instance(tmp_path, INT64[:3])
    assert "nothing puts the windows of this model together" in refusal(
        one, PASSAGE, long_text="window"
    )
    with pytest.raises(InvalidConfig, match="add the output 'window'"):
        instance(tmp_path, INT64[:3], long_text="window")


def test_an_unknown_strategy_is_refused_at_load(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match="use one of longest_first, only_second"):
        instance(tmp_path, truncation="only_third")


def test_the_default_stride_is_half_a_short_window() -> None:
    parts = [None, *[0] * 20, None]
    found = windows(parts, Fit(long_text=LongText.WINDOW, most=10), "")
    assert [first for first, _ in found] == [0, 4, 8, 12]


def test_a_second_text_is_never_cut_away_altogether() -> None:
    parts = [None, *[0] * 5, None, 1, 1, 1, None]
    fit = Fit(most=9, truncation=Truncation.ONLY_SECOND)
    assert truncated(parts, fit, "") == [0, 1, 2, 3, 4, 5, 6, 7, 10]
