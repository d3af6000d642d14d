"""What config.pbtxt means, and that `to_proto` says the same again."""

from __future__ import annotations

import pytest
from google.protobuf import text_format
from hypothesis import example, given
from hypothesis import strategies as st

from trivet.config import (
    BatchOrder,
    BatchPolicy,
    InstanceGroup,
    InstanceKind,
    ModelConfig,
    QueuePolicy,
    Step,
    TensorSpec,
    TimeoutAction,
    VersionPolicy,
)
from trivet.config_file import Faults, data_type, read_config, to_proto, wire_name
from trivet_protos.generated import model_config_pb2 as pb

# As Triton's own documentation and users write them.
ONNX = """
name: "bert"
platform: "onnxruntime_onnx"
max_batch_size: 16
input [
  {
    name: "input_ids"   # with a comment
    data_type: TYPE_INT64
    dims: [ -1 ]
  },
  { name: "attention_mask", data_type: TYPE_INT64, dims: [ -1 ], optional: true }
]
output [ { name: "logits" data_type: TYPE_FP32 dims: [ -1, 30522 ] label_filename: "labels.txt" } ]
instance_group [ { count: 2 kind: KIND_GPU gpus: [ 0, 1 ] }, { kind: KIND_CPU } ]
version_policy: { specific { versions: [ 3, 1 ] } }
dynamic_batching {
  preferred_batch_size: [ 8, 4 ]
  max_queue_delay_microseconds: 100
  default_queue_policy { max_queue_size: 64 }
}
optimization { graph { level: 1 } input_pinned_memory { enable: true } }
model_transaction_policy { decoupled: false }
response_cache { enable: false }
metric_tags { key: "team" value: "search" }
default_model_filename: "bert.onnx"
"""

ENSEMBLE = """
name: "embed"
platform: "ensemble"
max_batch_size: 64
input [ { name: "TEXT" data_type: TYPE_STRING dims: [ 1 ] } ]
output [ { name: "EMBEDDING" data_type: TYPE_FP32 dims: [ 384 ] } ]
ensemble_scheduling {
  step [
    {
      model_name: "tokenizer"
      model_version: -1
      input_map { key: "TEXT" value: "TEXT" }
      output_map { key: "input_ids" value: "ids" }
      output_map { key: "attention_mask" value: "mask" }
    },
    {
      model_name: "minilm"
      model_version: 3
      input_map { key: "ids" value: "ids" }
      input_map { key: "mask" value: "mask" }
      output_map { key: "embedding" value: "EMBEDDING" }
    }
  ]
}
"""

LENGTH_AWARE = """
backend: "onnxruntime"
max_batch_size: 64
input { name: "ids" data_type: TYPE_INT64 dims: -1 }
dynamic_batching { }
parameters { key: "max_batch_tokens" value { string_value: "512" } }
parameters { key: "batch_window" value { string_value: "32" } }
parameters { key: "pad.ids" value { string_value: "7" } }
"""


def read(text: str, name: str) -> ModelConfig:
    faults = Faults()
    config = read_config(text, f"{name}/config.pbtxt", name, faults)
    faults.raise_if_any()
    assert config is not None
    return config


def test_a_config_of_tritons_users_means_the_same_here() -> None:
    assert read(ONNX, "bert") == ModelConfig(
        name="bert",
        platform="onnxruntime_onnx",
        backend="onnxruntime",
        max_batch_size=16,
        inputs=(
            TensorSpec(name="input_ids", datatype="INT64", dims=(-1,)),
            TensorSpec(name="attention_mask", datatype="INT64", dims=(-1,), optional=True),
        ),
        outputs=(
            TensorSpec(
                name="logits", datatype="FP32", dims=(-1, 30522), label_filename="labels.txt"
            ),
        ),
        version_policy=VersionPolicy(specific=(1, 3)),
        instance_groups=(
            InstanceGroup(count=2, kind=InstanceKind.GPU, gpus=(0, 1)),
            InstanceGroup(count=1, kind=InstanceKind.CPU),
        ),
        dynamic_batching=BatchPolicy(
            order=BatchOrder.EQUAL_SHAPES,
            max_batch_size=16,
            max_queue_delay_us=100,
            preferred_batch_sizes=(4, 8),
        ),
        queue_policy=QueuePolicy(max_size=64),
        default_model_filename="bert.onnx",
        graph_level=1,
    )


