"""Texts to vectors, by a model that embeds: each text is a request of its own in its queue.

So it is batched with whatever else is asked of that model, and not with the texts beside it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TypeVar

import numpy as np

from trivet.config import ModelConfig
from trivet.errors import ServeError
from trivet.request import InferRequest, InferResponse, Parameters, Tensors
from trivet.scheduling.labelling.scores import unit
from trivet.scheduling.labelling.vectors import Shelf
from trivet.scheduling.many import answer_all

TEXT = "TEXT"
EMBEDDING = "EMBEDDING"

Told = Callable[[InferResponse], None]  # hears of each answer, to count what it took

_T = TypeVar("_T")


class Asking(Protocol):
    """One who has texts embedded."""

    async def infer(
        self, inputs: Tensors, outputs: Sequence[str], parameters: Parameters
    ) -> InferResponse:
        """Ask the model that embeds. inputs: arrays of one row."""

    def shelf(self) -> Shelf:
        """Where vectors of the model are kept, as it is loaded now."""


class Loaded(Protocol):
    """A loaded model, as those see it who have texts embedded."""

    @property
    def config(self) -> ModelConfig: ...

    async def infer(self, request: InferRequest) -> InferResponse:
        """Answer one request."""


class Models(Protocol):
    """Where loaded models are found; the registry is one."""

    def acquire(self, name: str, version: int | None = None) -> AbstractContextManager[Loaded]:
        """A ready version, kept alive while the block runs."""

    def acquire_for(self, request: InferRequest) -> AbstractContextManager[Loaded]:
        """The one that a request is for."""


def makers_of(model: Loaded, models: Models) -> list[Loaded]:
    """All that makes a model's answers now: itself and, of a pipeline, whatever it calls.

    A pipeline is not loaded again when its encoder is, hence the encoder counts, too.
    """
    makers = [model]
    for step in model.config.steps:
        with models.acquire(step.model, step.version) as member:
            makers += makers_of(member, models)
    return makers


async def with_one_model(asking: Asking, compute: Callable[[Shelf], Awaitable[_T]]) -> _T:
    """What `compute` gives; once more if the model was loaded anew meanwhile.

    Vectors of two models are of two spaces, and comparing them tells nothing.
    """
    while True:
        shelf = asking.shelf()
        found = await compute(shelf)
        if asking.shelf() == shelf:
            return found


async def vector_of(asking: Asking, text: str, truncate: bool, told: Told) -> np.ndarray:
    """A text's vector, of length one."""
    inputs = {TEXT: np.array([[text.encode()]], dtype=object)}
    response = await asking.infer(inputs, (EMBEDDING,), {"truncate": truncate})
    told(response)
    return unit(response.output(EMBEDDING)[0])


async def kept_vector(
    asking: Asking, shelf: Shelf, text: str, truncate: bool, told: Told
) -> np.ndarray:
    """The same, kept for whoever asks for it again."""
    return await shelf.made((text, truncate), lambda: vector_of(asking, text, truncate, told))


async def kept_vectors(
    asking: Asking, shelf: Shelf, texts: Sequence[str], field: str, truncate: bool, told: Told
) -> np.ndarray:
    """Vectors of labels or examples, [texts, width]. field: which they are, for messages.

    told: of those that were not at hand.
    """
    found = [shelf.at_hand((text, truncate)) for text in texts]
    missing = [i for i, vector in enumerate(found) if vector is None]

    async def make(_: int, place: int) -> None:
        try:
            found[place] = await kept_vector(asking, shelf, texts[place], truncate, told)
        except ServeError as error:
            raise error.prefixed(f"{field}[{place}]: ") from None

    if missing:
        await answer_all(missing, make)
    return np.stack([vector for vector in found if vector is not None])
