"""What one end writes the other reads, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trivet.backend.contract import Answer
from trivet.config import ModelConfig, TensorSpec
from trivet.frontend.ahead.sidecar import Form, Times, number_of

TIMES = Times(2**63, 1, 2, 3)
CONFIG = ModelConfig(
    name="words",
    max_batch_size=8,
    inputs=(
        TensorSpec(name="TEXT", datatype="BYTES", dims=(1,)),
        TensorSpec(name="TEXT_PAIR", datatype="BYTES", dims=(1,), optional=True),
    ),
    outputs=(
        TensorSpec(name="ids", datatype="INT64", dims=(-1,)),
        TensorSpec(name="tokens", datatype="BYTES", dims=(-1,)),
        TensorSpec(name="offsets", datatype="INT64", dims=(-1, 2)),
    ),
)
FORM = Form(CONFIG)
ASKED = {"truncate": True, "stride": 7}
TEXTS = st.lists(st.binary(max_size=40), min_size=1, max_size=3)


def texts(values: list[bytes]) -> np.ndarray:
    array = np.empty((len(values), 1), dtype=object)
    array[:, 0] = values
    return array


def answer(tokens: list[bytes]) -> Answer:
    outputs = {
        "ids": np.arange(len(tokens), dtype=np.int64)[None],
        "tokens": np.array([tokens], dtype=object).reshape(1, len(tokens)),
        "offsets": np.arange(2 * len(tokens), dtype=np.int64).reshape(1, -1, 2),
    }
    return Answer(outputs, {"tokens": len(tokens), "truncated": False, "of": "ü", "p": 0.5})


@given(st.dictionaries(st.binary(max_size=60), st.lists(st.binary(max_size=9), min_size=1)))
def test_answers_come_back_bit_for_bit(tokens: dict[bytes, list[bytes]]) -> None:
    answers = {FORM.key({"TEXT": texts([text])}): answer(found) for text, found in tokens.items()}
    data = FORM.written(7, TIMES, ASKED, list(answers.items()))
    assert number_of(data) == 7
    times, asked, read = FORM.read(data)
    assert (times, asked) == (TIMES, ASKED)
    assert read.keys() == answers.keys()
    for key, found in read.items():
        assert found.parameters == answers[key].parameters
        assert isinstance(found.parameters["truncated"], bool)
        for name, array in found.outputs.items():
            wanted = answers[key].outputs[name]
            assert (array.dtype, array.shape) == (wanted.dtype, wanted.shape)
            assert array.tolist() == wanted.tolist()
            assert array.dtype == object or array.flags.aligned


@given(TEXTS, TEXTS, TEXTS, st.booleans())
def test_only_equal_inputs_have_equal_keys(
    first: list[bytes], pair: list[bytes], other: list[bytes], paired: bool
) -> None:
    one = {"TEXT": texts(first), **({"TEXT_PAIR": texts(pair)} if paired else {})}
    assert FORM.key(one) == FORM.key({name: array.copy() for name, array in one.items()})
    another = {"TEXT": texts(other)}
    assert (FORM.key(one) == FORM.key(another)) == (not paired and first == other)


def test_inputs_of_another_rank_have_no_key() -> None:
    with pytest.raises(ValueError, match="1 dimensions, not 2"):
        FORM.key({"TEXT": np.array([b"x"], dtype=object)})


DATA = FORM.written(7, TIMES, ASKED, [(FORM.key({"TEXT": texts([b"a b"])}), answer([b"a", b"b"]))])


@pytest.mark.parametrize("length", range(len(DATA)))
def test_a_part_is_refused(length: int) -> None:
    with pytest.raises(ValueError):
        number_of(DATA[:length])
        FORM.read(DATA[:length])


@given(st.integers(0, len(DATA) - 1), st.integers(0, 255))
def test_other_bytes_are_refused_or_are_an_answer_of_the_same_form(place: int, byte: int) -> None:
    changed = DATA[:place] + bytes((byte,)) + DATA[place + 1 :]
    try:
        found = FORM.read(changed).answers
    except ValueError:
        return
    for each in found.values():
        assert [array.ndim for array in each.outputs.values()] == [2, 2, 3]


@pytest.mark.parametrize("said", [b'{"tokens": [101]}', b'{"tokens":  null}', b'[   "tokens"    ]'])
@pytest.mark.parametrize("of", ["asked", "answer"])
def test_parameters_are_plain_values(of: str, said: bytes) -> None:
    plain = {"tokens": 10101}
    asked, told = (plain, {}) if of == "asked" else ({}, plain)
    key = FORM.key({"TEXT": texts([b"x"])})
    good = FORM.written(1, TIMES, asked, [(key, answer([b"x"])._replace(parameters=told))])
    FORM.read(good)
    assert len(said) == len(b'{"tokens": 10101}')
    with pytest.raises(ValueError):
        FORM.read(good.replace(b'{"tokens": 10101}', said))
