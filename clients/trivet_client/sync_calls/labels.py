# Written by clients/write_sync.py from aio_calls/labels.py. Do not edit.
"""Calls of heads that label texts or their tokens, for callers without an event loop."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Unpack, overload

from trivet_client.head_values import Aggregation, ClassifiedText, LongText, TaggedText
from trivet_client.messages import labels
from trivet_client.messages.labels import Tagging
from trivet_client.messages.requests import Model, Text, listed, listed_pairs
from trivet_client.messages.results import answers_of
from trivet_client.options import ClassifyOptions, TagTokensOptions
from trivet_client.streaming import IN_FLIGHT
from trivet_client.sync_calls.connected import Connected
from trivet_client.values import Failure


class LabelCalls(Connected):
    """Tasks of heads trained on labels. A method's arguments mean the same in its stream."""

    @overload
    def classify(  # type: ignore[overload-overlap]
        self, texts: Text, **options: Unpack[ClassifyOptions]
    ) -> ClassifiedText: ...
    @overload
    def classify(
        self, texts: Sequence[Text], **options: Unpack[ClassifyOptions]
    ) -> tuple[ClassifiedText, ...]: ...
    def classify(
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
        request = labels.classify_request(
            listed_pairs(texts), Model(name=model, version=version), top_k, truncate
        )
        response = self._call(self._text.Classify, request, timeout_s)
        answers = answers_of(response, len(request.texts), labels.classified)
        return answers[0] if isinstance(texts, str | tuple) else answers

    def classify_stream(
        self,
        texts: Iterable[Text],
        *,
        model: str = "classify",
        version: int | None = None,
        top_k: int = 0,
        truncate: bool = False,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Generator[tuple[int, ClassifiedText | Failure], None, None]:
        """Classify any number of texts or pairs, as `embed_stream` embeds them."""
        dialect = labels.ClassifyDialect(Model(name=model, version=version), top_k, truncate)
        return self._stream(self._text.ClassifyStream, texts, dialect, in_flight, timeout_s)

    @overload
    def tag_tokens(  # type: ignore[overload-overlap]
        self, texts: str, **options: Unpack[TagTokensOptions]
    ) -> TaggedText: ...
    @overload
    def tag_tokens(
        self, texts: Sequence[str], **options: Unpack[TagTokensOptions]
    ) -> tuple[TaggedText, ...]: ...
    def tag_tokens(
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
        tagging = Tagging(aggregation=aggregation, long_text=long_text, stride=stride)
        request = labels.tag_tokens_request(
            listed(texts), Model(name=model, version=version), tagging
        )
        response = self._call(self._text.TagTokens, request, timeout_s)
        answers = answers_of(response, len(request.texts), labels.tagged)
        return answers[0] if isinstance(texts, str) else answers

    def tag_tokens_stream(
        self,
        texts: Iterable[str],
        *,
        model: str = "tag_tokens",
        version: int | None = None,
        aggregation: Aggregation | None = None,
        long_text: LongText | None = None,
        stride: int | None = None,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Generator[tuple[int, TaggedText | Failure], None, None]:
        """Tag any number of texts, as `embed_stream` embeds them."""
        tagging = Tagging(aggregation=aggregation, long_text=long_text, stride=stride)
        dialect = labels.TagTokensDialect(Model(name=model, version=version), tagging)
        return self._stream(self._text.TagTokensStream, texts, dialect, in_flight, timeout_s)
