"""Messages of the tasks of heads trained on labels: Classify, TagTokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trivet_client.head_values import ClassifiedText, LabelScore, TaggedSpan, TaggedText
from trivet_client.messages.numbers import whole
from trivet_client.messages.requests import LONG_TEXT, Model, Text, apart, number_of, pair_of
from trivet_client.messages.results import Response, cost_of, reply_of
from trivet_client.streaming import Reply
from trivet_client.values import Failure
from trivet_protos.generated import text_pb2 as pb

_AGGREGATION: Mapping[str | None, pb.Aggregation] = {
    None: pb.AGGREGATION_UNSPECIFIED,
    "none": pb.AGGREGATION_NONE,
    "simple": pb.AGGREGATION_SIMPLE,
    "first": pb.AGGREGATION_FIRST,
    "max": pb.AGGREGATION_MAX,
    "average": pb.AGGREGATION_AVERAGE,
}


def classify_request(
    texts: Sequence[Text], model: Model, top_k: int, truncate: bool
) -> pb.ClassifyRequest:
    """Raises InvalidArgument for texts and pairs in one call."""
    firsts, seconds = apart(texts)
    return pb.ClassifyRequest(
        model=model.name,
        version=model.number,
        texts=firsts,
        text_pairs=seconds,
        top_k=whole("top_k", top_k),
        truncate=truncate,
    )


class ClassifyDialect:
    """How texts or pairs and their labels travel on ClassifyStream."""

    def __init__(self, model: Model, top_k: int, truncate: bool) -> None:
        self._model = model
        self._top_k = whole("top_k", top_k)
        self._truncate = truncate

    def request(self, text: Text, index: int) -> tuple[str, pb.ClassifyStreamRequest]:
        one, pair = (text, None) if isinstance(text, str) else pair_of(text)
        return str(index), pb.ClassifyStreamRequest(
            id=str(index),
            model=self._model.name,
            version=self._model.number,
            text=one,
            text_pair=pair,
            top_k=self._top_k,
            truncate=self._truncate,
        )

    def reply(self, response: pb.ClassifyStreamResponse) -> Reply[ClassifiedText | Failure]:
        return reply_of(response, classified)


def classified(response: Response, result: pb.ClassifyResult) -> ClassifiedText:
    return ClassifiedText(
        labels=tuple(LabelScore(label=one.label, score=one.score) for one in result.labels),
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagging:
    """How spans are to be made. Raises InvalidArgument for a stride that is no number."""

    aggregation: str | None
    long_text: str | None
    stride: int | None

    def __post_init__(self) -> None:
        if self.stride is not None:
            whole("stride", self.stride)


def tag_tokens_request(texts: Sequence[str], model: Model, tagging: Tagging) -> pb.TagTokensRequest:
    """Raises InvalidArgument for an unknown word."""
    return pb.TagTokensRequest(
        model=model.name,
        version=model.number,
        texts=texts,
        aggregation=number_of("aggregation", tagging.aggregation, _AGGREGATION),
        long_text=number_of("long_text", tagging.long_text, LONG_TEXT),
        stride=tagging.stride,
    )


class TagTokensDialect:
    """How texts and their spans travel on TagTokensStream."""

    def __init__(self, model: Model, tagging: Tagging) -> None:
        """Raises InvalidArgument for an unknown word."""
        self._model = model
        self._stride = tagging.stride
        self._aggregation = number_of("aggregation", tagging.aggregation, _AGGREGATION)
        self._long_text = number_of("long_text", tagging.long_text, LONG_TEXT)

    def request(self, text: str, index: int) -> tuple[str, pb.TagTokensStreamRequest]:
        return str(index), pb.TagTokensStreamRequest(
            id=str(index),
            model=self._model.name,
            version=self._model.number,
            text=text,
            aggregation=self._aggregation,
            long_text=self._long_text,
            stride=self._stride,
        )

    def reply(self, response: pb.TagTokensStreamResponse) -> Reply[TaggedText | Failure]:
        return reply_of(response, tagged)


def tagged(response: Response, result: pb.TagTokensResult) -> TaggedText:
    spans = (
        TaggedSpan(label=s.label, score=s.score, start=s.start, end=s.end, text=s.text)
        for s in result.spans
    )
    return TaggedText(
        spans=tuple(spans),
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )
