"""A small real gRPC server for the client's tests: it does what the texts and model names say.

Texts: "hang" is never answered, "refuse" is refused, "late" is answered when the stream's input has
ended. Any other is embedded as [characters, words, 1].
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio

from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated import model_config_pb2 as config_pb
from trivet_protos.generated import server_pb2, text_pb2
from trivet_protos.generated.grpc_service_pb2_grpc import (
    GRPCInferenceServiceServicer,
    add_GRPCInferenceServiceServicer_to_server,
)
from trivet_protos.generated.server_pb2_grpc import (
    ServerServiceServicer,
    add_ServerServiceServicer_to_server,
)
from trivet_protos.generated.text_pb2_grpc import (
    TextServiceServicer,
    add_TextServiceServicer_to_server,
)

PATIENCE_S = 10.0  # a test that waits this long has failed
INVALID_ARGUMENT: int = grpc.StatusCode.INVALID_ARGUMENT.value[0]
COST = text_pb2.Cost(tokens=7, truncated=True, queue_us=1, tokenize_us=2, compute_us=3)


@dataclass
class FakeServer:
    """What the tests ask about the server, from other threads."""

    address: str = ""
    hanging: threading.Event = field(default_factory=threading.Event)  # "hang" has arrived
    cancelled: threading.Event = field(default_factory=threading.Event)  # ... and was given up
    headers: Mapping[str, str] = field(default_factory=dict)  # of the latest call
    requests: list[Any] = field(default_factory=list)  # unary ones, in order
    questions_before_ready: int = 0  # ServerReady says no this many times

    def reset(self) -> None:
        self.hanging.clear()
        self.cancelled.clear()
        self.requests.clear()
        self.questions_before_ready = 0

    async def hang(self) -> None:
        self.hanging.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()

    def note(self, request: Any, context: Any) -> None:
        self.requests.append(request)
        self.headers = dict(context.invocation_metadata())


def embedding_of(text: str) -> list[float]:
    return [len(text), len(text.split()), 1.0]


class FakeTextService(TextServiceServicer):
    def __init__(self, server: FakeServer) -> None:
        self._server = server

    async def Embed(self, request: Any, context: Any) -> text_pb2.EmbedResponse:  # noqa: N802
        self._server.note(request, context)
        await self._check(request, context)
        results = [
            text_pb2.EmbedResult(embedding=embedding_of(text), cost=COST) for text in request.texts
        ]
        if request.model == "forgetful":
            results.pop()
        return text_pb2.EmbedResponse(
            model_name=request.model, model_version=request.version or 3, results=results
        )

    async def FillMask(self, request: Any, context: Any) -> text_pb2.FillMaskResponse:  # noqa: N802
        self._server.note(request, context)
        await self._check(request, context)
        return text_pb2.FillMaskResponse(
            model_name=request.model,
            model_version=request.version or 3,
            results=[filled(text, request.top_k) for text in request.texts],
        )

    async def EmbedStream(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[text_pb2.EmbedStreamResponse]:
        held: list[text_pb2.EmbedStreamResponse] = []
        async for request in request_iterator:
            if request.text == "hang":
                await self._server.hang()
            if request.text == "end":
                return
            if request.text == "break":
                await context.abort(grpc.StatusCode.UNAVAILABLE, "draining; retry later")
            response = embed_stream_response(request)
            if request.text == "late" or request.model == "in fours":
                held.append(response)
            else:
                yield response
            if request.model == "in fours" and len(held) == 4:
                for response in reversed(held):
                    yield response
                held.clear()
        for response in held:
            yield response

    async def FillMaskStream(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[text_pb2.FillMaskStreamResponse]:
        async for request in request_iterator:
            response = text_pb2.FillMaskStreamResponse(id=request.id, model_name=request.model)
            if request.text == "refuse":
                response.error.CopyFrom(text_pb2.Error(code=INVALID_ARGUMENT, message="refused"))
            else:
                response.result.CopyFrom(filled(request.text, request.top_k))
            yield response

    async def _check(self, request: Any, context: Any) -> None:
        if request.model == "missing":
            await context.abort(grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'missing'")
        if "hang" in request.texts:
            await self._server.hang()
        if "refuse" in request.texts:
            place = list(request.texts).index("refuse")
            message = f"texts[{place}]: refused"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)


def embed_stream_response(request: Any) -> text_pb2.EmbedStreamResponse:
    response = text_pb2.EmbedStreamResponse(
        id="nobody's" if request.text == "misrouted" else request.id,
        model_name=request.model,
        model_version=request.version or 3,
    )
    if request.text == "refuse":
        response.error.CopyFrom(text_pb2.Error(code=INVALID_ARGUMENT, message="refused"))
    else:
        response.result.embedding.extend(embedding_of(request.text))
        response.result.cost.CopyFrom(COST)
    return response


def filled(text: str, top_k: int) -> text_pb2.FillMaskResult:
    words = text.split()
    masks = [
        text_pb2.Mask(
            position=place + 1,
            candidates=[
                text_pb2.Candidate(token=f"word{rank}", token_id=rank, probability=0.5**rank)
                for rank in range(1, top_k + 1)
            ],
        )
        for place, word in enumerate(words)
        if word == "[MASK]"
    ]
    return text_pb2.FillMaskResult(masks=masks, cost=COST)


class FakeServerService(ServerServiceServicer):
    """Every question finds that 30 more tokens were computed, and 10 of padding."""

    def __init__(self) -> None:
        self._asked = 0

    async def ModelCost(  # noqa: N802
        self, request: Any, context: Any
    ) -> server_pb2.ModelCostResponse:
        if request.model == "silent":
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        self._asked += 1
        cost = server_pb2.ModelCost(
            model_name=request.model,
            model_version=request.version or 2,
            tokens=30 * self._asked,
            padding_tokens=10 * self._asked,
        )
        return server_pb2.ModelCostResponse(models=[cost])


class FakeInferenceService(GRPCInferenceServiceServicer):
    """Model "echo" answers its inputs; METADATA describes "fill_mask", "encoder" and others."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server

    async def ServerLive(self, request: Any, context: Any) -> pb.ServerLiveResponse:  # noqa: N802
        return pb.ServerLiveResponse(live=True)

    async def ServerReady(self, request: Any, context: Any) -> pb.ServerReadyResponse:  # noqa: N802
        self._server.questions_before_ready -= 1
        return pb.ServerReadyResponse(ready=self._server.questions_before_ready < 0)

    async def ModelReady(self, request: Any, context: Any) -> pb.ModelReadyResponse:  # noqa: N802
        ready = (request.name, request.version) in {("echo", ""), ("echo", "2")}
        return pb.ModelReadyResponse(ready=ready)

    async def ServerMetadata(  # noqa: N802
        self, request: Any, context: Any
    ) -> pb.ServerMetadataResponse:
        return pb.ServerMetadataResponse(name="fake", version="1.2", extensions=["statistics"])

    async def ModelMetadata(  # noqa: N802
        self, request: Any, context: Any
    ) -> pb.ModelMetadataResponse:
        if request.name not in METADATA:
            message = f"Request for unknown model: '{request.name}' is not found"
            await context.abort(grpc.StatusCode.NOT_FOUND, message)
        return METADATA[request.name]

    async def ModelConfig(self, request: Any, context: Any) -> pb.ModelConfigResponse:  # noqa: N802
        config = config_pb.ModelConfig(
            name=request.name,
            backend="fake",
            max_batch_size=8,
            input=[{"name": "TEXT", "data_type": config_pb.TYPE_STRING, "dims": [1]}],
            output=[{"name": "EMBEDDING", "data_type": config_pb.TYPE_FP32, "dims": [384]}],
        )
        config.parameters["max_batch_tokens"].string_value = "256"
        return pb.ModelConfigResponse(config=config)

    async def RepositoryIndex(  # noqa: N802
        self, request: Any, context: Any
    ) -> pb.RepositoryIndexResponse:
        index = pb.RepositoryIndexResponse()
        index.models.add(name="echo", version="2", state="READY")
        if not request.ready:
            index.models.add(name="broken", state="UNAVAILABLE", reason="no artifact")
        return index

    async def ModelStatistics(  # noqa: N802
        self, request: Any, context: Any
    ) -> pb.ModelStatisticsResponse:
        model = pb.ModelStatistics(name=request.name, version="2", last_inference=5)
        model.inference_count, model.execution_count = 10, 4
        model.inference_stats.success.count = 9
        model.inference_stats.queue.ns = 77
        model.batch_stats.add(batch_size=4).compute_infer.count = 2
        return pb.ModelStatisticsResponse(model_stats=[model])

    async def ModelInfer(self, request: Any, context: Any) -> pb.ModelInferResponse:  # noqa: N802
        self._server.note(request, context)
        if request.model_name == "missing":
            await context.abort(grpc.StatusCode.NOT_FOUND, "Request for unknown model: 'missing'")
        return echo(request)

    async def ModelStreamInfer(  # noqa: N802
        self, request_iterator: Any, context: Any
    ) -> AsyncIterator[pb.ModelStreamInferResponse]:
        held: list[pb.ModelStreamInferResponse] = []
        async for request in request_iterator:
            if request.model_name == "late":
                held.extend(answers(request))
            else:
                for response in answers(request):
                    yield response
        for response in held:
            yield response


