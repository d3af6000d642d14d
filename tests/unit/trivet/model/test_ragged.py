"""Flat tensors and reshapes of an artifact, compared with what config.pbtxt says of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from trivet.backend.contract import Signature
from trivet.config import BatchInput, BatchInputKind, BatchOutput, ModelConfig, TensorSpec
from trivet.config_file import Faults
from trivet.model.completion import completed
from trivet.model.validation import Validator
from trivet.request import InferRequest


def spec(name: str, *dims: int, datatype: str = "FP32", symbols: str = "") -> TensorSpec:
    return TensorSpec(
        name=name, datatype=datatype, dims=dims, symbols=tuple(symbols.split()) if symbols else ()
    )


X = replace(spec("x", -1, 2), ragged=True)
ENDS = BatchInput(
    kind=BatchInputKind.ACCUMULATED_ELEMENT_COUNT, targets=("ends",), datatype="INT32", source="x"
)
WRITTEN = ModelConfig(
    name="m",
    max_batch_size=4,
    inputs=(X,),
    batch_inputs=(ENDS,),
    batch_outputs=(BatchOutput(targets=("twice",), source="x"),),
    outputs=(spec("sum", 1), spec("twice", -1, 2)),
)
TOLD = Signature(
    inputs=(
        spec("x", -1, symbols="elements"),
        spec("ends", -1, datatype="INT32", symbols="requests"),
        spec("more", -1, -1, symbols="batch size"),
    ),
    outputs=(
        spec("sum", -1, 1, symbols="requests other"),
        spec("twice", -1, symbols="elements"),
    ),
)


def faults_of(config: ModelConfig, told: Signature = TOLD) -> list[tuple[str, str]]:
    faults = Faults()
    completed(config, told, "m/1", faults)
    assert all(fault.cure for fault in faults)
    return [(fault.where, fault.what) for fault in faults]


def test_clients_see_the_written_dims_and_no_batch_inputs() -> None:
    faults = Faults()
    config = completed(WRITTEN, TOLD, "m/1", faults)
    assert not list(faults)
    assert config.inputs == (replace(X, symbols=("", "")), spec("more", -1, symbols="size"))
    assert [out.dims for out in config.outputs] == [(1,), (-1, 2)]


def test_ragged_inputs_are_validated_as_written() -> None:
    config = completed(WRITTEN, replace(TOLD, inputs=TOLD.inputs[:2]), "m/1", Faults())
    for rows, size in ((1, 3), (2, 0)):
        array = np.zeros((rows, size, 2), np.float32)
        assert Validator(config).check(InferRequest(model="m", inputs={"x": array})) == rows


@pytest.mark.parametrize(
    ("config", "told", "place", "what"),
    [
        (
            WRITTEN,
            replace(TOLD, inputs=(spec("x", -1, -1, 2), TOLD.inputs[1])),
            "input 'x'",
            "ragged inputs come flat, but the artifact's shape is [-1, -1, 2]",
        ),
        (
            WRITTEN,
            replace(TOLD, inputs=TOLD.inputs[:1]),
            "batch_input 'ends'",
            "config.pbtxt names it, but the artifact has 'x'",
        ),
        (
            replace(WRITTEN, batch_inputs=(replace(ENDS, datatype="FP32"),)),
            TOLD,
            "batch_input 'ends'",
            "config.pbtxt says FP32, the artifact INT32",
        ),
        (
            WRITTEN,
            replace(TOLD, inputs=(TOLD.inputs[0], spec("ends", -1, datatype="INT64"))),
            "batch_input 'ends'",
            "config.pbtxt says INT32, the artifact INT64",
        ),
        (
            replace(WRITTEN, batch_inputs=(replace(ENDS, kind=BatchInputKind.ITEM_SHAPE),)),
            TOLD,
            "batch_input 'ends'",
            "BATCH_ITEM_SHAPE has 2 dimensions of any size, but the artifact's shape is [-1]",
        ),
    ],
)
def test_what_the_artifact_contradicts_is_a_fault(
    config: ModelConfig, told: Signature, place: str, what: str
) -> None:
    assert faults_of(config, told) == [(f"m/1: {place}", what)]


def test_a_source_that_only_the_artifact_has_is_found_there() -> None:
    sized = replace(WRITTEN, inputs=(), batch_outputs=(), outputs=())
    assert not faults_of(replace(sized, batch_inputs=(replace(ENDS, source="more"),)))
    wrong = replace(sized, batch_inputs=(replace(ENDS, source="most"),))
    assert faults_of(wrong) == [
        ("m/config.pbtxt: batch_input[0].source_input", "there is no input 'most'")
    ]


def test_a_reshape_is_compared_with_the_artifact_and_its_symbols_move_along() -> None:
    told = Signature(
        inputs=(spec("ids", -1, -1, 1, symbols="batch tokens one"),), outputs=(spec("y", -1),)
    )
    written = ModelConfig(
        name="m",
        max_batch_size=4,
        inputs=(replace(spec("ids", 1, 1, -1), reshape=(-1, 1)),),
        outputs=(replace(spec("y", 1), reshape=()),),
    )
    faults = Faults()
    config = completed(written, told, "m/1", faults)
    assert not list(faults)
    assert config.inputs[0].symbols == ("", "", "tokens")
    assert config.inputs[0].dims == (1, 1, -1)
    assert config.reshaped.inputs[0].symbols == ("tokens", "")
    wrong = replace(written, outputs=(replace(spec("y", 4), reshape=(2, 2)),))
    assert faults_of(wrong, told) == [
        ("m/1: output 'y'", "config.pbtxt says reshape [2, 2], the artifact []")
    ]
