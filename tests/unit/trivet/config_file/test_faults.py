"""Faulty config.pbtxt files, each with the exact places that are named."""

from __future__ import annotations

import pytest

from trivet.config_file import Faults, read_config

WHERE = "embed/config.pbtxt"

INPUT = 'input { name: "ids" data_type: TYPE_INT64 dims: [ -1 ] } '
OUTPUT = 'output { name: "vector" data_type: TYPE_FP32 dims: [ 384 ] } '
BATCHING = "max_batch_size: 8 dynamic_batching { } "


def parameter(key: str, value: str) -> str:
    return f'parameters {{ key: "{key}" value {{ string_value: "{value}" }} }} '


def step(inputs: str, outputs: str, version: int = -1) -> str:
    """A step of the model "bert": its inputs i0, i1... and outputs o0, o1... are those tensors."""
    maps = [f'input_map {{ key: "i{n}" value: "{t}" }}' for n, t in enumerate(inputs.split())]
    maps += [f'output_map {{ key: "o{n}" value: "{t}" }}' for n, t in enumerate(outputs.split())]
    return f'step {{ model_name: "bert" model_version: {version} {" ".join(maps)} }} '


def pipeline(*steps: str, more: str = INPUT + OUTPUT) -> str:
    return f'platform: "ensemble" {more} ensemble_scheduling {{ {" ".join(steps)} }}'


def faults_of(text: str) -> Faults:
    faults = Faults()
    config = read_config(text, WHERE, "embed", faults)
    assert (config is None) == (len(faults) > 0), "a config comes back exactly if nothing is wrong"
    return faults


def places(text: str) -> list[str]:
    """Where the faults are, without the file's name."""
    return [fault.where.removeprefix(f"{WHERE}: ") for fault in faults_of(text)]


FORM = {
    'nam: "embed"': ["line 1, column 1"],
    "max_batch_size: 8\n  frame { a: 1 [b]: 2 # }\n }\nfoo: \"x\" 'y', bar [ 1, { } ]": [
        "line 2, column 3",
        "line 4, column 1",
        "line 4, column 15",
    ],
    'max_batch_size: "8" foo: 1': ["line 1, column 17", "line 1, column 21"],
    "max_batch_size: 99999999999": ["line 1, column 17"],
    "max_batch_size: eight": ["line 1, column 17"],
    'input { name: "a" data_type: TYPE_FLOAT dims: [ 1, x ] }': [
        "line 1, column 30",
        "line 1, column 52",
    ],
    "platform: onnxruntime_onnx foo: 1": ["line 1, column 11", "line 1, column 28"],
    'name: "embed" name: "embed"': ["line 1, column 21"],
    "dynamic_batching { } sequence_batching { }": ["line 1, column 22", "dynamic_batching"],
    "dynamic_batching { preserve_ordering: yes } max_batch_size: 2": ["line 1, column 39"],
    'input { name: "a"': ["line 1, column 15"],
    'name: "embed': ["line 1, column 7"],
    "max_batch_size 8": ["line 1, column 16"],
    "foo { bar": ["line 1, column 1"],
    "}": ["line 1, column 1"],
}

FIELDS = {
    'name: "other"': ["name"],
    "max_batch_size: -1": ["max_batch_size"],
    'platform: "onnx"': ["platform"],
    'platform: "onnxruntime_onnx" backend: "python"': ["platform"],
    'default_model_filename: "../model.onnx"': ["default_model_filename"],
    'default_model_filename: ".."': ["default_model_filename"],
    "input { dims: [ 1 ] }": ["input[0].name", "input[0].data_type"],
    'input { name: "a" data_type: 99 }': ["input[0].data_type"],
    'input { name: "a" data_type: TYPE_FP32 dims: [ 4, 0 ] }': ["input[0].dims"],
    'output { name: "a" data_type: TYPE_FP32 dims: [ -2 ] }': ["output[0].dims"],
    INPUT + INPUT: ["input[1].name"],
    OUTPUT + OUTPUT: ["output[1].name"],
    'output { name: "a" data_type: TYPE_FP32 label_filename: "/etc/passwd" }': [
        "output[0].label_filename"
    ],
    'output { name: "a" data_type: TYPE_FP32 label_filename: "a/../../b" }': [
        "output[0].label_filename"
    ],
    "version_policy { latest { } }": ["version_policy.latest.num_versions"],
    "version_policy { specific { } }": ["version_policy.specific.versions"],
    "version_policy { specific { versions: [ 2, 0 ] } }": ["version_policy.specific.versions"],
    "instance_group { count: -1 }": ["instance_group[0].count"],
    "instance_group { } instance_group { kind: KIND_CPU gpus: [ 0 ] }": ["instance_group[1].gpus"],
    "instance_group { kind: KIND_GPU gpus: [ 1, 1 ] }": ["instance_group[0].gpus"],
    "instance_group { gpus: [ -1 ] }": ["instance_group[0].gpus"],
    "instance_group { kind: KIND_MODEL }": ["instance_group[0].kind"],
    OUTPUT + "ensemble_scheduling { }": ["ensemble_scheduling"],
}