def test_an_ensemble_is_a_pipeline_of_steps() -> None:
    config = read(ENSEMBLE, "embed")
    assert config.is_pipeline
    assert config.backend == ""
    assert config.steps == (
        Step(
            model="tokenizer",
            version=None,
            input_map={"TEXT": "TEXT"},
            output_map={"input_ids": "ids", "attention_mask": "mask"},
        ),
        Step(
            model="minilm",
            version=3,
            input_map={"ids": "ids", "mask": "mask"},
            output_map={"embedding": "EMBEDDING"},
        ),
    )


def test_max_batch_tokens_switches_batching_by_length_on() -> None:
    config = read(LENGTH_AWARE, "bert")
    assert config.dynamic_batching == BatchPolicy(
        order=BatchOrder.LENGTH, max_batch_size=64, max_batch_tokens=512, window=32
    )
    assert config.pad("ids") == 7


@pytest.mark.parametrize("order", BatchOrder)
def test_batch_order_has_the_last_word(order: BatchOrder) -> None:
    written = f'parameters {{ key: "batch_order" value {{ string_value: "{order.value}" }} }}'
    policy = read(LENGTH_AWARE + written, "bert").dynamic_batching
    assert policy is not None
    assert policy.order is order


def test_an_empty_file_leaves_everything_to_the_artifact() -> None:
    assert read("", "bert") == ModelConfig(name="bert")


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", VersionPolicy(latest=1)),
        ("version_policy { latest { num_versions: 3 } }", VersionPolicy(latest=3)),
        ("version_policy { all { } }", VersionPolicy()),
        ("version_policy { specific { versions: 5 } }", VersionPolicy(specific=(5,))),
    ],
)
def test_version_policies(text: str, policy: VersionPolicy) -> None:
    assert read(text, "bert").version_policy == policy


def test_gpus_without_a_kind_are_a_gpu_group() -> None:
    (group,) = read("instance_group { gpus: 1 }", "bert").instance_groups
    assert group == InstanceGroup(kind=InstanceKind.GPU, gpus=(1,))


@pytest.mark.parametrize("text", [ONNX, ENSEMBLE, LENGTH_AWARE, ""])
def test_what_is_written_out_reads_the_same(text: str) -> None:
    config = read(text, "embed" if "ensemble" in text else "bert")
    assert read(text_format.MessageToString(to_proto(config)), config.name) == config


names = st.text("abcxyz_", min_size=1, max_size=4)
dims = st.lists(st.sampled_from([-1, 1, 7, 384]), max_size=3).map(tuple)
datatypes = st.sampled_from(["BOOL", "UINT8", "INT64", "FP16", "BF16", "FP32", "BYTES"])
specs = st.builds(TensorSpec, name=names, datatype=datatypes, dims=dims)
several = st.lists(specs, max_size=3, unique_by=lambda spec: spec.name).map(tuple)
whole = st.integers(1, 1000)
queue_policies = st.builds(
    QueuePolicy,
    max_size=whole,
    timeout_us=whole,
    timeout_action=st.sampled_from(TimeoutAction),
    allow_timeout_override=st.booleans(),
)


