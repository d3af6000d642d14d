"""Messages of trivet.v1.TextService."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trivet_client.errors import broken, invalid
from trivet_client.messages.numbers import whole
from trivet_client.messages.results import cost_of, counted, failure_of, listed
from trivet_client.messages.vectors import pooling_of
from trivet_client.streaming import Reply
from trivet_client.values import (
    Candidate,
    Embedding,
    Embeddings,
    Failure,
    FilledMask,
    FilledText,
)
from trivet_protos.generated import text_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How vectors are to be made; None: as the model was built."""

    pooling: str | None = None
    normalize: bool | None = None
    layer: int | None = None

    def write(self, request: pb.EmbedRequest | pb.EmbedStreamRequest) -> None:
        """Raises InvalidArgument for an unknown pooling."""
        request.pooling = pooling_of(self.pooling)
        if self.normalize is not None:
            request.normalize = self.normalize
        if self.layer is not None:
            request.layer = self.layer


def embed_request(
    texts: str | Sequence[str], model: str, version: int | None, truncate: bool, how: How
) -> pb.EmbedRequest:
    request = pb.EmbedRequest(
        model=model, version=version or 0, texts=listed(texts), truncate=truncate
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


def one_embedding(response: pb.EmbedResponse) -> Embedding:
    """The vector of the only text asked. Raises Internal if the answer has another size."""
    (result,) = counted(response.results, 1)
    return _embedding(response, result)


def fill_mask_request(
    texts: str | Sequence[str],
    model: str,
    version: int | None,
    top_k: int,
    truncate: bool,
    targets: Sequence[str] | None,
) -> pb.FillMaskRequest:
    return pb.FillMaskRequest(
        model=model,
        version=version or 0,
        texts=listed(texts),
        top_k=whole("top_k", top_k),
        truncate=truncate,
        targets=checked_targets(targets),
    )


def checked_targets(targets: Sequence[str] | None) -> Sequence[str]:
    """Raises InvalidArgument for an empty list, which would mean all, and for a text."""
    if targets is None:
        return ()
    if isinstance(targets, str):
        raise invalid(f"targets is the text {targets!r}; give a list of words")
    if not targets:
        raise invalid("targets is empty; name at least one word, or leave it out")
    return targets


def filled_texts(response: pb.FillMaskResponse, asked: int) -> tuple[FilledText, ...]:
    """The answers to `asked` texts. Raises Internal if there are more or fewer."""
    return tuple(_filled(response, result) for result in counted(response.results, asked))


class EmbedDialect:
    """How texts and their vectors travel on EmbedStream."""

    def __init__(self, model: str, version: int | None, truncate: bool, how: How) -> None:
        self._model = model
        self._version = version or 0
        self._truncate = truncate
        self._how = how
        how.write(pb.EmbedStreamRequest())  # raises now, not on the sending side

    def request(self, text: str, index: int) -> tuple[str, pb.EmbedStreamRequest]:
        request_id = str(index)
        request = pb.EmbedStreamRequest(
            id=request_id,
            model=self._model,
            version=self._version,
            text=text,
            truncate=self._truncate,
        )
        self._how.write(request)
        return request_id, request

    def reply(self, response: pb.EmbedStreamResponse) -> Reply[Embedding | Failure]:
        if response.HasField("error"):
            return Reply(response.id, failure_of(response.error))
        return Reply(response.id, _embedding(response, response.result))


class FillMaskDialect:
    """How texts and their candidates travel on FillMaskStream."""

    def __init__(
        self,
        model: str,
        version: int | None,
        top_k: int,
        truncate: bool,
        targets: Sequence[str] | None,
    ) -> None:
        self._model = model
        self._version = version or 0
        self._top_k = whole("top_k", top_k)
        self._truncate = truncate
        self._targets = checked_targets(targets)

    def request(self, text: str, index: int) -> tuple[str, pb.FillMaskStreamRequest]:
        request_id = str(index)
        return request_id, pb.FillMaskStreamRequest(
            id=request_id,
            model=self._model,
            version=self._version,
            text=text,
            top_k=self._top_k,
            truncate=self._truncate,
            targets=self._targets,
        )

    def reply(self, response: pb.FillMaskStreamResponse) -> Reply[FilledText | Failure]:
        if response.HasField("error"):
            return Reply(response.id, failure_of(response.error))
        return Reply(response.id, _filled(response, response.result))


def _embedding(
    response: pb.EmbedResponse | pb.EmbedStreamResponse, result: pb.EmbedResult
) -> Embedding:
    return Embedding(
        vector=_vector(result),
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )


def _vector(result: pb.EmbedResult) -> np.ndarray:
    return np.fromiter(result.embedding, np.float32, len(result.embedding))


def _filled(
    response: pb.FillMaskResponse | pb.FillMaskStreamResponse, result: pb.FillMaskResult
) -> FilledText:
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
