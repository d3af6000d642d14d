"""Every condition that a client may be refused for, with the status that is promised for it.

One row per row of the wire contract, asked with the peer's own client where it can ask it. Loads
and unloads, access and transport limits have tables of their own, beside what answers them.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from tests.harness.repositories import add_model, fake_config
from tests.harness.server import ServerProcess, serving
from trivet.transport.options import Transport
from trivet_protos.generated import grpc_service_pb2 as pb
from trivet_protos.generated.grpc_service_pb2_grpc import GRPCInferenceServiceAsyncStub

Client = Any  # triton_aio.InferenceServerClient, which has no types
Ask = Callable[[Client], Awaitable[Any]]

FULL = "dynamic_batching { default_queue_policy { max_queue_size: 1 } }"
IMPATIENT = "dynamic_batching { default_queue_policy { default_timeout_microseconds: 1000 } }"
TWO = 'input { name: "SECOND" data_type: TYPE_FP32 dims: [ 2 ] }'
DECOUPLED = "model_transaction_policy { decoupled: true }"
POISON = 7  # fails whoever brings it
HELD = 4  # requests that must wait before one is taken: one or two wait for ever


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, transport: Transport
) -> Iterator[ServerProcess]:
    repository = tmp_path_factory.mktemp("repository")
    add_model(repository, "echo", fake_config(batching=""))
    add_model(repository, "two", fake_config(batching="", more=TWO))
    add_model(repository, "many", fake_config(batching="", more=DECOUPLED))
    add_model(repository, "broken", fake_config(batching="", poison=float(POISON)))
    add_model(repository, "texts", fake_config(batching="", datatype="BYTES"))
    add_model(repository, "unloadable", fake_config(fail_to_open=1))
    add_model(repository, "full", fake_config(batching=FULL))
    add_model(repository, "impatient", fake_config(batching=IMPATIENT))
    log = tmp_path_factory.mktemp("log") / "stderr.log"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITONSERVER_DELAY_SCHEDULER", str(HELD))
        flags = ("--exit-on-error=false", f"--transport={transport}")
        with serving(repository, *flags, log=log) as process:
            yield process


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[Client]:
    async with triton_aio.InferenceServerClient(server.address) as made:
        yield made


@pytest.fixture
async def stub(server: ServerProcess) -> AsyncIterator[GRPCInferenceServiceAsyncStub]:
    async with grpc.aio.insecure_channel(server.address) as channel:
        yield GRPCInferenceServiceAsyncStub(channel)


def tensor(
    rows: int = 1, columns: int = 2, name: str = "IN", datatype: str = "FP32", value: int = 1
) -> Any:
    dtype = {"FP32": np.float32, "INT32": np.int32}[datatype]
    made = triton.InferInput(name, [rows, columns], datatype)
    return made.set_data_from_numpy(np.full((rows, columns), value, dtype))


def infer(*inputs: Any, model: str = "echo", **more: Any) -> Ask:
    return lambda client: client.infer(model, list(inputs) or [tensor()], **more)


def message(change: Callable[[pb.ModelInferRequest], object], model: str = "echo") -> Ask:
    """What the peer's client would not send: its message, changed."""

    async def ask(client: Client) -> None:
        request = pb.ModelInferRequest(model_name=model, id="r-1")
        request.inputs.add(name="IN", datatype="FP32", shape=[1, 2])
        request.raw_input_contents.append(bytes(8))
        change(request)
        call = client._channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        try:
            await call(request.SerializeToString())
        except grpc.aio.AioRpcError as error:
            raise InferenceServerException(error.details(), str(error.code())) from None

    return ask


def shape(*dims: int) -> Callable[[pb.ModelInferRequest], object]:
    return lambda request: request.inputs[0].shape.__setitem__(slice(None), dims)


def raw(content: bytes, *dims: int, datatype: str = "FP32") -> Callable[[Any], object]:
    def change(request: pb.ModelInferRequest) -> None:
        request.raw_input_contents[0] = content
        request.inputs[0].shape[:] = dims or (1, 2)
        request.inputs[0].datatype = datatype

    return change


