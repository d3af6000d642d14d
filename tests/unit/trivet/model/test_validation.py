"""Each way a request may not fit a model, and the text it is refused with."""

from __future__ import annotations

import numpy as np
import pytest

from trivet.config import ModelConfig, TensorSpec
from trivet.errors import Code, InvalidInput
from trivet.model.validation import Validator
from trivet.request import InferRequest, Tensors

IDS = TensorSpec(name="ids", datatype="INT64", dims=(-1,))
PICTURE = TensorSpec(name="picture", datatype="FP32", dims=(2, -1), optional=True)
TEXT = TensorSpec(name="text", datatype="BYTES", dims=(1,))
TOKENS = TensorSpec(name="tokens", datatype="INT64", dims=(-1,), symbols=("length",))
MASK = TensorSpec(name="mask", datatype="INT64", dims=(-1,), symbols=("length",), optional=True)
OUT = TensorSpec(name="out", datatype="FP32", dims=(-1,))
OUT2 = TensorSpec(name="out2", datatype="FP32", dims=(-1,))

BATCHING = Validator(
    ModelConfig(name="m", max_batch_size=4, inputs=(IDS, PICTURE), outputs=(OUT, OUT2))
)
SINGLE = Validator(ModelConfig(name="m", max_batch_size=0, inputs=(IDS, PICTURE), outputs=(OUT,)))
SHARING = Validator(ModelConfig(name="m", max_batch_size=4, inputs=(TOKENS, MASK)))
ONLY_OPTIONAL = Validator(ModelConfig(name="m", max_batch_size=4, inputs=(PICTURE,)))


def ints(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.int64)


def floats(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def check(validator: Validator, inputs: Tensors, outputs: tuple[str, ...] = ()) -> int:
    return validator.check(InferRequest(model="m", inputs=inputs, outputs=outputs))


@pytest.mark.parametrize(
    ("validator", "inputs", "rows"),
    [
        (BATCHING, {"ids": ints(1, 5)}, 1),
        (BATCHING, {"ids": ints(4, 5)}, 4),
        (BATCHING, {"ids": ints(3, 0)}, 3),
        (BATCHING, {"ids": ints(3, 7), "picture": floats(3, 2, 9)}, 3),
        (SINGLE, {"ids": ints(5)}, 1),
        (SINGLE, {"ids": ints(0), "picture": floats(2, 3)}, 1),
        (ONLY_OPTIONAL, {"picture": floats(2, 2, 3)}, 2),
        (SHARING, {"tokens": ints(2, 5), "mask": ints(2, 5)}, 2),
        (SHARING, {"tokens": ints(2, 5)}, 2),
    ],
)
def test_a_request_that_fits_is_counted_in_rows(
    validator: Validator, inputs: Tensors, rows: int
) -> None:
    assert check(validator, inputs) == rows


def test_any_of_the_outputs_may_be_asked_for() -> None:
    assert check(BATCHING, {"ids": ints(1, 1)}, outputs=("out2",)) == 1
    assert check(BATCHING, {"ids": ints(1, 1)}, outputs=("out2", "out")) == 1


def test_a_model_without_inputs_needs_none() -> None:
    assert check(Validator(ModelConfig(name="m", outputs=(OUT,))), {}) == 1


def test_texts_of_any_size_fit() -> None:
    validator = Validator(ModelConfig(name="m", max_batch_size=4, inputs=(TEXT,)))
    assert check(validator, {"text": np.array([[b"a"], [b"b" * 9]], object)}) == 2


REFUSED = {
    "missing": (
        BATCHING,
        {"picture": floats(1, 2, 1)},
        "model 'm': input 'ids' is missing; expected 2 inputs: 'ids', 'picture'",
    ),
    "nothing": (
        BATCHING,
        {},
        "model 'm': input 'ids' is missing; expected 2 inputs: 'ids', 'picture'",
    ),
    "unknown": (
        BATCHING,
        {"ids": ints(1, 1), "x": ints(1, 1), "a": ints(1, 1)},
        "model 'm': unexpected inference input 'a', unexpected inference input 'x';"
        " expected 2 inputs: 'ids', 'picture'",
    ),
    "misspelt": (
        BATCHING,
        {"IDS": ints(1, 1)},
        "model 'm': input 'ids' is missing, unexpected inference input 'IDS';"
        " expected 2 inputs: 'ids', 'picture'",
    ),
    "datatype": (
        BATCHING,
        {"ids": floats(1, 1)},
        "model 'm': input 'ids' has data-type 'FP32', expected 'INT64'; convert it before sending",
    ),
    "text for numbers": (
        BATCHING,
        {"ids": np.array([[b"1"]], object)},
        "model 'm': input 'ids' has data-type 'BYTES', expected 'INT64'; convert it before sending",
    ),
    "no batch dimension": (
        BATCHING,
        {"ids": ints(5)},
        "model 'm': unexpected shape for input 'ids': expected [-1, -1] (the first is the batch),"
        " got [5]; -1 stands for any size",
    ),
    "scalar": (
        BATCHING,
        {"ids": ints()},
        "model 'm': unexpected shape for input 'ids': expected [-1, -1] (the first is the batch),"
        " got []; -1 stands for any size",
    ),
    "fixed dimension": (
        BATCHING,
        {"ids": ints(1, 1), "picture": floats(1, 3, 9)},
        "model 'm': unexpected shape for input 'picture': expected [-1, 2, -1] (the first is the"
        " batch), got [1, 3, 9]; -1 stands for any size",
    ),
    "batch dimension where there is none": (
        SINGLE,
        {"ids": ints(1, 5)},
        "model 'm': unexpected shape for input 'ids': expected [-1], got [1, 5];"
        " -1 stands for any size",
    ),
    "different rows": (
        BATCHING,
        {"ids": ints(2, 5), "picture": floats(3, 2, 1)},
        "model 'm': inputs disagree on the batch size: 'ids' has 2, 'picture' has 3;"
        " send the same number of rows in every input",
    ),
    "too many rows": (
        BATCHING,
        {"ids": ints(5, 1)},
        "model 'm': batch size must be 1 to 4 (max_batch_size), got 5; split the request",
    ),
    "no rows": (
        BATCHING,
        {"ids": ints(0, 1)},
        "model 'm': batch size must be 1 to 4 (max_batch_size), got 0; split the request",
    ),
    "different sizes of one dimension": (
        SHARING,
        {"tokens": ints(1, 5), "mask": ints(1, 4)},
        "model 'm': unexpected shape: inputs disagree on the size of 'length': 'mask' has 4,"
        " 'tokens' has 5; send the same size in each",
    ),
    "no input where all are optional": (
        ONLY_OPTIONAL,
        {},
        "model 'm': no input came; send at least one of 'picture'",
    ),
}


@pytest.mark.parametrize("case", REFUSED, ids=list(REFUSED))
def test_a_request_that_does_not_fit_is_told_why(case: str) -> None:
    validator, inputs, text = REFUSED[case]
    with pytest.raises(InvalidInput) as refused:
        check(validator, inputs)
    assert refused.value.message == text
    assert refused.value.code is Code.INVALID_ARGUMENT


def test_an_unknown_output_is_told_with_those_there_are() -> None:
    with pytest.raises(InvalidInput) as refused:
        check(BATCHING, {"ids": ints(1, 1)}, outputs=("out", "nothing", "nowhere"))
    assert refused.value.message == (
        "model 'm': unexpected inference output 'nothing', 'nowhere'; it has 'out', 'out2'"
    )
