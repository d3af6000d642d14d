"""Messages of Tokenize and Detokenize."""

from __future__ import annotations

from collections.abc import Sequence

from trivet_client.messages.requests import Model, Text, apart, pair_of
from trivet_client.messages.results import Response, cost_of, reply_of
from trivet_client.streaming import Reply
from trivet_client.values import Failure
from trivet_client.vector_values import DetokenizedText, Token, TokenizedText
from trivet_protos.generated import text_pb2 as pb


def tokenize_request(texts: Sequence[Text], model: Model, truncate: bool) -> pb.TokenizeRequest:
    """Raises InvalidArgument for texts and pairs in one call."""
    firsts, seconds = apart(texts)
    return pb.TokenizeRequest(
        model=model.name,
        version=model.number,
        texts=firsts,
        text_pairs=seconds,
        truncate=truncate,
    )


class TokenizeDialect:
    """How texts and their tokens travel on TokenizeStream."""

    def __init__(self, model: Model, truncate: bool) -> None:
        self._model = model
        self._truncate = truncate

    def request(self, text: Text, index: int) -> tuple[str, pb.TokenizeStreamRequest]:
        first, second = (text, None) if isinstance(text, str) else pair_of(text)
        return str(index), pb.TokenizeStreamRequest(
            id=str(index),
            model=self._model.name,
            version=self._model.number,
            text=first,
            text_pair=second,
            truncate=self._truncate,
        )

    def reply(self, response: pb.TokenizeStreamResponse) -> Reply[TokenizedText | Failure]:
        return reply_of(response, tokenized)


def detokenize_request(
    lists: Sequence[Sequence[int]], model: Model, keep_special: bool
) -> pb.DetokenizeRequest:
    return pb.DetokenizeRequest(
        model=model.name,
        version=model.number,
        token_lists=[pb.TokenList(ids=ids) for ids in lists],
        keep_special=keep_special,
    )


class DetokenizeDialect:
    """How lists of tokens and their texts travel on DetokenizeStream."""

    def __init__(self, model: Model, keep_special: bool) -> None:
        self._model = model
        self._keep_special = keep_special

    def request(self, ids: Sequence[int], index: int) -> tuple[str, pb.DetokenizeStreamRequest]:
        return str(index), pb.DetokenizeStreamRequest(
            id=str(index),
            model=self._model.name,
            version=self._model.number,
            token_list=pb.TokenList(ids=ids),
            keep_special=self._keep_special,
        )

    def reply(self, response: pb.DetokenizeStreamResponse) -> Reply[DetokenizedText | Failure]:
        return reply_of(response, detokenized)


def tokenized(response: Response, result: pb.TokenizeResult) -> TokenizedText:
    return TokenizedText(
        tokens=tuple(_token(token) for token in result.tokens),
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )


def _token(token: pb.Token) -> Token:
    return Token(
        id=token.id,
        text=token.text,
        start=token.start,
        end=token.end,
        word=token.word if token.HasField("word") else None,
        special=token.special,
        type_id=token.type_id,
    )


def detokenized(response: Response, result: pb.DetokenizeResult) -> DetokenizedText:
    return DetokenizedText(
        text=result.text,
        cost=cost_of(result.cost),
        model=response.model_name,
        version=response.model_version,
    )