def answers(request: Any) -> Iterator[pb.ModelStreamInferResponse]:
    """What a stream answers to one request."""
    failed = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
    match request.model_name:
        case "missing":
            yield pb.ModelStreamInferResponse(error_message="no such model", infer_response=failed)
        case "decoupled":  # two answers, and the empty final one where it is asked for
            for _ in range(2):
                response = echo(request)
                response.parameters["triton_final_response"].bool_param = False
                yield pb.ModelStreamInferResponse(infer_response=response)
            if request.parameters["triton_enable_empty_final_response"].bool_param:
                failed.parameters["triton_final_response"].bool_param = True
                yield pb.ModelStreamInferResponse(infer_response=failed)
        case "fill_mask" if request.raw_input_contents[0][4:] == b"refuse":
            message = f"[request id: {request.id}] refused"
            yield pb.ModelStreamInferResponse(error_message=message, infer_response=failed)
        case "fill_mask":
            yield pb.ModelStreamInferResponse(infer_response=fill_mask_tensors(request))
        case _:
            response = echo(request)
            response.parameters["triton_final_response"].bool_param = True
            yield pb.ModelStreamInferResponse(infer_response=response)


def echo(request: Any) -> pb.ModelInferResponse:
    """Inputs as outputs; "liar" takes a byte away, "typed" answers in typed contents."""
    response = pb.ModelInferResponse(
        model_name=request.model_name,
        model_version=request.model_version or "3",
        id=request.id,
        parameters=request.parameters,
    )
    for tensor in request.inputs:
        response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    if request.model_name == "typed":
        response.outputs[0].contents.fp32_contents.extend([1.5, 2.5])
    else:
        response.raw_output_contents.extend(request.raw_input_contents)
    if request.model_name == "liar":
        response.raw_output_contents[0] = response.raw_output_contents[0][:-1]
    return response


