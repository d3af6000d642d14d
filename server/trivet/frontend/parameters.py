"""Parameters of requests, tensors and answers: the protocol's oneof to plain values and back."""

from __future__ import annotations

from collections.abc import Mapping

from trivet.errors import InvalidInput, ServeError, Unimplemented
from trivet.frontend.regions import Place, Regions, place_in
from trivet.request import Parameters, ParameterValue
from trivet_protos.generated import grpc_service_pb2 as pb

_RESERVED = "triton_"
_SHARED_MEMORY = "shared_memory_"
REGION = "shared_memory_region"
_OFFSET = "shared_memory_offset"
_BYTE_SIZE = "shared_memory_byte_size"
_PLACE = (REGION, _OFFSET, _BYTE_SIZE)
_CHOICE = "parameter_choice"
_INTEGERS = ("int64_param", "uint64_param")

SHARED_MEMORY_OFF = (
    "shared memory is switched off on this server (--allow-client-shm=true switches it on); send"
    " the tensor in the request, and read it from the answer"
)

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
_FROM_ZERO = ("priority", "timeout")


def request_parameters(
    parameters: Mapping[str, pb.InferParameter], model: str
) -> dict[str, ParameterValue]:
    """A request's parameters as values; those only the server itself acts on are left out.

    Raises InvalidInput for one without a value, of the wrong type, or of a reserved name.
    """
    values: dict[str, ParameterValue] = {}
    for name, parameter in parameters.items():
        field = parameter.WhichOneof(_CHOICE)
        if field is None:
            raise InvalidInput(
                f"model '{model}': parameter '{name}' has no value; set one field of it"
            )
        if name in _KNOWN:
            _check_type(name, field, model)
            if name in _FROM_ZERO and getattr(parameter, field) < 0:
                raise InvalidInput(
                    f"model '{model}': parameter '{name}' is {getattr(parameter, field)}; send 0"
                    " or more"
                )
        if name.startswith(_RESERVED):
            _check_reserved(name, model)
            continue
        values[name] = getattr(parameter, field)
    return values


def is_reserved(name: str) -> bool:
    """Whether the protocol itself gives a request's parameter of this name a meaning."""
    return name in _KNOWN or name.startswith(_RESERVED)


def place_of(
    parameters: Mapping[str, pb.InferParameter], where: str, regions: Regions | None
) -> Place | None:
    """Where in shared memory a tensor's bytes are; None for one that travels in the message.

    parameters: of an input or of an output asked for. Others than the protocol's own are passed
    over, as gateways send them. Raises Unimplemented where shared memory is off (`regions` is
    None), NotFound for an unknown region, InvalidInput for anything else that is wrong with them.
    """
    for name, parameter in parameters.items():
        _check_tensors_own(name, parameter, where)
    if not any(name.startswith(_SHARED_MEMORY) for name in parameters):
        return None
    if regions is None:
        raise Unimplemented(f"{where}: {SHARED_MEMORY_OFF}")
    if REGION not in parameters or parameters[REGION].WhichOneof(_CHOICE) != "string_param":
        raise InvalidInput(
            f"{where}: parameter '{REGION}' names no region; send it as string_param"
        )
    offset = whole_number(parameters, _OFFSET, where) if _OFFSET in parameters else 0
    byte_size = whole_number(parameters, _BYTE_SIZE, where)
    try:
        return place_in(regions.get(parameters[REGION].string_param), offset, byte_size)
    except ServeError as error:
        raise error.prefixed(f"{where}: ") from None


def whole_number(parameters: Mapping[str, pb.InferParameter], name: str, where: str) -> int:
    """The value of a tensor's parameter. Raises InvalidInput if it is missing or no integer."""
    field = parameters[name].WhichOneof(_CHOICE) if name in parameters else None
    if field not in _INTEGERS:
        came = f"came as {field}" if field else "is missing"
        raise InvalidInput(f"{where}: parameter '{name}' {came}; send it as int64_param")
    value: int = getattr(parameters[name], field)
    return value


def fill_parameters(target: Mapping[str, pb.InferParameter], values: Parameters) -> None:
    """Write an answer's parameters. target: the map field of a message."""
    for name, value in values.items():
        parameter = target[name]
        match value:
            case bool():
                parameter.bool_param = value
            case int() if value < 2**63:
                parameter.int64_param = value
            case int():
                parameter.uint64_param = value
            case str():
                parameter.string_param = value
            case float():
                parameter.double_param = value
            case _:
                raise TypeError(f"parameter {name!r} is of type {type(value).__name__}")


def _check_tensors_own(name: str, parameter: pb.InferParameter, where: str) -> None:
    """Raises InvalidInput for a parameter without a value, or nearly one of the protocol's own."""
    if parameter.WhichOneof(_CHOICE) is None:
        raise InvalidInput(f"{where}: parameter '{name}' has no value; set one field of it")
    if name.startswith(_RESERVED) or (name.startswith(_SHARED_MEMORY) and name not in _PLACE):
        raise InvalidInput(
            f"{where}: parameter '{name}' is unknown: names that begin with '{_RESERVED}' or"
            f" '{_SHARED_MEMORY}' are reserved; send {', '.join(_PLACE)}, or rename it"
        )


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
