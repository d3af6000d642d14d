"""Embed: one vector for each text, and on request what the layers say of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from trivet.config import ModelConfig
from trivet.errors import InvalidInput
from trivet.frontend.text_tasks.task import Asking, Messages, Task, one_text
from trivet.request import Parameters, ParameterValue, Tensors
from trivet_protos.generated import text_pb2 as pb

HIDDEN_STATE, ATTENTION, TOKEN = "HIDDEN_STATE", "ATTENTION", "TOKEN"

Asked = pb.EmbedRequest | pb.EmbedStreamRequest

_POOLINGS = {pb.POOLING_MEAN: "mean", pb.POOLING_CLS: "cls", pb.POOLING_MAX: "max"}
# What each field that asks for more needs of a model, and how such a model is built.
_NEEDS = {
    "pooling": (HIDDEN_STATE, "--hidden-states"),
    "normalize": (HIDDEN_STATE, "--hidden-states"),
    "layer": (HIDDEN_STATE, "--hidden-states"),
    "hidden_state": (HIDDEN_STATE, "--hidden-states"),
    "attention": (ATTENTION, "--attentions"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Embed(Task[str, pb.EmbedResult]):
    def check(self, config: ModelConfig, asked: Asked) -> None:
        Task.check(self, config, asked)
        if asked.pooling and asked.pooling not in _POOLINGS:
            raise InvalidInput(
                f"Embed: pooling {asked.pooling} is none; send MEAN (1), CLS (2) or MAX (3)"
            )
        for field in _more(asked):
            output, flag = _NEEDS[field]
            if config.output(output) is None:
                raise InvalidInput(
                    f"model '{config.name}' cannot do Embed with {field}: it gives out no"
                    f" {output}; leave {field} out, or name a model built with trivet build"
                    f" {flag}, such as 'embed_inspect'"
                )

    async def answer(self, asking: Asking, item: str, asked: Asked, result: pb.EmbedResult) -> None:
        outputs = _outputs(asked)
        response = await asking.infer(one_text(item), outputs, _parameters(asked))
        _fill_embedding(result, response.outputs)
        if len(outputs) > 1:
            _fill_layer(result, response.outputs, asked)
        asking.fill_cost(result.cost, response)


def _more(asked: Asked) -> tuple[str, ...]:
    """The fields that ask for more than the model's own vector."""
    return tuple(field.name for field, _ in asked.ListFields() if field.name in _NEEDS)


def _outputs(asked: Asked) -> tuple[str, ...]:
    if not (asked.hidden_state or asked.attention):
        return ("EMBEDDING",)
    found = ["EMBEDDING", TOKEN]
    found += [HIDDEN_STATE] if asked.hidden_state else []
    found += [ATTENTION] if asked.attention else []
    return tuple(found)


def _parameters(asked: Asked) -> Parameters:
    parameters: dict[str, ParameterValue] = {"truncate": asked.truncate}
    for field in _more(asked):
        parameters[field] = getattr(asked, field)
    if asked.pooling:
        parameters["pooling"] = _POOLINGS[asked.pooling]
    return parameters


def _fill_layer(result: pb.EmbedResult, outputs: Tensors, asked: Asked) -> None:
    """TOKEN: [1, tokens]; HIDDEN_STATE: [1, tokens, width]; ATTENTION: [1, heads, tokens,
    tokens]."""
    result.tokens.extend(token.decode("utf-8", "replace") for token in outputs[TOKEN][0])
    if asked.hidden_state:
        _fill_array(result.hidden_state, outputs[HIDDEN_STATE][0])
    if asked.attention:
        _fill_array(result.attention, outputs[ATTENTION][0])


def _fill_array(target: pb.FloatArray, array: np.ndarray) -> None:
    target.shape.extend(array.shape)
    target.MergeFromString(_packed(_VALUES_TAG, array))


def _fill_embedding(result: pb.EmbedResult, outputs: Tensors) -> None:
    """EMBEDDING: [1, width]."""
    # A packed field is the vector's own bytes behind a tag and a length. Written so it takes 0.5 us
    # for 384 numbers; through `embedding.extend(vector.tolist())` it takes 7.
    result.MergeFromString(_packed(_EMBEDDING_TAG, outputs["EMBEDDING"][0]))


def _packed(tag: bytes, array: np.ndarray) -> bytes:
    values = np.ascontiguousarray(array, "<f4").tobytes()
    return tag + _varint(len(values)) + values


def _varint(number: int) -> bytes:
    """A length as protobuf writes it: 7 bits a byte, the least first."""
    octets = bytearray()
    while number > 0x7F:
        octets.append(number & 0x7F | 0x80)
        number >>= 7
    octets.append(number)
    return bytes(octets)


_LENGTH_DELIMITED = 2
_EMBEDDING_TAG = _varint(pb.EmbedResult.EMBEDDING_FIELD_NUMBER << 3 | _LENGTH_DELIMITED)

_VALUES_TAG = _varint(pb.FloatArray.VALUES_FIELD_NUMBER << 3 | _LENGTH_DELIMITED)

EMBED = _Embed(
    name="Embed",
    default_model="embed",
    messages=Messages(
        request=pb.EmbedRequest,
        response=pb.EmbedResponse,
        stream_request=pb.EmbedStreamRequest,
        stream_response=pb.EmbedStreamResponse,
    ),
    items=lambda asked: asked.texts,
    item=lambda asked: asked.text,
    inputs=one_text,
    outputs={"EMBEDDING": 1},
    parameters=_parameters,
    fill=_fill_embedding,
)
