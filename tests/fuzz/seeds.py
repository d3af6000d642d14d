"""What fuzzing starts from: good bytes for every target, and some that were bad once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.fuzz import calls, requests
from tests.harness.repositories import fake_config, pipeline_config
from trivet_protos.generated import model_config_pb2 as config_pb

_EXAMPLES = Path(__file__).parents[2] / "model_repository" / "examples"

_JSON = b"""{"backend": "fake", "max_batch_size": 8, "dynamic_batching": {},
"input": [{"name": "IN", "data_type": "TYPE_FP32", "dims": [-1]}],
"output": [{"name": "OUT", "data_type": "TYPE_FP32", "dims": ["-1"]}],
"version_policy": {"latest": {"num_versions": 2}}, "parameters": {"a": {"string_value": "b"}}}"""


def seeds() -> Mapping[str, Sequence[bytes]]:
    """Bytes to begin with, by target."""
    texts = _configs()
    return {
        "request": _requests(),
        "tensor": [b"\x0d\0\x01\x02\x02\0\0\0ab\0\0\0\0", b"\x0a\0\x02\x01\x01\0\0\x80?"],
        "typed": [b"\x0a\x01\x02" + b"\x32\x08\0\0\x80?\0\0\0@", b"\x0d\x01\x01\x42\x02ab"],
        "config_text": texts,
        "config_json": [_JSON],
        "config_message": [_message(text) for text in texts],
        "upload": [b"1/model.onnx", b"../1/x", b"1/../../x", b"12/sub/a.bin"],
        "frames": [b"\x04\0\1\2\3" + b"\0\0\0\0\2ab\1\0\0\0\0\0\0\0\0\x7f"],
        "unary": _unary(),
        "stream": _streams(),
    }


def _requests() -> list[bytes]:
    messages = [requests.infer_request(), requests.typed_request(), requests.shared_request()]
    messages += [requests.tensor_request(datatype) for datatype in requests.ALL_TYPES]
    return [message.SerializeToString() for message in messages]


def _configs() -> list[bytes]:
    texts = [path.read_bytes() for path in sorted(_EXAMPLES.glob("*/config.pbtxt"))]
    return [*texts, fake_config().encode(), pipeline_config(["a", "b"]).encode()]


def _message(text: bytes) -> bytes:
    from google.protobuf import text_format

    from trivet_protos.pool import POOL

    read = text_format.Parse(text, config_pb.ModelConfig(), descriptor_pool=POOL)
    return read.SerializeToString()


def _unary() -> list[bytes]:
    methods = calls.unary_methods()
    return [
        bytes([index]) + requests.good_message(name).SerializeToString()
        for index, name in enumerate(methods)
    ]


def _streams() -> list[bytes]:
    found = []
    for index, name in enumerate(calls.stream_methods()):
        message = requests.good_message(name).SerializeToString()
        found.append(bytes([index, 1, len(message)]) + message + bytes([len(message)]) + message)
    return found
