"""Calls of heads that read one text beside another, for callers on an event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from typing import Unpack, overload

from trivet_client.aio_calls.connected import AsyncConnected
from trivet_client.head_values import AnsweredQuestion, LongText, NextSentence
from trivet_client.messages.pairs import (
    AnswerDialect,
    Answering,
    NextSentenceDialect,
    answer_request,
    answered,
    next_sentence,
    next_sentence_request,
)
from trivet_client.messages.requests import Model, listed
from trivet_client.messages.results import answers_of
from trivet_client.options import AnswerOptions, TextOptions
from trivet_client.streaming import IN_FLIGHT
from trivet_client.values import Failure


class AsyncPairCalls(AsyncConnected):
    """Tasks of heads trained on pairs. A method's arguments mean the same in its stream."""

    @overload
    async def answer(  # type: ignore[overload-overlap]
        self, questions: str, passages: str, **options: Unpack[AnswerOptions]
    ) -> AnsweredQuestion: ...
    @overload
    async def answer(
        self,
        questions: Sequence[str],
        passages: str | Sequence[str],
        **options: Unpack[AnswerOptions],
    ) -> tuple[AnsweredQuestion, ...]: ...
    async def answer(
        self,
        questions: str | Sequence[str],
        passages: str | Sequence[str],
        *,
        model: str = "answer",
        version: int | None = None,
        top_k: int = 1,
        max_answer_tokens: int = 30,
        no_answer_threshold: float | None = None,
        long_text: LongText | None = None,
        stride: int | None = None,
        window: int = 0,
        timeout_s: float | None = None,
    ) -> AnsweredQuestion | tuple[AnsweredQuestion, ...]:
        """Find the answer to a question in its passage, or those to several.

        passages: one for each question, or one for all. no_answer_threshold: by how much the best
        answer's score must exceed that of no answer, else there is none; None: there is always one.
        long_text: what becomes of a passage that does not fit beside its question; None: a window
        slides over it. stride: tokens of the passage that neighbouring windows share. window: its
        tokens, the question's included; 0: as many as the model takes.
        """
        answering = Answering(
            top_k=top_k,
            max_answer_tokens=max_answer_tokens,
            no_answer_threshold=no_answer_threshold,
            long_text=long_text,
            stride=stride,
            window=window,
        )
        request = answer_request(
            listed(questions), listed(passages), Model(name=model, version=version), answering
        )
        response = await self._call(self._text.Answer, request, timeout_s)
        answers = answers_of(response, len(request.questions), answered)
        return answers[0] if isinstance(questions, str) else answers

    def answer_stream(
        self,
        questions: Iterable[tuple[str, str]] | AsyncIterable[tuple[str, str]],
        *,
        model: str = "answer",
        version: int | None = None,
        top_k: int = 1,
        max_answer_tokens: int = 30,
        no_answer_threshold: float | None = None,
        long_text: LongText | None = None,
        stride: int | None = None,
        window: int = 0,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[tuple[int, AnsweredQuestion | Failure], None]:
        """Answer any number of (question, passage), as `embed_stream` embeds texts."""
        answering = Answering(
            top_k=top_k,
            max_answer_tokens=max_answer_tokens,
            no_answer_threshold=no_answer_threshold,
            long_text=long_text,
            stride=stride,
            window=window,
        )
        dialect = AnswerDialect(Model(name=model, version=version), answering)
        return self._stream(self._text.AnswerStream, questions, dialect, in_flight, timeout_s)

    @overload
    async def next_sentence(  # type: ignore[overload-overlap]
        self, texts: str, next_texts: str, **options: Unpack[TextOptions]
    ) -> NextSentence: ...
    @overload
    async def next_sentence(
        self, texts: Sequence[str], next_texts: Sequence[str], **options: Unpack[TextOptions]
    ) -> tuple[NextSentence, ...]: ...
    async def next_sentence(
        self,
        texts: str | Sequence[str],
        next_texts: str | Sequence[str],
        *,
        model: str = "next_sentence",
        version: int | None = None,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> NextSentence | tuple[NextSentence, ...]:
        """Tell how likely a text follows on another, or each of a list on its own of another list.

        truncate: as in `classify`.
        """
        request = next_sentence_request(
            listed(texts), listed(next_texts), Model(name=model, version=version), truncate
        )
        response = await self._call(self._text.NextSentence, request, timeout_s)
        answers = answers_of(response, len(request.texts), next_sentence)
        return answers[0] if isinstance(texts, str) else answers

    def next_sentence_stream(
        self,
        pairs: Iterable[tuple[str, str]] | AsyncIterable[tuple[str, str]],
        *,
        model: str = "next_sentence",
        version: int | None = None,
        truncate: bool = False,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[tuple[int, NextSentence | Failure], None]:
        """Ask any number of pairs, as `embed_stream` embeds texts."""
        dialect = NextSentenceDialect(Model(name=model, version=version), truncate)
        return self._stream(self._text.NextSentenceStream, pairs, dialect, in_flight, timeout_s)
