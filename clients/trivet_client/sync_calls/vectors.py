# Written by clients/write_sync.py from aio_calls/vectors.py. Do not edit.
"""Calls of tasks that compare vectors, for callers without an event loop."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import Unpack, overload

from trivet_client.messages import vectors
from trivet_client.messages.requests import Model, listed
from trivet_client.messages.results import answers_of
from trivet_client.messages.vectors import FewShot, ZeroShot
from trivet_client.options import FewShotOptions, TextOptions, ZeroShotOptions
from trivet_client.streaming import IN_FLIGHT
from trivet_client.sync_calls.connected import Connected
from trivet_client.values import Failure
from trivet_client.vector_values import FewShotMethod, LabelledText, Similarities, SimilarTexts


class VectorCalls(Connected):
    """Tasks of any model that embeds. A method's arguments mean the same in its stream.

    The server keeps the vectors of labels and examples for later calls.
    """

    @overload
    def similarity(  # type: ignore[overload-overlap]
        self, texts: str, others: str, **options: Unpack[TextOptions]
    ) -> SimilarTexts: ...
    @overload
    def similarity(
        self, texts: str | Sequence[str], others: Sequence[str], **options: Unpack[TextOptions]
    ) -> Similarities: ...
    def similarity(
        self,
        texts: str | Sequence[str],
        others: str | Sequence[str],
        *,
        model: str = "embed",
        version: int | None = None,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> SimilarTexts | Similarities:
        """How alike two texts are; one text and each of a list, or the pairs of two lists.

        A cosine of their vectors, -1 to 1. One text that cannot be served fails the whole call:
        `similarity_stream` fails that pair alone.
        """
        request = vectors.similarity_request(
            listed(texts), listed(others), Model(name=model, version=version), truncate
        )
        response = self._call(self._text.Similarity, request, timeout_s)
        if isinstance(texts, str) and isinstance(others, str):
            return answers_of(response, 1, vectors.similar)[0]
        return vectors.similarities(response, len(request.others))

    def similarity_stream(
        self,
        pairs: Iterable[tuple[str, str]],
        *,
        model: str = "embed",
        version: int | None = None,
        truncate: bool = False,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Generator[tuple[int, SimilarTexts | Failure], None, None]:
        """Compare any number of pairs, as `embed_stream` embeds texts."""
        dialect = vectors.SimilarityDialect(Model(name=model, version=version), truncate)
        return self._stream(self._text.SimilarityStream, pairs, dialect, in_flight, timeout_s)

    @overload
    def zero_shot(  # type: ignore[overload-overlap]
        self, texts: str, labels: Sequence[str], **options: Unpack[ZeroShotOptions]
    ) -> LabelledText: ...
    @overload
    def zero_shot(
        self, texts: Sequence[str], labels: Sequence[str], **options: Unpack[ZeroShotOptions]
    ) -> tuple[LabelledText, ...]: ...
    def zero_shot(
        self,
        texts: str | Sequence[str],
        labels: Sequence[str],
        *,
        model: str = "embed",
        version: int | None = None,
        template: str = "",
        multi_label: bool = False,
        temperature: float = 0.0,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> LabelledText | tuple[LabelledText, ...]:
        """Score labels that are given here for one text, or for each of several.

        A text is compared with a sentence about each label. template: that sentence, {} in place of
        the label; "" for "This text is about {}.". multi_label: each label has a score of its own,
        instead of all sharing 1. temperature: the smaller, the more the best label takes; 0 for
        0.05.
        """
        asked = ZeroShot(
            labels=labels,
            template=template,
            multi_label=multi_label,
            temperature=temperature,
            truncate=truncate,
        )
        request = asked.request(listed(texts), Model(name=model, version=version))
        response = self._call(self._text.ZeroShot, request, timeout_s)
        answers = answers_of(response, len(request.texts), vectors.zero_shot)
        return answers[0] if isinstance(texts, str) else answers

    def zero_shot_stream(
        self,
        texts: Iterable[str],
        labels: Sequence[str],
        *,
        model: str = "embed",
        version: int | None = None,
        template: str = "",
        multi_label: bool = False,
        temperature: float = 0.0,
        truncate: bool = False,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Generator[tuple[int, LabelledText | Failure], None, None]:
        """Label any number of texts, as `embed_stream` embeds them."""
        asked = ZeroShot(
            labels=labels,
            template=template,
            multi_label=multi_label,
            temperature=temperature,
            truncate=truncate,
        )
        dialect = vectors.ZeroShotDialect(asked, Model(name=model, version=version))
        return self._stream(self._text.ZeroShotStream, texts, dialect, in_flight, timeout_s)

    @overload
    def few_shot(  # type: ignore[overload-overlap]
        self, texts: str, examples: Sequence[tuple[str, str]], **options: Unpack[FewShotOptions]
    ) -> LabelledText: ...
    @overload
    def few_shot(
        self,
        texts: Sequence[str],
        examples: Sequence[tuple[str, str]],
        **options: Unpack[FewShotOptions],
    ) -> tuple[LabelledText, ...]: ...
    def few_shot(
        self,
        texts: str | Sequence[str],
        examples: Sequence[tuple[str, str]],
        *,
        model: str = "embed",
        version: int | None = None,
        method: FewShotMethod = "nearest_centroid",
        neighbors: int = 0,
        temperature: float = 0.0,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> LabelledText | tuple[LabelledText, ...]:
        """Label one text, or each of several, by examples: pairs of a text and its label.

        method: compare with the mean of each label's examples, or let the nearest examples vote, of
        which there are `neighbors`; 0 for 5. temperature: as in `zero_shot`.
        """
        asked = FewShot(
            examples=examples,
            method=method,
            neighbors=neighbors,
            temperature=temperature,
            truncate=truncate,
        )
        request = asked.request(listed(texts), Model(name=model, version=version))
        response = self._call(self._text.FewShot, request, timeout_s)
        answers = answers_of(response, len(request.texts), vectors.few_shot)
        return answers[0] if isinstance(texts, str) else answers

    def few_shot_stream(
        self,
        texts: Iterable[str],
        examples: Sequence[tuple[str, str]],
        *,
        model: str = "embed",
        version: int | None = None,
        method: FewShotMethod = "nearest_centroid",
        neighbors: int = 0,
        temperature: float = 0.0,
        truncate: bool = False,
        in_flight: int = IN_FLIGHT,
        timeout_s: float | None = None,
    ) -> Generator[tuple[int, LabelledText | Failure], None, None]:
        """Label any number of texts, as `embed_stream` embeds them."""
        asked = FewShot(
            examples=examples,
            method=method,
            neighbors=neighbors,
            temperature=temperature,
            truncate=truncate,
        )
        dialect = vectors.FewShotDialect(asked, Model(name=model, version=version))
        return self._stream(self._text.FewShotStream, texts, dialect, in_flight, timeout_s)
