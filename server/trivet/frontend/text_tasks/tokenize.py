"""Tokenize and Detokenize: text to tokens and back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trivet.config import ModelConfig
from trivet.errors import InvalidInput
from trivet.frontend.text_tasks.task import TEXT, Messages, Task, one_text
from trivet.request import Parameters, Tensors
from trivet_protos.generated import text_pb2 as pb

TEXT_PAIR = "TEXT_PAIR"

TextOrPair = tuple[str, str | None]


def _items(asked: pb.TokenizeRequest) -> Sequence[TextOrPair]:
    texts, pairs = asked.texts, asked.text_pairs
    if not pairs:
        return [(text, None) for text in texts]
    if len(texts) != len(pairs):
        raise InvalidInput(
            f"Tokenize: there are {len(texts)} texts and {len(pairs)} text_pairs; send as many of"
            " each, or no text_pairs"
        )
    return list(zip(texts, pairs, strict=True))


def _item(asked: pb.TokenizeStreamRequest) -> TextOrPair:
    return asked.text, asked.text_pair if asked.HasField("text_pair") else None


def _inputs(item: TextOrPair) -> Tensors:
    text, pair = item
    if pair is None:
        return one_text(text)
    return {**one_text(text), TEXT_PAIR: np.array([[pair.encode()]], dtype=object)}


def _fill_tokens(result: pb.TokenizeResult, outputs: Tensors) -> None:
    """Each output [1, tokens], offsets [1, tokens, 2]."""
    columns = zip(
        outputs["input_ids"][0].tolist(),
        outputs["tokens"][0].tolist(),
        outputs["offsets"][0].tolist(),
        outputs["word_ids"][0].tolist(),
        outputs["special_tokens_mask"][0].tolist(),
        outputs["token_type_ids"][0].tolist(),
        strict=True,
    )
    for token_id, text, (start, end), word, special, type_id in columns:
        result.tokens.add(
            id=token_id,
            text=text.decode("utf-8", "replace"),
            start=start,
            end=end,
            word=None if word < 0 else word,
            special=bool(special),
            type_id=type_id,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tokenize(Task[TextOrPair, pb.TokenizeResult]):
    def check(self, config: ModelConfig, asked: Any) -> None:
        Task.check(self, config, asked)
        has_pairs = (
            asked.text_pairs if hasattr(asked, "text_pairs") else asked.HasField("text_pair")
        )
        if has_pairs and config.input(TEXT_PAIR) is None:
            raise InvalidInput(
                f"model '{config.name}' takes no pairs: it lacks an input {TEXT_PAIR}; send texts"
                f" alone, or name a model built for it, such as '{self.default_model}'"
            )


TOKENIZE = _Tokenize(
    name="Tokenize",
    default_model="tokenize",
    messages=Messages(
        request=pb.TokenizeRequest,
        response=pb.TokenizeResponse,
        stream_request=pb.TokenizeStreamRequest,
        stream_response=pb.TokenizeStreamResponse,
    ),
    items=_items,
    item=_item,
    fields_per_item=2,
    inputs=_inputs,
    needs=(TEXT,),
    outputs={
        "input_ids": 1,
        "tokens": 1,
        "offsets": 2,
        "word_ids": 1,
        "special_tokens_mask": 1,
        "token_type_ids": 1,
    },
    parameters=lambda asked: {"truncate": asked.truncate},
    fill=_fill_tokens,
)


def _ids(item: pb.TokenList) -> Tensors:
    if not item.ids:
        raise InvalidInput("ids is empty; send the id of at least one token")
    return {"input_ids": np.array([item.ids], dtype=np.int64)}


def _keep_special(asked: pb.DetokenizeRequest | pb.DetokenizeStreamRequest) -> Parameters:
    return {"keep_special": asked.keep_special}


def _fill_text(result: pb.DetokenizeResult, outputs: Tensors) -> None:
    """TEXT: [1, 1]."""
    result.text = outputs[TEXT][0, 0].decode("utf-8", "replace")


DETOKENIZE: Task[pb.TokenList, pb.DetokenizeResult] = Task(
    name="Detokenize",
    default_model="detokenize",
    messages=Messages(
        request=pb.DetokenizeRequest,
        response=pb.DetokenizeResponse,
        stream_request=pb.DetokenizeStreamRequest,
        stream_response=pb.DetokenizeStreamResponse,
    ),
    items=lambda asked: asked.token_lists,
    item=lambda asked: asked.token_list,
    field="token_lists",
    fields_per_item=3,
    inside=frozenset({pb.DetokenizeRequest.TOKEN_LISTS_FIELD_NUMBER}),
    inputs=_ids,
    needs=("input_ids",),
    outputs={TEXT: 1},
    parameters=_keep_special,
    fill=_fill_text,
)
