"""Do a pipeline's steps fit the models they call? Pure: configs in, faults out."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.config import ModelConfig, Step, TensorSpec
from trivet.config_file import Faults

_NUMBERS = ("FP16", "FP32", "FP64")  # what vectors may consist of


def check_wiring(pipeline: ModelConfig, members: Mapping[str, ModelConfig], faults: Faults) -> None:
    """Compare names and datatypes on both sides of every step.

    members: the complete configs of the models that the steps name.
    """
    datatypes = {spec.name: spec.datatype for spec in pipeline.inputs}
    for step in pipeline.steps:  # first what is produced, since steps may stand in any order
        for output, tensor in step.output_map.items():
            spec = members[step.model].output(output)
            if spec:
                datatypes.setdefault(tensor, spec.datatype)
    for index, step in enumerate(pipeline.steps):
        where = f"{pipeline.name}/config.pbtxt: ensemble_scheduling.step[{index}]"
        if members[step.model].decoupled:
            what = f"model '{step.model}' is decoupled, and a step needs exactly one answer"
            faults.add(f"{where}.model_name", what, "name a model that is not")
        _check_inputs(step, members[step.model], datatypes, where, faults)
        _check_outputs(step, members[step.model], where, faults)
        if pipeline.label_task:
            _check_embeds(step, members[step.model], where, faults)
    for spec in pipeline.outputs:
        told = datatypes.get(spec.name, spec.datatype)
        if told != spec.datatype:
            where = f"{pipeline.name}/config.pbtxt: output '{spec.name}'"
            what = f"is {spec.datatype}, but the step that makes it gives {told}"
            faults.add(where, what, "write the step's data_type")


def _check_inputs(
    step: Step, member: ModelConfig, datatypes: Mapping[str, str], where: str, faults: Faults
) -> None:
    for name, tensor in step.input_map.items():
        spec = member.input(name)
        if spec is None:
            _unknown(f"{where}.input_map", "input", name, step.model, member.inputs, faults)
        elif datatypes.get(tensor, spec.datatype) != spec.datatype:
            what = (
                f"tensor '{tensor}' is {datatypes[tensor]}, but input '{name}' of model"
                f" '{step.model}' takes {spec.datatype}"
            )
            faults.add(f"{where}.input_map", what, "connect a tensor of that datatype")
    for spec in member.inputs:
        if not spec.optional and spec.name not in step.input_map:
            what = f"input '{spec.name}' of model '{step.model}' gets nothing"
            faults.add(f"{where}.input_map", what, "map a tensor to it")


def _check_outputs(step: Step, member: ModelConfig, where: str, faults: Faults) -> None:
    for name in step.output_map:
        if member.output(name) is None:
            _unknown(f"{where}.output_map", "output", name, step.model, member.outputs, faults)


def _check_embeds(step: Step, member: ModelConfig, where: str, faults: Faults) -> None:
    """A model that is asked for vectors gives one for a text, and many texts share a batch."""
    for name in step.output_map:
        spec = member.output(name)
        if spec and (len(spec.dims) != 1 or spec.datatype not in _NUMBERS):
            shape = ", ".join(map(str, spec.dims))
            what = f"output '{name}' of model '{step.model}' is {spec.datatype} [{shape}]"
            faults.add(f"{where}.output_map", what, "name a model with one vector for each text")
    if not member.max_batch_size:
        what = f"model '{step.model}' does not batch"
        faults.add(f"{where}.model_name", what, "name one with max_batch_size of 1 or more")


def _unknown(
    where: str,
    kind: str,
    name: str,
    model: str,
    specs: tuple[TensorSpec, ...],
    faults: Faults,
) -> None:
    known = ", ".join(f"'{spec.name}'" for spec in specs)
    faults.add(where, f"model '{model}' has no {kind} '{name}'", f"name one of {known}")
