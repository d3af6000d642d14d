"""What the tasks share that compare a model's vectors: Similarity, ZeroShot, FewShot.

They need no model of their own. Their texts go through the queue of an embedding pipeline, each a
request like any other, and are batched with those of Embed; comparing them is a product of a small
matrix, see `scheduling.labelling`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from trivet.config import ModelConfig
from trivet.frontend.text_tasks.task import Asking, I, R, Task, one_text
from trivet.request import InferResponse, Parameters, Tensors
from trivet.scheduling.labelling.asked import Labelling, check_size
from trivet.scheduling.labelling.embedding import Told, kept_vectors, vector_of, with_one_model
from trivet.scheduling.labelling.scores import Scored
from trivet.scheduling.labelling.vectors import Shelf
from trivet_protos.generated import text_pb2 as pb


def _nothing(result: Any, outputs: Tensors) -> None:
    """A result of these tasks is not made of one answer."""


def _truncate(asked: Any) -> Parameters:
    return {"truncate": asked.truncate}


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorTask(Task[I, R]):
    """A task over a model that embeds.

    verify: raises InvalidInput for what is wrong with a call whatever its items are.
    score: writes the result of one item.
    """

    default_model: str = "embed"
    inputs: Callable[[Any], Tensors] = one_text
    outputs: Mapping[str, int]
    parameters: Callable[[Any], Parameters] = _truncate
    fill: Callable[[Any, Tensors], None] = _nothing
    verify: Callable[[Any], None]
    score: Callable[[Asking, I, Any, R], Awaitable[None]]

    def check(self, config: ModelConfig, asked: Any) -> None:
        Task.check(self, config, asked)
        self.verify(asked)

    async def answer(self, asking: Asking, item: I, asked: Any, result: R) -> None:
        await self.score(asking, item, asked, result)


def check_labels(labelling: Labelling, asked: Any) -> None:
    """Raises InvalidInput for what is wrong with the labels of a call, or a stream's message."""
    labelling.check()
    check_size(labelling, len(asked.texts) if hasattr(asked, "texts") else 1)


async def label(
    asking: Asking, text: str, labelling: Labelling, asked: Any, result: Any, cost: str
) -> None:
    """Write a text's labels. cost: which of the result tells what labels or examples took that
    were not at hand.
    """

    def compared_took(response: InferResponse) -> None:
        add_cost(getattr(result, cost), asking, response)

    async def ranked(shelf: Shelf) -> list[Scored]:
        references = await kept_vectors(
            asking, shelf, labelling.references, labelling.field, asked.truncate, compared_took
        )
        vector = await vector_of(asking, text, asked.truncate, cost_of(asking, result))
        return labelling.ranked(vector, references)

    for one in await with_one_model(asking, ranked):
        result.labels.add(label=one.label, score=one.score, similarity=one.similarity)


def cost_of(asking: Asking, result: Any) -> Told:
    """What adds an answer's cost to the result's own."""
    return partial(add_cost, result.cost, asking)


def add_cost(cost: pb.Cost, asking: Asking, response: InferResponse) -> None:
    one = pb.Cost()
    asking.fill_cost(one, response)
    cost.tokens += one.tokens
    cost.truncated = cost.truncated or one.truncated
    cost.queue_us += one.queue_us
    cost.tokenize_us += one.tokenize_us
    cost.compute_us += one.compute_us
    cost.windows = max(cost.windows, one.windows)
