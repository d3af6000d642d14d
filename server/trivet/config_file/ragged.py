"""Ragged batching: `input.allow_ragged_batch`, `batch_input` and `batch_output`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trivet.config import (
    BatchInput,
    BatchInputKind,
    BatchOrder,
    BatchOutput,
    ModelConfig,
    TensorSpec,
)
from trivet.config_file.datatypes import wire_name
from trivet.config_file.faults import Faults
from trivet_protos.generated import model_config_pb2 as pb

DATATYPES = ("INT32", "FP32")  # of batch inputs, as Triton allows them


def batch_inputs(message: pb.ModelConfig, where: str, faults: Faults) -> tuple[BatchInput, ...]:
    """The inputs that the server makes of each batch."""
    told = []
    for index, entry in enumerate(message.batch_input):
        at = f"{where}: batch_input[{index}]"
        datatype = wire_name(entry.data_type)
        if datatype not in DATATYPES:
            what = f"is {pb.DataType.Name(entry.data_type)}" if datatype else "is missing"
            faults.add(f"{at}.data_type", what, "write TYPE_INT32 or TYPE_FP32")
        _check_targets(entry.target_name, at, "the model's input that gets the values", faults)
        told.append(
            BatchInput(
                kind=BatchInputKind(pb.BatchInput.Kind.Name(entry.kind)),
                targets=tuple(entry.target_name),
                datatype=datatype,
                source=_source(entry.source_input, at, faults),
            )
        )
    _check_once([entry.target_name for entry in message.batch_input], where, "batch_input", faults)
    return tuple(told)


def batch_outputs(message: pb.ModelConfig, where: str, faults: Faults) -> tuple[BatchOutput, ...]:
    """The outputs of whole batches that are divided by the shape of an input."""
    told = []
    for index, entry in enumerate(message.batch_output):
        at = f"{where}: batch_output[{index}]"
        _check_targets(entry.target_name, at, "the output that is divided", faults)
        source = _source(entry.source_input, at, faults)
        told.append(BatchOutput(targets=tuple(entry.target_name), source=source))
    names = [entry.target_name for entry in message.batch_output]
    _check_once(names, where, "batch_output", faults)
    return tuple(told)


def check_ragged(config: ModelConfig, where: str, faults: Faults) -> None:
    """Ragged inputs, batch inputs and batch outputs fit the model's tensors, as far as it is told.

    config: as clients see it; as read, or completed.
    """
    _check_batching(config, where, faults)
    _check_order(config, where, faults)
    sources = {spec.name: spec for spec in config.inputs}
    outputs = {spec.name: spec for spec in config.reshaped.outputs}
    for index, told in enumerate(config.batch_inputs):
        at = f"{where}: batch_input[{index}]"
        _check_source(told.source, sources, at, faults)
        for target in told.targets:
            if target in sources:
                what = f"'{target}' is an input that clients send"
                faults.add(f"{at}.target_name", what, "remove that input: the server makes it")
    for index, divided in enumerate(config.batch_outputs):
        at = f"{where}: batch_output[{index}]"
        _check_source(divided.source, sources, at, faults)
        for target in divided.targets:
            if outputs and target not in outputs:
                what = f"there is no output '{target}'"
                faults.add(f"{at}.target_name", what, f"name one of {_names(outputs)}")
            elif outputs and divided.source in sources:
                _check_rank(outputs[target], sources[divided.source].reshaped, at, faults)


def _check_batching(config: ModelConfig, where: str, faults: Faults) -> None:
    places = [
        f"input[{index}].allow_ragged_batch"
        for index, spec in enumerate(config.inputs)
        if spec.ragged
    ]
    places += ["batch_input"] if config.batch_inputs else []
    places += ["batch_output"] if config.batch_outputs else []
    for place in places:
        if config.is_pipeline:
            what, cure = "a pipeline batches nothing itself", "set it on the pipeline's members"
            faults.add(f"{where}: {place}", what, cure)
        elif config.max_batch_size == 0:
            cure = "set max_batch_size to the most rows the model takes at once, or remove it"
            faults.add(f"{where}: {place}", "needs max_batch_size above 0", cure)


def _check_order(config: ModelConfig, where: str, faults: Faults) -> None:
    """By length, batches are budgeted as if padded and long requests taken apart; both would be
    wrong here."""
    policy = config.dynamic_batching
    if policy is None or policy.order is not BatchOrder.LENGTH:
        return
    if config.batch_inputs or config.batch_outputs or any(spec.ragged for spec in config.inputs):
        key = "batch_order" if "batch_order" in config.parameters else "max_batch_tokens"
        what = "ragged requests are joined without padding, in the order they came"
        cure = "remove it; dynamic_batching alone batches requests of any lengths"
        faults.add(f'{where}: parameters["{key}"]', what, cure)


def _check_source(name: str, inputs: dict[str, TensorSpec], at: str, faults: Faults) -> None:
    if not inputs or not name:
        return
    if name not in inputs:
        what = f"there is no input '{name}'"
        faults.add(f"{at}.source_input", what, f"name one of {_names(inputs)}")
    elif inputs[name].optional:
        what = f"input '{name}' is optional, and without it nothing could be told"
        faults.add(f"{at}.source_input", what, "name another input, or make this one required")


def _check_rank(output: TensorSpec, source: TensorSpec, at: str, faults: Faults) -> None:
    """Each dimension of the output that varies has a counterpart in the source."""
    if -1 in output.dims[len(source.dims) :]:
        what = (
            f"dims {list(output.dims)} of output '{output.name}' vary where input"
            f" '{source.name}' {list(source.dims)} has no dimension"
        )
        faults.add(f"{at}.source_input", what, "fix the sizes in the output's dims")


def _source(names: Sequence[str], at: str, faults: Faults) -> str:
    if len(names) != 1:
        what = f"names {len(names)} inputs, must name 1"
        faults.add(f"{at}.source_input", what, "name the one input whose sizes it follows")
    return names[0] if names else ""


def _check_targets(names: Sequence[str], at: str, meaning: str, faults: Faults) -> None:
    if not names or not all(names):
        faults.add(f"{at}.target_name", "is missing", f"name {meaning}")


def _check_once(entries: Iterable[Sequence[str]], where: str, field: str, faults: Faults) -> None:
    seen: set[str] = set()
    for index, names in enumerate(entries):
        for name in names:
            if name and name in seen:
                at = f"{where}: {field}[{index}].target_name"
                faults.add(at, f"'{name}' is named before", "name each only once")
            seen.add(name)


def _names(specs: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in specs)
