"""A config.pbtxt completed by what the artifact itself tells; where they disagree, a fault."""

from __future__ import annotations

from dataclasses import replace

from trivet.backend.contract import Policies, Signature
from trivet.config import BatchOrder, BatchPolicy, ModelConfig, TensorSpec
from trivet.config_file import Faults, check_padding, check_ragged, data_type
from trivet.model.ragged import with_batch_in_front

DEFAULT_MAX_BATCH_SIZE = 4  # Triton's, for a model whose file says nothing and that can batch

Specs = tuple[TensorSpec, ...]


def completed(config: ModelConfig, signature: Signature, where: str, faults: Faults) -> ModelConfig:
    """The config with tensors, symbols and batching filled in from the artifact's signature.

    where: how messages name the version, e.g. "minilm/1". Inputs the file leaves out are added;
    outputs only when it names none, because naming some means: these and no others. Every
    disagreement is added to `faults`; the result is of use only if there is none.
    """
    found = len(faults)
    config = config.reshaped  # the artifact tells what the engine sees
    if signature.policies is not None:
        config = _scheduled(config, signature.policies)
    elif _says_nothing(config) and _can_batch(signature):
        policy = BatchPolicy(max_batch_size=DEFAULT_MAX_BATCH_SIZE)
        config = replace(config, max_batch_size=policy.max_batch_size, dynamic_batching=policy)
    if config.max_batch_size:
        signature = with_batch_in_front(config, signature, where, faults)
        signature = Signature(
            inputs=_rows("input", signature.inputs, config.max_batch_size, where, faults),
            outputs=_rows("output", signature.outputs, config.max_batch_size, where, faults),
        )
    inputs = _agreed("input", config.inputs, signature.inputs, where, faults)
    outputs = _agreed("output", config.outputs, signature.outputs, where, faults)
    named = {spec.name for spec in inputs}
    inputs += tuple(spec for spec in signature.inputs if spec.name not in named)
    config = replace(config, inputs=inputs, outputs=outputs or signature.outputs).reshaped
    _check_told(config, where, faults)
    if len(faults) == found:
        file = f"{config.name}/config.pbtxt"
        check_padding(config.parameters, config.inputs, file, faults)
        check_ragged(config, file, faults)
        _check_length_order(config, file, faults)
    return config


def _scheduled(config: ModelConfig, told: Policies) -> ModelConfig:
    """The config with what the artifact tells of batches and answers, where it says nothing."""
    rows = config.max_batch_size or told.max_batch_size
    batching = config.dynamic_batching or (BatchPolicy() if told.dynamic_batching else None)
    return replace(
        config,
        max_batch_size=rows,
        dynamic_batching=replace(batching, max_batch_size=rows) if batching and rows else None,
        decoupled=config.decoupled or told.decoupled,
    )


def _says_nothing(config: ModelConfig) -> bool:
    return not config.inputs and not config.outputs and not config.max_batch_size


def _can_batch(signature: Signature) -> bool:
    specs = signature.inputs + signature.outputs
    return bool(signature.inputs) and all(spec.dims[:1] == (-1,) for spec in specs)


def _rows(kind: str, told: Specs, max_batch_size: int, where: str, faults: Faults) -> Specs:
    """The artifact's tensors as one row of a batch has them: without the batch dimension."""
    for spec in told:
        if spec.dims[:1] != (-1,):
            what = (
                f"config.pbtxt says max_batch_size: {max_batch_size}, but the artifact's shape"
                f" {list(spec.dims)} has no batch dimension (-1) in front"
            )
            faults.add(f"{where}: {kind} '{spec.name}'", what, "set max_batch_size: 0")
    return tuple(replace(spec, dims=spec.dims[1:], symbols=spec.symbols[1:]) for spec in told)


def _agreed(kind: str, written: Specs, told: Specs, where: str, faults: Faults) -> Specs:
    """What the file says, with the artifact's symbols, after comparing both."""
    if not told:
        return written
    by_name = {spec.name: spec for spec in told}
    agreed = []
    for spec in written:
        if spec.name in by_name:
            at = f"{where}: {kind} '{spec.name}'"
            agreed.append(_compared(spec, by_name[spec.name], at, faults))
        else:
            known = ", ".join(f"'{name}'" for name in by_name)
            what = f"config.pbtxt names it, but the artifact has {known}"
            cure = f"remove the {kind} or correct its name"
            faults.add(f"{where}: {kind} '{spec.name}'", what, cure)
    return tuple(agreed)


def _compared(written: TensorSpec, told: TensorSpec, at: str, faults: Faults) -> TensorSpec:
    if written.datatype != told.datatype:
        what = f"config.pbtxt says {written.datatype}, the artifact {told.datatype}"
        faults.add(at, what, f"write data_type: {data_type(told.datatype)}")
    if not _fits(written, told):
        field = "dims" if written.reshape is None else "reshape"
        what = f"config.pbtxt says {field} {list(written.dims)}, the artifact {list(told.dims)}"
        faults.add(at, what, f"write {field}: {list(told.dims)}, without the batch dimension")
    elif told.symbols:
        # A dimension the file fixes does not vary any more.
        pairs = zip(told.symbols, written.dims, strict=True)
        symbols = tuple(symbol if dim == -1 else "" for symbol, dim in pairs)
        return replace(written, symbols=symbols, optional=written.optional or told.optional)
    return written


def _fits(written: TensorSpec, told: TensorSpec) -> bool:
    """The file may fix a dimension that varies in the artifact, but not the other way round."""
    if len(written.dims) != len(told.dims):
        return False
    pairs = zip(written.dims, told.dims, strict=True)
    return all(own == theirs or theirs == -1 for own, theirs in pairs)


def _check_told(config: ModelConfig, where: str, faults: Faults) -> None:
    for kind, specs in (("input", config.inputs), ("output", config.outputs)):
        if not specs:
            what = f"neither config.pbtxt nor the artifact tells an {kind}"
            cure = f"add {kind} {{ name: ... data_type: ... dims: ... }} to config.pbtxt"
            faults.add(f"{where}: {kind}", what, cure)


def _check_length_order(config: ModelConfig, file: str, faults: Faults) -> None:
    policy = config.dynamic_batching
    if policy is None or policy.order is not BatchOrder.LENGTH:
        return
    if not any(symbol for spec in config.inputs for symbol in spec.symbols):
        key = "batch_order" if "batch_order" in config.parameters else "max_batch_tokens"
        what = "batching by length needs an input with a dimension that varies and has a name"
        cure = "remove it, or give the artifact's dimension a name"
        faults.add(f'{file}: parameters["{key}"]', what, cure)
