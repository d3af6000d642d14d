"""Calls of tasks without a trained head, for callers without an event loop."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from typing import overload

from trivet_client.connected import Connected
from trivet_client.messages import tokens, vectors
from trivet_client.messages.heads import Model, Text
from trivet_client.messages.vectors import FewShot, Look, ZeroShot
from trivet_client.streaming import IN_FLIGHT
from trivet_client.values import Failure
from trivet_client.vector_values import (
    DetokenizedText,
    FewShotMethod,
    InspectedText,
    LabelledText,
    Pooling,
    Similarities,
    SimilarTexts,
    TokenizedText,
)


class VectorCalls(Connected):
    """Tasks that compare vectors, and the tokenizer. Arguments mean the same in a method's stream.

    The first three ask a model that embeds; the server keeps the vectors of labels and examples for
    later calls.
    """

    @overload
    def similarity(  # type: ignore[overload-overlap]
        self,
        texts: str,
        others: str,
        *,
        model: str = "embed",
        version: int | None = None,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> SimilarTexts: ...
    @overload
    def similarity(
        self,
        texts: str | Sequence[str],
        others: Sequence[str],
        *,
        model: str = "embed",
        version: int | None = None,
        truncate: bool = False,
        timeout_s: float | None = None,
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
        firsts = [texts] if isinstance(texts, str) else texts
        seconds = [others] if isinstance(others, str) else others
        request = vectors.similarity_request(
            firsts, seconds, Model(name=model, version=version), truncate
        )
        response = self._call(self._text.Similarity, request, timeout_s)
        if isinstance(texts, str) and isinstance(others, str):
            return vectors.one_similarity(response)
        return vectors.similarities(response, len(seconds))

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
        self,
        texts: str,
        labels: Sequence[str],
        *,
        model: str = "embed",
        version: int | None = None,
        template: str = "",
        multi_label: bool = False,
        temperature: float = 0.0,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> LabelledText: ...
    @overload
    def zero_shot(
        self,
        texts: Sequence[str],
        labels: Sequence[str],
        *,
        model: str = "embed",
        version: int | None = None,
        template: str = "",
        multi_label: bool = False,
        temperature: float = 0.0,
        truncate: bool = False,
        timeout_s: float | None = None,
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
        listed = [texts] if isinstance(texts, str) else texts
        request = asked.request(listed, Model(name=model, version=version))
        response = self._call(self._text.ZeroShot, request, timeout_s)
        answers = vectors.zero_shot_texts(response, len(listed))
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
        self,
        texts: str,
        examples: Sequence[tuple[str, str]],
        *,
        model: str = "embed",
        version: int | None = None,
        method: FewShotMethod = "nearest_centroid",
        neighbors: int = 0,
        temperature: float = 0.0,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> LabelledText: ...
    @overload
    def few_shot(
        self,
        texts: Sequence[str],
        examples: Sequence[tuple[str, str]],
        *,
        model: str = "embed",
        version: int | None = None,
        method: FewShotMethod = "nearest_centroid",
        neighbors: int = 0,
        temperature: float = 0.0,
        truncate: bool = False,
        timeout_s: float | None = None,
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
        listed = [texts] if isinstance(texts, str) else texts
        request = asked.request(listed, Model(name=model, version=version))
        response = self._call(self._text.FewShot, request, timeout_s)
        answers = vectors.few_shot_texts(response, len(listed))
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

    @overload
    def tokenize(  # type: ignore[overload-overlap]
        self,
        texts: Text,
        *,
        model: str = "tokenize",
        version: int | None = None,
        truncate: bool = False,
        timeout_s: float | None = None,
    ) -> TokenizedText: ...
    @overload
    def tokenize(
        self,
        texts: Sequence[Text],
        *,
        model: str = "tokenize",
        version: int | None = None,
        truncate: bool = False,
        timeout_s: float | None = None,
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
        asked: Sequence[Text] = [texts] if isinstance(texts, str | tuple) else texts
        request = tokens.tokenize_request(asked, Model(name=model, version=version), truncate)
        response = self._call(self._text.Tokenize, request, timeout_s)
        answers = tokens.tokenized_texts(response, len(asked))
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
        return tokens.detokenized_texts(response, len(token_lists))

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

    @overload
    def inspect(  # type: ignore[overload-overlap]
        self,
        texts: str,
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
    ) -> InspectedText: ...
    @overload
    def inspect(
        self,
        texts: Sequence[str],
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
        look = Look(
            layer=layer,
            pooling=pooling,
            normalize=normalize,
            hidden_state=hidden_state,
            attention=attention,
            truncate=truncate,
        )
        listed = [texts] if isinstance(texts, str) else texts
        request = look.request(listed, Model(name=model, version=version))
        response = self._call(self._text.Embed, request, timeout_s)
        answers = vectors.inspected_texts(response, len(listed))
        return answers[0] if isinstance(texts, str) else answers