@given(
    inputs=several,
    outputs=several,
    policy=st.none() | st.builds(BatchPolicy, max_batch_size=whole, max_queue_delay_us=whole),
    queue=queue_policies,
    versions=st.builds(VersionPolicy, latest=st.integers(0, 3))
    | st.builds(VersionPolicy, specific=st.sets(whole, min_size=1).map(lambda s: tuple(sorted(s)))),
    groups=st.lists(
        st.builds(InstanceGroup, count=whole, kind=st.sampled_from(InstanceKind)), min_size=1
    ).map(tuple),
    parameters=st.dictionaries(names, st.text(max_size=5)),
)
def test_any_config_survives_the_round_trip(
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    policy: BatchPolicy | None,
    queue: QueuePolicy,
    versions: VersionPolicy,
    groups: tuple[InstanceGroup, ...],
    parameters: dict[str, str],
) -> None:
    config = ModelConfig(
        name="m",
        backend="python",
        max_batch_size=policy.max_batch_size if policy else 0,
        inputs=inputs,
        outputs=outputs,
        dynamic_batching=policy,
        queue_policy=queue if policy else QueuePolicy(),
        version_policy=versions,
        instance_groups=groups,
        parameters=parameters,
    )
    assert read(text_format.MessageToString(to_proto(config)), "m") == config


def test_every_data_type_has_a_name_on_the_wire() -> None:
    for name, number in pb.DataType.items():
        if name != "TYPE_INVALID":
            assert data_type(wire_name(number)) == name
    assert wire_name(pb.TYPE_STRING) == "BYTES"
    assert wire_name(pb.TYPE_INVALID) == wire_name(99) == ""


PIECES = ["name", "input", "data_type", "TYPE_FP32", "dims", "foo", "step", "ensemble_scheduling"]
PIECES += ["parameters", "key", "value", "dynamic_batching", "max_batch_size", "string_value"]
PIECES += [
    ":",
    "{",
    "}",
    "[",
    "]",
    "<",
    ">",
    ",",
    ";",
    '"',
    "'",
    '"a"',
    "'b",
    "\\",
    "#",
    "\n",
    "\r",
]
PIECES += ["-1", "0", "8", "1e9", "99999999999", "0x1f", "-", "/", "[a.b/c]", "\0", "é", "\u2028"]


@given(st.text(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=25).map(" ".join))
@example("input { foo }")
@example("foo")
@example("[" * 5000)
@example("foo {" * 5000)
def test_any_text_gives_a_config_or_faults(text: str) -> None:
    faults = Faults()
    config = read_config(text, "m/config.pbtxt", "m", faults)
    assert (config is None) == (len(faults) > 0)
    assert all(fault.where.startswith("m/config.pbtxt") and fault.cure for fault in faults)


@pytest.mark.parametrize(
    ("text", "place", "what"),
    [
        (
            "dynamic_batching { default_queue_policy { timeout_action: 7 } } max_batch_size: 1",
            "dynamic_batching.default_queue_policy.timeout_action",
            "there is no TimeoutAction 7; write one of REJECT, DELAY",
        ),
        (
            "dynamic_batching { priority_levels: 1 default_priority_level: 1"
            " priority_queue_policy { key: 1 value { timeout_action: 7 } } } max_batch_size: 1",
            "dynamic_batching.priority_queue_policy[1].timeout_action",
            "there is no TimeoutAction 7; write one of REJECT, DELAY",
        ),
        (
            'sequence_batching { control_input { name: "S"'
            " control { kind: 9 int32_false_true: [ 0, 1 ] } } }",
            "sequence_batching.control_input[0].control[0].kind",
            "there is no Kind 9; write one of CONTROL_SEQUENCE_START",
        ),
        ("instance_group { kind: 9 }", "instance_group[0].kind", "there is no Kind 9"),
        (
            'input { name: "A" data_type: 99 dims: [ 1 ] }',
            "input[0].data_type",
            "there is no DataType 99; write one of TYPE_BOOL",
        ),
        (
            'input { name: "A" data_type: TYPE_FP32 dims: [ 1 ] } model_warmup { inputs {'
            ' key: "A" value { data_type: 99 dims: [ 1 ] zero_data: true } } batch_size: 1 }',
            'model_warmup[0].inputs["A"].data_type',
            "there is no DataType 99",
        ),
    ],
)
def test_a_number_that_stands_for_no_value_is_one_fault(text: str, place: str, what: str) -> None:
    faults = Faults()
    assert read_config(text, "m/config.pbtxt", "m", faults) is None
    told = [str(fault) for fault in faults]
    assert len(told) == 1
    assert told[0].startswith(f"m/config.pbtxt: {place}: {what}")
