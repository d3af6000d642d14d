"""model_warmup, warm_up_lengths, response_cache and cpu_affinity: what they mean and refuse."""

from __future__ import annotations

import pytest

from trivet.config import ModelConfig, WarmUp, WarmUpData, WarmUpInput
from trivet.config_file import Faults, read_config, to_proto

LENGTH_AWARE = (
    'max_batch_size: 8 dynamic_batching { } parameters { key: "max_batch_tokens" value {'
    ' string_value: "256" } }'
)


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }}'


def read(text: str) -> ModelConfig:
    faults = Faults()
    config = read_config(text, "m/config.pbtxt", "m", faults)
    faults.raise_if_any()
    assert config is not None
    return config


def fault(text: str) -> str:
    faults = Faults()
    assert read_config(text, "m/config.pbtxt", "m", faults) is None
    (one,) = faults
    return str(one)


WRITTEN = """
max_batch_size: 4
response_cache { enable: true }
model_warmup {
  name: "two rows" batch_size: 2 count: 3
  inputs { key: "b" value { data_type: TYPE_STRING dims: [ 1 ] input_data_file: "texts/raw" } }
  inputs { key: "a" value { data_type: TYPE_INT64 dims: [ 5, 2 ] zero_data: true } }
}
model_warmup {
  inputs { key: "a" value { data_type: TYPE_FP32 random_data: true } }
}
"""


def test_what_is_written_is_read() -> None:
    config = read(WRITTEN)
    assert config.response_cache
    assert config.warm_ups == (
        WarmUp(
            name="two rows",
            batch_size=2,
            count=3,
            inputs={
                "a": WarmUpInput(datatype="INT64", dims=(5, 2), data=WarmUpData.ZERO),
                "b": WarmUpInput(
                    datatype="BYTES", dims=(1,), data=WarmUpData.FILE, file="texts/raw"
                ),
            },
        ),
        WarmUp(inputs={"a": WarmUpInput(datatype="FP32", dims=(), data=WarmUpData.RANDOM)}),
    )


def test_to_proto_says_the_same_again() -> None:
    config = read(WRITTEN + parameter("cpu_affinity", "0,2-3"))
    assert config.cpu_affinity == (0, 2, 3)
    assert read(str(to_proto(config))) == config
    assert not to_proto(read("max_batch_size: 4")).HasField("response_cache")


@pytest.mark.parametrize(
    ("file", "allowed"),
    [
        ("raw", True),
        ("a/b/raw", True),
        ("..raw", True),
        ("../raw", False),
        ("a/../../raw", False),
        ("a/..", False),
        ("/etc/passwd", False),
        ("", False),
        (".", False),
        ("raw\\000", False),
    ],
)
def test_a_data_file_lies_inside_of_the_folder_warmup(file: str, allowed: bool) -> None:
    text = f"""model_warmup {{ inputs {{
        key: "a" value {{ data_type: TYPE_INT8 dims: 1 input_data_file: "{file}" }} }} }}"""
    if allowed:
        assert read(text).warm_ups[0].inputs["a"].file == file
    else:
        told = fault(text)
        assert told.startswith('m/config.pbtxt: model_warmup[0].inputs["a"].input_data_file: '), (
            told
        )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "model_warmup { batch_size: 2 }",
            "m/config.pbtxt: model_warmup[0].batch_size: is 2, must be 1 to 1 (max_batch_size 0)",
        ),
        (
            "max_batch_size: 4 model_warmup { } model_warmup { batch_size: 5 }",
            "m/config.pbtxt: model_warmup[1].batch_size: is 5, must be 1 to 4",
        ),
        (
            'model_warmup { inputs { key: "a" value { data_type: TYPE_INT8 dims: -1'
            " zero_data: true } } }",
            'm/config.pbtxt: model_warmup[0].inputs["a"].dims: a dimension cannot be -1',
        ),
        (
            'model_warmup { inputs { key: "a" value { dims: 1 zero_data: true } } }',
            'm/config.pbtxt: model_warmup[0].inputs["a"].data_type: is missing',
        ),
        (
            'model_warmup { inputs { key: "a" value { data_type: TYPE_INT8 dims: 1 } } }',
            'm/config.pbtxt: model_warmup[0].inputs["a"]: says nothing of the values',
        ),
        (
            parameter("warm_up_lengths", "16") + "max_batch_size: 4 dynamic_batching { }",
            'm/config.pbtxt: parameters["warm_up_lengths"]: is for models that batch by length',
        ),
        (
            LENGTH_AWARE + parameter("warm_up_lengths", "16,,32"),
            "m/config.pbtxt: parameters[\"warm_up_lengths\"]: '16,,32' is no list",
        ),
        (
            LENGTH_AWARE + parameter("warm_up_lengths", "0"),
            "m/config.pbtxt: parameters[\"warm_up_lengths\"]: '0' is no list",
        ),
        (
            parameter("cpu_affinity", "3-1"),
            "m/config.pbtxt: parameters[\"cpu_affinity\"]: '3-1' names no cores",
        ),
        (
            parameter("cpu_affinity", "first"),
            "m/config.pbtxt: parameters[\"cpu_affinity\"]: 'first' names no cores",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_with_its_place(text: str, told: str) -> None:
    assert fault(text).startswith(told)


def test_lengths_are_ascending_and_each_once() -> None:
    config = read(LENGTH_AWARE + parameter("warm_up_lengths", "64, 16,64"))
    assert config.warm_up_lengths == (16, 64)
    assert read(LENGTH_AWARE).warm_up_lengths == ()


PIPELINE = """
platform: "ensemble"
input { name: "A" data_type: TYPE_INT8 dims: 1 }
output { name: "B" data_type: TYPE_INT8 dims: 1 }
ensemble_scheduling { step {
  model_name: "m2" model_version: -1
  input_map { key: "A" value: "A" } output_map { key: "B" value: "B" }
} }
"""


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("response_cache { enable: true }", "response_cache.enable"),
        ("model_warmup { }", "model_warmup"),
        (parameter("cpu_affinity", "0"), 'parameters["cpu_affinity"]'),
    ],
)
def test_a_pipeline_has_no_instances_and_no_answers_of_its_own(text: str, field: str) -> None:
    read(PIPELINE)
    assert fault(PIPELINE + text).startswith(f"m/config.pbtxt: {field}: a pipeline")


@pytest.mark.parametrize(
    "text", ["sequence_batching { }", "model_transaction_policy { decoupled: true }"]
)
def test_answers_that_a_question_does_not_decide_are_not_cached(text: str) -> None:
    faults = Faults()
    text += " max_batch_size: 2 response_cache { enable: true }"
    assert read_config(text, "m/config.pbtxt", "m", faults) is None
    assert "m/config.pbtxt: response_cache.enable" in [one.where for one in faults]
