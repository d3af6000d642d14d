"""Messages of the tasks of heads that read one text beside another: Answer, NextSentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from trivet_client.head_values import AnsweredQuestion, AnswerSpan, NextSentence
from trivet_client.messages.numbers import whole
from trivet_client.messages.requests import LONG_TEXT, Model, number_of, pair_of
from trivet_client.messages.results import Response, cost_of, reply_of
from trivet_client.streaming import Reply
from trivet_client.values import Failure
from trivet_protos.generated import text_pb2 as pb


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


def answer_request(
    questions: Sequence[str], passages: Sequence[str], model: Model, answering: Answering
) -> pb.AnswerRequest:
    """Raises InvalidArgument for an unknown word."""
    return pb.AnswerRequest(
        model=model.name,
        version=model.number,
        questions=questions,
        passages=passages,
        long_text=number_of("long_text", answering.long_text, LONG_TEXT),
        stride=answering.stride,
        window=answering.window,
        top_k=answering.top_k,
        max_answer_tokens=answering.max_answer_tokens,
        no_answer_threshold=answering.no_answer_threshold,
    )


class AnswerDialect:
    """How questions with passages and their answers travel on AnswerStream."""

    def __init__(self, model: Model, answering: Answering) -> None:
        """Raises InvalidArgument for an unknown word."""
        self._model = model
        self._answering = answering
        self._long_text = number_of("long_text", answering.long_text, LONG_TEXT)

    def request(self, item: tuple[str, str], index: int) -> tuple[str, pb.AnswerStreamRequest]:
        question, passage = pair_of(item)
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
        return reply_of(response, answered)


def answered(response: Response, result: pb.AnswerResult) -> AnsweredQuestion:
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


class NextSentenceDialect:
    """How pairs and their probabilities travel on NextSentenceStream."""

    def __init__(self, model: Model, truncate: bool) -> None:
        self._model = model
        self._truncate = truncate

    def request(
        self, pair: tuple[str, str], index: int
    ) -> tuple[str, pb.NextSentenceStreamRequest]:
        text, following = pair_of(pair)
        return str(index), pb.NextSentenceStreamRequest(
            id=str(index),
            model=self._model.name,
            version=self._model.number,
            text=text,
            next_text=following,
            truncate=self._truncate,
        )

    def reply(self, response: pb.NextSentenceStreamResponse) -> Reply[NextSentence | Failure]:
        return reply_of(response, next_sentence)


def next_sentence(response: Response, result: pb.NextSentenceResult) -> NextSentence:
    return NextSentence(
        probability=result.probability,
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )
