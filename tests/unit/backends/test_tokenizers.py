"""The tokenizers backend: every output against ids counted by hand, and every refusal."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.harness.artifacts import CLS, MASK, PAD, SEP, UNK, ids_of, write_tokenizer
from trivet.backend.contract import Answer, Batch, LoadContext, Rows
from trivet.config import ModelConfig, TensorSpec
from trivet.errors import InvalidConfig, InvalidInput
from trivet_backends.tokenizers import TokenizersBackend
from trivet_backends.tokenizers.backend import TokenizerArtifact
from trivet_backends.tokenizers.instance import TokenizerInstance

ALL = ("input_ids", "attention_mask", "token_type_ids", "mask_positions")
PLAIN = ALL[:3]


def model_config(outputs: tuple[str, ...] = PLAIN, **parameters: str) -> ModelConfig:
    return ModelConfig(
        name="m",
        backend="tokenizers",
        max_batch_size=64,
        outputs=tuple(TensorSpec(name=n, datatype="INT64", dims=(-1,)) for n in outputs),
        parameters=parameters,
    )


def open_artifact(folder: Path, config: ModelConfig) -> TokenizerArtifact:
    return TokenizersBackend().open(
        config, LoadContext(version=1, path=folder, where="m/1", threads=1)
    )


def tokenizer(
    folder: Path, outputs: tuple[str, ...] = PLAIN, **parameters: str
) -> TokenizerInstance:
    write_tokenizer(folder)
    config = model_config(outputs, **parameters)
    return open_artifact(folder, config).instance(config)


def request(*texts: str | bytes, **parameters: Any) -> Rows:
    contents = [text.encode() if isinstance(text, str) else text for text in texts]
    return Rows({"TEXT": np.array(contents, dtype=object).reshape(-1, 1)}, parameters)


def answers(instance: TokenizerInstance, *requests: Rows) -> list[Any]:
    return list(instance.execute(Batch(requests, time.monotonic_ns)))


def answer(instance: TokenizerInstance, *texts: str | bytes, **parameters: Any) -> Answer:
    (found,) = answers(instance, request(*texts, **parameters))
    assert isinstance(found, Answer), found
    return found


def refusal(instance: TokenizerInstance, *texts: str | bytes, **parameters: Any) -> str:
    (found,) = answers(instance, request(*texts, **parameters))
    assert isinstance(found, InvalidInput), found
    return found.message


def test_a_text_becomes_ids_mask_types_and_mask_positions(tmp_path: Path) -> None:
    found = answer(tokenizer(tmp_path, ALL), "The cat sat on the [MASK] cats")
    ids = ids_of("the", "cat", "sat", "on", "the", "[MASK]", "cat", "##s")
    expected = {
        "input_ids": [ids],
        "attention_mask": [[1] * 10],
        "token_type_ids": [[0] * 10],
        "mask_positions": [[6]],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(
            found.outputs[name], np.array(values, dtype=np.int64), strict=True
        )
    assert found.parameters == {"tokens": 10, "truncated": False}


def test_rows_of_one_request_are_padded_to_its_longest(tmp_path: Path) -> None:
    found = answer(tokenizer(tmp_path, ALL), "[MASK]", "the [MASK] cat [MASK]")
    expected = {
        "input_ids": [[CLS, MASK, SEP, PAD, PAD, PAD], ids_of("the", "[MASK]", "cat", "[MASK]")],
        "attention_mask": [[1, 1, 1, 0, 0, 0], [1] * 6],
        "token_type_ids": [[0] * 6] * 2,
        "mask_positions": [[1, -1], [2, 4]],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(found.outputs[name], np.array(values), err_msg=name)
    assert found.parameters == {"tokens": 9, "truncated": False}


def test_the_pad_id_is_that_of_the_file(tmp_path: Path) -> None:
    path = write_tokenizer(tmp_path)
    path.write_text(path.read_text().replace('"pad_id": 0', '"pad_id": 9'))
    config = model_config()
    instance = open_artifact(tmp_path, config).instance(config)
    found = answer(instance, "cat", "the cat")
    assert found.outputs["input_ids"][0].tolist() == [*ids_of("cat"), 9]


def test_requests_of_one_batch_are_not_padded_to_each_other(tmp_path: Path) -> None:
    short, long = answers(tokenizer(tmp_path), request("cat"), request("the cat sat on the mat"))
    assert short.outputs["input_ids"].shape == (1, 3)
    assert long.outputs["input_ids"].shape == (1, 8)


def test_padding_and_truncation_of_the_file_are_switched_off(tmp_path: Path) -> None:
    # The file pads to 6 tokens and truncates to 4.
    instance = tokenizer(tmp_path)
    assert answer(instance, "cat").outputs["input_ids"].shape == (1, 3)
    assert answer(instance, "the cat sat on").outputs["input_ids"].shape == (1, 6)


def test_a_text_of_unknown_words_is_a_text(tmp_path: Path) -> None:
    found = answer(tokenizer(tmp_path), "xylophone 日")
    assert found.outputs["input_ids"].tolist() == [[CLS, UNK, UNK, SEP]]


@pytest.mark.parametrize("text", [" ", "\n\t ", "\x00\x01"])
def test_a_text_of_nothing_but_space_is_refused(tmp_path: Path, text: str) -> None:
    assert refusal(tokenizer(tmp_path), text) == (
        "the text has nothing but white space; send at least one word"
    )


def test_an_empty_text_is_refused(tmp_path: Path) -> None:
    instance = tokenizer(tmp_path)
    assert refusal(instance, "") == "the text is empty; send at least one word"
    assert refusal(instance, "cat", "") == "row 1: the text is empty; send at least one word"


def test_a_text_that_is_not_utf8_is_refused_naming_the_byte(tmp_path: Path) -> None:
    instance = tokenizer(tmp_path)
    assert refusal(instance, "é".encode() + b"\xff cat") == (
        "the text is not UTF-8: byte 2 is 0xff, invalid start byte; send UTF-8"
    )
    assert refusal(instance, "cat", b"\xc3").startswith("row 1: the text is not UTF-8: byte 0")


def test_a_text_without_a_mask_is_refused_only_where_masks_are_asked_for(tmp_path: Path) -> None:
    assert refusal(tokenizer(tmp_path, ALL), "[MASK]", "the cat") == (
        "row 1: the text has no mask token; write [MASK] where a word is to be found"
    )
    answer(tokenizer(tmp_path, PLAIN), "the cat")


def test_a_refusal_spares_the_other_requests(tmp_path: Path) -> None:
    instance = tokenizer(tmp_path)
    requests = [request("cat"), request(""), request(b"\xff"), request("the cat"), request("cat")]
    requests.insert(2, request("cat", truncate="yes"))
    first, *bad, second, third = answers(instance, *requests)
    assert [type(error) for error in bad] == [InvalidInput] * 3
    assert first.outputs["input_ids"].tolist() == [ids_of("cat")]
    assert second.outputs["input_ids"].tolist() == [ids_of("the", "cat")]
    assert third.outputs["input_ids"].tolist() == [ids_of("cat")]


def test_a_text_of_exactly_the_limit_fits(tmp_path: Path) -> None:
    found = answer(tokenizer(tmp_path, max_tokens="5"), "the cat sat", truncate=True)
    assert found.outputs["input_ids"].tolist() == [ids_of("the", "cat", "sat")]
    assert found.parameters == {"tokens": 5, "truncated": False}


def test_a_text_over_the_limit_is_refused_saying_how_long_it_is(tmp_path: Path) -> None:
    instance = tokenizer(tmp_path, max_tokens="5")
    for parameters in ({}, {"truncate": False}):
        assert refusal(instance, "cat", "the cat sat on", **parameters) == (
            "row 1: the text has 6 tokens and the model takes at most 5; "
            "send truncate=true, or send it in parts"
        )


def test_truncation_keeps_the_closing_token_and_says_so(tmp_path: Path) -> None:
    found = answer(tokenizer(tmp_path, max_tokens="5"), "the cat sat on", "cat", truncate=True)
    assert found.outputs["input_ids"].tolist() == [
        ids_of("the", "cat", "sat"),
        [*ids_of("cat"), PAD, PAD],
    ]
    assert found.parameters == {"tokens": 8, "truncated": True}


def test_truncation_that_leaves_no_mask_is_refused(tmp_path: Path) -> None:
    instance = tokenizer(tmp_path, ALL, max_tokens="5")
    assert refusal(instance, "the cat sat [MASK]", truncate=True) == (
        "the text has no [MASK] in its first 5 tokens, and was truncated to them; "
        "put a [MASK] there, or send a shorter text"
    )
    found = answer(instance, "the [MASK] sat [MASK]", truncate=True)
    assert found.outputs["mask_positions"].tolist() == [[2]]


@pytest.mark.parametrize("value", ["true", 1, 0.5])
def test_truncate_must_be_true_or_false(tmp_path: Path, value: Any) -> None:
    found = refusal(tokenizer(tmp_path), "cat", truncate=value)
    assert found == f"parameter 'truncate' is {value!r}; send true or false"


def test_too_many_bytes_are_refused_unread_unless_they_may_be_cut(tmp_path: Path) -> None:
    instance = tokenizer(tmp_path, max_text_bytes="20")
    text = "the cat sat on the mat"
    assert refusal(instance, text) == (
        "the text has 22 bytes and at most 20 are read; send truncate=true, or send it in parts"
    )
    found = answer(instance, text, truncate=True)
    assert found.outputs["input_ids"].tolist() == [ids_of("the", "cat", "sat", "on", "the")]
    assert found.parameters == {"tokens": 7, "truncated": True}


def test_a_cut_within_a_character_is_no_fault_of_the_text(tmp_path: Path) -> None:
    instance = tokenizer(tmp_path, max_text_bytes="8")
    found = answer(instance, "é é éé", truncate=True)  # bytes: 2, 1, 2, 1, 4
    assert found.outputs["input_ids"].tolist() == [ids_of("é", "é")]
    assert "byte 1 is 0xff" in refusal(instance, b"a\xff" + b"a" * 10, truncate=True)


def test_white_space_up_to_the_limit_is_refused_saying_what_was_read(tmp_path: Path) -> None:
    instance = tokenizer(tmp_path, max_text_bytes="20")
    assert "in the part that is read" in refusal(instance, " " * 30 + "cat", truncate=True)


@pytest.mark.parametrize("separator", [" ", "\n", " " * 40, "\u3000"])
@pytest.mark.parametrize("words", [3, 40, 200])
def test_reading_only_the_beginning_changes_no_truncated_answer(
    tmp_path: Path, separator: str, words: int
) -> None:
    # With 10 tokens, 160 characters are looked at first: fewer or more words than fit, as the
    # separator is long or short. What comes out must be what the whole text would give.
    instance = tokenizer(tmp_path, max_tokens="10", max_text_bytes="100000")
    text = separator.join(["the", "cat", "doors"] * words)
    found = answer(instance, text, truncate=True)
    whole = tokenizer(tmp_path, max_tokens="10000", max_text_bytes="100000")
    ids = answer(whole, text).outputs["input_ids"][0].tolist()
    assert found.outputs["input_ids"].tolist() == [[*ids[:9], SEP]]
    assert found.parameters == {"tokens": 10, "truncated": True}


def test_a_megabyte_is_bounded_by_the_default_limit(tmp_path: Path) -> None:
    instance = tokenizer(tmp_path)
    assert "has 1000000 bytes and at most 32768 are read" in refusal(instance, "cat " * 250_000)
    found = answer(instance, "cat " * 250_000, truncate=True)
    assert found.parameters == {"tokens": 512, "truncated": True}
    one_word = answer(instance, "x" * 1_000_000, truncate=True)
    assert one_word.outputs["input_ids"].tolist() == [[CLS, UNK, SEP]]
    assert one_word.parameters == {"tokens": 3, "truncated": True}


def test_five_hundred_masks_are_five_hundred_positions(tmp_path: Path) -> None:
    found = answer(tokenizer(tmp_path, ALL), "[MASK]" * 500)
    np.testing.assert_array_equal(found.outputs["mask_positions"], np.arange(1, 501)[None])


def test_the_signature_names_what_the_config_asks_for(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    told = open_artifact(tmp_path, model_config(("mask_positions", "input_ids"))).signature
    assert told.inputs == (
        TensorSpec(name="TEXT", datatype="BYTES", dims=(-1, 1), symbols=("batch", "")),
    )
    assert [(spec.name, spec.dims, spec.symbols) for spec in told.outputs] == [
        ("mask_positions", (-1, -1), ("batch", "masks")),
        ("input_ids", (-1, -1), ("batch", "tokens")),
    ]
    default = open_artifact(tmp_path, model_config(())).signature
    assert tuple(spec.name for spec in default.outputs) == PLAIN


@pytest.mark.parametrize(("rows", "outputs", "dims"), [(0, PLAIN, (1,)), (0, (), (-1, 1))])
def test_without_batching_there_is_no_batch_dimension_unless_the_config_is_bare(
    tmp_path: Path, rows: int, outputs: tuple[str, ...], dims: tuple[int, ...]
) -> None:
    write_tokenizer(tmp_path)
    config = replace(model_config(outputs), max_batch_size=rows)
    assert open_artifact(tmp_path, config).signature.inputs[0].dims == dims


def test_a_tensor_of_another_name_is_refused(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    with pytest.raises(InvalidConfig) as refused:
        open_artifact(tmp_path, model_config(("input_ids", "lengths")))
    (fault,) = refused.value.faults
    assert fault.where == "m/config.pbtxt: output[1].name"
    assert fault.cure == (
        "use input_ids, attention_mask, token_type_ids, special_tokens_mask, tokens, offsets,"
        " word_ids, sequence_ids, mask_positions, target_ids, window, texts"
    )


def test_another_mask_token_may_be_named(tmp_path: Path) -> None:
    instance = tokenizer(tmp_path, ALL, mask_token="door")
    assert answer(instance, "the door").outputs["mask_positions"].tolist() == [[2]]


def test_a_mask_token_that_does_not_exist_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    with pytest.raises(InvalidConfig, match=r"mask_token.\]: .<m>. is not in the vocabulary"):
        tokenizer(tmp_path, ALL, mask_token="<m>")
    tokenizer(tmp_path, PLAIN, mask_token="<m>")


def test_a_few_short_texts_are_quick_and_more_are_not(tmp_path: Path) -> None:
    instance = tokenizer(tmp_path)
    sentence, page = request("a cat sat on the mat"), request("word " * 400)
    assert instance.is_quick(Batch([sentence, sentence], time.monotonic_ns))
    assert not instance.is_quick(Batch([page], time.monotonic_ns))
    assert not instance.is_quick(Batch([sentence] * 60, time.monotonic_ns))
