"""Messages of the tasks of an encoder and of its masked language model: Embed, FillMask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trivet_client.errors import broken, invalid
from trivet_client.messages.numbers import whole
from trivet_client.messages.requests import Model, number_of
from trivet_client.messages.results import Response, cost_of, counted, reply_of
from trivet_client.streaming import Reply
from trivet_client.values import (
    Candidate,
    Embedding,
    Embeddings,
    Failure,
    FilledMask,
    FilledText,
)
from trivet_client.vector_values import InspectedText
from trivet_protos.generated import text_pb2 as pb

_POOLING: Mapping[str | None, pb.Pooling] = {
    None: pb.POOLING_UNSPECIFIED,
    "mean": pb.POOLING_MEAN,
    "cls": pb.POOLING_CLS,
    "max": pb.POOLING_MAX,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How vectors are to be made; None: as the model was built.

    Raises InvalidArgument for an unknown pooling.
    """

    pooling: str | None = None
    normalize: bool | None = None
    layer: int | None = None

    def __post_init__(self) -> None:
        number_of("pooling", self.pooling, _POOLING)

    def write(self, request: pb.EmbedRequest | pb.EmbedStreamRequest) -> None:
        """Say so in a request. What is None is left unset, which is not the same as 0."""
        request.pooling = number_of("pooling", self.pooling, _POOLING)
        if self.normalize is not None:
            request.normalize = self.normalize
        if self.layer is not None:
            request.layer = self.layer


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What of a layer is to be told besides its vector."""

    hidden_state: bool = False
    attention: bool = False


def embed_request(
    texts: Sequence[str], model: Model, truncate: bool, how: How, look: Look = Look()
) -> pb.EmbedRequest:
    request = pb.EmbedRequest(
        model=model.name,
        version=model.number,
        texts=texts,
        truncate=truncate,
        hidden_state=look.hidden_state,
        attention=look.attention,
    )
    how.write(request)
    return request


def embeddings(response: pb.EmbedResponse, asked: int) -> Embeddings:
    """The vectors of `asked` texts as one array. Raises Internal if the answer has another size."""
    results = counted(response.results, asked)
    widths = {len(result.embedding) for result in results}
    if len(widths) > 1:
        raise broken(f"model '{response.model_name}' answered with vectors of widths {widths}")
    return Embeddings(
        vectors=np.array([_vector(result) for result in results], np.float32),
        costs=tuple(cost_of(result.cost) for result in results),
        model=response.model_name,
        version=response.model_version,
    )


class EmbedDialect:
    """How texts and their vectors travel on EmbedStream."""

    def __init__(self, model: Model, truncate: bool, how: How) -> None:
        self._model = model
        self._truncate = truncate
        self._how = how

    def request(self, text: str, index: int) -> tuple[str, pb.EmbedStreamRequest]:
        request = pb.EmbedStreamRequest(
            id=str(index),
            model=self._model.name,
            version=self._model.number,
            text=text,
            truncate=self._truncate,
        )
        self._how.write(request)
        return request.id, request

    def reply(self, response: pb.EmbedStreamResponse) -> Reply[Embedding | Failure]:
        return reply_of(response, embedding)


def embedding(response: Response, result: pb.EmbedResult) -> Embedding:
    return Embedding(
        vector=_vector(result),
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )


def inspected(response: Response, result: pb.EmbedResult) -> InspectedText:
    return InspectedText(
        vector=_vector(result),
        tokens=tuple(result.tokens),
        hidden_state=_array(result.hidden_state) if result.HasField("hidden_state") else None,
        attention=_array(result.attention) if result.HasField("attention") else None,
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )


def _vector(result: pb.EmbedResult) -> np.ndarray:
    return np.fromiter(result.embedding, np.float32, len(result.embedding))


def _array(array: pb.FloatArray) -> np.ndarray:
    values = np.fromiter(array.values, np.float32, len(array.values))
    return values.reshape(tuple(array.shape))


def fill_mask_request(
    texts: Sequence[str], model: Model, top_k: int, truncate: bool, targets: Sequence[str] | None
) -> pb.FillMaskRequest:
    """Raises InvalidArgument for a top_k that is no number, and for targets that name no word."""
    return pb.FillMaskRequest(
        model=model.name,
        version=model.number,
        texts=texts,
        top_k=whole("top_k", top_k),
        truncate=truncate,
        targets=_checked(targets),
    )


class FillMaskDialect:
    """How texts and their candidates travel on FillMaskStream."""

    def __init__(
        self, model: Model, top_k: int, truncate: bool, targets: Sequence[str] | None
    ) -> None:
        """Raises InvalidArgument as `fill_mask_request` does."""
        self._model = model
        self._top_k = whole("top_k", top_k)
        self._truncate = truncate
        self._targets = _checked(targets)

    def request(self, text: str, index: int) -> tuple[str, pb.FillMaskStreamRequest]:
        return str(index), pb.FillMaskStreamRequest(
            id=str(index),
            model=self._model.name,
            version=self._model.number,
            text=text,
            top_k=self._top_k,
            truncate=self._truncate,
            targets=self._targets,
        )

    def reply(self, response: pb.FillMaskStreamResponse) -> Reply[FilledText | Failure]:
        return reply_of(response, filled)


def filled(response: Response, result: pb.FillMaskResult) -> FilledText:
    return FilledText(
        masks=tuple(_mask(mask) for mask in result.masks),
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )


def _mask(mask: pb.Mask) -> FilledMask:
    candidates = (
        Candidate(token=c.token, token_id=c.token_id, probability=c.probability)
        for c in mask.candidates
    )
    return FilledMask(position=mask.position, candidates=tuple(candidates))


def _checked(targets: Sequence[str] | None) -> Sequence[str]:
    """Raises InvalidArgument for an empty list, which would mean all, and for a text."""
    if targets is None:
        return ()
    if isinstance(targets, str):
        raise invalid(f"targets is the text {targets!r}; give a list of words")
    if not targets:
        raise invalid("targets is empty; name at least one word, or leave it out")
    return targets
