"""Messages of the tasks that compare vectors: Similarity, ZeroShot, FewShot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trivet_client.errors import invalid
from trivet_client.messages.numbers import whole
from trivet_client.messages.requests import Model, number_of, pair_of
from trivet_client.messages.results import Response, cost_of, counted, reply_of
from trivet_client.streaming import Reply
from trivet_client.values import Failure
from trivet_client.vector_values import LabelledText, ScoredLabel, Similarities, SimilarTexts
from trivet_protos.generated import text_pb2 as pb

_METHOD: Mapping[str, pb.FewShotMethod] = {
    "nearest_centroid": pb.FEW_SHOT_METHOD_NEAREST_CENTROID,
    "nearest_neighbors": pb.FEW_SHOT_METHOD_NEAREST_NEIGHBORS,
}


def similarity_request(
    texts: Sequence[str], others: Sequence[str], model: Model, truncate: bool
) -> pb.SimilarityRequest:
    return pb.SimilarityRequest(
        model=model.name, version=model.number, texts=texts, others=others, truncate=truncate
    )


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
        text, other = pair_of(pair)
        return str(index), pb.SimilarityStreamRequest(
            id=str(index),
            model=self._model.name,
            version=self._model.number,
            text=text,
            other=other,
            truncate=self._truncate,
        )

    def reply(self, response: pb.SimilarityStreamResponse) -> Reply[SimilarTexts | Failure]:
        return reply_of(response, similar)


def similar(response: Response, result: pb.SimilarityResult) -> SimilarTexts:
    return SimilarTexts(
        similarity=result.similarity,
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ZeroShot:
    """Labels to choose from, and how. Raises InvalidArgument for a text in place of the labels."""

    labels: Sequence[str]
    template: str
    multi_label: bool
    temperature: float
    truncate: bool

    def __post_init__(self) -> None:
        if isinstance(self.labels, str):  # its letters would be taken
            raise invalid(f"labels is the text {self.labels!r}; give a list of them")

    def request(self, texts: Sequence[str], model: Model) -> pb.ZeroShotRequest:
        return pb.ZeroShotRequest(
            model=model.name,
            version=model.number,
            texts=texts,
            labels=self.labels,
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
            labels=asked.labels,
            template=asked.template,
            multi_label=asked.multi_label,
            temperature=asked.temperature,
            truncate=asked.truncate,
        )

    def reply(self, response: pb.ZeroShotStreamResponse) -> Reply[LabelledText | Failure]:
        return reply_of(response, zero_shot)


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
        """Raises InvalidArgument for an unknown method, and for examples that are no pairs."""
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
        """Raises InvalidArgument for an example that is no pair."""
        return [pb.Example(text=text, label=label) for text, label in map(pair_of, self.examples)]

    def number(self) -> pb.FewShotMethod:
        """Raises InvalidArgument for an unknown word."""
        return number_of("method", self.method, _METHOD)


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
        return reply_of(response, few_shot)


def zero_shot(response: Response, result: pb.ZeroShotResult) -> LabelledText:
    compared = result.labels_cost if result.HasField("labels_cost") else None
    return _labelled(response, result, compared)


def few_shot(response: Response, result: pb.FewShotResult) -> LabelledText:
    compared = result.examples_cost if result.HasField("examples_cost") else None
    return _labelled(response, result, compared)


def _labelled(
    response: Response, result: pb.ZeroShotResult | pb.FewShotResult, compared: pb.Cost | None
) -> LabelledText:
    labels = (
        ScoredLabel(label=one.label, score=one.score, similarity=one.similarity)
        for one in result.labels
    )
    return LabelledText(
        labels=tuple(labels),
        cost=cost_of(result.cost),
        compared_cost=None if compared is None else cost_of(compared),
        model=response.model_name,
        version=response.model_version,
    )
