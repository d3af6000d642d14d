# Written by clients/write_sync.py from aio_calls/text.py. Do not edit.
"""Calls of models that embed and of those that fill masks, for callers without an event loop."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Unpack, overload

from trivet_client.messages import text
from trivet_client.messages.requests import Model, listed
from trivet_client.messages.results import answers_of
from trivet_client.messages.text import How, Look
from trivet_client.options import EmbedOptions, FillMaskOptions, InspectOptions
from trivet_client.streaming import IN_FLIGHT
from trivet_client.sync_calls.connected import Connected
from trivet_client.values import Embedding, Embeddings, Failure, FilledText
from trivet_client.vector_values import InspectedText, Pooling


class TextCalls(Connected):
    """Tasks of an encoder, and of its masked language model."""

    @overload  # a str is a Sequence[str] too, hence the overlap: the first one decides
    def embed(  # type: ignore[overload-overlap]
        self, texts: str, **options: Unpack[EmbedOptions]
    ) -> Embedding: ...
    @overload
    def embed(self, texts: Sequence[str], **options: Unpack[EmbedOptions]) -> Embeddings: ...
    def embed(
        self,
        texts: str | Sequence[str],
        *,
        model: str = "embed",
        version: int | None = None,
        truncate: bool = False,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        layer: int | None = None,
        timeout_s: float | None = None,
    ) -> Embedding | Embeddings:
        """Turn one text into a vector [width], or several into an array [texts, width].

        version: None for the latest ready one. truncate: cut a text that is longer than the model
        can take; otherwise it is refused. One text that cannot be served fails the whole call:
        `embed_stream` fails that text alone.
        pooling, normalize, layer: None for as the model was built; anything else needs a model
        built with `trivet build --hidden-states`, such as "embed_inspect" (see `inspect`).
        """
        how = How(pooling=pooling, normalize=normalize, layer=layer)
        request = text.embed_request(
            listed(texts), Model(name=model, version=version), truncate, how
        )
        response = self._call(self._text.Embed, request, timeout_s)
        if isinstance(texts, str):
            return answers_of(response, 1, text.embedding)[0]
        return text.embeddings(response, len(request.texts))

    def embed_stream(
        self,
        texts: Iterable[str],
        *,
        model: str = "embed",
        version: int | None = None,
        truncate: bool = False,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        layer: int | None = None,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Generator[tuple[int, Embedding | Failure], None, None]:
        """Embed any number of texts; yield (index of the text, answer) as answers are ready.

        texts: taken one at a time as answers make room: at most `in_flight` texts wait for theirs.
        What it raises is raised here.
        timeout_s: of the whole stream. Closing the generator cancels the stream.
        """
        how = How(pooling=pooling, normalize=normalize, layer=layer)
        dialect = text.EmbedDialect(Model(name=model, version=version), truncate, how)
        return self._stream(self._text.EmbedStream, texts, dialect, in_flight, timeout_s)

    @overload
    def inspect(  # type: ignore[overload-overlap]
        self, texts: str, **options: Unpack[InspectOptions]
    ) -> InspectedText: ...
    @overload
    def inspect(
        self, texts: Sequence[str], **options: Unpack[InspectOptions]
    ) -> tuple[InspectedText, ...]: ...
    def inspect(
        self,
        texts: str | Sequence[str],
        *,
        model: str = "embed_inspect",
        version: int | None = None,
        layer: int | None = None,
        pooling: Pooling | None = None,
        normalize: bool | None = None,
        hidden_state: bool = True,
        attention: bool = True,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> InspectedText | tuple[InspectedText, ...]:
        """Look at one layer: its token vectors and attention maps, and the text's vector from it.

        The model has to be built with `trivet build --attentions`, or --hidden-states and
        attention=False. layer: 0 the embeddings, -1 or None the last; pooling, normalize: None for
        as the model was built.
        """
        how = How(pooling=pooling, normalize=normalize, layer=layer)
        look = Look(hidden_state=hidden_state, attention=attention)
        request = text.embed_request(
            listed(texts), Model(name=model, version=version), truncate, how, look
        )
        response = self._call(self._text.Embed, request, timeout_s)
        answers = answers_of(response, len(request.texts), text.inspected)
        return answers[0] if isinstance(texts, str) else answers

    @overload
    def fill_mask(  # type: ignore[overload-overlap]
        self, texts: str, **options: Unpack[FillMaskOptions]
    ) -> FilledText: ...
    @overload
    def fill_mask(
        self, texts: Sequence[str], **options: Unpack[FillMaskOptions]
    ) -> tuple[FilledText, ...]: ...
    def fill_mask(
        self,
        texts: str | Sequence[str],
        *,
        model: str = "fill_mask",
        version: int | None = None,
        top_k: int = 5,
        targets: Sequence[str] | None = None,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> FilledText | tuple[FilledText, ...]:
        """Predict the token behind every [MASK] of one text, or of several.

        top_k: candidates per mask. targets: the only candidates, words that are one token each.
        The rest as in `embed`.
        """
        request = text.fill_mask_request(
            listed(texts), Model(name=model, version=version), top_k, truncate, targets
        )
        response = self._call(self._text.FillMask, request, timeout_s)
        answers = answers_of(response, len(request.texts), text.filled)
        return answers[0] if isinstance(texts, str) else answers

    def fill_mask_stream(
        self,
        texts: Iterable[str],
        *,
        model: str = "fill_mask",
        version: int | None = None,
        top_k: int = 5,
        targets: Sequence[str] | None = None,
        truncate: bool = False,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Generator[tuple[int, FilledText | Failure], None, None]:
        """Fill the masks of any number of texts, as `embed_stream` embeds them."""
        dialect = text.FillMaskDialect(Model(name=model, version=version), top_k, truncate, targets)
        return self._stream(self._text.FillMaskStream, texts, dialect, in_flight, timeout_s)
