"""Calls of models with a trained head, for callers on an event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from typing import overload

from trivet_client.aio_connected import AsyncConnected
from trivet_client.head_values import (
    Aggregation,
    AnsweredQuestion,
    ClassifiedText,
    LongText,
    NextSentence,
    TaggedText,
)
from trivet_client.messages import heads
from trivet_client.messages.heads import Answering, Model, Tagging, Text
from trivet_client.messages.results import listed
from trivet_client.streaming import IN_FLIGHT
from trivet_client.values import Failure


class AsyncHeadCalls(AsyncConnected):
    """Tasks of models with a trained head. A method's arguments mean the same in its stream."""

    @overload
    async def classify(  # type: ignore[overload-overlap]
        self,
        texts: Text,
        *,
        model: str = "classify",
        version: int | None = None,
        top_k: int = 0,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> ClassifiedText: ...
    @overload
    async def classify(
        self,
        texts: Sequence[Text],
        *,
        model: str = "classify",
        version: int | None = None,
        top_k: int = 0,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> tuple[ClassifiedText, ...]: ...
    async def classify(
        self,
        texts: Text | Sequence[Text],
        *,
        model: str = "classify",
        version: int | None = None,
        top_k: int = 0,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> ClassifiedText | tuple[ClassifiedText, ...]:
        """Give one text its labels, or each of a list. A tuple of two texts is a pair.

        top_k: the best labels only; 0 for all. truncate: cut what is longer than the model can
        take, of a pair the longer text first; otherwise it is refused. One text that cannot be
        served fails the whole call: `classify_stream` fails that text alone.
        """
        asked = heads.listed_texts(texts)
        request = heads.classify_request(asked, Model(name=model, version=version), top_k, truncate)
        response = await self._call(self._text.Classify, request, timeout_s)
        answers = heads.classified(response, len(asked))
        return answers[0] if isinstance(texts, str | tuple) else answers

    def classify_stream(
        self,
        texts: Iterable[Text] | AsyncIterable[Text],
        *,
        model: str = "classify",
        version: int | None = None,
        top_k: int = 0,
        truncate: bool = False,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[tuple[int, ClassifiedText | Failure], None]:
        """Classify any number of texts or pairs, as `embed_stream` embeds them."""
        dialect = heads.ClassifyDialect(Model(name=model, version=version), top_k, truncate)
        return self._stream(self._text.ClassifyStream, texts, dialect, in_flight, timeout_s)

    @overload
    async def tag_tokens(  # type: ignore[overload-overlap]
        self,
        texts: str,
        *,
        model: str = "tag_tokens",
        version: int | None = None,
        aggregation: Aggregation | None = None,
        long_text: LongText | None = None,
        stride: int | None = None,
        timeout_s: float | None = None,
    ) -> TaggedText: ...
    @overload
    async def tag_tokens(
        self,
        texts: Sequence[str],
        *,
        model: str = "tag_tokens",
        version: int | None = None,
        aggregation: Aggregation | None = None,
        long_text: LongText | None = None,
        stride: int | None = None,
        timeout_s: float | None = None,
    ) -> tuple[TaggedText, ...]: ...
    async def tag_tokens(
        self,
        texts: str | Sequence[str],
        *,
        model: str = "tag_tokens",
        version: int | None = None,
        aggregation: Aggregation | None = None,
        long_text: LongText | None = None,
        stride: int | None = None,
        timeout_s: float | None = None,
    ) -> TaggedText | tuple[TaggedText, ...]:
        """Find the labelled spans of one text, such as names, or those of several.

        aggregation: how tokens become spans; None for the model's own. long_text: what becomes of a
        text longer than the model can take; None: it is refused. stride: tokens that neighbouring
        windows share.
        """
        asked = listed(texts)
        tagging = Tagging(aggregation=aggregation, long_text=long_text, stride=stride)
        request = heads.tag_tokens_request(asked, Model(name=model, version=version), tagging)
        response = await self._call(self._text.TagTokens, request, timeout_s)
        answers = heads.tagged(response, len(asked))
        return answers[0] if isinstance(texts, str) else answers

    def tag_tokens_stream(
        self,
        texts: Iterable[str] | AsyncIterable[str],
        *,
        model: str = "tag_tokens",
        version: int | None = None,
        aggregation: Aggregation | None = None,
        long_text: LongText | None = None,
        stride: int | None = None,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[tuple[int, TaggedText | Failure], None]:
        """Tag any number of texts, as `embed_stream` embeds them."""
        tagging = Tagging(aggregation=aggregation, long_text=long_text, stride=stride)
        dialect = heads.TagTokensDialect(Model(name=model, version=version), tagging)
        return self._stream(self._text.TagTokensStream, texts, dialect, in_flight, timeout_s)

    @overload
    async def answer(  # type: ignore[overload-overlap]
        self,
        questions: str,
        passages: str,
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
    ) -> AnsweredQuestion: ...
    @overload
    async def answer(
        self,
        questions: Sequence[str],
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
        asked = listed(questions)
        request = heads.answer_request(
            asked, listed(passages), Model(name=model, version=version), answering
        )
        response = await self._call(self._text.Answer, request, timeout_s)
        answers = heads.answered(response, len(asked))
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
        dialect = heads.AnswerDialect(Model(name=model, version=version), answering)
        return self._stream(self._text.AnswerStream, questions, dialect, in_flight, timeout_s)

    @overload
    async def next_sentence(  # type: ignore[overload-overlap]
        self,
        texts: str,
        next_texts: str,
        *,
        model: str = "next_sentence",
        version: int | None = None,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> NextSentence: ...
    @overload
    async def next_sentence(
        self,
        texts: Sequence[str],
        next_texts: Sequence[str],
        *,
        model: str = "next_sentence",
        version: int | None = None,
        truncate: bool = False,
        timeout_s: float | None = None,
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
        asked = listed(texts)
        request = heads.next_sentence_request(
            asked, listed(next_texts), Model(name=model, version=version), truncate
        )
        response = await self._call(self._text.NextSentence, request, timeout_s)
        answers = heads.next_sentences(response, len(asked))
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
        dialect = heads.NextSentenceDialect(Model(name=model, version=version), truncate)
        return self._stream(self._text.NextSentenceStream, pairs, dialect, in_flight, timeout_s)
