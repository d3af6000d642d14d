"""Calls of the tokenizer, for callers on an event loop."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from typing import Unpack, overload

from trivet_client.aio_calls.connected import AsyncConnected
from trivet_client.messages import tokens
from trivet_client.messages.requests import Model, Text, listed_pairs
from trivet_client.messages.results import answers_of
from trivet_client.options import TextOptions
from trivet_client.streaming import IN_FLIGHT
from trivet_client.values import Failure
from trivet_client.vector_values import DetokenizedText, TokenizedText


class AsyncTokenCalls(AsyncConnected):
    """Texts to tokens and back. A method's arguments mean the same in its stream."""

    @overload
    async def tokenize(  # type: ignore[overload-overlap]
        self, texts: Text, **options: Unpack[TextOptions]
    ) -> TokenizedText: ...
    @overload
    async def tokenize(
        self, texts: Sequence[Text], **options: Unpack[TextOptions]
    ) -> tuple[TokenizedText, ...]: ...
    async def tokenize(
        self,
        texts: Text | Sequence[Text],
        *,
        model: str = "tokenize",
        version: int | None = None,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> TokenizedText | tuple[TokenizedText, ...]:
        """Tell the tokens of one text, or of each of a list. A tuple of two texts is a pair."""
        request = tokens.tokenize_request(
            listed_pairs(texts), Model(name=model, version=version), truncate
        )
        response = await self._call(self._text.Tokenize, request, timeout_s)
        answers = answers_of(response, len(request.texts), tokens.tokenized)
        return answers[0] if isinstance(texts, str | tuple) else answers

    def tokenize_stream(
        self,
        texts: Iterable[Text] | AsyncIterable[Text],
        *,
        model: str = "tokenize",
        version: int | None = None,
        truncate: bool = False,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[tuple[int, TokenizedText | Failure], None]:
        """Tokenize any number of texts or pairs, as `embed_stream` embeds texts."""
        dialect = tokens.TokenizeDialect(Model(name=model, version=version), truncate)
        return self._stream(self._text.TokenizeStream, texts, dialect, in_flight, timeout_s)

    async def detokenize(
        self,
        token_lists: Sequence[Sequence[int]],
        *,
        model: str = "detokenize",
        version: int | None = None,
        keep_special: bool = False,
        timeout_s: float | None = None,
    ) -> tuple[DetokenizedText, ...]:
        """Turn lists of token ids back into texts. keep_special: leave [CLS] and [SEP] in them."""
        request = tokens.detokenize_request(
            token_lists, Model(name=model, version=version), keep_special
        )
        response = await self._call(self._text.Detokenize, request, timeout_s)
        return answers_of(response, len(request.token_lists), tokens.detokenized)

    def detokenize_stream(
        self,
        token_lists: Iterable[Sequence[int]] | AsyncIterable[Sequence[int]],
        *,
        model: str = "detokenize",
        version: int | None = None,
        keep_special: bool = False,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> AsyncGenerator[tuple[int, DetokenizedText | Failure], None]:
        """Detokenize any number of lists, as `embed_stream` embeds texts."""
        dialect = tokens.DetokenizeDialect(Model(name=model, version=version), keep_special)
        return self._stream(self._text.DetokenizeStream, token_lists, dialect, in_flight, timeout_s)
