"""sequence_batching: what it says, every fault by name, and back to the same text."""

from __future__ import annotations

import pytest

from trivet.config import (
    Control,
    ControlKind,
    DirectStrategy,
    ModelConfig,
    OldestStrategy,
    SequencePolicy,
    SequenceState,
)
from trivet.config_file import Faults, read_config, to_proto

TENSORS = """
    max_batch_size: 4
    input { name: "X" data_type: TYPE_FP32 dims: [ 1 ] }
    output { name: "Y" data_type: TYPE_FP32 dims: [ 1 ] }
"""
STATE = 'input_name: "A" output_name: "B" data_type: TYPE_FP32 dims: [ 2, -1 ]'


def read(sequence_batching: str, more: str = "") -> tuple[ModelConfig | None, Faults]:
    faults = Faults()
    text = f"{TENSORS} {more} sequence_batching {{ {sequence_batching} }}"
    return read_config(text, "m/config.pbtxt", "m", faults), faults


def policy(sequence_batching: str) -> SequencePolicy:
    config, faults = read(sequence_batching)
    assert config is not None, list(faults)
    assert config.sequence_batching is not None
    again = read_config(str(to_proto(config)), "m/config.pbtxt", "m", Faults())
    assert again is not None
    assert again.sequence_batching == config.sequence_batching
    return config.sequence_batching


def test_nothing_said_means_direct_and_one_second() -> None:
    assert policy("") == SequencePolicy(strategy=DirectStrategy(), max_idle_us=1_000_000)


def test_strategies() -> None:
    direct = policy("direct { max_queue_delay_microseconds: 5 minimum_slot_utilization: 0.5 }")
    assert direct.strategy == DirectStrategy(max_queue_delay_us=5, minimum_slot_utilization=0.5)
    oldest = policy(
        "oldest { max_candidate_sequences: 9 preferred_batch_size: [ 4, 2 ]"
        " max_queue_delay_microseconds: 7 preserve_ordering: true }"
        " max_sequence_idle_microseconds: 3"
    )
    assert oldest == SequencePolicy(
        strategy=OldestStrategy(
            max_candidate_sequences=9,
            preferred_batch_sizes=(2, 4),
            max_queue_delay_us=7,
            preserve_ordering=True,
        ),
        max_idle_us=3,
    )


@pytest.mark.parametrize(
    ("written", "datatype", "false_true"),
    [
        ("int32_false_true: [ -1, 1 ]", "INT32", (-1, 1)),
        ("fp32_false_true: [ 0, 0.5 ]", "FP32", (0, 0.5)),
        ("bool_false_true: [ false, true ]", "BOOL", (0, 1)),
    ],
)
@pytest.mark.parametrize("kind", [ControlKind.START, ControlKind.READY, ControlKind.END])
def test_controls_that_say_yes_or_no(
    kind: ControlKind, written: str, datatype: str, false_true: tuple[float, float]
) -> None:
    (control,) = policy(
        f'control_input {{ name: "C" control {{ kind: CONTROL_SEQUENCE_{kind.name} {written} }} }}'
    ).controls
    assert control == Control(name="C", kind=kind, datatype=datatype, false_true=false_true)


@pytest.mark.parametrize("datatype", ["UINT64", "INT64", "UINT32", "INT32", "STRING"])
def test_ids_of_every_type(datatype: str) -> None:
    (control,) = policy(
        'control_input { name: "C" control { kind: CONTROL_SEQUENCE_CORRID'
        f" data_type: TYPE_{datatype} }} }}"
    ).controls
    told = "BYTES" if datatype == "STRING" else datatype
    assert control == Control(name="C", kind=ControlKind.CORRID, datatype=told)


def test_states() -> None:
    initial = 'initial_state { name: "i" data_type: TYPE_FP32 dims: [ 2, 3 ] data_file: "f" }'
    zeros, file = policy(
        f"state {{ {STATE} }} state {{ {STATE.replace('A', 'C').replace('B', 'D')} {initial} }}"
    ).states
    assert zeros == SequenceState(
        input_name="A", output_name="B", datatype="FP32", dims=(2, -1), initial_dims=(2, 1)
    )
    assert (file.initial_dims, file.initial_name, file.initial_file) == ((2, 3), "i", "f")


