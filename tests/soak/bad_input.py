"""Requests that have to be refused, and as what: sent as bytes, so that no client mends them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import grpc
import numpy as np

from tests.soak.repository import POISON
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated import text_pb2

INFER = "/inference.GRPCInferenceService/ModelInfer"
EMBED = "/trivet.v1.TextService/Embed"
FILL_MASK = "/trivet.v1.TextService/FillMask"
NOBODYS = 2**40  # a sequence's number; those that are begun count from 1
LARGEST_MESSAGE = 2 << 20  # bytes; the server is told so

Status = grpc.StatusCode
Change = Callable[[pb.ModelInferRequest], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bad:
    """message: of the method. The refusal has the status, and these words."""

    method: str
    message: bytes
    status: grpc.StatusCode
    words: str


def request(model: str = "echo", size: int = 3, value: float = 1.0) -> pb.ModelInferRequest:
    """A good one: a row of IN."""
    message = pb.ModelInferRequest(model_name=model)
    message.inputs.add(name="IN", datatype="FP32", shape=[1, size])
    message.raw_input_contents.append(np.full(size, value, np.float32).tobytes())
    return message


def _infer(change: Change, words: str, status: grpc.StatusCode = Status.INVALID_ARGUMENT) -> Bad:
    message = request()
    change(message)
    return Bad(method=INFER, message=message.SerializeToString(), status=status, words=words)


def _shape(*dims: int) -> Change:
    def change(message: pb.ModelInferRequest) -> None:
        message.inputs[0].shape[:] = dims

    return change


def _drop(message: pb.ModelInferRequest) -> None:
    del message.inputs[:], message.raw_input_contents[:]


def _twice(message: pb.ModelInferRequest) -> None:
    message.inputs.append(message.inputs[0])
    message.raw_input_contents.append(message.raw_input_contents[0])


def _text(*texts: bytes, claims: int | None = None) -> Change:
    """Make it a request for "embed" with these bytes. claims: the length that each says it has."""

    def change(message: pb.ModelInferRequest) -> None:
        _drop(message)
        message.model_name = "embed"
        message.inputs.add(name="TEXT", datatype="BYTES", shape=[len(texts), 1])
        content = [
            struct.pack("<I", len(text) if claims is None else claims) + text for text in texts
        ]
        message.raw_input_contents.append(b"".join(content))

    return change


def _embed(*texts: str, words: str, model: str = "embed") -> Bad:
    message = text_pb2.EmbedRequest(model=model, texts=texts)
    return Bad(
        method=EMBED,
        message=message.SerializeToString(),
        status=Status.INVALID_ARGUMENT if model == "embed" else Status.NOT_FOUND,
        words=words,
    )


def _poisoned(message: pb.ModelInferRequest) -> None:
    message.CopyFrom(request("picky", value=POISON))


def _not_begun(message: pb.ModelInferRequest) -> None:
    message.CopyFrom(request("sums", size=1))
    message.inputs[0].name = "X"
    message.parameters["sequence_id"].int64_param = NOBODYS


BAD: Mapping[str, Bad] = {
    "another type": _infer(lambda m: setattr(m.inputs[0], "datatype", "INT32"), "expected 'FP32'"),
    "an unknown type": _infer(lambda m: setattr(m.inputs[0], "datatype", "FP33"), "is unknown"),
    "another rank": _infer(_shape(3), "expected [-1, -1]"),
    "too many rows": _infer(_shape(300, 1), "IN"),
    "a negative dimension": _infer(_shape(-1, -3), "is negative"),
    "a size beyond memory": _infer(_shape(2**62, 2**62), "larger than any memory"),
    "too few bytes": _infer(_shape(1, 4), "takes 16 bytes, but 12 came"),
    "no input": _infer(_drop, "input 'IN' is missing"),
    "an input twice": _infer(_twice, "came twice"),
    "an unknown input": _infer(lambda m: setattr(m.inputs[0], "name", "in"), "unexpected"),
    "an unknown output": _infer(lambda m: m.outputs.add(name="out"), "unexpected"),
    "an unknown model": _infer(
        lambda m: setattr(m, "model_name", "bert"), "unknown model: 'bert'", Status.NOT_FOUND
    ),
    "an unknown version": _infer(
        lambda m: setattr(m, "model_version", "999999"), "version 999999", Status.NOT_FOUND
    ),
    "a version in words": _infer(lambda m: setattr(m, "model_version", "best"), "'best'"),
    "an empty text": _infer(_text(b""), "the text is empty"),
    "a text that is not UTF-8": _infer(_text(b"caf\xe9"), "not UTF-8"),
    "BYTES that claim too much": _infer(_text(b"abc", claims=2**32 - 1), "claims 4294967295"),
    "a poisoned request": _infer(_poisoned, "poisoned", Status.INTERNAL),
    "a sequence without a start": _infer(_not_begun, "sequence"),
    "no message": Bad(
        method=INFER, message=b"\xff" * 50, status=Status.INVALID_ARGUMENT, words="are no"
    ),
    "no message with text": Bad(
        method=EMBED, message=b"\x1a\x02\xff\xfe", status=Status.INVALID_ARGUMENT, words="are no"
    ),
    "no such method": Bad(
        method="/trivet.v1.TextService/Sing", message=b"", status=Status.UNIMPLEMENTED, words=""
    ),
    "a message over the limit": Bad(
        method=INFER,
        message=bytes(LARGEST_MESSAGE + 1),
        status=Status.RESOURCE_EXHAUSTED,
        words="larger than max",
    ),
    "no text": _embed(words="at least one text"),
    "one empty text of several": _embed("one", "", words="texts[1]"),
    "a text that is too long": _embed("word " * 600, words="at most 512"),
    "text for an unknown model": _embed("one", words="'nobody'", model="nobody"),
    "a text without a mask": Bad(
        method=FILL_MASK,
        message=text_pb2.FillMaskRequest(model="fill_mask", texts=["none"]).SerializeToString(),
        status=Status.INVALID_ARGUMENT,
        words="[MASK]",
    ),
}


async def refused(channel: grpc.aio.Channel, bad: Bad, timeout_s: float) -> str:
    """Send it. Returns what is wrong with the refusal, or nothing."""
    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(bad.method)
    try:
        await call(bad.message, timeout=timeout_s)
    except grpc.aio.AioRpcError as error:
        if error.code() is bad.status and bad.words in (error.details() or ""):
            return ""
        return f"refused with {error.code().name} {error.details()!r}"
    return f"answered instead of {bad.status.name}"
