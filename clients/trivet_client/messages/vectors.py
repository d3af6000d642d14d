"""Messages of the tasks without a trained head: Similarity, ZeroShot, FewShot, a look inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trivet_client.errors import invalid
from trivet_client.messages.heads import Model
from trivet_client.messages.numbers import whole
from trivet_client.messages.results import cost_of, counted, failure_of
from trivet_client.streaming import Reply
from trivet_client.values import Failure
from trivet_client.vector_values import (
    InspectedText,
    LabelledText,
    ScoredLabel,
    Similarities,
    SimilarTexts,
)
from trivet_protos.generated import text_pb2 as pb

POOLING: Mapping[str | None, pb.Pooling] = {
    None: pb.POOLING_UNSPECIFIED,
    "mean": pb.POOLING_MEAN,
    "cls": pb.POOLING_CLS,
    "max": pb.POOLING_MAX,
}
_METHOD: Mapping[str, pb.FewShotMethod] = {
    "nearest_centroid": pb.FEW_SHOT_METHOD_NEAREST_CENTROID,
    "nearest_neighbors": pb.FEW_SHOT_METHOD_NEAREST_NEIGHBORS,
}


def pooling_of(name: str | None) -> pb.Pooling:
    """Raises InvalidArgument for an unknown word."""
    if name in POOLING:
        return POOLING[name]
    raise invalid(f"pooling is {name!r}; give one of {', '.join(filter(None, POOLING))}")


def similarity_request(
    texts: Sequence[str], others: Sequence[str], model: Model, truncate: bool
) -> pb.SimilarityRequest:
    return pb.SimilarityRequest(
        model=model.name, version=model.number, texts=texts, others=others, truncate=truncate
    )


def one_similarity(response: pb.SimilarityResponse) -> SimilarTexts:
    """Of the only pair asked. Raises Internal if the answer has another size."""
    (result,) = counted(response.results, 1)
    return _similar(response, result)


def similarities(response: pb.SimilarityResponse, asked: int) -> Similarities:
    """Of `asked` pairs. Raises Internal if there are more or fewer."""
    results = counted(response.results, asked)
    return Similarities(
        similarities=np.array([result.similarity for result in results], np.float32),
        costs=tuple(cost_of(result.cost) for result in results),
        model=response.model_name,
        version=response.model_version,
    )


class SimilarityDialect:
    """How pairs and their similarity travel on SimilarityStream."""

    def __init__(self, model: Model, truncate: bool) -> None:
        self._model = model
        self._truncate = truncate

    def request(self, pair: tuple[str, str], index: int) -> tuple[str, pb.SimilarityStreamRequest]:
        text, other = pair
        return str(index), pb.SimilarityStreamRequest(
            id=str(index),
            model=self._model.name,
            version=self._model.number,
            text=text,
            other=other,
            truncate=self._truncate,
        )

    def reply(self, response: pb.SimilarityStreamResponse) -> Reply[SimilarTexts | Failure]:
        if response.HasField("error"):
            return Reply(response.id, failure_of(response.error))
        return Reply(response.id, _similar(response, response.result))


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShot:
    """Labels to choose from, and how."""

    labels: Sequence[str]
    template: str
    multi_label: bool
    temperature: float
    truncate: bool

    def request(self, texts: Sequence[str], model: Model) -> pb.ZeroShotRequest:
        return pb.ZeroShotRequest(
            model=model.name,
            version=model.number,
            texts=texts,
            labels=_listed(self.labels, "labels"),
            template=self.template,
            multi_label=self.multi_label,
            temperature=self.temperature,
            truncate=self.truncate,
        )


class ZeroShotDialect:
    """How texts and their labels travel on ZeroShotStream."""

    def __init__(self, asked: ZeroShot, model: Model) -> None:
        self._asked = asked
        self._model = model

    def request(self, text: str, index: int) -> tuple[str, pb.ZeroShotStreamRequest]:
        asked = self._asked
        return str(index), pb.ZeroShotStreamRequest(
            id=str(index),
            model=self._model.name,
            version=self._model.number,
            text=text,
            labels=_listed(asked.labels, "labels"),
            template=asked.template,
            multi_label=asked.multi_label,
            temperature=asked.temperature,
            truncate=asked.truncate,
        )

    def reply(self, response: pb.ZeroShotStreamResponse) -> Reply[LabelledText | Failure]:
        if response.HasField("error"):
            return Reply(response.id, failure_of(response.error))
        return Reply(response.id, _zero_shot(response, response.result))


def zero_shot_texts(response: pb.ZeroShotResponse, asked: int) -> tuple[LabelledText, ...]:
    """The answers to `asked` texts. Raises Internal if there are more or fewer."""
    return tuple(_zero_shot(response, result) for result in counted(response.results, asked))


@dataclass(frozen=True, slots=True, kw_only=True)
class FewShot:
    """Examples, each a text and its label, and how to compare with them."""

    examples: Sequence[tuple[str, str]]
    method: str
    neighbors: int
    temperature: float
    truncate: bool

    def __post_init__(self) -> None:
        """Raises InvalidArgument for neighbors that are no number."""
        whole("neighbors", self.neighbors)

    def request(self, texts: Sequence[str], model: Model) -> pb.FewShotRequest:
        """Raises InvalidArgument for an unknown method."""
        return pb.FewShotRequest(
            model=model.name,
            version=model.number,
            texts=texts,
            examples=self.written(),
            method=self.number(),
            neighbors=self.neighbors,
            temperature=self.temperature,
            truncate=self.truncate,
        )

    def written(self) -> list[pb.Example]:
        return [pb.Example(text=text, label=label) for text, label in self.examples]

    def number(self) -> pb.FewShotMethod:
        """Raises InvalidArgument for an unknown word."""
        if self.method in _METHOD:
            return _METHOD[self.method]
        raise invalid(f"method is {self.method!r}; give one of {', '.join(_METHOD)}")


class FewShotDialect:
    """How texts and their labels travel on FewShotStream."""

    def __init__(self, asked: FewShot, model: Model) -> None:
        self._asked = asked
        self._model = model
        self._examples = asked.written()
        self._method = asked.number()

    def request(self, text: str, index: int) -> tuple[str, pb.FewShotStreamRequest]:
        return str(index), pb.FewShotStreamRequest(
            id=str(index),
            model=self._model.name,
            version=self._model.number,
            text=text,
            examples=self._examples,
            method=self._method,
            neighbors=self._asked.neighbors,
            temperature=self._asked.temperature,
            truncate=self._asked.truncate,
        )

    def reply(self, response: pb.FewShotStreamResponse) -> Reply[LabelledText | Failure]:
        if response.HasField("error"):
            return Reply(response.id, failure_of(response.error))
        return Reply(response.id, _few_shot(response, response.result))


def few_shot_texts(response: pb.FewShotResponse, asked: int) -> tuple[LabelledText, ...]:
    """The answers to `asked` texts. Raises Internal if there are more or fewer."""
    return tuple(_few_shot(response, result) for result in counted(response.results, asked))


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What of which layer is to be told."""

    layer: int | None
    pooling: str | None
    normalize: bool | None
    hidden_state: bool
    attention: bool
    truncate: bool

    def request(self, texts: Sequence[str], model: Model) -> pb.EmbedRequest:
        """Raises InvalidArgument for an unknown pooling."""
        request = pb.EmbedRequest(
            model=model.name,
            version=model.number,
            texts=texts,
            truncate=self.truncate,
            pooling=pooling_of(self.pooling),
            hidden_state=self.hidden_state,
            attention=self.attention,
        )
        if self.normalize is not None:
            request.normalize = self.normalize
        if self.layer is not None:
            request.layer = self.layer
        return request