START = "kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ]"


@pytest.mark.parametrize(
    ("written", "place"),
    [
        ("direct { minimum_slot_utilization: 1.5 }", "direct.minimum_slot_utilization"),
        ("oldest { }", "oldest.max_candidate_sequences"),
        (
            "oldest { max_candidate_sequences: 2 preferred_batch_size: 5 }",
            "oldest.preferred_batch_size[0]",
        ),
        (f"control_input {{ control {{ {START} }} }}", "control_input[0].name"),
        ('control_input { name: "C" }', "control_input[0].control"),
        (
            f'control_input {{ name: "C" control {{ {START} }} control {{ {START} }} }}',
            "control_input[0].control",
        ),
        (
            f'control_input {{ name: "C" control {{ {START} }} }}'
            f' control_input {{ name: "D" control {{ {START} }} }}',
            "control_input[1]",
        ),
        (f'control_input {{ name: "X" control {{ {START} }} }}', "control_input"),
        (
            'control_input { name: "C" control { kind: CONTROL_SEQUENCE_END } }',
            "control_input[0].control[0]",
        ),
        (
            'control_input { name: "C" control { int32_false_true: [ 1 ] } }',
            "control_input[0].control[0]",
        ),
        (
            f'control_input {{ name: "C" control {{ {START} fp32_false_true: [ 0, 1 ] }} }}',
            "control_input[0].control[0]",
        ),
        (
            f'control_input {{ name: "C" control {{ {START} data_type: TYPE_INT32 }} }}',
            "control_input[0].control[0].data_type",
        ),
        (
            'control_input { name: "C" control { kind: CONTROL_SEQUENCE_CORRID } }',
            "control_input[0].control[0].data_type",
        ),
        (
            'control_input { name: "C" control { kind: CONTROL_SEQUENCE_CORRID'
            " data_type: TYPE_FP32 } }",
            "control_input[0].control[0].data_type",
        ),
        (f"state {{ {STATE.replace('A', 'X')} }}", "state"),
        (f"state {{ {STATE} }} state {{ {STATE.replace('A', 'C')} }}", "state"),
        (f"state {{ {STATE.replace('[ 2', '[ 0')} }}", "state[0].dims"),
        ('state { input_name: "A" data_type: TYPE_FP32 }', "state[0].output_name"),
        ('state { input_name: "A" output_name: "B" }', "state[0].data_type"),
        (
            f"state {{ {STATE} initial_state {{ data_type: TYPE_FP32 dims: [ 2, 1 ] }} }}",
            "state[0].initial_state[0]",
        ),
        (
            f"state {{ {STATE}"
            " initial_state { data_type: TYPE_INT8 dims: [ 2, 1 ] zero_data: true } }",
            "state[0].initial_state[0].data_type",
        ),
        (
            f"state {{ {STATE}"
            " initial_state { data_type: TYPE_FP32 dims: [ 2, -1 ] zero_data: true } }",
            "state[0].initial_state[0].dims",
        ),
        (
            f"state {{ {STATE}"
            ' initial_state { data_type: TYPE_FP32 dims: [ 2, 1 ] data_file: "../a" } }',
            "state[0].initial_state[0].data_file",
        ),
        ("iterative_sequence: true", "iterative_sequence"),
    ],
)
def test_each_fault_is_named(written: str, place: str) -> None:
    config, faults = read(written)
    assert config is None
    (fault,) = faults
    assert fault.where == f"m/config.pbtxt: sequence_batching.{place}"


@pytest.mark.parametrize(
    "more",
    ["response_cache { enable: true }", "model_transaction_policy { decoupled: true }"],
)
def test_what_does_not_go_with_sequences_is_refused(more: str) -> None:
    config, faults = read("", more)
    assert config is None
    assert "m/config.pbtxt: sequence_batching" in [fault.where for fault in faults]
