# Written by clients/write_sync.py from aio_calls/tokens.py. Do not edit.
"""Calls of the tokenizer, for callers without an event loop."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Unpack, overload

from trivet_client.messages import tokens
from trivet_client.messages.requests import Model, Text, listed_pairs
from trivet_client.messages.results import answers_of
from trivet_client.options import TextOptions
from trivet_client.streaming import IN_FLIGHT
from trivet_client.sync_calls.connected import Connected
from trivet_client.values import Failure
from trivet_client.vector_values import DetokenizedText, TokenizedText


class TokenCalls(Connected):
    """Texts to tokens and back. A method's arguments mean the same in its stream."""

    @overload
    def tokenize(  # type: ignore[overload-overlap]
        self, texts: Text, **options: Unpack[TextOptions]
    ) -> TokenizedText: ...
    @overload
    def tokenize(
        self, texts: Sequence[Text], **options: Unpack[TextOptions]
    ) -> tuple[TokenizedText, ...]: ...
    def tokenize(
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
        response = self._call(self._text.Tokenize, request, timeout_s)
        answers = answers_of(response, len(request.texts), tokens.tokenized)
        return answers[0] if isinstance(texts, str | tuple) else answers

    def tokenize_stream(
        self,
        texts: Iterable[Text],
        *,
        model: str = "tokenize",
        version: int | None = None,
        truncate: bool = False,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Generator[tuple[int, TokenizedText | Failure], None, None]:
        """Tokenize any number of texts or pairs, as `embed_stream` embeds texts."""
        dialect = tokens.TokenizeDialect(Model(name=model, version=version), truncate)
        return self._stream(self._text.TokenizeStream, texts, dialect, in_flight, timeout_s)

    def detokenize(
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
        response = self._call(self._text.Detokenize, request, timeout_s)
        return answers_of(response, len(request.token_lists), tokens.detokenized)

    def detokenize_stream(
        self,
        token_lists: Iterable[Sequence[int]],
        *,
        model: str = "detokenize",
        version: int | None = None,
        keep_special: bool = False,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Generator[tuple[int, DetokenizedText | Failure], None, None]:
        """Detokenize any number of lists, as `embed_stream` embeds texts."""
        dialect = tokens.DetokenizeDialect(Model(name=model, version=version), keep_special)
        return self._stream(self._text.DetokenizeStream, token_lists, dialect, in_flight, timeout_s)
