"""Two servers over the same models, one on each transport, are asked the same and say the same."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest

from tests.harness.frontend import ScriptedModel, Served, echo_config, echo_model, run_server
from tests.harness.transports import serving_on
from trivet.errors import QueueFull
from trivet.request import InferRequest, InferResponse
from trivet.transport.options import Transport
from trivet_protos.generated import grpc_service_pb2 as pb

pytest.importorskip("h2corn")

SERVICE = "/inference.GRPCInferenceService"
# Of the libraries that speak HTTP/2, and nothing that a caller relies on.
OF_THE_LIBRARY = {"accept-encoding", "grpc-accept-encoding", "content-length", "grpc-encoding"}


def asked(request_id: str, model: str = "echo", size: int = 3, claimed: int = 3) -> bytes:
    request = pb.ModelInferRequest(model_name=model, id=request_id)
    request.inputs.add(name="IN", datatype="FP32", shape=[1, claimed])
    request.raw_input_contents.append(np.arange(size, dtype=np.float32).tobytes())
    return request.SerializeToString()


@dataclass(frozen=True)
class Told:
    """All that a caller hears of one call, in its order."""

    headers: Sequence[tuple[str, str | bytes]]
    messages: Sequence[bytes]
    status: grpc.StatusCode
    text: str
    trailers: Sequence[tuple[str, str | bytes]]


async def call(
    server: Served,
    method: str,
    messages: Sequence[bytes],
    metadata: Sequence[tuple[str, str | bytes]] = (),
    compression: grpc.Compression | None = None,
) -> Told:
    """The answers as a stream, which those of any call are on the wire."""
    given: dict[str, Any] = {"metadata": tuple(metadata), "compression": compression, "timeout": 30}
    under_way: Any
    if method.endswith("StreamInfer"):
        under_way = server.channel.stream_stream(method)(iter(messages), **given)
    else:  # grpc.aio calls it INTERNAL if a call that it sends as a stream is refused meanwhile
        (message,) = messages
        under_way = server.channel.unary_stream(method)(message, **given)
    answers: list[bytes] = []
    with suppress(grpc.aio.AioRpcError):
        async for answer in under_way:
            answers.append(answer)  # noqa: PERF401 - those before an error count
    return Told(
        headers=_said(await under_way.initial_metadata()),
        messages=answers,
        status=await under_way.code(),
        text=await under_way.details() or "",
        trailers=_said(await under_way.trailing_metadata()),
    )


def _said(metadata: grpc.aio.Metadata | None) -> list[tuple[str, str | bytes]]:
    return [pair for pair in metadata or () if pair[0] not in OF_THE_LIBRARY]


async def refuse(request: InferRequest) -> InferResponse:
    raise QueueFull(request.model, 1)


@pytest.fixture
async def servers() -> AsyncIterator[dict[Transport, Served]]:
    """Each has "echo", and "full", which refuses with details (google.rpc.RetryInfo)."""
    async with AsyncExitStack() as stack:
        made = {}
        for transport in Transport:
            with serving_on(transport):
                full = ScriptedModel(echo_config("full"), refuse)
                server = run_server(echo_model(), full)
                made[transport] = await stack.enter_async_context(server)
        yield made


GRPC_ERROR = [("triton_grpc_error", "true")]
# Left out: a call that ends without a message, which grpcio leaves open until its caller goes, and
# metadata over the limit, of which grpcio tells in words of its own.
CALLS: dict[str, tuple[object, ...]] = {
    "good": ("ModelInfer", [asked("a")]),
    "good, compressed": ("ModelInfer", [asked("a" * 500)], (), grpc.Compression.Gzip),
    "unknown model": ("ModelInfer", [asked("é", model="nobody")]),
    "full": ("ModelInfer", [asked("a", model="full")]),
    "wrong size": ("ModelInfer", [asked("a", size=2)]),
    "no protobuf": ("ModelInfer", [b"\xff\xff"]),
    "unknown method": ("ModelInfur", [asked("a")]),
    "odd metadata": ("ModelInfer", [asked("a")], [("x-bin", b"\0\xff"), ("y", "z"), ("y", "w")]),
    "too large": ("ModelInfer", [asked("a", size=300_000, claimed=300_000)]),
    "stream": ("ModelStreamInfer", [asked(str(number)) for number in range(20)]),
    "stream of some bad": (
        "ModelStreamInfer",
        [asked("a"), asked("b", model="nobody"), asked("c", size=2), asked("d", model="full")],
    ),
    "stream that ends with an error": (
        "ModelStreamInfer",
        [asked("a"), asked("b", model="nobody"), asked("c")],
        GRPC_ERROR,
    ),
    "stream of nothing": ("ModelStreamInfer", []),
    "metadata of a model": (
        "ModelMetadata",
        [pb.ModelMetadataRequest(name="echo").SerializeToString()],
    ),
    "index": ("RepositoryIndex", [b""]),
}


@pytest.mark.parametrize("name", CALLS)
async def test_both_say_the_same(servers: dict[Transport, Served], name: str) -> None:
    method, *rest = CALLS[name]
    grpcio, h2corn = [
        await call(server, f"{SERVICE}/{method}", *rest)  # type: ignore[arg-type]
        for server in servers.values()
    ]
    assert h2corn == grpcio
