"""ensemble_scheduling: a pipeline's steps, and whether its tensors flow from start to end."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from trivet.config import Step, TensorSpec
from trivet.config_file.faults import Faults
from trivet.config_file.labelling import is_label_task
from trivet_protos.generated import model_config_pb2 as pb

LATEST = -1  # as a step's model_version


def pipeline_steps(
    message: pb.ModelConfig,
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    where: str,
    faults: Faults,
) -> tuple[Step, ...]:
    """The steps in the order they are written; what is wrong with them is added to `faults`."""
    written = message.ensemble_scheduling.step
    _check_scheduling(message, where, faults)
    at = f"{where}: ensemble_scheduling.step"
    steps = tuple(_step(step, f"{at}[{i}]", faults) for i, step in enumerate(written))
    if steps:
        _check_ends(inputs, outputs, where, faults)
    if steps and not is_label_task(message):
        producers = _producers(steps, inputs, at, faults)
        _check_flow(steps, producers, inputs, outputs, where, faults)
        _check_cycles(steps, producers, f"{where}: ensemble_scheduling", faults)
    return steps


def _check_scheduling(message: pb.ModelConfig, where: str, faults: Faults) -> None:
    if not message.ensemble_scheduling.step:
        cure = "add ensemble_scheduling { step { model_name: ... } }"
        faults.add(f"{where}: ensemble_scheduling.step", "a pipeline has at least one step", cure)
    if message.instance_group:
        what = "a pipeline runs nothing itself"
        faults.add(f"{where}: instance_group", what, "set it on the pipeline's members")
    if message.backend:
        faults.add(f"{where}: backend", "a pipeline has no backend", "remove it")
    if message.default_model_filename:
        what = "a pipeline has no artifact"
        faults.add(f"{where}: default_model_filename", what, "remove it")


def _step(step: pb.ModelEnsembling.Step, at: str, faults: Faults) -> Step:
    if not step.model_name:
        faults.add(f"{at}.model_name", "is missing", "name the model this step calls")
    if step.model_version < LATEST:
        what = f"is {step.model_version}, must be a version or {LATEST} for the latest"
        faults.add(f"{at}.model_version", what, f"write {LATEST}")
    for field, tensors in (("input_map", step.input_map), ("output_map", step.output_map)):
        if not tensors:
            faults.add(f"{at}.{field}", "is missing", 'add { key: "its name" value: "our name" }')
        for name, tensor in sorted(tensors.items()):
            if not name or not tensor:
                faults.add(f"{at}.{field}", "has an empty key or value", "name both tensors")
    return Step(
        model=step.model_name,
        # 0 is what the file says when it says nothing, and no version has that number.
        version=step.model_version if step.model_version > 0 else None,
        input_map=dict(sorted(step.input_map.items())),
        output_map=dict(sorted(step.output_map.items())),
    )


def _check_ends(
    inputs: tuple[TensorSpec, ...], outputs: tuple[TensorSpec, ...], where: str, faults: Faults
) -> None:
    for field, specs in (("input", inputs), ("output", outputs)):
        if not specs:
            cure = f"add {field} {{ name: ... data_type: ... dims: ... }}"
            faults.add(f"{where}: {field}", f"a pipeline says its {field}s itself", cure)


def _producers(
    steps: tuple[Step, ...], inputs: tuple[TensorSpec, ...], at: str, faults: Faults
) -> Mapping[str, int]:
    """Tensor -> the step that produces it."""
    sources = {spec.name: "an input of the pipeline" for spec in inputs}
    producers: dict[str, int] = {}
    for index, step in enumerate(steps):
        for name, tensor in step.output_map.items():
            if tensor in sources:
                what = f"tensor '{tensor}' is already {sources[tensor]}"
                faults.add(f'{at}[{index}].output_map["{name}"]', what, "give it another name")
                continue
            sources[tensor] = f"an output of step[{index}] ('{step.model}')"
            producers[tensor] = index
    return producers


def _check_flow(
    steps: tuple[Step, ...],
    producers: Mapping[str, int],
    inputs: tuple[TensorSpec, ...],
    outputs: tuple[TensorSpec, ...],
    where: str,
    faults: Faults,
) -> None:
    """What is consumed is there, what is promised is produced, what is sent is used."""
    available = {spec.name for spec in inputs} | producers.keys()
    consumed = {tensor for step in steps for tensor in step.input_map.values()}
    for index, step in enumerate(steps):
        for name, tensor in step.input_map.items():
            if inputs and tensor and tensor not in available:
                faults.add(
                    f'{where}: ensemble_scheduling.step[{index}].input_map["{name}"]',
                    f"tensor '{tensor}' is neither an input of the pipeline nor made by a step",
                    f"name one of {', '.join(sorted(available))}",
                )
    for index, spec in enumerate(outputs):
        if spec.name not in producers:
            what = f"no step produces '{spec.name}'"
            faults.add(f"{where}: output[{index}]", what, "name it in a step's output_map")
    for index, spec in enumerate(inputs):
        if spec.name not in consumed:
            what = f"no step uses '{spec.name}'"
            faults.add(f"{where}: input[{index}]", what, "name it in a step's input_map")


def _check_cycles(
    steps: tuple[Step, ...], producers: Mapping[str, int], at: str, faults: Faults
) -> None:
    needs = {
        index: {producers[tensor] for tensor in step.input_map.values() if tensor in producers}
        for index, step in enumerate(steps)
    }
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        round_trip = " -> ".join(
            f"step[{index}] ('{steps[index].model}')" for index in error.args[1]
        )
        faults.add(at, f"steps wait for one another: {round_trip}", "break the circle")
