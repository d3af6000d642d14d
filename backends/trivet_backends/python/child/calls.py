"""What a model asks other models of its server (Triton's business logic scripting)."""

from __future__ import annotations

from trivet_backends.python.child.channel import Channel
from trivet_backends.python.child.errors import TritonError
from trivet_backends.python.child.request import InferenceRequest, InferenceResponse
from trivet_backends.python.child.tensor import Tensor
from trivet_backends.python.frames import Kind, Reader, Writer


class Calls:
    """Sends calls and waits for what came of them, from any thread."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def ask(self, request: InferenceRequest) -> InferenceResponse:
        """The answer, or a response with the error."""
        number = self._channel.next_call()
        message = Writer(Kind.CALL)
        message.number(number)
        message.text(request.model_name())
        message.number(request.model_version())
        message.text(request.request_id())
        message.text("\n".join(request.requested_output_names()))
        message.json(request.all_parameters)
        message.tensors([tensor.prepared() for tensor in request.inputs()])
        return _response(self._channel.call(message, number))


def _response(result: Reader) -> InferenceResponse:
    if code := result.number():
        return InferenceResponse(error=TritonError(result.text(), TritonError.of_grpc(code)))
    parameters = result.json()
    tensors = [
        Tensor(name, named.array, named.datatype) for name, named in result.tensors().items()
    ]
    return InferenceResponse(tensors, parameters=parameters)
