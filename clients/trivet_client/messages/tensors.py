"""Messages of inference: tensors by name, parameters, answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import grpc
import numpy as np

from trivet_client.errors import broken, invalid
from trivet_client.streaming import Reply
from trivet_client.values import Failure, InferRequest, InferResult, Parameters, ParameterValue
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.wire import WireError, datatype_of, decode_raw, decode_typed, encode_raw

_FINAL = "triton_final_response"
# Asked of every streamed request: only so can an end be told for a decoupled model, and with it
# when the next request may be sent.
_WANT_FINAL = "triton_enable_empty_final_response"
_INT64_LIMIT = 2**63


def infer_request(request: InferRequest, request_id: str) -> pb.ModelInferRequest:
    """Raises InvalidArgument, naming the input or parameter that cannot be written down."""
    message = pb.ModelInferRequest(
        model_name=request.model,
        model_version=version_text(request.version),
        id=request_id,
        outputs=[
            pb.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in request.outputs
        ],
    )
    for key, value in request.parameters.items():
        message.parameters[key].CopyFrom(_parameter(key, value))
    for name, array in request.inputs.items():
        _add_input(message, name, np.asarray(array))
    return message


def infer_result(response: pb.ModelInferResponse) -> InferResult:
    """Raises Internal, naming the output whose bytes are not the tensor they claim to be."""
    parameters = _parameters(response.parameters)
    return InferResult(
        model=response.model_name,
        version=version_number(response.model_version),
        request_id=response.id,
        outputs=dict(_outputs(response)),
        parameters={key: value for key, value in parameters.items() if key != _FINAL},
        final=parameters.get(_FINAL, True) is not False,
    )


class InferDialect:
    """How requests and answers travel on ModelStreamInfer."""

    def request(self, request: InferRequest, index: int) -> tuple[str, pb.ModelInferRequest]:
        request_id = request.request_id or str(index)
        message = infer_request(request, request_id)
        message.parameters[_WANT_FINAL].bool_param = True
        return request_id, message

    def reply(self, response: pb.ModelStreamInferResponse) -> Reply[InferResult | Failure]:
        request_id = response.infer_response.id
        if response.error_message:
            failure = Failure(code=grpc.StatusCode.UNKNOWN, message=response.error_message)
            return Reply(request_id, failure)
        result = infer_result(response.infer_response)
        return Reply(request_id, result, final=result.final)


def version_text(version: int | str | None) -> str:
    """A version, or an alias of one, as requests spell it; empty means the latest ready one."""
    return "" if version is None else str(version)


def version_number(text: str) -> int | None:
    """A version as answers spell it; None for what is no number."""
    return int(text) if text.isascii() and text.isdecimal() else None


def _add_input(message: pb.ModelInferRequest, name: str, array: np.ndarray) -> None:
    try:
        raw, datatype = encode_raw(array), datatype_of(array)
    except WireError as error:
        raise invalid(f"input '{name}': {error}") from error
    message.inputs.add(name=name, datatype=datatype, shape=array.shape)
    message.raw_input_contents.append(raw)


def _parameter(key: str, value: ParameterValue) -> pb.InferParameter:
    match value:
        case bool():  # before int: True is an int as well
            return pb.InferParameter(bool_param=value)
        case int() if -_INT64_LIMIT <= value < _INT64_LIMIT:
            return pb.InferParameter(int64_param=value)
        case int() if 0 <= value < 2 * _INT64_LIMIT:
            return pb.InferParameter(uint64_param=value)
        case float():
            return pb.InferParameter(double_param=value)
        case str():
            return pb.InferParameter(string_param=value)
    raise invalid(
        f"parameter '{key}' is {value!r}; give a bool, a float, a str, or an int of 64 bits"
    )


def _parameters(messages: Mapping[str, pb.InferParameter]) -> Parameters:
    chosen = {key: message.WhichOneof("parameter_choice") for key, message in messages.items()}
    return {key: getattr(messages[key], field) for key, field in chosen.items() if field}


def _outputs(response: pb.ModelInferResponse) -> Iterator[tuple[str, np.ndarray]]:
    raw = response.raw_output_contents
    if raw and len(raw) != len(response.outputs):
        raise broken(
            f"model '{response.model_name}' answered {len(response.outputs)} outputs, but "
            f"{len(raw)} raw contents"
        )
    for index, output in enumerate(response.outputs):
        try:
            if raw:
                yield output.name, decode_raw(raw[index], output.datatype, output.shape)
            else:  # trivet never does, other servers of the protocol may
                yield output.name, decode_typed(output.contents, output.datatype, output.shape)
        except WireError as error:
            raise broken(f"output '{output.name}': {error}") from error