def typed(**contents: Any) -> Callable[[pb.ModelInferRequest], object]:
    def change(request: pb.ModelInferRequest) -> None:
        del request.raw_input_contents[:]
        request.inputs[0].contents.CopyFrom(pb.InferTensorContents(**contents))

    return change


def parameter(name: str, **value: Any) -> Callable[[pb.ModelInferRequest], object]:
    return lambda request: request.parameters[name].CopyFrom(pb.InferParameter(**value))


@dataclass(frozen=True)
class Row:
    """A condition, how it is brought about, and what is promised."""

    condition: str
    ask: Ask
    status: str
    text: str

    def __str__(self) -> str:
        return self.condition


UNKNOWN = "Request for unknown model"
ROWS = [
    Row("unknown model", infer(model="nobody"), "NOT_FOUND", UNKNOWN),
    Row("unknown version", infer(model_version="7"), "NOT_FOUND", UNKNOWN),
    Row("no ready version", infer(model="unloadable"), "NOT_FOUND", UNKNOWN),
    Row("metadata of an unknown model", lambda c: c.get_model_metadata("x"), "NOT_FOUND", UNKNOWN),
    Row("config of an unknown model", lambda c: c.get_model_config("x"), "NOT_FOUND", UNKNOWN),
    Row("version 0", infer(model_version="0"), "INVALID_ARGUMENT", "no positive integer"),
    Row("version in words", infer(model_version="1x"), "INVALID_ARGUMENT", "no positive integer"),
    Row("wrong rank", message(shape(2)), "INVALID_ARGUMENT", "expected [-1, -1]"),
    Row(
        "wrong dimension",
        infer(tensor(), tensor(1, 3, "SECOND"), model="two"),
        "INVALID_ARGUMENT",
        "input 'SECOND'",
    ),
    Row("wrong dtype", infer(tensor(datatype="INT32")), "INVALID_ARGUMENT", "expected 'FP32'"),
    Row("missing input", infer(tensor(), model="two"), "INVALID_ARGUMENT", "'SECOND' is missing"),
    Row(
        "unknown input",
        infer(tensor(), tensor(name="NO")),
        "INVALID_ARGUMENT",
        "unexpected inference input 'NO'",
    ),
    Row("duplicate input", infer(tensor(), tensor()), "INVALID_ARGUMENT", "came twice"),
    Row(
        "unknown output",
        infer(outputs=[triton.InferRequestedOutput("NO")]),
        "INVALID_ARGUMENT",
        "output 'NO'",
    ),
    Row(
        "duplicate output",
        infer(outputs=[triton.InferRequestedOutput("OUT")] * 2),
        "INVALID_ARGUMENT",
        "asked for twice",
    ),
    Row("batch over the maximum", infer(tensor(9)), "INVALID_ARGUMENT", "1 to 8"),
    Row("batch of none", message(raw(b"", 0, 2)), "INVALID_ARGUMENT", "1 to 8"),
    Row(
        "batch differing between inputs",
        infer(tensor(1), tensor(2, name="SECOND"), model="two"),
        "INVALID_ARGUMENT",
        "inputs disagree on the batch size",
    ),
    Row("-1 in a shape", message(shape(1, -1)), "INVALID_ARGUMENT", "is negative"),
    Row("dimensions that wrap", message(shape(2**32, 2**32)), "INVALID_ARGUMENT", "any memory"),
    Row("byte-size mismatch", message(raw(bytes(7))), "INVALID_ARGUMENT", "but 7 came"),
    Row(
        "truncated BYTES",
        message(raw(b"\x09\0\0\0abc", 1, 1, datatype="BYTES"), "texts"),
        "INVALID_ARGUMENT",
        "claims 9 bytes, but 3 are left",
    ),
    Row(
        "raw and typed contents",
        message(lambda request: request.inputs[0].contents.fp32_contents.extend([1, 2])),
        "INVALID_ARGUMENT",
        "typed contents beside",
    ),
    Row(
        "wrong typed field",
        message(typed(int_contents=[1, 2])),
        "INVALID_ARGUMENT",
        "send it in fp32_contents",
    ),
    Row(
        "no data",
        message(lambda request: request.raw_input_contents.pop()),
        "INVALID_ARGUMENT",
        "has no data",
    ),
    Row(
        "wrong parameter type",
        message(parameter("priority", string_param="1")),
        "INVALID_ARGUMENT",
        "came as string_param",
    ),
    Row(
        "reserved parameter",
        message(parameter("triton_x", bool_param=True)),
        "INVALID_ARGUMENT",
        "reserved",
    ),
    Row(
        "statistics of an unknown model",
        lambda client: client.get_inference_statistics("nobody"),
        "INVALID_ARGUMENT",
        "nobody",
    ),
    Row(
        "unary call of a decoupled model", infer(model="many"), "UNIMPLEMENTED", "ModelStreamInfer"
    ),
    Row(
        "shared memory switched off",
        lambda client: client.get_system_shared_memory_status(),
        "UNIMPLEMENTED",
        "switched off",
    ),
    Row(
        "engine failed",
        infer(tensor(value=POISON), model="broken", request_id="r-9"),
        "INTERNAL",
        "[request id: r-9] model 'broken'",
    ),
    Row("queue timeout", infer(model="impatient"), "UNAVAILABLE", "Request timeout expired"),
    Row(
        "client deadline passed",
        infer(model="full", client_timeout=0.1),
        "DEADLINE_EXCEEDED",
        "Deadline Exceeded",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=str)
async def test_a_refusal_has_the_status_promised(client: Client, row: Row) -> None:
    async with asyncio.timeout(20):
        with pytest.raises(InferenceServerException) as refused:
            await row.ask(client)
    assert (refused.value.status(), row.condition) == (f"StatusCode.{row.status}", row.condition)
    text = refused.value.message()
    assert row.text in text
    assert not re.search(r"(^|[\s'\"])/\w", text)  # no path of this machine
    assert "Traceback" not in text


async def test_a_refusal_on_a_stream_says_the_same_in_band(client: Client) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for number, model in enumerate(("nobody", "broken", "echo")):
            yield {"model_name": model, "inputs": [tensor(value=POISON)], "request_id": str(number)}

    told = []
    async for result, error in client.stream_infer(requests()):
        told.append("" if error is None else error.message())
        assert (error is None) == (result is not None and len(told) == 3)
    assert told[0].startswith(UNKNOWN)
    assert told[1].startswith("[request id: 1] model 'broken'")
    assert told[2] == ""


async def test_an_unknown_model_is_not_ready_and_that_is_no_failure(client: Client) -> None:
    assert await client.is_model_ready("nobody") is False
    assert await client.is_model_ready("unloadable") is False
    assert await client.is_model_ready("echo") is True


def waiting() -> pb.ModelInferRequest:
    request = pb.ModelInferRequest(model_name="full")
    request.inputs.add(name="IN", datatype="FP32", shape=[1, 2])
    request.raw_input_contents.append(bytes(8))
    return request


async def status_of(call: Awaitable[Any]) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def wait_for(stub: GRPCInferenceServiceAsyncStub, status: grpc.StatusCode) -> None:
    """Ask until the queue of one place answers so: full, or with a place to wait in."""
    async with asyncio.timeout(20):
        while await status_of(stub.ModelInfer(waiting(), timeout=0.05)) is not status:
            pass


@pytest.mark.parametrize("ends", ["deadline", "cancelled"])
async def test_a_full_queue_refuses_and_who_leaves_makes_room(
    stub: GRPCInferenceServiceAsyncStub, ends: str
) -> None:
    await wait_for(stub, grpc.StatusCode.DEADLINE_EXCEEDED)  # nobody waits there
    refused = grpc.StatusCode.UNAVAILABLE
    leaving: asyncio.Task[grpc.StatusCode] | None = None
    while leaving is None or leaving.done():  # who left before it may hold the place a moment on
        first = stub.ModelInfer(waiting(), timeout=2 if ends == "deadline" else 60)
        leaving = asyncio.create_task(status_of(first))
        while not leaving.done():
            if await status_of(stub.ModelInfer(waiting(), timeout=0.05)) is refused:
                break
    if ends == "cancelled":
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        assert await first.code() is grpc.StatusCode.CANCELLED
    else:
        assert await leaving is grpc.StatusCode.DEADLINE_EXCEEDED
    await wait_for(stub, grpc.StatusCode.DEADLINE_EXCEEDED)  # its place is free again
