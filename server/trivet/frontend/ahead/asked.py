"""The texts that a message brings, read by the code that its method reads it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from trivet.frontend import codec
from trivet.frontend.codec import request_of, version_of
from trivet.frontend.refusal import parse
from trivet.frontend.text_tasks import task as text_task
from trivet.frontend.text_tasks.table import TASKS
from trivet.frontend.text_tasks.task import Task
from trivet.request import Parameters, Tensors
from trivet_protos.generated import grpc_service_pb2

_MODEL_TAG = grpc_service_pb2.ModelInferRequest.MODEL_NAME_FIELD_NUMBER << 3 | 2
_ONE_BYTE = 0x80  # lengths below it are written as one


@dataclass(frozen=True, slots=True)
class Asked:
    """What the model of a call is asked, each a request of its own, all with these parameters.

    version: 0 for the latest; an alias's name is not looked up, and what it asks is not known.
    """

    model: str
    version: int | str
    inputs: Sequence[Tensors]
    parameters: Parameters


# Raises ServeError for what is to be refused, which is done where it is answered. The other
# argument: models that are of any interest.
Reader = Callable[[bytes, Callable[[str], bool]], Asked | None]


def readers() -> Mapping[str, Reader]:
    """By full name of the method."""
    table: dict[str, Reader] = {
        f"{codec.SERVICE}ModelInfer": _inference,
        f"{codec.SERVICE}ModelStreamInfer": _inference,
    }
    for task in TASKS:
        table[f"{text_task.SERVICE}{task.name}"] = partial(_many, task)
        table[f"{text_task.SERVICE}{task.name}Stream"] = partial(_one, task)
    return table


def _many(task: Task[Any, Any], message: bytes, is_wanted: Callable[[str], bool]) -> Asked | None:
    asked = parse(task.messages.request, message, inside=task.inside)
    if not is_wanted(asked.model or task.default_model):
        return None
    return _of(task, asked, task.items(asked))


def _one(task: Task[Any, Any], message: bytes, is_wanted: Callable[[str], bool]) -> Asked | None:
    asked = parse(task.messages.stream_request, message)
    if not is_wanted(asked.model or task.default_model):
        return None
    return _of(task, asked, [task.item(asked)])


def _of(task: Task[Any, Any], asked: Any, items: Sequence[Any]) -> Asked:
    inputs = [each for item in items for each in task.asks(item)]
    return Asked(asked.model or task.default_model, asked.version, inputs, task.parameters(asked))


def _inference(message: bytes, is_wanted: Callable[[str], bool]) -> Asked | None:
    name = _first_name(message)
    if name is None or not is_wanted(name):
        return None  # tensors of another model are not even parsed
    asked = parse(grpc_service_pb2.ModelInferRequest, message)
    request = request_of(asked, None)
    version = version_of(asked.model_version, asked.model_name)
    return Asked(request.model, version or 0, [request.inputs], request.parameters)


def _first_name(message: bytes) -> str | None:
    """The model of a ModelInferRequest, if it comes first, as every library writes it."""
    if len(message) < 2 or message[0] != _MODEL_TAG or message[1] >= _ONE_BYTE:
        return None
    return message[2 : 2 + message[1]].decode("utf-8", "replace")
