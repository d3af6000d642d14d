"""Ragged batching and reshapes as config.pbtxt writes them: read, written back, faults by field."""

from __future__ import annotations

import pytest
from google.protobuf import text_format

from trivet.config import BatchInput, BatchInputKind, BatchOutput, ModelConfig
from trivet.config_file import Faults, read_config, to_proto

WHERE = "m/config.pbtxt"

RAGGED = """
    max_batch_size: 8
    input { name: "x" data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
    input { name: "y" data_type: TYPE_FP32 dims: [ 1 ] reshape { shape: [ ] } optional: true }
    output { name: "out" data_type: TYPE_FP32 dims: [ -1, 4 ] reshape { shape: [ -1, 2, 2 ] } }
"""
BATCH_INPUT = """
    batch_input {
        kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: [ "ends", "again" ]
        data_type: TYPE_INT32 source_input: "x"
    }
"""
BATCH_OUTPUT = """
    batch_output {
        target_name: "out" kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: "x"
    }
"""


def read(text: str) -> ModelConfig:
    faults = Faults()
    config = read_config(text, WHERE, "m", faults)
    assert config, [str(fault) for fault in faults]
    return config


def faults_of(text: str) -> list[tuple[str, str]]:
    """Field and fault of everything that is wrong; each has a cure."""
    faults = Faults()
    assert read_config(text, WHERE, "m", faults) is None
    assert all(fault.cure for fault in faults)
    return [(fault.where.removeprefix(f"{WHERE}: "), fault.what) for fault in faults]


def test_ragged_inputs_batch_inputs_and_batch_outputs_are_read() -> None:
    config = read(RAGGED + BATCH_INPUT + BATCH_OUTPUT)
    assert [spec.ragged for spec in config.inputs] == [True, False]
    assert config.batch_inputs == (
        BatchInput(
            kind=BatchInputKind.ACCUMULATED_ELEMENT_COUNT,
            targets=("ends", "again"),
            datatype="INT32",
            source="x",
        ),
    )
    assert config.batch_outputs == (BatchOutput(targets=("out",), source="x"),)


def test_an_empty_reshape_is_one() -> None:
    config = read(RAGGED)
    x, y = config.inputs
    assert (x.reshape, y.reshape, config.outputs[0].reshape) == (None, (), (-1, 2, 2))


@pytest.mark.parametrize("kind", [kind.value for kind in BatchInputKind])
def test_what_is_written_back_reads_the_same(kind: str) -> None:
    written = BATCH_INPUT.replace("BATCH_ACCUMULATED_ELEMENT_COUNT", kind)
    config = read(RAGGED + written + BATCH_OUTPUT)
    assert config.batch_inputs[0].kind.value == kind
    message = to_proto(config)
    assert message.input[0].allow_ragged_batch
    assert [tensor.HasField("reshape") for tensor in message.input] == [False, True]
    assert read(text_format.MessageToString(message)) == config


