"""Which fields of config.pbtxt this version serves: a field is read, ignored or refused by name.

A path leaves out indexes and map keys: "input.reshape" is that field of every input. What stands
in neither table is read by `reader`, `batching` or `ensemble`.
"""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.message import Message

from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb

# Harmless: leaving them out of account changes no answer.
IGNORED = frozenset(
    {
        "cc_model_filenames",  # other files for other GPUs; default_model_filename serves on all
        "ensemble_scheduling.max_inflight_requests",  # holds back decoupled steps; none can be
        "input.format",  # says what dimensions mean, not what they are
        "instance_group.host_policy",
        "instance_group.name",
        "metric_tags",
        "model_metrics",
        "optimization.cuda",  # speed only
        "optimization.eager_batching",
        "optimization.gather_kernel_buffer_threshold",
        "optimization.input_pinned_memory",
        "optimization.output_pinned_memory",
        "optimization.priority",
        # Where the engine keeps a state; the server keeps it by value, of any size.
        "sequence_batching.state.use_growable_memory",
        "sequence_batching.state.use_same_buffer_for_input_output",
    }
)

# They would change answers, or when and whether a request is answered. Path -> cure.
REFUSED = {
    "ensemble_scheduling.step.model_namespace": "remove it; model names are unique",
    "input.is_non_linear_format_io": "remove it",
    "input.is_shape_tensor": "remove it",
    "instance_group.passive": "remove it",
    "instance_group.secondary_devices": "remove it",
    "model_operations": "remove it",
    "model_repository_agents": "remove it",
    "output.is_non_linear_format_io": "remove it",
    "output.is_shape_tensor": "remove it",
    "runtime": "remove it; name the backend alone",
    "sequence_batching.iterative_sequence": "remove it; send each request of the sequence",
}


def refuse_unserved(message: pb.ModelConfig, where: str, faults: Faults) -> None:
    """Add a fault for every field that is set and not served yet."""
    for place, path in _set_fields(message):
        if path in REFUSED:
            what = "not served by this version of trivet"
            faults.add(f"{where}: {place}", what, REFUSED[path])


def _set_fields(message: Message, place: str = "", path: str = "") -> Iterator[tuple[str, str]]:
    """Every field that is set, outermost first: (place with indexes, path without)."""
    for field, value in message.ListFields():
        own_place, own_path = f"{place}{field.name}", f"{path}{field.name}"
        yield own_place, own_path
        if own_path in REFUSED or own_path in IGNORED or field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            continue
        if isinstance(value, Message):
            yield from _set_fields(value, f"{own_place}.", f"{own_path}.")
            continue
        for index, child in enumerate(value):
            yield from _set_fields(child, f"{own_place}[{index}].", f"{own_path}.")