def fill_mask_tensors(request: Any) -> pb.ModelInferResponse:
    """One mask, two candidates."""
    response = pb.ModelInferResponse(
        model_name=request.model_name, model_version="1", id=request.id
    )
    response.outputs.add(name="TOKEN", datatype="BYTES", shape=[1, 1, 2])
    response.outputs.add(name="TOKEN_ID", datatype="INT64", shape=[1, 1, 2])
    response.outputs.add(name="PROBABILITY", datatype="FP32", shape=[1, 1, 2])
    for output, values in zip(
        response.outputs, ([b"door", b"room"], [5, 6], [0.5, 0.25]), strict=True
    ):
        contents = output.contents
        field_of = {"BYTES": "bytes_contents", "INT64": "int64_contents", "FP32": "fp32_contents"}
        getattr(contents, field_of[output.datatype]).extend(values)
    return response


def metadata(name: str, /, **inputs: tuple[str, list[int]]) -> pb.ModelMetadataResponse:
    response = pb.ModelMetadataResponse(name=name, versions=["1", "2"], platform="fake")
    for tensor, (datatype, shape) in inputs.items():
        response.inputs.add(name=tensor, datatype=datatype, shape=shape)
    response.outputs.add(name="OUTPUT", datatype="FP32", shape=[-1, 2])
    return response


METADATA: Mapping[str, pb.ModelMetadataResponse] = {
    "fill_mask": metadata("fill_mask", TEXT=("BYTES", [-1, 1])),
    "encoder": metadata("encoder", ids=("INT64", [-1, -1]), weight=("FP32", [1])),
    "small": metadata("small", x=("UINT8", [-1]), flag=("BOOL", [-1]), name=("BYTES", [-1])),
    "half": metadata("half", x=("FP16", [2])),
}


@contextmanager
def serving() -> Iterator[FakeServer]:
    """Serve from a loop in another thread, on a port the system chose."""
    fake, loop, ready = FakeServer(), asyncio.new_event_loop(), threading.Event()
    stop = asyncio.Event()

    async def serve() -> None:
        server = grpc.aio.server()
        add_TextServiceServicer_to_server(FakeTextService(fake), server)
        add_GRPCInferenceServiceServicer_to_server(FakeInferenceService(fake), server)
        add_ServerServiceServicer_to_server(FakeServerService(), server)
        fake.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        await server.start()
        ready.set()
        await stop.wait()
        await server.stop(None)

    def run() -> None:
        loop.run_until_complete(serve())
        loop.close()

    thread = threading.Thread(target=run, name="fake-server")
    thread.start()
    try:
        assert ready.wait(PATIENCE_S)
        yield fake
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
