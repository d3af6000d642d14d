"""Embed: one vector for each text."""

from __future__ import annotations

import numpy as np

from trivet.frontend.text_tasks.task import Messages, Task, one_text
from trivet.request import Parameters, Tensors
from trivet_protos.generated import text_pb2 as pb


def _parameters(asked: pb.EmbedRequest | pb.EmbedStreamRequest) -> Parameters:
    return {"truncate": asked.truncate}


def _fill_embedding(result: pb.EmbedResult, outputs: Tensors) -> None:
    """EMBEDDING: [1, width]."""
    # A packed field is the vector's own bytes behind a tag and a length. Written so it takes 0.5 us
    # for 384 numbers; through `embedding.extend(vector.tolist())` it takes 7.
    vector = np.ascontiguousarray(outputs["EMBEDDING"][0], "<f4").tobytes()
    result.MergeFromString(_EMBEDDING_TAG + _varint(len(vector)) + vector)


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

EMBED: Task[str, pb.EmbedResult] = Task(
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