def inspected_texts(response: pb.EmbedResponse, asked: int) -> tuple[InspectedText, ...]:
    """The answers to `asked` texts. Raises Internal if there are more or fewer."""
    return tuple(
        InspectedText(
            vector=np.fromiter(result.embedding, np.float32, len(result.embedding)),
            tokens=tuple(result.tokens),
            hidden_state=_array(result.hidden_state) if result.HasField("hidden_state") else None,
            attention=_array(result.attention) if result.HasField("attention") else None,
            cost=cost_of(result.cost),
            model=response.model_name,
            version=response.model_version,
        )
        for result in counted(response.results, asked)
    )


def _array(array: pb.FloatArray) -> np.ndarray:
    values = np.fromiter(array.values, np.float32, len(array.values))
    return values.reshape(tuple(array.shape))


def _listed(texts: Sequence[str], what: str) -> Sequence[str]:
    """Raises InvalidArgument for a text in place of a list, whose letters would be taken."""
    if isinstance(texts, str):
        raise invalid(f"{what} is the text {texts!r}; give a list of them")
    return texts


def _similar(
    response: pb.SimilarityResponse | pb.SimilarityStreamResponse, result: pb.SimilarityResult
) -> SimilarTexts:
    return SimilarTexts(
        similarity=result.similarity,
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )


def _zero_shot(
    response: pb.ZeroShotResponse | pb.ZeroShotStreamResponse, result: pb.ZeroShotResult
) -> LabelledText:
    compared = cost_of(result.labels_cost) if result.HasField("labels_cost") else None
    return LabelledText(
        labels=_labels(result.labels),
        cost=cost_of(result.cost),
        compared_cost=compared,
        model=response.model_name,
        version=response.model_version,
    )


def _few_shot(
    response: pb.FewShotResponse | pb.FewShotStreamResponse, result: pb.FewShotResult
) -> LabelledText:
    compared = cost_of(result.examples_cost) if result.HasField("examples_cost") else None
    return LabelledText(
        labels=_labels(result.labels),
        cost=cost_of(result.cost),
        compared_cost=compared,
        model=response.model_name,
        version=response.model_version,
    )


def _labels(labels: Sequence[pb.ScoredLabel]) -> tuple[ScoredLabel, ...]:
    return tuple(
        ScoredLabel(label=one.label, score=one.score, similarity=one.similarity) for one in labels
    )