BATCHES = {
    "dynamic_batching { }": ["dynamic_batching"],
    "max_batch_size: 4 dynamic_batching { preferred_batch_size: [ 4, 8, 0 ] }": [
        "dynamic_batching.preferred_batch_size[1]",
        "dynamic_batching.preferred_batch_size[2]",
    ],
    BATCHING + parameter("max_batch_tokens", "0"): ['parameters["max_batch_tokens"]'],
    BATCHING + parameter("max_batch_tokens", "many"): ['parameters["max_batch_tokens"]'],
    BATCHING + parameter("batch_order", "random"): ['parameters["batch_order"]'],
    BATCHING + parameter("batch_window", "-1"): ['parameters["batch_window"]'],
    "max_batch_size: 8 " + parameter("max_batch_tokens", "512"): ['parameters["max_batch_tokens"]'],
    BATCHING + INPUT + parameter("pad.idz", "0"): ['parameters["pad.idz"]'],
    BATCHING + INPUT + parameter("pad.ids", "zero"): ['parameters["pad.ids"]'],
}

PIPELINES = {
    pipeline(): ["ensemble_scheduling.step"],
    'platform: "ensemble" ' + INPUT + OUTPUT: ["ensemble_scheduling.step"],
    pipeline(step("ids", "vector"), more=INPUT + OUTPUT + "instance_group { }"): ["instance_group"],
    pipeline(step("ids", "vector"), more=INPUT + OUTPUT + 'backend: "python"'): ["backend"],
    pipeline(step("ids", "vector"), more=INPUT + OUTPUT + 'default_model_filename: "a"'): [
        "default_model_filename"
    ],
    'platform: "ensemble" max_batch_size: 2 dynamic_batching { }' + INPUT + OUTPUT: [
        "dynamic_batching",
        "ensemble_scheduling.step",
    ],
    pipeline(step("ids", "vector"), more=OUTPUT): ["input"],
    pipeline(step("ids", "vector"), more=INPUT): ["output"],
    pipeline(step("ids", "vector", version=-2)): ["ensemble_scheduling.step[0].model_version"],
    pipeline("step { }"): [
        "ensemble_scheduling.step[0].model_name",
        "ensemble_scheduling.step[0].input_map",
        "ensemble_scheduling.step[0].output_map",
        "output[0]",
        "input[0]",
    ],
    pipeline(step("ids nothing", "vector")): ['ensemble_scheduling.step[0].input_map["i1"]'],
    pipeline(step("ids", "other")): ["output[0]"],
    pipeline(
        step("ids", "x"), step("x", "vector"), more=INPUT + INPUT.replace("ids", "y") + OUTPUT
    ): ["input[1]"],
    pipeline(step("ids", "vector"), step("ids", "vector")): [
        'ensemble_scheduling.step[1].output_map["o0"]'
    ],
    pipeline(step("ids", "vector ids")): ['ensemble_scheduling.step[0].output_map["o1"]'],
    pipeline(step("ids b", "a"), step("a", "b vector")): ["ensemble_scheduling"],
    pipeline(step("ids a", "a vector")): ["ensemble_scheduling"],
    pipeline(step("ids", "vector")) + parameter("max_batch_tokens", "9"): [
        'parameters["max_batch_tokens"]'
    ],
}


@pytest.mark.parametrize(
    ("text", "expected"), [*FORM.items(), *FIELDS.items(), *BATCHES.items(), *PIPELINES.items()]
)
def test_a_fault_is_named_by_its_place(text: str, expected: list[str]) -> None:
    assert places(text) == expected


def test_every_fault_says_what_to_do() -> None:
    tables = (FORM, FIELDS, BATCHES, PIPELINES)
    found = [fault for table in tables for text in table for fault in faults_of(text)]
    assert all(fault.where.startswith(WHERE) and fault.what and fault.cure for fault in found)


def test_five_faults_are_told_at_once() -> None:
    text = """
        name: "embed"
        platfrom: "onnxruntime_onnx"
        max_batch_size: -4
        input [
          { name: "ids" data_type: TYPE_INT dims: [ -1 ] },
          { name: "ids" data_type: TYPE_INT64 dims: [ 0 ] }
        ]
    """
    assert places(text) == [
        "line 3, column 9",
        "line 6, column 36",
        "max_batch_size",
        "input[1].dims",
        "input[1].name",
    ]


def test_a_name_that_is_nearly_right_is_suggested() -> None:
    (unknown, *_) = faults_of('input { name: "a" datatype: TYPE_FP32 }')
    assert unknown.what == "there is no field 'datatype' in ModelInput"
    assert unknown.cure == "did you mean 'data_type'?"


def test_a_wrong_value_is_answered_with_the_right_ones() -> None:
    (fault,) = faults_of("instance_group { kind: KIND_TPU }")
    assert fault.what == "there is no Kind 'KIND_TPU'"
    assert fault.cure == "write one of KIND_AUTO, KIND_GPU, KIND_CPU, KIND_MODEL"


def test_a_circle_of_steps_is_named() -> None:
    (fault,) = faults_of(pipeline(step("ids b", "a"), step("a", "b vector")))
    assert "step[0] ('bert') -> step[1] ('bert') -> step[0] ('bert')" in fault.what


def test_a_file_of_nothing_but_faults_is_given_up() -> None:
    found = faults_of("".join(f"field{n}: 1\n" for n in range(1000)))
    assert len(found) == 21
    assert list(found)[-1].what == "more faults follow"


def test_text_that_is_no_unicode_is_a_fault() -> None:
    assert len(faults_of('backend: "\ud800"')) == 1
    assert len(faults_of('backend: "\\xff"')) == 1
