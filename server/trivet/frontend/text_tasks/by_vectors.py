"""What the tasks share that compare a model's vectors: Similarity, ZeroShot, FewShot.

They need no model of their own. Their texts go through the queue of an embedding pipeline, each a
request like any other, and are batched with those of Embed; comparing them is a product of a small
matrix, which is done here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np

from trivet.config import ModelConfig
from trivet.errors import InvalidInput
from trivet.frontend.concurrency import answer_all
from trivet.frontend.refusal import refusal, with_prefix
from trivet.frontend.text_tasks.scores import Scored, unit
from trivet.frontend.text_tasks.task import Asking, I, R, Task, one_text
from trivet.request import InferResponse, Parameters, Tensors
from trivet_protos.generated import text_pb2 as pb

EMBEDDING = "EMBEDDING"
DEFAULT_TEMPERATURE = 0.05  # sentence encoders are trained with cosines times 20
MAX_LABELS = 1000  # and examples: what one message may make the server embed for one text


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


async def vector_of(asking: Asking, text: str, truncate: bool, cost: pb.Cost) -> np.ndarray:
    """A text's vector, of length one; what it took is added to the cost."""
    response = await asking.infer(one_text(text), (EMBEDDING,), {"truncate": truncate})
    _add_cost(cost, asking, response)
    return unit(response.outputs[EMBEDDING][0])


async def kept_vector(asking: Asking, text: str, truncate: bool, cost: pb.Cost) -> np.ndarray:
    """The same, kept for whoever asks for it again."""
    return await asking.made((text, truncate), lambda: vector_of(asking, text, truncate, cost))


async def kept_vectors(
    asking: Asking, texts: Sequence[str], field: str, truncate: bool, result: Any, cost: str
) -> np.ndarray:
    """Vectors of labels or examples, [texts, width].

    field: which of the request they are, for messages; cost: which of the result tells what those
    took that were not at hand.
    """
    found = [asking.at_hand((text, truncate)) for text in texts]
    missing = [i for i, vector in enumerate(found) if vector is None]

    async def make(_: int, place: int) -> None:
        try:
            target = getattr(result, cost)
            found[place] = await kept_vector(asking, texts[place], truncate, target)
        except Exception as error:
            raise with_prefix(f"{field}[{place}]: ", refusal(error, field)) from None

    if missing:
        await answer_all(missing, make)
    return np.stack([vector for vector in found if vector is not None])


def temperature_of(asked: Any) -> float:
    """Raises InvalidInput for one that divides nothing."""
    temperature = float(asked.temperature)
    if temperature == 0:
        return DEFAULT_TEMPERATURE
    if isfinite(temperature) and temperature > 0:
        return temperature
    raise InvalidInput(
        f"temperature is {temperature:g}; send a number above 0, or 0 for {DEFAULT_TEMPERATURE}"
    )


def check_count(count: int, field: str, task: str) -> None:
    """Raises InvalidInput for none and for too many."""
    one = field.removesuffix("s")
    if not count:
        raise InvalidInput(f"{task}: {field} is empty; send at least one {one}")
    if count > MAX_LABELS:
        raise InvalidInput(f"{task}: {field} has {count} entries; at most {MAX_LABELS} are taken")


def fill_labels(result: Any, scored: Sequence[Scored]) -> None:
    for one in scored:
        result.labels.add(label=one.label, score=one.score, similarity=one.similarity)


def _add_cost(cost: pb.Cost, asking: Asking, response: InferResponse) -> None:
    one = pb.Cost()
    asking.fill_cost(one, response)
    cost.tokens += one.tokens
    cost.truncated = cost.truncated or one.truncated
    cost.queue_us += one.queue_us
    cost.tokenize_us += one.tokenize_us
    cost.compute_us += one.compute_us
    cost.windows = max(cost.windows, one.windows)
