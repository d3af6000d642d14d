"""Parameters of requests, tensors and answers: the protocol's oneof to plain values and back."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.errors import InvalidInput, Unimplemented
from trivet.request import Parameters, ParameterValue
from trivet_protos.generated import grpc_service_pb2 as pb

_RESERVED = "triton_"
_SHARED_MEMORY = "shared_memory_"
_INTEGERS = ("int64_param", "uint64_param")

# What the protocol itself gives a meaning to, with the fields its value may come in. Everything
# else is the model's business and reaches it unseen.
_KNOWN: Mapping[str, tuple[str, ...]] = {
    "sequence_id": (*_INTEGERS, "string_param"),
    "sequence_start": ("bool_param",),
    "sequence_end": ("bool_param",),
    "priority": _INTEGERS,
    "timeout": _INTEGERS,
    "triton_enable_empty_final_response": ("bool_param",),
}


def request_parameters(
    parameters: Mapping[str, pb.InferParameter], model: str
) -> dict[str, ParameterValue]:
    """A request's parameters as values; those only the server itself acts on are left out.

    Raises InvalidInput for one without a value, of the wrong type, or of a reserved name.
    """
    values: dict[str, ParameterValue] = {}
    for name, parameter in parameters.items():
        field = parameter.WhichOneof("parameter_choice")
        if field is None:
            raise InvalidInput(
                f"model '{model}': parameter '{name}' has no value; set one field of it"
            )
        if name in _KNOWN:
            _check_type(name, field, model)
        if name.startswith(_RESERVED):
            _check_reserved(name, model)
            continue
        values[name] = getattr(parameter, field)
    return values


def check_input_parameters(tensor: pb.ModelInferRequest.InferInputTensor, model: str) -> None:
    """Refuse what an input asks for and this server does not offer; the rest has no meaning."""
    _refuse_shared_memory(tensor.parameters, f"model '{model}': input '{tensor.name}'")


def check_output_parameters(
    tensor: pb.ModelInferRequest.InferRequestedOutputTensor, model: str
) -> None:
    """Refuse what an output is asked for and this server does not offer."""
    where = f"model '{model}': output '{tensor.name}'"
    _refuse_shared_memory(tensor.parameters, where)
    if "classification" in tensor.parameters:
        raise Unimplemented(
            f"{where}: the parameter 'classification' would answer the best classes with their"
            " labels, and this version does not offer it; leave it out and rank the values yourself"
        )


def fill_parameters(target: Mapping[str, pb.InferParameter], values: Parameters) -> None:
    """Write an answer's parameters. target: the map field of a message."""
    for name, value in values.items():
        parameter = target[name]
        match value:
            case bool():
                parameter.bool_param = value
            case int():
                parameter.int64_param = value
            case str():
                parameter.string_param = value
            case float():
                parameter.double_param = value
            case _:
                raise TypeError(f"parameter {name!r} is of type {type(value).__name__}")


def _check_type(name: str, field: str, model: str) -> None:
    allowed = _KNOWN[name]
    if field not in allowed:
        raise InvalidInput(
            f"model '{model}': parameter '{name}' came as {field}; send it as"
            f" {' or '.join(allowed)}"
        )


def _check_reserved(name: str, model: str) -> None:
    if name not in _KNOWN:
        raise InvalidInput(
            f"model '{model}': parameter '{name}' is unknown: names that begin with '{_RESERVED}'"
            " are reserved; rename it"
        )


def _refuse_shared_memory(parameters: Mapping[str, pb.InferParameter], where: str) -> None:
    if any(name.startswith(_SHARED_MEMORY) for name in parameters):
        raise Unimplemented(
            f"{where}: shared memory is switched off on this server; send the tensor in the"
            " request, and read it from the answer"
        )
