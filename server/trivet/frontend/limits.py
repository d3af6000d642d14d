"""What one request may consist of, whatever the model: each limit is a setting with a flag.

The size of a message is the transport's limit. These bound what a message unfolds into, and how
long the event loop, which is everybody's, is kept by reading it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from typing import ClassVar

from trivet.errors import InvalidInput
from trivet_protos.generated import grpc_service_pb2 as pb

_SHOWN = 40  # characters of a client's word that a message repeats
_FIELDS_OF_TENSOR = 16  # name, data type, dimensions, and room for clients who write each apart

Parameters = Mapping[str, pb.InferParameter]
Tensor = pb.ModelInferRequest.InferInputTensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is taken of a request; more is refused with the limit and its flag.

    max_name_length: characters of a model's name, a request's id, the name of a tensor or of a
    parameter. max_dimensions: of a tensor. max_tensors: inputs, and outputs asked for.
    max_bytes_elements: of all inputs together; also texts of a call of TextService.
    max_typed_values: of all inputs together, that come in typed contents instead of raw.
    max_parameters: of the request and its tensors together. max_parameter_length: characters of a
    text among them.
    """

    FLAGS: ClassVar[Mapping[str, str]] = {
        "max_name_length": "--max-name-length",
        "max_dimensions": "--max-dimensions",
        "max_tensors": "--max-request-tensors",
        "max_bytes_elements": "--max-bytes-elements",
        "max_typed_values": "--max-typed-values",
        "max_parameters": "--max-parameters",
        "max_parameter_length": "--max-parameter-length",
    }

    max_name_length: int = 1024
    max_dimensions: int = 32
    max_tensors: int = 256
    max_bytes_elements: int = 100_000  # the event loop reads so many in 30 ms
    max_typed_values: int = 4_000_000  # in 200 ms; raw contents take none
    max_parameters: int = 1024
    max_parameter_length: int = 65_536

    # Bytes of a message that is too small to exceed any limit but that of dimensions.
    _harmless: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        two_bytes_each = 2 * min(self.max_tensors, self.max_parameters)
        lengths = (self.max_name_length, self.max_parameter_length, self.max_typed_values)
        harmless = min(two_bytes_each, *lengths, self.max_bytes_elements)
        object.__setattr__(self, "_harmless", harmless)

    @property
    def max_fields(self) -> int:
        """Fields of a ModelInferRequest that keeps to these limits, those of its tensors
        included."""
        return (self.max_tensors + 1) * _FIELDS_OF_TENSOR + self.max_parameters

    def check(self, message: pb.ModelInferRequest) -> None:
        """Raises InvalidInput for a request that exceeds a limit."""
        if message.ByteSize() <= self._harmless:
            for tensor in message.inputs:
                if len(tensor.shape) > self.max_dimensions:
                    raise self._tensor(tensor, f"model '{message.model_name}': ")
            return
        model = message.model_name
        self.check_name(model, "a model's name", "")
        where = f"model '{model}': "
        self.check_name(message.id, "a request's id", where)
        inputs, outputs = message.inputs, message.outputs
        if (tensors := len(inputs) + len(outputs)) > self.max_tensors:
            raise self._over(
                f"{where}the request names {tensors} inputs and outputs", "max_tensors"
            )
        parameters = self._parameters(message.parameters, where) if message.parameters else 0
        texts = typed = 0
        for tensor in inputs:
            if len(tensor.name) > self.max_name_length or len(tensor.shape) > self.max_dimensions:
                raise self._tensor(tensor, where)
            if tensor.parameters:
                parameters += self._parameters(tensor.parameters, where)
            if tensor.datatype == "BYTES":
                texts += max(0, prod(tensor.shape))  # a negative one is refused by the codec
            if tensor.HasField("contents"):
                typed += _typed_values(tensor.contents)
        for output in outputs:
            self.check_name(output.name, "an output's name", where)
            parameters += self._parameters(output.parameters, where) if output.parameters else 0
        if parameters > self.max_parameters:
            raise self._over(
                f"{where}the request has {parameters} parameters, those of its tensors included",
                "max_parameters",
            )
        if texts > self.max_bytes_elements:
            raise self._over(
                f"{where}the inputs claim {texts} elements of BYTES", "max_bytes_elements"
            )
        if typed > self.max_typed_values:
            what = f"{where}the inputs hold {typed} values in typed contents"
            raise self._over(what, "max_typed_values", "send them in raw_input_contents, or split")

    def check_name(self, name: str, what: str, where: str) -> None:
        """Raises InvalidInput for a name that is too long. what: whose; where: begins the text."""
        if len(name) > self.max_name_length:
            found = f"{where}{what}, {name[:_SHOWN]!r}..., has {len(name)} characters"
            raise self._over(found, "max_name_length", "shorten it")

    def check_texts(self, count: int, where: str) -> None:
        """Raises InvalidInput for a call with too many texts."""
        if count > self.max_bytes_elements:
            raise self._over(f"{where}the call has {count} texts", "max_bytes_elements")

    def _tensor(self, tensor: Tensor, where: str) -> InvalidInput:
        """What is wrong with an input whose name is too long, or whose dimensions are too many."""
        self.check_name(tensor.name, "an input's name", where)
        what = f"{where}input '{tensor.name}' has {len(tensor.shape)} dimensions"
        return self._over(what, "max_dimensions", "send the shape it really has")

    def _parameters(self, parameters: Parameters, where: str) -> int:
        """How many there are."""
        if len(parameters) <= self.max_parameters:  # else they are refused without a look at each
            for name, parameter in parameters.items():
                self.check_name(name, "a parameter's name", where)
                if (length := len(parameter.string_param)) > self.max_parameter_length:
                    what = f"{where}parameter '{name}' has {length} characters"
                    raise self._over(what, "max_parameter_length", "send it as an input")
        return len(parameters)

    def _over(self, what: str, limit: str, cure: str = "split the request") -> InvalidInput:
        return InvalidInput(
            f"{what}; at most {getattr(self, limit)} are taken ({self.FLAGS[limit]}): {cure}"
        )


def _typed_values(contents: pb.InferTensorContents) -> int:
    return sum(len(values) for _, values in contents.ListFields())
