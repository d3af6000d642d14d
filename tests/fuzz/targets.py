"""What must hold for any bytes, as functions of bytes that raise where it does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import prod

import numpy as np
from google.protobuf import text_format

from tests.fuzz import calls
from tests.fuzz.octets import Octets
from trivet.config_file import Faults, read_config, text_of_json, to_proto
from trivet.errors import InvalidConfig, ResourceExhausted, ServeError
from trivet.frontend.codec import fill_response, request_of
from trivet.frontend.limits import Limits
from trivet.frontend.refusal import parse
from trivet.repository.overrides import uploads_of
from trivet.request import InferResponse
from trivet.transport.h2corn.frames import Frames
from trivet_protos import wire
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated import model_config_pb2 as config_pb

Target = Callable[[bytes], None]

LIMITS = Limits(max_tensors=8, max_parameters=8)


def request(data: bytes) -> None:
    """A message is refused, or all of its inputs are what they claim, and go back as they came."""
    try:
        asked = parse(pb.ModelInferRequest, data, LIMITS.max_fields, (5, 6))
        read = request_of(asked, limits=LIMITS)
    except ServeError as error:
        _check_refusal(error)
        return
    assert len(read.inputs) == len(asked.inputs) <= LIMITS.max_tensors
    for tensor, raw in zip(asked.inputs, asked.raw_input_contents, strict=False):
        array = read.inputs[tensor.name]
        assert list(array.shape) == list(tensor.shape)
        assert wire.datatype_of(array) == tensor.datatype
        if tensor.datatype != "BOOL":  # any byte but 0 is true there, and goes back as 1
            assert wire.encode_raw(array) == raw
    answer = pb.ModelInferResponse()
    outputs = {name: array for name, array in read.inputs.items() if name in read.outputs}
    if len(outputs) == len(read.outputs):
        fill_response(answer, read, InferResponse(model="m", version=1, outputs=outputs))
        assert [output.name for output in answer.outputs] == list(read.outputs or outputs)


def tensor(data: bytes) -> None:
    """Raw bytes are a tensor of exactly the shape they claim, or refused."""
    octets = Octets(data)
    datatype = octets.one_of((*wire.DATATYPES, "", "FP8"))
    size = octets.one_of((1, 1, 1, 4, 8))
    shape = [octets.number(size, signed=True) for _ in range(octets.number() % 6)]
    raw = octets.rest()
    try:
        array = wire.decode_raw(raw, datatype, shape)
    except wire.WireError as error:
        assert str(error)
        return
    assert list(array.shape) == shape
    assert array.size == prod(shape)
    assert not array.flags.writeable
    if datatype == "BYTES":
        assert sum(4 + len(element) for element in array.ravel()) == len(raw)
    else:
        assert array.nbytes == len(raw)


def typed(data: bytes) -> None:
    """Typed contents are a tensor of exactly the shape they claim, or refused."""
    octets = Octets(data)
    datatype = octets.one_of(tuple(wire.DATATYPES))
    shape = [octets.number(signed=True) for _ in range(octets.number() % 4)]
    try:
        contents = parse(pb.InferTensorContents, octets.rest())
        array = wire.decode_typed(contents, datatype, shape)
    except (wire.WireError, ServeError):
        return
    assert list(array.shape) == shape
    assert array.dtype == wire.numpy_dtype(datatype)
    values = getattr(contents, wire.DATATYPES[datatype].contents or "")
    assert np.array_equal(array.ravel(), np.array(values, array.dtype), equal_nan=_floats(array))


def config_text(data: bytes) -> None:
    """A config.pbtxt has faults, each with place and cure, or is read and written back alike."""
    _read_config(data.decode("utf-8", "replace"))


def config_json(data: bytes) -> None:
    """A config in JSON has faults, or is one that config.pbtxt could hold."""
    faults = Faults()
    text = text_of_json(data.decode("utf-8", "replace"), "m: parameter 'config'", faults)
    if text is None:
        _check_faults(faults)
    else:
        _read_config(text)


def config_message(data: bytes) -> None:
    """As `config_text`, where every field is one that there is, with any value."""
    try:
        message = parse(config_pb.ModelConfig, data)
    except ServeError:
        return
    _read_config(text_format.MessageToString(message))


def upload(data: bytes) -> None:
    """A file's name is refused, or lies below a version's folder."""
    name = data.decode("utf-8", "replace")
    try:
        (taken,) = uploads_of({f"file:{name}": b""}, "m")
    except InvalidConfig as error:
        _check_refusal(error)
        return
    assert int(taken.parts[0]) > 0
    assert len(taken.parts) > 1
    assert not {"", ".", ".."} & set(taken.parts)
    assert not any("/" in part or "\0" in part for part in taken.parts)


def frames(data: bytes) -> None:
    """However a body is cut into chunks, the messages in it are the same."""
    octets = Octets(data)
    sizes = [1 + octets.number() % 8 for _ in range(octets.number() % 16)]
    body = octets.rest()
    whole, parts = Frames(100), Frames(100)
    whole.feed(body)
    expected = _messages(whole)
    found: list[object] = []
    for start, size in _cuts(len(body), sizes):
        parts.feed(body[start : start + size])
        found += _messages(parts)
        if found and found[-1] == "over the limit":
            break
    assert found == expected


def unary(data: bytes) -> None:
    """Any bytes on any method of one message give an answer or a status that is no bug's."""
    octets = Octets(data)
    methods = calls.unary_methods()
    calls.call(octets.one_of(methods), octets.rest())


def stream(data: bytes) -> None:
    """Any messages on any stream: one answer to each, or a status that is no bug's."""
    octets = Octets(data)
    method = octets.one_of(calls.stream_methods())
    messages = [octets.take(octets.number()) for _ in range(1 + octets.number() % 4)]
    calls.stream(method, messages, in_band=octets.number() % 2 == 0)


TARGETS: Mapping[str, Target] = {
    target.__name__: target
    for target in (
        request,
        tensor,
        typed,
        config_text,
        config_json,
        config_message,
        upload,
        frames,
        unary,
        stream,
    )
}


def _messages(frames: Frames) -> list[object]:
    """All that have come, and whether one is over the limit."""
    found: list[object] = []
    try:
        while (one := frames.take()) is not None:
            found.append(one)
    except ResourceExhausted:
        found.append("over the limit")
    return found


def _cuts(length: int, sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where chunks begin, and how long they are; the last takes what is left."""
    start = 0
    for size in sizes:
        yield start, size
        start += size
    yield start, max(length - start, 0)


def _floats(array: np.ndarray) -> bool:
    return array.dtype.kind == "f"


def _read_config(text: str) -> None:
    faults = Faults()
    config = read_config(text, "m/config.pbtxt", "m", faults)
    if config is None:
        _check_faults(faults)
        return
    written = text_format.MessageToString(to_proto(config))
    again = read_config(written, "m/config.pbtxt", "m", faults)
    assert again is not None, (text, written, list(faults))
    assert text_format.MessageToString(to_proto(again)) == written


def _check_faults(faults: Faults) -> None:
    assert len(faults) > 0
    for fault in faults:
        assert fault.where
        assert fault.what
        assert fault.cure


def _check_refusal(error: ServeError) -> None:
    assert error.message
    assert "internal error" not in error.message
