"""How outputs are given back that do not simply travel in the answer: in memory, or as classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from trivet.config import ModelConfig
from trivet.errors import InvalidInput, ServeError
from trivet.frontend.classification import best_classes
from trivet.frontend.parameters import place_of, whole_number
from trivet.frontend.regions import Place, Regions
from trivet_protos import wire
from trivet_protos.generated import grpc_service_pb2 as pb

_CLASSIFICATION = "classification"
_MAX_CLASSES = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Classes:
    """The best of an output's values, as texts."""

    count: int
    labels: Sequence[str]
    batched: bool

    def of(self, array: np.ndarray) -> np.ndarray:
        return best_classes(array, self.count, self.labels, batched=self.batched)


Delivery = Place | Classes
Deliveries = Mapping[str, Delivery]  # by the output's name; one that is not in it travels as it is

NONE: Deliveries = MappingProxyType({})


def deliveries_of(
    message: pb.ModelInferRequest,
    config: ModelConfig,
    labels: Mapping[str, Sequence[str]],
    regions: Regions | None,
) -> Deliveries:
    """What the parameters of the outputs asked for say.

    labels: of the outputs that have them. regions: None where shared memory is switched off.
    Raises InvalidInput, NotFound for an unknown region, Unimplemented for shared memory that is
    off.
    """
    return {
        output.name: delivery
        for output in message.outputs
        if output.parameters
        and (delivery := _delivery(output, config, labels.get(output.name, ()), regions))
    }


def deliver(array: np.ndarray, delivery: Delivery, where: str) -> tuple[np.ndarray, bytes]:
    """Give an output back. Returns what the answer tells of it, and its raw contents.

    Raises InvalidInput, begun with `where`, if it cannot be given back like this.
    """
    try:
        if isinstance(delivery, Classes):
            classes = delivery.of(array)
            return classes, wire.encode_raw(classes)
        delivery.write(wire.encode_raw(array))
        return array, b""
    except ServeError as error:
        raise error.prefixed(f"{where}: ") from None


def _delivery(
    output: pb.ModelInferRequest.InferRequestedOutputTensor,
    config: ModelConfig,
    labels: Sequence[str],
    regions: Regions | None,
) -> Delivery | None:
    parameters, where = output.parameters, f"model '{config.name}': output '{output.name}'"
    place = place_of(parameters, where, regions)
    if _CLASSIFICATION not in parameters:
        return place
    if place:
        raise InvalidInput(
            f"{where}: classes cannot be put into shared memory; ask for one or the other"
        )
    count = whole_number(parameters, _CLASSIFICATION, where)
    if not 1 <= count <= _MAX_CLASSES:
        raise InvalidInput(
            f"{where}: parameter 'classification' is {count}; ask for at least one class"
        )
    return Classes(count, labels, batched=config.max_batch_size > 0)
