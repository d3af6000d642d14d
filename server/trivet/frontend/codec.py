"""The protocol's messages to requests, and answers to the protocol's messages.

What can be seen to be wrong without the model's configuration is refused here; the rest is refused
by the model itself. Texts name model and tensor; the caller adds the request's id.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from trivet.errors import InvalidInput, ServeError
from trivet.frontend.delivery import NONE, Deliveries, deliver
from trivet.frontend.limits import Limits
from trivet.frontend.parameters import REGION, fill_parameters, place_of, request_parameters
from trivet.frontend.regions import Place, Regions
from trivet.repository.aliases import is_alias
from trivet.repository.entries import Asked
from trivet.request import NO_PARAMETERS, InferRequest, InferResponse, Tensors
from trivet_protos import wire
from trivet_protos.generated import grpc_service_pb2 as pb

_MAX_VERSION = 2**63 - 1
SERVICE = "/inference.GRPCInferenceService/"  # begins the names of the methods that infer

_LIMITS = Limits()
_SHOWN = 40  # characters of a client's word that a message repeats

Input = pb.ModelInferRequest.InferInputTensor


def version_of(text: str, model: str) -> Asked:
    """The version a request names; None where it leaves the choice to the server.

    Raises InvalidInput for anything but a positive integer as a repository spells it, or a word
    that may be an alias of one.
    """
    if not text:
        return None
    if text.isascii() and text.isdigit() and len(text) < 20 and text[0] != "0":
        version = int(text)
        if version <= _MAX_VERSION:
            return version
    if is_alias(text):
        return text
    raise InvalidInput(
        f"model '{model}': version {text[:_SHOWN]!r} is no positive integer; send one such as '1',"
        " or none for the latest"
    )


def request_of(
    message: pb.ModelInferRequest, regions: Regions | None = None, limits: Limits = _LIMITS
) -> InferRequest:
    """Read a request. Its arrays are read-only views of the message's own bytes where raw.

    regions: where inputs may be in shared memory; None where that is switched off. limits: what
    is taken of any request.
    Raises InvalidInput for a request that is wrong whatever the model, Unimplemented for one that
    asks for what this server does not offer.
    """
    limits.check(message)
    model = message.model_name
    version = message.model_version
    return InferRequest(
        model,
        _inputs(message, model, regions),
        version_of(version, model) if version else None,
        message.id,
        _requested_outputs(message, model) if message.outputs else (),
        request_parameters(message.parameters, model) if message.parameters else NO_PARAMETERS,
    )


def fill_response(
    message: pb.ModelInferResponse,
    request: InferRequest,
    response: InferResponse,
    deliveries: Deliveries = NONE,
) -> None:
    """Write an answer: the outputs asked for, in the order asked for, always as raw contents.

    deliveries: outputs that are given back in another way. Raises InvalidInput if one cannot be,
    EngineFailed if the model left out what was asked for.
    """
    message.model_name = response.model
    message.model_version = str(response.version)
    if request.id:
        message.id = request.id
    if response.parameters:
        fill_parameters(message.parameters, response.parameters)
    for name in request.outputs or response.outputs:
        array = response.output(name)
        if name in deliveries:
            where = f"model '{response.model}': output '{name}'"
            array, raw = deliver(array, deliveries[name], where)
        else:
            raw = wire.encode_raw(array)
        message.outputs.add(name=name, datatype=wire.datatype_of(array), shape=array.shape)
        message.raw_output_contents.append(raw)


def _inputs(message: pb.ModelInferRequest, model: str, regions: Regions | None) -> Tensors:
    raws, tensors = message.raw_input_contents, message.inputs
    if raws and len(raws) != (len(tensors) if regions is None else _carried(tensors)):
        raise _wrong_raw_count(message, model, regions)
    inputs: dict[str, np.ndarray] = {}
    unread, shared_bytes = iter(raws), 0
    for tensor in tensors:
        name = tensor.name
        if name in inputs:
            raise InvalidInput(f"model '{model}': input '{name}' came twice; send each input once")
        place = _place(tensor, model, regions) if tensor.parameters else None
        try:
            if place and regions:
                shared_bytes += place.byte_size
                _check_size(shared_bytes, regions, model)
                inputs[name] = _from_memory(tensor, place, model)
            else:
                inputs[name] = _array(tensor, next(unread, None), model)
        except wire.WireError as error:
            raise InvalidInput(f"model '{model}': input '{name}': {error}") from None
    return inputs


def _carried(tensors: Iterable[Input]) -> int:
    """How many of the inputs are not in shared memory."""
    return sum(REGION not in tensor.parameters for tensor in tensors)


def _place(tensor: Input, model: str, regions: Regions | None) -> Place | None:
    return place_of(tensor.parameters, f"model '{model}': input '{tensor.name}'", regions)


def _check_size(shared_bytes: int, regions: Regions, model: str) -> None:
    if shared_bytes > regions.max_request_bytes:
        raise InvalidInput(
            f"model '{model}': the inputs take {shared_bytes} bytes or more from shared memory, but"
            f" those of one request may take {regions.max_request_bytes}; split the request"
        )


def _from_memory(tensor: Input, place: Place, model: str) -> np.ndarray:
    where = f"model '{model}': input '{tensor.name}'"
    if tensor.HasField("contents"):
        raise InvalidInput(
            f"{where} has typed contents beside shared memory; send it one way or the other"
        )
    try:
        return wire.decode_raw(place.read(), tensor.datatype, tuple(tensor.shape))
    except ServeError as error:
        raise error.prefixed(f"{where}: ") from None


def _array(tensor: Input, raw: bytes | None, model: str) -> np.ndarray:
    shape = tuple(tensor.shape)
    if tensor.HasField("contents"):
        if raw is not None:
            raise _both(tensor, model)
        return wire.decode_typed(tensor.contents, tensor.datatype, shape)
    if raw is None:
        raise InvalidInput(
            f"model '{model}': input '{tensor.name}' has no data; send it in raw_input_contents,"
            " or in its own contents"
        )
    return wire.decode_raw(raw, tensor.datatype, shape)


def _requested_outputs(message: pb.ModelInferRequest, model: str) -> tuple[str, ...]:
    names: dict[str, None] = {}  # a set in order
    for output in message.outputs:
        if output.name in names:
            raise InvalidInput(
                f"model '{model}': output '{output.name}' is asked for twice; ask once"
            )
        names[output.name] = None
    return tuple(names)


def _wrong_raw_count(
    message: pb.ModelInferRequest, model: str, regions: Regions | None
) -> InvalidInput:
    """Of several things wrong, name first what most likely led to the others."""
    for tensor in message.inputs:
        if tensor.parameters and regions is None:
            _place(tensor, model, regions)
        if tensor.HasField("contents"):
            return _both(tensor, model)
    return InvalidInput(
        f"model '{model}': raw_input_contents has {len(message.raw_input_contents)} entries for"
        f" {len(message.inputs)} inputs ({_names(tensor.name for tensor in message.inputs)});"
        " send one entry per input that is not in shared memory, in the inputs' order"
    )


def _both(tensor: Input, model: str) -> InvalidInput:
    return InvalidInput(
        f"model '{model}': input '{tensor.name}' has typed contents beside raw_input_contents;"
        " send all inputs one way or the other"
    )


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
