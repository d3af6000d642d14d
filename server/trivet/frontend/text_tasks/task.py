"""What a language task of trivet.v1.TextService is: its messages, what it needs of a model, and
how the model's tensors become its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from trivet.config import ModelConfig
from trivet.errors import InvalidInput
from trivet.request import InferResponse, Parameters, Tensors
from trivet.scheduling.labelling.vectors import Shelf
from trivet_protos.generated import text_pb2 as pb

SERVICE = "/trivet.v1.TextService/"  # begins the names of the tasks' methods
TEXT = "TEXT"  # the input of every pipeline that takes text: BYTES, one text per row
TEXT_PAIR = "TEXT_PAIR"  # the same for the second text of a pair


class Result(Protocol):
    """What the results of all tasks have in common."""

    @property
    def cost(self) -> pb.Cost: ...


class Asking(Protocol):
    """One item on its way to its result: what a task may ask for it."""

    async def infer(
        self, inputs: Tensors, outputs: Sequence[str], parameters: Parameters
    ) -> InferResponse:
        """Ask the model the call named. inputs: arrays of one row."""

    def fill_cost(self, cost: pb.Cost, response: InferResponse) -> None:
        """Write what an answer took."""

    def shelf(self) -> Shelf:
        """Where vectors of the model are kept, as it is loaded now."""


I = TypeVar("I")  # noqa: E741
R = TypeVar("R", bound=Result)


# Generated classes have no common type for the fields that all requests and all answers have, hence
# the Any: model, version and, in a stream, id; model_name, model_version, results or result, error.
@dataclass(frozen=True, slots=True, kw_only=True)
class Messages:
    """A task's messages: of its unary call for many items, and of its stream for one."""

    request: type[Any]
    response: type[Any]
    stream_request: type[Any]
    stream_response: type[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task(Generic[I, R]):
    """One language task: an item in, a result out. `asked` is a request of either kind.

    name: of the RPC for many items; with "Stream" behind it, of the one for a stream.
    default_model: asked where a request names none.
    items: what a call of many asks for; each item gets a result. item: what a stream's asks for.
    field: the request's field that holds the items, as messages name them: "texts".
    fields_per_item: of the request as it travels, those of an item's own message included.
    inside: the numbers of the fields whose own fields these are.
    inputs: an item as the model's inputs, arrays of one row; needs: their names.
    outputs: what the model has to answer with: name -> dimensions, the batch not counted.
    parameters: of the request to the model.
    fill: writes a result from outputs of [1, ...].
    """

    name: str
    default_model: str
    messages: Messages
    items: Callable[[Any], Sequence[I]]
    item: Callable[[Any], I]
    field: str = "texts"
    fields_per_item: int = 1
    inside: frozenset[int] = frozenset()
    inputs: Callable[[I], Tensors]
    needs: Sequence[str] = (TEXT,)
    outputs: Mapping[str, int]
    parameters: Callable[[Any], Parameters]
    fill: Callable[[R, Tensors], None]

    def check(self, config: ModelConfig, asked: Any) -> None:
        """Raises InvalidInput if the model cannot do this task."""
        lacks = [f"an input {name}" for name in self.needs if config.input(name) is None]
        for name, rank in self.outputs.items():
            spec = config.output(name)
            if spec is None or len(spec.dims) != rank:
                lacks.append(f"an output {name} of {rank} dimension{'s' * (rank > 1)}")
        if lacks:
            raise InvalidInput(
                f"model '{config.name}' cannot do {self.name}: it lacks {', '.join(lacks)};"
                f" name a model built for it, such as '{self.default_model}'"
            )

    def asks(self, item: I) -> Sequence[Tensors]:
        """What the model is asked for an item, each a request of its own with `parameters`."""
        return [self.inputs(item)]

    async def answer(self, asking: Asking, item: I, asked: Any, result: R) -> None:
        """Write the result of one item."""
        response = await asking.infer(
            self.inputs(item), tuple(self.outputs), self.parameters(asked)
        )
        self.fill(result, response.outputs)
        asking.fill_cost(result.cost, response)


def one_text(text: str) -> Tensors:
    """A text as the input TEXT: [1, 1]."""
    return {TEXT: np.array([[text.encode()]], dtype=object)}


def one_pair(text: str, pair: str, names: tuple[str, str] = (TEXT, TEXT_PAIR)) -> Tensors:
    """Two texts as inputs of these names: [1, 1] each."""
    first, second = names
    return {
        first: np.array([[text.encode()]], dtype=object),
        second: np.array([[pair.encode()]], dtype=object),
    }
