"""Messages of the tasks that models with a trained head answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from trivet_client.errors import invalid
from trivet_client.head_values import (
    AnsweredQuestion,
    AnswerSpan,
    ClassifiedText,
    LabelScore,
    NextSentence,
    TaggedSpan,
    TaggedText,
)
from trivet_client.messages.numbers import whole
from trivet_client.messages.results import cost_of, counted, failure_of
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
_LONG_TEXT: Mapping[str | None, pb.LongText] = {
    None: pb.LONG_TEXT_UNSPECIFIED,
    "refuse": pb.LONG_TEXT_REFUSE,
    "truncate": pb.LONG_TEXT_TRUNCATE,
    "window": pb.LONG_TEXT_WINDOW,
}

_Enum = TypeVar("_Enum", pb.Aggregation, pb.LongText)

Text = str | tuple[str, str]  # or a pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """Which model, and which version of it; None: the latest."""

    name: str
    version: int | None

    @property
    def number(self) -> int:
        """The version as it travels."""
        return self.version or 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagging:
    """How spans are to be made. Raises InvalidArgument for a stride that is no number."""

    aggregation: str | None
    long_text: str | None
    stride: int | None

    def __post_init__(self) -> None:
        if self.stride is not None:
            whole("stride", self.stride)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answering:
    """How answers are to be looked for. Raises InvalidArgument for what is no number."""

    top_k: int
    max_answer_tokens: int
    no_answer_threshold: float | None
    long_text: str | None
    stride: int | None
    window: int

    def __post_init__(self) -> None:
        for name in ("top_k", "max_answer_tokens", "window"):
            whole(name, getattr(self, name))
        if self.stride is not None:
            whole("stride", self.stride)


def listed_texts(given: Text | Sequence[Text]) -> list[Text]:
    """One text or one pair, which is a tuple, as a list of one.

    Raises InvalidArgument for a tuple of more or fewer texts.
    """
    if isinstance(given, str):
        return [given]
    if isinstance(given, tuple):
        if len(given) != 2:
            raise invalid(f"a pair is a tuple of 2 texts, not {len(given)}; send texts as a list")
        text, pair = given
        return [(str(text), str(pair))]
    return list(given)


def classify_request(
    texts: Sequence[Text], model: Model, top_k: int, truncate: bool
) -> pb.ClassifyRequest:
    """Raises InvalidArgument for texts and pairs in one call."""
    pairs = [text for text in texts if not isinstance(text, str)]
    if pairs and len(pairs) < len(texts):
        raise invalid(f"{len(pairs)} of {len(texts)} are pairs; send pairs or texts in one call")
    return pb.ClassifyRequest(
        model=model.name,
        version=model.number,
        texts=[text if isinstance(text, str) else text[0] for text in texts],
        text_pairs=[pair for _, pair in pairs],
        top_k=whole("top_k", top_k),
        truncate=truncate,
    )


def classified(response: pb.ClassifyResponse, asked: int) -> tuple[ClassifiedText, ...]:
    """The answers to `asked` texts. Raises Internal if there are more or fewer."""
    return tuple(_classified(response, result) for result in counted(response.results, asked))


def tag_tokens_request(texts: Sequence[str], model: Model, tagging: Tagging) -> pb.TagTokensRequest:
    """Raises InvalidArgument for an unknown word."""
    return pb.TagTokensRequest(
        model=model.name,
        version=model.number,
        texts=texts,
        aggregation=_number("aggregation", tagging.aggregation, _AGGREGATION),
        long_text=_number("long_text", tagging.long_text, _LONG_TEXT),
        stride=tagging.stride,
    )


def tagged(response: pb.TagTokensResponse, asked: int) -> tuple[TaggedText, ...]:
    """The answers to `asked` texts. Raises Internal if there are more or fewer."""
    return tuple(_tagged(response, result) for result in counted(response.results, asked))


def answer_request(
    questions: Sequence[str], passages: Sequence[str], model: Model, answering: Answering
) -> pb.AnswerRequest:
    """Raises InvalidArgument for an unknown word."""
    return pb.AnswerRequest(
        model=model.name,
        version=model.number,
        questions=questions,
        passages=passages,
        long_text=_number("long_text", answering.long_text, _LONG_TEXT),
        stride=answering.stride,
        window=answering.window,
        top_k=answering.top_k,
        max_answer_tokens=answering.max_answer_tokens,
        no_answer_threshold=answering.no_answer_threshold,
    )


def answered(response: pb.AnswerResponse, asked: int) -> tuple[AnsweredQuestion, ...]:
    """The answers to `asked` questions. Raises Internal if there are more or fewer."""
    return tuple(_answered(response, result) for result in counted(response.results, asked))


def next_sentence_request(
    texts: Sequence[str], next_texts: Sequence[str], model: Model, truncate: bool
) -> pb.NextSentenceRequest:
    return pb.NextSentenceRequest(
        model=model.name,
        version=model.number,
        texts=texts,
        next_texts=next_texts,
        truncate=truncate,
    )


def next_sentences(response: pb.NextSentenceResponse, asked: int) -> tuple[NextSentence, ...]:
    """The answers to `asked` pairs. Raises Internal if there are more or fewer."""
    return tuple(_next_sentence(response, result) for result in counted(response.results, asked))


class ClassifyDialect:
    """How texts or pairs and their labels travel on ClassifyStream."""

    def __init__(self, model: Model, top_k: int, truncate: bool) -> None:
        self._model = model
        self._top_k = whole("top_k", top_k)
        self._truncate = truncate

    def request(self, text: Text, index: int) -> tuple[str, pb.ClassifyStreamRequest]:
        one, pair = (text, None) if isinstance(text, str) else text
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
        if response.HasField("error"):
            return Reply(response.id, failure_of(response.error))
        return Reply(response.id, _classified(response, response.result))


class TagTokensDialect:
    """How texts and their spans travel on TagTokensStream."""

    def __init__(self, model: Model, tagging: Tagging) -> None:
        self._model = model
        self._stride = tagging.stride
        self._aggregation = _number("aggregation", tagging.aggregation, _AGGREGATION)
        self._long_text = _number("long_text", tagging.long_text, _LONG_TEXT)

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
        if response.HasField("error"):
            return Reply(response.id, failure_of(response.error))
        return Reply(response.id, _tagged(response, response.result))


class AnswerDialect:
    """How questions with passages and their answers travel on AnswerStream."""

    def __init__(self, model: Model, answering: Answering) -> None:
        self._model = model
        self._answering = answering
        self._long_text = _number("long_text", answering.long_text, _LONG_TEXT)

    def request(self, item: tuple[str, str], index: int) -> tuple[str, pb.AnswerStreamRequest]:
        question, passage = item
        answering = self._answering
        return str(index), pb.AnswerStreamRequest(
            id=str(index),
            model=self._model.name,
            version=self._model.number,
            question=question,
            passage=passage,
            long_text=self._long_text,
            stride=answering.stride,
            window=answering.window,
            top_k=answering.top_k,
            max_answer_tokens=answering.max_answer_tokens,
            no_answer_threshold=answering.no_answer_threshold,
        )

    def reply(self, response: pb.AnswerStreamResponse) -> Reply[AnsweredQuestion | Failure]:
        if response.HasField("error"):
            return Reply(response.id, failure_of(response.error))
        return Reply(response.id, _answered(response, response.result))


class NextSentenceDialect:
    """How pairs and their probabilities travel on NextSentenceStream."""

    def __init__(self, model: Model, truncate: bool) -> None:
        self._model = model
        self._truncate = truncate

    def request(
        self, pair: tuple[str, str], index: int
    ) -> tuple[str, pb.NextSentenceStreamRequest]:
        text, following = pair
        return str(index), pb.NextSentenceStreamRequest(
            id=str(index),
            model=self._model.name,
            version=self._model.number,
            text=text,
            next_text=following,
            truncate=self._truncate,
        )

    def reply(self, response: pb.NextSentenceStreamResponse) -> Reply[NextSentence | Failure]:
        if response.HasField("error"):
            return Reply(response.id, failure_of(response.error))
        return Reply(response.id, _next_sentence(response, response.result))


def _classified(
    response: pb.ClassifyResponse | pb.ClassifyStreamResponse, result: pb.ClassifyResult
) -> ClassifiedText:
    return ClassifiedText(
        labels=tuple(LabelScore(label=one.label, score=one.score) for one in result.labels),
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )


def _tagged(
    response: pb.TagTokensResponse | pb.TagTokensStreamResponse, result: pb.TagTokensResult
) -> TaggedText:
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


def _answered(
    response: pb.AnswerResponse | pb.AnswerStreamResponse, result: pb.AnswerResult
) -> AnsweredQuestion:
    answers = (
        AnswerSpan(text=s.text, probability=s.probability, start=s.start, end=s.end)
        for s in result.answers
    )
    return AnsweredQuestion(
        answers=tuple(answers),
        no_answer_probability=result.no_answer_probability,
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )


def _next_sentence(
    response: pb.NextSentenceResponse | pb.NextSentenceStreamResponse,
    result: pb.NextSentenceResult,
) -> NextSentence:
    return NextSentence(
        probability=result.probability,
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )


def _number(field: str, word: str | None, known: Mapping[str | None, _Enum]) -> _Enum:
    """The number of an enum's word. Raises InvalidArgument for a word that is none."""
    if word not in known:
        words = ", ".join(str(one) for one in known if one)
        raise invalid(f"{field} is {word!r}; send one of {words}")
    return known[word]
