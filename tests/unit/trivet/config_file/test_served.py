"""Every field of the protocol is read, ignored knowingly, or refused by name; none is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from google.protobuf.descriptor import Descriptor

from trivet.config_file import Faults, read_config
from trivet.config_file.served import IGNORED, REFUSED
from trivet_protos.generated import model_config_pb2 as pb

READ = {
    "backend",
    "batch_input.data_type",
    "batch_input.kind",
    "batch_input.source_input",
    "batch_input.target_name",
    "batch_output.kind",
    "batch_output.source_input",
    "batch_output.target_name",
    "default_model_filename",
    "dynamic_batching.default_priority_level",
    "dynamic_batching.default_queue_policy.allow_timeout_override",
    "dynamic_batching.default_queue_policy.default_timeout_microseconds",
    "dynamic_batching.default_queue_policy.max_queue_size",
    "dynamic_batching.default_queue_policy.timeout_action",
    "dynamic_batching.max_queue_delay_microseconds",
    "dynamic_batching.preferred_batch_size",
    "dynamic_batching.preserve_ordering",
    "dynamic_batching.priority_levels",
    "dynamic_batching.priority_queue_policy",
    "ensemble_scheduling.step.input_map",
    "ensemble_scheduling.step.model_name",
    "ensemble_scheduling.step.model_version",
    "ensemble_scheduling.step.output_map",
    "input.allow_ragged_batch",
    "input.data_type",
    "input.dims",
    "input.name",
    "input.optional",
    "input.reshape.shape",
    "instance_group.count",
    "instance_group.gpus",
    "instance_group.kind",
    "instance_group.profile",
    "instance_group.rate_limiter.priority",
    "instance_group.rate_limiter.resources.count",
    "instance_group.rate_limiter.resources.global",
    "instance_group.rate_limiter.resources.name",
    "max_batch_size",
    "model_warmup.batch_size",
    "model_warmup.count",
    "model_warmup.inputs",
    "model_warmup.name",
    "model_transaction_policy.decoupled",
    "name",
    "optimization.execution_accelerators.cpu_execution_accelerator.name",
    "optimization.execution_accelerators.cpu_execution_accelerator.parameters",
    "optimization.execution_accelerators.gpu_execution_accelerator.name",
    "optimization.execution_accelerators.gpu_execution_accelerator.parameters",
    "optimization.graph.level",
    "output.data_type",
    "output.dims",
    "output.label_filename",
    "output.name",
    "output.reshape.shape",
    "parameters",
    "platform",
    "response_cache.enable",
    "sequence_batching.control_input.control.bool_false_true",
    "sequence_batching.control_input.control.data_type",
    "sequence_batching.control_input.control.fp32_false_true",
    "sequence_batching.control_input.control.int32_false_true",
    "sequence_batching.control_input.control.kind",
    "sequence_batching.control_input.name",
    "sequence_batching.direct.max_queue_delay_microseconds",
    "sequence_batching.direct.minimum_slot_utilization",
    "sequence_batching.max_sequence_idle_microseconds",
    "sequence_batching.oldest.max_candidate_sequences",
    "sequence_batching.oldest.max_queue_delay_microseconds",
    "sequence_batching.oldest.preferred_batch_size",
    "sequence_batching.oldest.preserve_ordering",
    "sequence_batching.state.data_type",
    "sequence_batching.state.dims",
    "sequence_batching.state.initial_state.data_file",
    "sequence_batching.state.initial_state.data_type",
    "sequence_batching.state.initial_state.dims",
    "sequence_batching.state.initial_state.name",
    "sequence_batching.state.initial_state.zero_data",
    "sequence_batching.state.input_name",
    "sequence_batching.state.output_name",
    "version_policy.latest.num_versions",
    "version_policy.specific.versions",
}


def leaves(message: Descriptor, prefix: str = "") -> Iterator[str]:
    """The paths that the tables speak of; below what is ignored or refused as a whole, none."""
    for field in message.fields:
        path = prefix + field.name
        inner = field.message_type
        if path in IGNORED or path in REFUSED or inner is None or inner.GetOptions().map_entry:
            yield path
        else:
            yield from leaves(inner, f"{path}.")


def test_every_field_is_read_ignored_or_refused() -> None:
    assert set(leaves(pb.ModelConfig.DESCRIPTOR)) == READ | IGNORED | REFUSED.keys()
    assert not IGNORED & REFUSED.keys()


@pytest.mark.parametrize(
    ("text", "place"),
    [
        (
            "sequence_batching { iterative_sequence: true }",
            "sequence_batching.iterative_sequence",
        ),
        ("model_operations { op_library_filename: 'a.so' }", "model_operations"),
        ("runtime: 'a.so'", "runtime"),
        ("instance_group { } instance_group { passive: true }", "instance_group[1].passive"),
        ("instance_group { secondary_devices { } }", "instance_group[0].secondary_devices"),
        (
            "input { name: 'a' data_type: TYPE_BOOL is_shape_tensor: true }",
            "input[0].is_shape_tensor",
        ),
    ],
)
def test_what_is_not_served_yet_is_refused_by_name(text: str, place: str) -> None:
    faults = Faults()
    assert read_config(text, "m/config.pbtxt", "m", faults) is None
    (fault,) = faults
    assert fault.where == f"m/config.pbtxt: {place}"
    assert fault.what == "not served by this version of trivet"


def test_what_changes_no_answer_is_ignored() -> None:
    text = """
        optimization { cuda { graphs: true } priority: PRIORITY_MAX eager_batching: true }
        input { name: "a" data_type: TYPE_FP32 format: FORMAT_NCHW dims: [ 3, 2, 2 ] }
        instance_group { name: "a" host_policy: "b" }
        cc_model_filenames { key: "8.0" value: "b.plan" }
        metric_tags { key: "a" value: "b" }
        model_metrics { metric_control { metric_identifier { family: "a" } } }
    """
    assert read_config(text, "m/config.pbtxt", "m", Faults()) is not None
