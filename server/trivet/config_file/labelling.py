"""A pipeline with the parameter `task`: labels given with the request, by the vectors of one model.

Its tensors do not flow from step to step: the scheduler makes requests of its own to the step's
model, so what is checked here is another thing than in `ensemble`.
"""

from __future__ import annotations

from collections.abc import Mapping

from trivet.config import LabelTask, ModelConfig, TensorSpec
from trivet.config_file.datatypes import data_type
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb

_TEXT = TensorSpec(name="TEXT", datatype="BYTES", dims=(-1, 1))
_INPUTS: Mapping[LabelTask, tuple[TensorSpec, ...]] = {
    LabelTask.ZERO_SHOT: (_TEXT, TensorSpec(name="LABEL", datatype="BYTES", dims=(-1,))),
    LabelTask.FEW_SHOT: (
        _TEXT,
        TensorSpec(name="EXAMPLE", datatype="BYTES", dims=(-1,)),
        TensorSpec(name="EXAMPLE_LABEL", datatype="BYTES", dims=(-1,)),
    ),
}
_OUTPUTS = (
    TensorSpec(name="LABEL", datatype="BYTES", dims=(-1, -1)),
    TensorSpec(name="SCORE", datatype="FP32", dims=(-1, -1)),
    TensorSpec(name="SIMILARITY", datatype="FP32", dims=(-1, -1)),
)
_MAPS = ({"TEXT": "TEXT"}, {"EMBEDDING": "EMBEDDING"})


def is_label_task(message: pb.ModelConfig) -> bool:
    """Whether a pipeline is one of these."""
    task = message.parameters["task"].string_value if "task" in message.parameters else ""
    return task in tuple(LabelTask)


def check_label_task(config: ModelConfig, where: str, faults: Faults) -> None:
    """Such a pipeline has one step, which embeds, and the task's own tensors."""
    if (task := config.label_task) is None:
        return
    if config.max_batch_size:
        what = f"is {config.max_batch_size}, but labels are not rows of a batch"
        faults.add(f"{where}: max_batch_size", what, "write 0; TEXT carries its texts itself")
    at = f"{where}: ensemble_scheduling.step"
    if len(config.steps) > 1:
        what = f"task '{task}' has one step, not {len(config.steps)}"
        faults.add(at, what, "leave the one that embeds")
    for step in config.steps[:1]:
        if (step.input_map, step.output_map) != _MAPS:
            what = f"task '{task}' asks a model with TEXT and EMBEDDING for vectors"
            faults.add(f"{at}[0]", what, "map TEXT to TEXT, and EMBEDDING to EMBEDDING")
    for field, specs, own in (
        ("input", config.inputs, _INPUTS[task]),
        ("output", config.outputs, _OUTPUTS),
    ):
        if {_shown(spec) for spec in specs} != {_shown(spec) for spec in own}:
            what = f"task '{task}' has {field}s of its own"
            faults.add(f"{where}: {field}", what, f"write {', '.join(map(_shown, own))}")


def _shown(spec: TensorSpec) -> str:
    """As config.pbtxt has it; what the task has no use for makes it another tensor."""
    dims = ", ".join(map(str, spec.dims))
    more = " optional: true" * spec.optional
    return f'{{ name: "{spec.name}" data_type: {data_type(spec.datatype)} dims: [ {dims} ]{more} }}'