def test_exchanging_dims_and_reshape_twice_changes_nothing() -> None:
    config = read(RAGGED)
    assert [spec.dims for spec in config.reshaped.inputs] == [(-1,), ()]
    assert config.reshaped.outputs[0].dims == (-1, 2, 2)
    assert config.reshaped.reshaped.inputs[0] == config.inputs[0]
    assert config.reshaped.reshaped.outputs[0].reshape == (-1, 2, 2)


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        (
            RAGGED + BATCH_INPUT.replace("TYPE_INT32", "TYPE_INT64"),
            "batch_input[0].data_type",
            "is TYPE_INT64",
        ),
        (
            RAGGED + BATCH_INPUT.replace("data_type: TYPE_INT32", ""),
            "batch_input[0].data_type",
            "is missing",
        ),
        (
            RAGGED + BATCH_INPUT.replace('target_name: [ "ends", "again" ]', ""),
            "batch_input[0].target_name",
            "is missing",
        ),
        (
            RAGGED + BATCH_INPUT.replace("again", "ends"),
            "batch_input[0].target_name",
            "'ends' is named before",
        ),
        (
            RAGGED + BATCH_INPUT + BATCH_INPUT.replace('"ends",', ""),
            "batch_input[1].target_name",
            "'again' is named before",
        ),
        (
            RAGGED + BATCH_INPUT.replace("again", "x"),
            "batch_input[0].target_name",
            "'x' is an input that clients send",
        ),
        (
            RAGGED + BATCH_INPUT.replace('source_input: "x"', ""),
            "batch_input[0].source_input",
            "names 0 inputs, must name 1",
        ),
        (
            RAGGED + BATCH_INPUT.replace('source_input: "x"', 'source_input: [ "x", "y" ]'),
            "batch_input[0].source_input",
            "names 2 inputs, must name 1",
        ),
        (
            RAGGED + BATCH_INPUT.replace('source_input: "x"', 'source_input: "z"'),
            "batch_input[0].source_input",
            "there is no input 'z'",
        ),
        (
            RAGGED + BATCH_INPUT.replace('source_input: "x"', 'source_input: "y"'),
            "batch_input[0].source_input",
            "input 'y' is optional, and without it nothing could be told",
        ),
        (
            RAGGED + BATCH_OUTPUT.replace('target_name: "out"', ""),
            "batch_output[0].target_name",
            "is missing",
        ),
        (
            RAGGED + BATCH_OUTPUT.replace('"out"', '"other"'),
            "batch_output[0].target_name",
            "there is no output 'other'",
        ),
        (
            RAGGED + BATCH_OUTPUT + BATCH_OUTPUT,
            "batch_output[1].target_name",
            "'out' is named before",
        ),
        (
            RAGGED + BATCH_OUTPUT.replace('"x"', '"z"'),
            "batch_output[0].source_input",
            "there is no input 'z'",
        ),
        (
            RAGGED.replace("[ -1, 4 ] reshape { shape: [ -1, 2, 2 ] }", "[ 4, -1 ]") + BATCH_OUTPUT,
            "batch_output[0].source_input",
            "dims [4, -1] of output 'out' vary where input 'x' [-1] has no dimension",
        ),
        (
            RAGGED.replace("max_batch_size: 8", "").replace(" reshape { shape: [ ] }", ""),
            "input[0].allow_ragged_batch",
            "needs max_batch_size above 0",
        ),
        (
            "input { name: 'x' data_type: TYPE_FP32 dims: 1 }" + BATCH_INPUT,
            "batch_input",
            "needs max_batch_size above 0",
        ),
        (BATCH_OUTPUT, "batch_output", "needs max_batch_size above 0"),
        (
            "input { name: 'a' data_type: TYPE_BOOL dims: [ 1 ] reshape { } }",
            "input[0].reshape",
            "is empty, but a model that does not batch has no scalars",
        ),
        (
            "output { name: 'a' data_type: TYPE_BOOL dims: [ 4 ] reshape { shape: [ 2, 3 ] } }",
            "output[0].reshape",
            "[2, 3] has not as many elements as dims [4]",
        ),
        (
            "input { name: 'a' data_type: TYPE_BOOL dims: [ 2, -1 ] reshape { shape: [ -1, 2 ] } }",
            "input[0].reshape",
            "[-1, 2] has not as many elements as dims [2, -1] before, between or behind the"
            " dimensions of -1",
        ),
        (
            "input { name: 'a' data_type: TYPE_BOOL dims: [ -1, -1 ] reshape { shape: [ -1 ] } }",
            "input[0].reshape",
            "[-1] has not as many dimensions of -1 as dims [-1, -1]",
        ),
        (
            "output { name: 'a' data_type: TYPE_BOOL dims: [ 4 ] reshape { shape: [ 4, 0 ] } }",
            "output[0].reshape",
            "a dimension cannot be 0",
        ),
    ],
)
def test_what_is_wrong_is_named_by_field(text: str, place: str, what: str) -> None:
    assert faults_of(text) == [(place, what)]


@pytest.mark.parametrize(("key", "value"), [("max_batch_tokens", "64"), ("batch_order", "length")])
def test_ragged_requests_are_not_batched_by_length(key: str, value: str) -> None:
    parameter = f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'
    assert faults_of(RAGGED + "dynamic_batching { }" + parameter) == [
        (
            f'parameters["{key}"]',
            "ragged requests are joined without padding, in the order they came",
        )
    ]


def test_a_pipeline_has_no_batches_and_no_reshapes_of_its_own() -> None:
    text = """
        platform: "ensemble"
        max_batch_size: 8
        input {
            name: "a" data_type: TYPE_FP32 dims: [ 4 ]
            allow_ragged_batch: true reshape { shape: [ 2, 2 ] }
        }
        output { name: "b" data_type: TYPE_FP32 dims: [ 4 ] }
        ensemble_scheduling {
            step {
                model_name: "m1" model_version: -1
                input_map { key: "x" value: "a" } output_map { key: "y" value: "b" }
            }
        }
    """
    assert faults_of(text) == [
        ("input[0].allow_ragged_batch", "a pipeline batches nothing itself"),
        ("input[0].reshape", "a pipeline hands tensors on as they are"),
    ]
