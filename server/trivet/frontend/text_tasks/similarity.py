"""Similarity: how alike two texts are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trivet.errors import InvalidInput
from trivet.frontend.text_tasks.by_vectors import VectorTask, cost_of
from trivet.frontend.text_tasks.task import Asking, Messages, one_text
from trivet.request import Tensors
from trivet.scheduling.labelling.embedding import (
    EMBEDDING,
    kept_vector,
    vector_of,
    with_one_model,
)
from trivet.scheduling.labelling.scores import cosine
from trivet.scheduling.labelling.vectors import Shelf
from trivet_protos.generated import text_pb2 as pb


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts. shared: the first one is compared with others of the call, too."""

    text: str
    other: str
    shared: bool = False


def _pairs(asked: pb.SimilarityRequest) -> Sequence[Pair]:
    """Each of `others` with its text. Raises InvalidInput if they do not match."""
    texts, others = asked.texts, asked.others
    if len(texts) == 1:
        return [Pair(texts[0], other, len(others) > 1) for other in others]
    if others and len(texts) != len(others):
        raise InvalidInput(
            f"Similarity: there are {len(texts)} texts and {len(others)} others; send one text for"
            " each of the others, or one for all of them"
        )
    return [Pair(text, other) for text, other in zip(texts, others, strict=False)]


async def _score(
    asking: Asking,
    pair: Pair,
    asked: pb.SimilarityRequest | pb.SimilarityStreamRequest,
    result: pb.SimilarityResult,
) -> None:
    told = cost_of(asking, result)

    async def compared(shelf: Shelf) -> float:
        if pair.shared:
            first = await kept_vector(asking, shelf, pair.text, asked.truncate, told)
        else:
            first = await vector_of(asking, pair.text, asked.truncate, told)
        return cosine(first, await vector_of(asking, pair.other, asked.truncate, told))

    result.similarity = await with_one_model(asking, compared)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Similarity(VectorTask[Pair, pb.SimilarityResult]):
    def asks(self, item: Pair) -> Sequence[Tensors]:
        return [one_text(item.text), one_text(item.other)]


SIMILARITY = _Similarity(
    name="Similarity",
    messages=Messages(
        request=pb.SimilarityRequest,
        response=pb.SimilarityResponse,
        stream_request=pb.SimilarityStreamRequest,
        stream_response=pb.SimilarityStreamResponse,
    ),
    items=_pairs,
    item=lambda asked: Pair(asked.text, asked.other),
    field="others",
    fields_per_item=2,
    outputs={EMBEDDING: 1},
    verify=lambda asked: None,
    score=_score,
)
